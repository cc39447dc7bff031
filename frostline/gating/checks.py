"""The gate's checks of what needs no statistics, one function each: evidence and configuration in, a result out."""

from __future__ import annotations

import math
from statistics import NormalDist

from frostline.evaluation.compare import POWER
from frostline.freeze.certificate import is_sealed
from frostline.gating import evidence as needs
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, UnusableError, document, part, require_confidence
from frostline.gating.result import NO_LIMIT, Outcome, Result, share, would_tell

_SPLITS = "the training or validation split of this model or of a version that it started from"


def freeze(certificate: Evidence, evaluation: Evidence) -> Result:
    """The frozen weights did not move, and the proof is about the model that was evaluated."""
    proof = needs.Certificate.model_validate(document(certificate))
    subject = needs.Subject.model_validate(document(evaluation))
    moved = [name for one in (proof, *proof.phases) for name in one.moved]
    if moved or not all(one.verified for one in (proof, *proof.phases)):
        names = ", ".join(dict.fromkeys(moved[:3])) or "no tensor named"
        return Result("fail", f"the freeze certificate says that frozen weights moved ({names})")
    if proof.model_digest != subject.model_digest:
        return Result("fail", "the freeze certificate is for another model than the one evaluated")
    told = (
        f"proves {proof.frozen_tensors} frozen tensors unchanged"
        if proof.frozen_tensors
        else "says: nothing was frozen"
    )
    if not is_sealed(document(certificate)):
        return Result("fail", "the freeze certificate is not as it was written: its seal does not fit its content")
    reason = f"the certificate for this model {told}"
    return Result("pass", reason, proof.frozen_tensors)


def data(validation: Evidence) -> Result:
    """The data passed validation."""
    report = needs.Validation.model_validate(document(validation))
    if not report.valid or report.problems:
        return Result("fail", "the data are not valid: " + ("; ".join(report.problems[:3]) or "no problem named"))
    told = f", with warnings: {'; '.join(report.warnings[:3])}" if report.warnings else ""
    return Result("pass", f"the data passed validation{told}")


def leakage(evaluation: Evidence) -> Result:
    """The model was made with no test image, and neither was the version that it started from."""
    leaked = needs.Leakage.model_validate(document(evaluation)).leaked
    if leaked:
        images = "1 test image was" if leaked == 1 else f"{leaked:,} test images were"
        return Result("fail", f"{images} in {_SPLITS}", leaked, 0)
    return Result("pass", f"no test image was in {_SPLITS}", 0, 0)


def skew(evaluation: Evidence, config: GateConfig) -> Result:
    """The training and the serving input path lead to the same labels."""
    found, limit = needs.Skew.model_validate(document(evaluation)).skew, config.min_agreement
    if limit == 0.0:
        return NO_LIMIT
    if not found.images:
        raise UnusableError("no image was taken through the training and the serving input path")
    told = (
        f"{share(found.agreement)} of {found.images:,} images get the same label by the training and the serving path"
    )
    if found.agreement < limit:
        return Result("fail", f"only {told}, where {share(limit)} are asked for", found.agreement, limit)
    return Result("pass", told, found.agreement, limit)


def calibration(evaluation: Evidence, config: GateConfig) -> Result:
    """The calibration error is within its limit, by the bound of the evaluation; above it by its interval."""
    limit = config.max_calibration_error
    if limit == 0.0:
        return NO_LIMIT
    measured = needs.Calibration.model_validate(document(evaluation))
    require_confidence(measured, config)
    found = measured.calibration_error
    verdict: Outcome = "fail" if found.low > limit else "pass" if found.at_most <= limit else "inconclusive"
    told = {"fail": "above", "pass": "within", "inconclusive": "not surely within or above"}[verdict]
    needed = None
    if verdict == "inconclusive" and found.value < limit:  # distances fall as 1 / sqrt(images)
        normal = NormalDist()
        power = 1 + normal.inv_cdf(POWER) / normal.inv_cdf(config.confidence)
        needed = math.ceil(measured.examples * (power * (found.at_most - found.value) / (limit - found.value)) ** 2)
    bound = f"at least {found.low:.4f}" if verdict == "fail" else f"at most {found.at_most:.4f}"
    reason = f"calibration error {found.value:.4f}, {bound}, {told} the limit of {limit:g}"
    return Result(verdict, reason + would_tell(verdict, needed), found.value, limit, needed)


def latency(evaluation: Evidence, config: GateConfig) -> Result:
    """One image's 95th percentile is within its limit."""
    limit = config.max_latency_ms
    if limit == 0.0:
        return NO_LIMIT
    times = needs.ServingTimes.model_validate(part(evaluation, "serving")).latency
    found = next((one.p95 for one in times if one.batch == 1), None)
    if found is None:
        raise UnusableError("evaluation.json: serving.latency: has no entry for a batch of 1")
    told = f"19 of 20 calls with one image take at most {found:.4g} ms"
    verdict: Outcome = "pass" if found <= limit else "fail"
    return Result(verdict, f"{told}; the limit is {limit:g} ms", found, limit)


def size(evaluation: Evidence, config: GateConfig) -> Result:
    """The export is within its size limit."""
    limit = config.max_size_mb
    if limit == 0.0:
        return NO_LIMIT
    found = needs.ServingSize.model_validate(part(evaluation, "serving")).size_bytes / 1e6
    verdict: Outcome = "pass" if found <= limit else "fail"
    return Result(verdict, f"the exported model takes {found:.4g} MB; the limit is {limit:g} MB", found, limit)
