"""The gate's checks without statistical tests, one function each: evidence and configuration in, a result out."""

from __future__ import annotations

import math
from statistics import NormalDist

from frostline.evaluation.compare import POWER
from frostline.freeze.certificate import is_sealed
from frostline.gating import evidence
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, UnusableError, content, part, require_confidence
from frostline.gating.result import NO_LIMIT, Outcome, Result, images_needed, percent

_SPLITS = "the training or validation split of this model or of a version that it started from"


def freeze(certificate: Evidence, evaluation: Evidence) -> Result:
    """The frozen weights did not change, and the certificate is for the model that was evaluated."""
    claimed = evidence.Certificate.of(certificate)
    subject = evidence.Subject.of(evaluation)
    moved = [name for one in (claimed, *claimed.phases) for name in one.moved]
    if moved or not all(one.verified for one in (claimed, *claimed.phases)):
        names = ", ".join(dict.fromkeys(moved[:3])) or "no tensor named"
        return Result("fail", f"the freeze certificate says that frozen weights changed ({names})")
    if claimed.model_digest != subject.model_digest:
        return Result("fail", "the freeze certificate is for another model than the evaluation")
    if not is_sealed(content(certificate)):
        return Result("fail", "the freeze certificate was changed after it was written: its seal does not match")
    conclusion = (
        f"proves that {claimed.frozen_tensors} frozen tensors are unchanged"
        if claimed.frozen_tensors
        else "says that nothing was frozen"
    )
    return Result("pass", f"the certificate of this model {conclusion}", claimed.frozen_tensors)


def data(validation: Evidence) -> Result:
    """The data passed validation."""
    report = evidence.Validation.of(validation)
    if not report.valid or report.problems:
        return Result("fail", "the data are not valid: " + ("; ".join(report.problems[:3]) or "no problem named"))
    warnings = f", with warnings: {'; '.join(report.warnings[:3])}" if report.warnings else ""
    return Result("pass", f"the data passed validation{warnings}")


def leakage(evaluation: Evidence) -> Result:
    """No test image was used to train or validate the model, or a version that it started from."""
    leaked = evidence.Leakage.of(evaluation).leaked
    if leaked:
        images = "1 test image was" if leaked == 1 else f"{leaked:,} test images were"
        return Result("fail", f"{images} in {_SPLITS}", leaked, 0)
    return Result("pass", f"no test image was in {_SPLITS}", 0, 0)


def skew(evaluation: Evidence, config: GateConfig) -> Result:
    """The training and the serving input path lead to the same labels."""
    found, limit = evidence.Skew.of(evaluation).skew, config.min_agreement
    if limit == 0.0:
        return NO_LIMIT
    if not found.images:
        raise UnusableError("no image was sent through the training and the serving input path")
    agreement = (
        f"{percent(found.agreement)} of {found.images:,} images get the same label from the training and the serving "
        "input path"
    )
    if found.agreement < limit:
        return Result("fail", f"only {agreement}; the minimum is {percent(limit)}", found.agreement, limit)
    return Result("pass", agreement, found.agreement, limit)


def calibration(evaluation: Evidence, config: GateConfig) -> Result:
    """The calibration error passes by its upper bound, and fails by the low end of its interval."""
    limit = config.max_calibration_error
    if limit == 0.0:
        return NO_LIMIT
    measured = evidence.Calibration.of(evaluation)
    require_confidence(measured, config)
    found = measured.calibration_error
    verdict: Outcome = "fail" if found.low > limit else "pass" if found.at_most <= limit else "inconclusive"
    conclusion = {"fail": "above", "pass": "within", "inconclusive": "not shown to be within or above"}[verdict]
    needed = None
    if verdict == "inconclusive" and found.value < limit:  # distances fall as 1 / sqrt(images)
        normal = NormalDist()
        power = 1 + normal.inv_cdf(POWER) / normal.inv_cdf(config.confidence)
        needed = math.ceil(measured.examples * (power * (found.at_most - found.value) / (limit - found.value)) ** 2)
    bound = f"at least {found.low:.4f}" if verdict == "fail" else f"at most {found.at_most:.4f}"
    reason = f"calibration error {found.value:.4f}, {bound}: {conclusion} the limit of {limit:g}"
    return Result(verdict, reason + images_needed(verdict, needed), found.value, limit, needed)


def latency(evaluation: Evidence, config: GateConfig) -> Result:
    """The 95th percentile of the latency of one image is within its limit."""
    limit = config.max_latency_ms
    if limit == 0.0:
        return NO_LIMIT
    times = evidence.ServingTimes.model_validate(part(evaluation, "serving")).latency
    found = next((one.p95 for one in times if one.batch == 1), None)
    if found is None:
        raise UnusableError("evaluation.json: serving.latency: has no entry for a batch of 1")
    verdict: Outcome = "pass" if found <= limit else "fail"
    reason = f"95 % of calls with one image take at most {found:.4g} ms; the limit is {limit:g} ms"
    return Result(verdict, reason, found, limit)


def size(evaluation: Evidence, config: GateConfig) -> Result:
    """The exported model is within its size limit."""
    limit = config.max_size_mb
    if limit == 0.0:
        return NO_LIMIT
    found = evidence.ServingSize.model_validate(part(evaluation, "serving")).size_bytes / 1e6
    verdict: Outcome = "pass" if found <= limit else "fail"
    return Result(verdict, f"the exported model takes {found:.4g} MB; the limit is {limit:g} MB", found, limit)
