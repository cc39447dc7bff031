"""One record of each kind that a registry stores, as its file has it without a seal."""

from frostline.registry.objects import Attempt, Claim, Pin, Promotion, Standing

ALIAS = {"version": 3, "manifest_digest": "b" * 64, "promotion": "000003-0a1b2c3d"}
CLAIM = {
    "schema": "frostline/claim/v1",
    "model": "digits",
    "version": 3,
    "identity": "d1",
    "content": "c1",
    "claimed_at": "2026-01-01T00:00:00+00:00",
}
PROMOTION = {
    "schema": "frostline/alias/v1",
    "model": "digits",
    "version": 3,
    "manifest_digest": "b" * 64,
    "previous_version": 2,
    "kind": "approval",
    "approver": "Ada",
    "reason": "looked at it",
    "test_split": "a",
    "attempt": "0123456789abcdef",
    "promoted_at": "2026-01-01T00:00:00+00:00",
    "promotion": "000003-0a1b2c3d",
}
STANDING = {
    "schema": "frostline/standing/v1",
    "model": "digits",
    "version": 4,
    "standing": "proven",
    "manifest_digest": "b" * 64,
    "compared_with": ALIAS,
    "kind": "promotion",
    "test_split": None,
    "attempt": None,
    "reason": "",
}
AGAINST = {"version": 2, "manifest_digest": "b" * 64, "gain": -0.01, "pinned": False}
ATTEMPT = {
    "schema": "frostline/attempt/v1",
    "model": "digits",
    "attempt": "0123456789abcdef",
    "evaluated_at": "2026-01-01T00:00:00+00:00",
    "model_digest": "d" * 64,
    "images": 2,
    "sketch": ["00", "01"],
    "accuracy": {"value": 0.5, "low": 0.1, "high": 0.9},
    "champion": AGAINST,
    "reference": None,
    "outcome": None,
    "reason": "",
    "version": None,
    "becomes_reference": False,
    "predictions": None,
}
PIN = {
    "schema": "frostline/pin/v1",
    "model": "digits",
    "version": 3,
    "manifest_digest": "b" * 64,
    "approver": "Ada",
    "reason": "the one of the audit",
    "pinned_at": "2026-01-01T00:00:00+00:00",
}
RECORDS = [(Claim, CLAIM), (Promotion, PROMOTION), (Standing, STANDING), (Attempt, ATTEMPT), (Pin, PIN)]
