"""The registry's JSON objects: the keys that are written, in their order, and what is refused when it is read."""

import hashlib
import json
import re

import pytest
from pydantic import ValidationError

from frostline.errors import RegistryError
from frostline.registry.objects import Alias, Attempt, Claim, Pin, Promotion, Standing
from frostline.registry.version import parse

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
DAMAGED = "object: is not (what was written|a frostline/[a-z]+/v1 file); restore it from a copy"
RECORDS = [(Claim, CLAIM), (Promotion, PROMOTION), (Standing, STANDING), (Attempt, ATTEMPT), (Pin, PIN)]


@pytest.mark.parametrize(("shape", "document"), RECORDS)
def test_what_is_read_is_written_with_the_same_keys_in_the_same_order_and_a_seal(shape, document):
    record = shape.model_validate({**document, "unknown": 1})
    content = {key: value for key, value in document.items() if key != "schema"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    sealed = {**document, "seal": hashlib.sha256(canonical.encode()).hexdigest()}
    assert record.encode() == (json.dumps(sealed, indent=2) + "\n").encode()


def flips(data):
    """The data with each of its bits flipped, one at a time."""
    for place in range(len(data)):
        for bit in range(8):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


@pytest.mark.parametrize(("shape", "document"), RECORDS)
def test_any_flipped_bit_of_an_object_is_noticed_or_changes_nothing(shape, document):
    written, unnoticed = shape.model_validate(document), []
    for flipped in flips(written.encode()):
        try:
            assert parse(shape, flipped, "object") == written
            unnoticed.append(flipped)
        except RegistryError as error:
            assert re.fullmatch(DAMAGED, str(error))
    assert unnoticed == []


@pytest.mark.parametrize(("shape", "document"), RECORDS)
def test_a_seal_with_a_damaged_name_is_no_missing_seal(shape, document):
    data = shape.model_validate(document).encode()
    for flipped in flips(b"seal"):
        if b'"' not in flipped and b"\\" not in flipped and flipped.isascii() and flipped.decode().isprintable():
            with pytest.raises(RegistryError, match=r"^object: is not what was written; restore it from a copy$"):
                parse(shape, data.replace(b'"seal"', b'"' + flipped + b'"'), "object")


def test_what_a_later_version_adds_is_sealed_and_ignored():
    content = {**{key: value for key, value in PIN.items() if key != "schema"}, "added": 1}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    sealed = {**PIN, "added": 1, "seal": hashlib.sha256(canonical.encode()).hexdigest()}
    assert parse(Pin, json.dumps(sealed).encode(), "object") == Pin.model_validate(PIN)


@pytest.mark.parametrize(("shape", "document"), RECORDS)
def test_an_object_of_an_earlier_version_has_no_seal_and_is_read(shape, document):
    assert parse(shape, json.dumps(document).encode(), "object") == shape.model_validate(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"seal": "0" * 64},
        {"seal": None},
        {"seal": "0" * 64, "added": 1e999},
        {"added": 1},
    ],
)
def test_a_seal_of_something_else_is_refused_and_so_is_an_unknown_key_without_a_seal(changes):
    data = json.dumps({**PROMOTION, **changes}).replace("Infinity", "1e999").encode()
    with pytest.raises(RegistryError, match=DAMAGED):
        parse(Promotion, data, "object")


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
