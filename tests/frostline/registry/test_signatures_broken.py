"""A signature that is damaged, forged in part or huge is refused in one line."""

import base64
import json

import pytest

from frostline import storage
from frostline.errors import NotSigned

from tests.support import signing


def bundle(signed):
    return json.loads(storage.read_bytes(f"{signed.uri}/model.sig"))


def payload(signed):
    return json.loads(base64.b64decode(bundle(signed)["dsseEnvelope"]["payload"]))


def changed_payload(signed, **changes):
    found, inside = bundle(signed), payload(signed)
    inside["predicate"] |= changes
    found["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(inside).encode()).decode()
    return json.dumps(found).encode()


def changed_signature(signed, **changes):
    found = bundle(signed)
    found["dsseEnvelope"]["signatures"][0] |= changes
    return json.dumps(found).encode()


def without_hint(signed):
    found = bundle(signed)
    del found["verificationMaterial"]["publicKey"]["hint"]
    return json.dumps(found).encode()


def of_another_kind(signed):
    resources = [{**one, "algorithm": "blake2"} for one in payload(signed)["predicate"]["resources"]]
    return changed_payload(signed, resources=resources)


BROKEN = {
    "empty": lambda signed: b"",
    "garbage": lambda signed: bytes(range(256)),
    "a list": lambda signed: b"[]",
    "no bundle": lambda signed: b"{}",
    "deep": lambda signed: b"[" * 100_000,
    "null": lambda signed: b'{"verificationMaterial": null, "dsseEnvelope": null}',
    "cut": lambda signed: storage.read_bytes(f"{signed.uri}/model.sig")[:-20],
    "no payload": lambda signed: changed_payload(signed, resources=[]),
    "a word for resources": lambda signed: changed_payload(signed, resources="all"),
    "other files ignored": lambda signed: changed_payload(signed, serialization={"method": "files"}),
    "digests of another kind": of_another_kind,
    "another signature": lambda signed: changed_signature(signed, sig=base64.b64encode(b"x" * 71).decode()),
    "no signature": lambda signed: changed_signature(signed, sig=""),
    "no base64": lambda signed: changed_signature(signed, sig="%"),
    "no name of a key": without_hint,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_signature_is_refused_in_one_line(signed, signer, tmp_path, capsys, name):
    storage.write_bytes(f"{signed.uri}/model.sig", BROKEN[name](signed))
    with pytest.raises(NotSigned, match=r"model\.sig: .*; if you trust this version, sign it: ") as caught:
        signing.check(signed, signer, tmp_path / "found")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""  # the library prints a warning where no key is named
    assert signing.sign(signed, signer, tmp_path / "anew")
    signing.check(signed, signer, tmp_path / "again")


def test_a_huge_signature_is_not_read(signed, signer, tmp_path, monkeypatch):
    storage.write_bytes(f"{signed.uri}/model.sig", b" " * (2**23 + 1))
    read = storage.read_bytes

    def reading(uri, **named):
        assert not uri.endswith("model.sig")
        return read(uri, **named)

    monkeypatch.setattr(storage, "read_bytes", reading)
    with pytest.raises(NotSigned, match=r"has 8,388,609 bytes; a signature has at most 8,388,608"):
        signing.check(signed, signer, tmp_path / "found")
