"""`verify` on a version whose signature is demanded, or not."""

import json
import shutil
from pathlib import Path

import pytest

from frostline import registry, storage
from frostline.errors import RegistryError
from frostline.verification.verify import require_verified, verify

from tests.support import buckets, odd_files, signing
from tests.support.forgery import failed, flip
from tests.support.pushes import NAME, Run
from tests.support.registries import forge


@pytest.fixture
def version(made, tmp_path):
    """A pushed version that is not signed."""
    Run(tmp_path / "run", tmp_path / "registry", made).push()
    return registry.load(str(tmp_path / "registry"), NAME, 1)


@pytest.fixture
def signed(version, signer, tmp_path):
    registry.sign(version, registry.download(version, tmp_path / "to sign", copy=True), signer.private)
    return version


def row(result):
    (found,) = [one for one in result["checks"] if one["name"] == "signature"]
    return found["passed"], found["reason"]


def test_a_version_is_accepted_without_a_public_key_and_told_what_it_is(version, signer, tmp_path):
    result = verify(version.uri)
    assert result["verified"]
    assert row(result) == (True, "not checked: the version is unsigned")
    registry.sign(version, registry.download(version, tmp_path / "to sign", copy=True), signer.private)
    result = verify(version.uri)
    assert result["verified"]
    assert row(result) == (True, "not checked: the version is signed; give --public-key")


def test_a_public_key_demands_the_signature(version, signer, tmp_path):
    result = verify(version.uri, public_key=signer.pem)
    assert failed(result) == ["signature"]
    assert row(result) == (False, "is not signed")
    with pytest.raises(
        RegistryError, match=r"the model does not verify, so it cannot become .*; signature: is not sig"
    ):
        require_verified(version.uri, "the model", signer.pem)
    registry.sign(version, registry.download(version, tmp_path / "to sign", copy=True), signer.private)
    assert verify(version.uri, public_key=signer.pem)["verified"]
    require_verified(version.uri, "the model", signer.pem)
    other = signing.pair(tmp_path / "other")
    result = verify(version.uri, public_key=other.pem)
    assert row(result) == (False, "model.sig: does not verify: it was made with another key")


def test_a_version_that_was_written_anew_with_all_its_digests_is_found_by_its_signature_alone(signed, signer, tmp_path):
    forge(str(tmp_path / "registry"), NAME, 1, "decision.md", b"# promote it, says someone else\n")
    assert verify(signed.uri)["verified"]
    result = verify(signed.uri, public_key=signer.pem)
    assert failed(result) == ["signature"]
    assert row(result) == (False, "model.sig: is not of these files: decision.md, manifest.json")


def test_a_changed_file_is_found_before_the_signature_is_looked_at(signed, signer, tmp_path):
    copy = shutil.copytree(signed.uri, tmp_path / "copy")
    assert verify(copy, public_key=signer.pem)["verified"]  # a copy is as good, wherever it is
    flip(copy / "evaluation.json", 40)
    result = verify(copy, public_key=signer.pem)
    assert failed(result) == ["manifest"]
    assert row(result) == (False, "not checked: a check before it failed")


def test_a_version_in_a_bucket(signed, signer, gcs):
    buckets.upload(Path(signed.uri), f"{gcs}/models/{NAME}/versions/1")
    assert verify(f"{gcs}/models/{NAME}/versions/1", public_key=signer.pem)["verified"]
    storage.delete(f"{gcs}/models/{NAME}/versions/1/model.sig")
    assert row(verify(f"{gcs}/models/{NAME}/versions/1", public_key=signer.pem)) == (False, "is not signed")


def test_what_is_no_version_has_no_signature(made, signer):
    assert verify(made / "model")["verified"]
    result = verify(made / "model", public_key=signer.pem)
    assert not result["verified"]
    assert failed(result) == ["manifest"]


@pytest.mark.parametrize("kind", odd_files.KINDS)
def test_what_is_no_regular_file_in_place_of_the_signature_is_refused_with_and_without_a_key(version, signer, kind):
    odd_files.make(Path(version.uri) / "model.sig", kind)
    with odd_files.in_time():
        for key in (None, signer.pem):
            result = verify(version.uri, public_key=key)
            assert "manifest" in failed(result)
            assert "model.sig was not published" in json.dumps(result["checks"])
