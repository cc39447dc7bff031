"""The seal of the registry's JSON objects: any flipped bit is noticed, and objects without a seal are read."""

import hashlib
import json
import re

import pytest

from frostline.errors import RegistryError
from frostline.registry.objects import Pin, Promotion
from frostline.registry.seals import parse

from tests.support.records import PIN, PROMOTION, RECORDS

DAMAGED = "object: is not (what was written|a frostline/[a-z]+/v1 file); restore it from a copy"


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
