"""What the checks need of the evidence: exact types, finite numbers, rates that are counts."""

import pytest
from pydantic import ValidationError

from frostline.gating import evidence
from frostline.gating.config import GateConfig
from frostline.gating.evidence import UnusableError, count_correct, part, require_confidence

from tests.support.evaluations import CERTIFICATE, EVALUATION


def test_the_documents_of_a_good_model_have_all_that_is_needed():
    assert evidence.Certificate.of(CERTIFICATE).frozen_tensors == 12
    assert evidence.Evaluation.of(EVALUATION).examples == 1000


def test_a_document_that_cannot_be_read_is_its_reason():
    with pytest.raises(UnusableError, match=r"^evaluation\.json: is missing$"):
        evidence.Measured.of("evaluation.json: is missing")
    with pytest.raises(UnusableError, match=r"^None$"):
        evidence.Measured.of(None)


def test_a_part_must_be_present_but_can_be_null():
    assert part({"champion": None}, "champion") is None
    with pytest.raises(UnusableError, match=r"^evaluation\.json: champion: is missing$"):
        part({}, "champion")


@pytest.mark.parametrize("digest", ["", 3, None])
def test_a_digest_is_text(digest):
    with pytest.raises(ValidationError):
        evidence.Subject.of({"model_digest": digest})


@pytest.mark.parametrize("leaked", [True, 1.0, "1", -1, 10**9 + 1, None])
def test_a_count_is_an_integer_in_range_and_no_other_type(leaked):
    with pytest.raises(ValidationError):
        evidence.Leakage.of({"leaked": leaked})


@pytest.mark.parametrize(
    ("low", "value", "high"), [(0.2, 0.1, 0.3), (0.1, 0.3, 0.2), (-0.1, 0.1, 0.2), (0.1, 0.2, 1.1)]
)
def test_the_interval_of_a_proportion_is_in_order_and_in_range(low, value, high):
    with pytest.raises(ValidationError):
        evidence.ProportionInterval.model_validate({"low": low, "value": value, "high": high})


@pytest.mark.parametrize(("rate", "examples", "count"), [(0.95, 1000, 950), (1 / 3, 3, 1), (0.0, 7, 0), (1.0, 7, 7)])
def test_a_rate_is_a_count_of_examples(rate, examples, count):
    assert count_correct(rate, examples) == count


@pytest.mark.parametrize(("rate", "examples"), [(0.955, 100), (0.5, 1), (0.333, 3)])
def test_a_rate_that_no_count_gives_is_refused(rate, examples):
    with pytest.raises(ValueError, match=f"{rate} is not a proportion of {examples} examples"):
        count_correct(rate, examples)


def test_intervals_must_have_the_confidence_that_decides():
    measured = evidence.Measured(model_digest="new", examples=10, confidence=0.95)
    require_confidence(measured, GateConfig(confidence=0.95))
    with pytest.raises(UnusableError, match=r"received 0\.95; the gate needs 0\.9, so evaluate again"):
        require_confidence(measured, GateConfig(confidence=0.9))
