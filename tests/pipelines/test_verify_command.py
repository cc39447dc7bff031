"""What `frostline verify` prints: each check in a line, and how many failed."""

from pipelines import verify_command

PASSED = {"name": "certificate", "passed": True, "reason": "intact"}
FAILED = {"name": "files", "passed": False, "reason": "model.keras differs"}
SKIPPED = {"name": "model", "passed": False, "reason": "not checked: an earlier check failed"}


def result(*checks):
    verified = all(check["passed"] for check in checks)
    return {"verified": verified, "frozen_tensors": 5, "moved": [], "unmoved_trainable": [], "checks": list(checks)}


def test_a_verified_model_says_what_is_verified():
    assert verify_command.text(result(PASSED)).splitlines() == [
        "passed  certificate      intact",
        "verified: 5 frozen tensors are bit-identical to those that training started from",
    ]


def test_a_check_that_was_not_reached_is_skipped_and_only_failures_are_counted():
    assert verify_command.text(result(PASSED, FAILED, SKIPPED)).splitlines()[1:] == [
        "FAILED  files            model.keras differs",
        "skipped model            not checked: an earlier check failed",
        "not verified: 1 failed",
    ]


def test_a_signature_that_nobody_asked_for_is_skipped_and_no_failure():
    unsigned = {"name": "signature", "passed": True, "reason": "not checked: the version is unsigned"}
    assert verify_command.text(result(PASSED, unsigned)).splitlines()[1:] == [
        "skipped signature        not checked: the version is unsigned",
        "verified: 5 frozen tensors are bit-identical to those that training started from",
    ]
