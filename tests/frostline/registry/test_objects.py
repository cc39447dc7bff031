"""The registry's JSON objects: the keys that are written, in their order, and what is refused when it is read."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from frostline.registry.objects import Alias, Attempt, Claim, Pin, Promotion, Standing

from tests.support.records import AGAINST, ALIAS, ATTEMPT, CLAIM, PIN, PROMOTION, RECORDS, STANDING


@pytest.mark.parametrize(("shape", "document"), RECORDS)
def test_what_is_read_is_written_with_the_same_keys_in_the_same_order_and_a_seal(shape, document):
    record = shape.model_validate({**document, "unknown": 1})
    content = {key: value for key, value in document.items() if key != "schema"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    sealed = {**document, "seal": hashlib.sha256(canonical.encode()).hexdigest()}
    assert record.encode() == (json.dumps(sealed, indent=2) + "\n").encode()


def test_objects_of_the_first_registries_are_read():
    assert Claim.model_validate({"model": "digits", "version": 1, "identity": "d1"}).content == ""
    short = {key: PROMOTION[key] for key in ("model", "version", "manifest_digest", "promotion")}
    assert Promotion.model_validate(short).previous_version is None


def test_a_promotion_gives_the_alias_that_comparisons_name():
    assert Promotion.model_validate(PROMOTION).alias() == Alias(**ALIAS)
    assert Standing.model_validate(STANDING).compared_with == Alias(**ALIAS)


@pytest.mark.parametrize(
    ("shape", "document", "changes"),
    [
        (Alias, ALIAS, {"promotion": "../../x"}),
        (Alias, ALIAS, {"version": 0}),
        (Alias, ALIAS, {"version": 3.0}),
        (Alias, ALIAS, {"manifest_digest": ""}),
        (Claim, CLAIM, {"claimed_at": "2026-01-01T00:00:00"}),
        (Claim, CLAIM, {"identity": None}),
        (Promotion, PROMOTION, {"previous_version": "2"}),
        (Promotion, PROMOTION, {"promotion": ""}),
        (Attempt, ATTEMPT, {"attempt": "../x"}),
        (Attempt, ATTEMPT, {"outcome": "lost"}),
        (Attempt, ATTEMPT, {"accuracy": {"value": float("nan"), "low": 0.0, "high": 1.0}}),
        (Attempt, ATTEMPT, {"champion": {**AGAINST, "gain": 2.0}}),
        (Pin, PIN, {"version": 0}),
        (Standing, STANDING, {"standing": "good"}),
        (Standing, STANDING, {"compared_with": {**ALIAS, "version": None}}),
    ],
)
def test_a_wrong_value_is_refused(shape, document, changes):
    shape.model_validate(document)
    with pytest.raises(ValidationError):
        shape.model_validate({**document, **changes})


def test_an_object_cannot_be_changed():
    with pytest.raises(ValidationError):
        Alias(**ALIAS).version = 4


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\x1b[2K", "\u202e", "\x00"])
def test_no_text_of_an_object_breaks_a_line_or_turns_one_around(break_):
    changes = dict.fromkeys(("approver", "reason", "kind", "promoted_at", "model"), f"a{break_}b")
    read = Promotion.model_validate({**PROMOTION, **changes})
    assert all(getattr(read, name).isprintable() for name in changes)
    assert read.encode().decode().isascii()
    assert Pin.model_validate({**PIN, "reason": f"a{break_}b"}).reason.isprintable()
    assert Standing.model_validate({**STANDING, "reason": f"a{break_}b"}).reason.isprintable()
