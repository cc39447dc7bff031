"""Versions as they are read back: every byte checked, no path that leads elsewhere, malformed manifests named."""

import json
import shutil
from pathlib import Path

import pytest

from frostline import digests, registry, storage
from frostline.documents.evaluation import EVALUATION
from frostline.documents.release import DECISION
from frostline.errors import RegistryError, StorageError
from frostline.registry.version import read_document, require_intact

from tests.support.registries import FILES, Models
from tests.support.relay import Relay, flipped


def rewrite_manifest(version, changes):
    changed = version.manifest | changes
    changed["content"] = digests.of_json({key: changed[key] for key in ("identity", "files", "metadata")})
    data = json.dumps(changed).encode()
    storage.write_bytes(storage.join(version.uri, registry.MANIFEST), data)


def test_a_download_is_the_directory_checked(root, make, tmp_path):
    version = make()
    directory = registry.download(version, tmp_path / "into")
    assert {name: (directory / name).read_bytes() for name in FILES} == FILES
    assert (directory / "weights").read_bytes() == b"one"


@pytest.mark.parametrize("data", [b"onf", b"on", b"onee"])
def test_a_stored_file_that_changed_is_refused(root, make, tmp_path, data):
    version = make(b"one")
    storage.write_bytes(storage.join(version.uri, "weights"), data)
    with pytest.raises(RegistryError, match="weights: received") as caught:
        registry.download(version, tmp_path / "into")
    assert digests.of_bytes(data) in str(caught.value)


@pytest.mark.parametrize("path", ["../../../outside", "/etc/hostname", "a/../../b", "", "variables\\x"])
def test_a_path_that_leads_out_of_the_directory_is_refused(root, make, tmp_path, path):
    version = make()
    rewrite_manifest(version, {"files": {path: {"sha256": digests.of_bytes(b""), "size": 0}}})
    with pytest.raises(RegistryError, match="relative path"):
        registry.download(registry.look_up(root, "registry:digits/1"), tmp_path / "into")
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("path", ["missing", "variables"])
def test_a_listed_file_that_is_none_is_refused(root, make, tmp_path, path):
    version = make()
    rewrite_manifest(version, {"files": {path: {"sha256": digests.of_bytes(b""), "size": 0}}})
    with pytest.raises(RegistryError, match=path):
        registry.download(registry.look_up(root, "registry:digits/1"), tmp_path / "into")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "frostline/version/v9"}, "is not a frostline/version/v1 file"),
        ({"version": 7}, "describes digits version 7"),
        ({"files": ["x"]}, "files: received"),
        ({"identity": None}, "identity: received None; expected text$"),
        ({"files": {"model.keras": "x"}}, r"files\.model\.keras: received 'x'"),
    ],
)
def test_a_malformed_manifest_is_named(root, make, changes, message):
    version = make()
    rewrite_manifest(version, changes)
    with pytest.raises(RegistryError, match=message) as caught:
        registry.look_up(root, "registry:digits/1")
    assert version.uri in str(caught.value)


def test_any_flipped_bit_of_a_manifest_is_noticed(tmp_path):
    root = str(tmp_path)
    uri = storage.join(Models(root, tmp_path / "models")().uri, registry.MANIFEST)
    data = storage.read_bytes(uri)
    for place in range(len(data)):
        flipped = data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]
        Path(uri).write_bytes(flipped)
        with pytest.raises(RegistryError) as caught:
            registry.look_up(root, "registry:digits/1")
        assert str(caught.value).startswith(uri.removesuffix(f"/{registry.MANIFEST}"))
        assert "\n" not in str(caught.value)


def test_a_manifest_of_the_first_registries_has_no_digest_of_its_content_and_is_read(root, make):
    version = make()
    old = {key: value for key, value in version.manifest.items() if key != "content"}
    storage.write_bytes(storage.join(version.uri, registry.MANIFEST), json.dumps(old).encode())
    assert registry.look_up(root, "registry:digits/1").manifest == old
    damaged = json.dumps({**old, "contenT": version.manifest["content"]}).encode()
    storage.write_bytes(storage.join(version.uri, registry.MANIFEST), damaged)
    with pytest.raises(RegistryError, match=r"manifest\.json: is not what was written; restore it from a copy"):
        registry.look_up(root, "registry:digits/1")


def test_a_local_registry_takes_links_and_is_read_in_place(tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    (source / "weights").write_bytes(b"large")
    version = registry.publish(str(tmp_path / "root"), "digits", source, identity="x", metadata={})
    assert registry.download(version, tmp_path / "into") == Path(version.uri)
    assert (Path(version.uri) / "weights").samefile(source / "weights")


def test_a_registry_that_cannot_be_read_is_not_told_as_a_damaged_version(make, tmp_path, monkeypatch):
    version = make()

    def fail(uri, into):
        raise StorageError(f"{uri}: the network is down")

    monkeypatch.setattr(storage, "localize", fail)
    with pytest.raises(StorageError, match="the network is down"):
        registry.download(version, tmp_path / "into")


def test_a_published_document_is_read_as_it_was_published_or_not_at_all(make):
    version = make()
    assert read_document(version, DECISION)["verdict"] == "promote"
    with pytest.raises(RegistryError, match=r"was published without evaluation\.json"):
        read_document(version, EVALUATION)
    uri = storage.join(version.uri, "decision.json")
    storage.write_bytes(uri, storage.read_bytes(uri) + b" ")
    with pytest.raises(RegistryError, match="its manifest says"):
        read_document(version, DECISION)


def test_every_published_byte_counts_when_a_directory_is_compared_with_its_manifest(tmp_path):
    make = Models(str(tmp_path / "registry"), tmp_path / "made")
    version = make()
    directory = shutil.copytree(version.uri, tmp_path / "copy")
    assert registry.differences(directory, version.manifest) == []
    for name in version.manifest["files"]:
        data = (directory / name).read_bytes()
        (directory / name).write_bytes(data + b"x")
        assert registry.differences(directory, version.manifest) == [f"{name} differs"]
        (directory / name).unlink()
        assert registry.differences(directory, version.manifest) == [f"{name} is missing"]
        (directory / name).write_bytes(data)
    (directory / "variables" / "more").write_bytes(b"x")
    assert registry.differences(directory, version.manifest) == ["variables/more was not published"]


def test_a_bit_that_changes_while_a_version_is_checked_is_noticed(gcs, tmp_path):
    version = Models(gcs, tmp_path)()
    faults = [flipped]
    with Relay(lambda _, path, __: faults.pop() if faults and "weights" in path and "alt=media" in path else None):
        with pytest.raises(RegistryError, match="weights is not what was published; it cannot become the champion"):
            require_intact(version)
        require_intact(version)
    assert faults == []
