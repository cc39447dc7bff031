"""The checks that need no statistics: the proof, the data, leakage, skew, calibration, latency, size."""

import pytest

from tests.support.evaluations import CERTIFICATE, check, decide, evaluated


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ({**CERTIFICATE, "verified": False, "moved": ["stem/0:kernel"]}, "weights changed (stem/0:kernel)"),
        ({**CERTIFICATE, "moved": ["stem/0:kernel"]}, "weights changed (stem/0:kernel)"),
        ({**CERTIFICATE, "model_digest": "other"}, "for another model"),
        ({**CERTIFICATE, "verified": "true"}, "verified: received 'true'"),
        ({**CERTIFICATE, "verified": 1}, "verified: received 1"),
        ({**CERTIFICATE, "frozen_tensors": -1}, "frozen_tensors: received -1"),
        ("freeze_certificate.json: is missing", "freeze_certificate.json: is missing"),
    ],
)
def test_the_freeze_certificate_must_prove_this_model(certificate, reason):
    decision = decide(certificate=certificate)
    assert decision["verdict"] == "hold"
    assert reason in check(decision, "freeze")["reason"]


@pytest.mark.parametrize("key", sorted(CERTIFICATE))
def test_each_part_of_the_certificate_is_needed(key):
    assert decide(certificate={name: value for name, value in CERTIFICATE.items() if name != key})["verdict"] == "hold"


@pytest.mark.parametrize(
    "validation",
    [{"valid": False, "problems": ["class 'owl'"]}, {"valid": True, "problems": ["x"]}, {"valid": None}, {}, "missing"],
)
def test_the_data_must_be_valid(validation):
    decision = decide(validation=validation)
    assert (decision["verdict"], check(decision, "data")["verdict"]) == ("hold", "fail")


@pytest.mark.parametrize(("leaked", "reason"), [(1, "1 test image was in"), (1200, "1,200 test images were in")])
def test_one_leaked_test_image_holds(leaked, reason):
    decision = decide(evaluated(leaked=leaked))
    found = check(decision, "leakage")
    assert (decision["verdict"], found["verdict"], found["value"], found["limit"]) == ("hold", "fail", leaked, 0)
    assert reason in found["reason"]


@pytest.mark.parametrize(("agreement", "verdict"), [(1.0, "pass"), (0.995, "pass"), (0.9925, "fail"), (0.0, "fail")])
def test_the_two_input_paths_must_agree(agreement, verdict):
    found = check(decide(evaluated(skew={"images": 400, "agreement": agreement})), "skew")
    assert (found["verdict"], found["value"], found["limit"]) == (verdict, agreement, 0.995)


def test_an_agreement_of_no_images_holds():
    found = check(decide(evaluated(skew={"images": 0, "agreement": 1.0})), "skew")
    assert found["verdict"] == "fail"
    assert "no image was sent through" in found["reason"]


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [(0.0, 0.02, 0.05, "pass"), (0.0, 0.04, 0.051, "inconclusive"), (0.0, 0.06, 0.08, "inconclusive"),
     (0.05, 0.06, 0.08, "inconclusive"), (0.051, 0.06, 0.08, "fail")],
)  # fmt: skip
def test_the_calibration_error_must_be_within_its_limit_with_its_interval(low, value, high, verdict):
    interval = {"value": value, "low": low, "high": value, "at_most": high}
    decision = decide(evaluated(calibration_error=interval), max_calibration_error=0.05)
    found = check(decision, "calibration")
    assert (found["verdict"], found["value"], found["limit"]) == (verdict, value, 0.05)
    if verdict == "inconclusive":
        assert (decision["examples_needed"] is None) == (value > 0.05)
    if value == 0.04:
        assert decision["examples_needed"] == 2766  # the bound has to come nearer by 0.011 / 0.01, 4 times in 5


def test_latency_is_that_of_one_image_and_its_limit_belongs_to_it():
    for limit, verdict in ((40.0, "pass"), (39.9, "fail")):
        found = check(decide(max_latency_ms=limit), "latency")
        assert (found["verdict"], found["value"], found["limit"]) == (verdict, 40.0, limit)
    serving = {"latency": [{"batch": 32, "p95": 1.0}], "size_bytes": 1}
    found = check(decide(evaluated(serving=serving), max_latency_ms=50.0), "latency")
    assert found["verdict"] == "fail"
    assert "has no entry for a batch of 1" in found["reason"]


def test_the_size_is_in_megabytes():
    for limit, verdict in ((85.0, "pass"), (84.9, "fail")):
        found = check(decide(max_size_mb=limit), "size")
        assert (found["verdict"], found["value"], found["limit"]) == (verdict, 85.0, limit)


@pytest.mark.parametrize("limit", ["max_latency_ms", "max_size_mb"])
def test_without_serving_measurements_their_limits_hold(limit):
    evaluation = evaluated()
    del evaluation["serving"]
    assert decide(evaluation)["verdict"] == "promote"
    assert decide(evaluation, **{limit: 1e9})["verdict"] == "hold"
