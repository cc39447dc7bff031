"""The checks of a published version find every changed byte, and a version that is not the promoted one."""

import json
import shutil
from pathlib import Path

import pytest

from frostline import artifacts, digests, registry
from frostline.errors import ConfigError, DataError, StorageError
from frostline.registry.objects import Claim
from frostline.registry.seals import parse
from frostline.verification import certificate_checks, version_checks
from frostline.verification.verify import verify

from tests.support import buckets, odd_files, pictures
from tests.support.forgery import failed, flip
from tests.support.stages import Bench


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A version that the push stage published."""
    root = tmp_path_factory.mktemp("verify")
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))
    bench.plan({"head_only": True})
    bench.train(epochs=1)
    bench.evaluate()
    assert bench.gate({"min_accuracy": 0.0})
    bench.push()
    return Path(registry.look_up(bench.registry, "registry:toy@champion").uri)


def test_a_version_in_a_registry(published, tmp_path):
    result = verify(published)
    assert result["verified"], result
    copy = shutil.copytree(published, tmp_path / "version")
    (copy / "saved_model.cpb").write_bytes(b"")
    assert failed(verify(copy)) == ["files", "manifest"]
    (copy / "saved_model.cpb").unlink()
    flip(copy / "variables/variables.data-00000-of-00001", 1000)
    assert failed(verify(copy)) == ["files", "manifest"]


def test_a_change_of_any_published_byte_is_found(published, tmp_path):
    copy = shutil.copytree(published, tmp_path / "version")
    version_checks.manifest_holds(copy)
    files = [path for path in copy.rglob("*") if path.is_file()]
    assert len(files) >= 19
    for path in files:
        data = path.read_bytes()
        for place in {0, len(data) // 3, len(data) - 1}:
            changed = bytearray(data)
            changed[place] ^= 1
            path.write_bytes(changed)
            with pytest.raises((certificate_checks.Failed, DataError)):
                version_checks.manifest_holds(copy)
        path.write_bytes(data[:-1])
        with pytest.raises((certificate_checks.Failed, DataError)):
            version_checks.manifest_holds(copy)
        path.write_bytes(data)
    (copy / "notes.txt").write_text("more")
    with pytest.raises(certificate_checks.Failed, match=r"notes\.txt was not published"):
        version_checks.manifest_holds(copy)


def test_documents_outside_the_certificate_are_checked_too(published, tmp_path):
    copy = shutil.copytree(published, tmp_path / "version")
    flip(copy / "evaluation.json", 40)
    assert failed(verify(copy)) == ["manifest"]


def test_a_version_that_was_written_anew_with_all_its_digests_is_not_the_one_that_was_promoted(published, tmp_path):
    root = tmp_path / "registry"
    shutil.copytree(published.parents[2], root)
    forged = root / "toy" / "versions" / "1"
    assert verify(forged)["verified"]
    better = (forged / "evaluation.json").read_bytes().replace(b'"leaked": 0', b'"leaked": 1')
    manifest = json.loads((forged / "manifest.json").read_text())
    (forged / "evaluation.json").write_bytes(better)
    manifest["files"]["evaluation.json"] = {"sha256": digests.of_bytes(better), "size": len(better)}
    manifest["content"] = digests.of_json({name: manifest[name] for name in ("identity", "files", "metadata")})
    artifacts.write_json(forged / "manifest.json", "version", manifest)
    found = verify(forged)
    assert failed(found) == ["registry"]
    assert "claimed for another content" in found["checks"][-1]["reason"]
    claim = root / "toy" / "claims" / "1.json"
    sealed = parse(Claim, claim.read_bytes(), "claim").model_copy(update={"content": manifest["content"]})
    claim.write_bytes(sealed.encode())
    assert "another manifest was proven under this number" in verify(forged)["checks"][-1]["reason"]
    (root / "toy" / "standings" / "1.json").unlink()
    assert "another manifest was promoted under this number" in verify(forged)["checks"][-1]["reason"]


def test_a_version_in_a_bucket(published, gcs):
    buckets.upload(published, f"{gcs}/models/toy/versions/1")
    assert verify(f"{gcs}/models/toy/versions/1")["verified"]
    with pytest.raises(ConfigError, match="there is nothing at this address"):
        verify(f"{gcs}/models/toy/versions/2")


def test_a_manifest_that_is_no_file_is_refused_at_once(tmp_path):
    odd_files.make(tmp_path / "manifest.json", "fifo")
    with odd_files.in_time(), pytest.raises(StorageError, match="it is no regular file"):
        version_checks.manifest_holds(tmp_path)
