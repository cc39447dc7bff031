"""A signature is of exactly one version, with one key, whatever else someone with write access rewrites."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frostline import registry, storage
from frostline.errors import ConfigError, NotSigned, RegistryError
from frostline.registry import keys, signatures

from tests.support import odd_files, signing
from tests.support.registries import FILES, forge, sealed

TOOL = Path(sys.executable).parent / "model_signing"


def external(uri, signer):
    """What the library's own command line says of a version."""
    command = [TOOL, "verify", "key", uri, "--signature", f"{uri}/model.sig", "--public_key", signer.public]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_signed_version_is_downloaded_whole(signed, signer, make, tmp_path):
    directory = signing.check(signed, signer, tmp_path / "found")
    assert directory == tmp_path / "found"
    assert {name: (directory / name).read_bytes() for name in FILES} == FILES
    assert registry.is_signed(signed.uri)
    assert registry.versions(make.root, "digits") == [signed]  # the manifest is what it was


def test_without_a_public_key_no_signature_is_read(make, tmp_path):
    version = make()
    storage.write_bytes(f"{version.uri}/model.sig", b"garbage")
    assert (registry.download_signed(version, tmp_path / "found", None) / "model.keras").exists()


def test_a_version_without_a_signature_is_refused_with_what_to_do(make, signer, tmp_path):
    version = make()
    assert not registry.is_signed(version.uri)
    with pytest.raises(NotSigned) as caught:
        signing.check(version, signer, tmp_path / "found")
    assert str(caught.value) == (
        f"{version.uri}: is not signed; if you trust this version, sign it: "
        f"frostline registry sign {make.root} digits 1 --key FILE"
    )


def test_a_valid_signature_is_kept_and_one_with_another_key_is_replaced(signed, signer, tmp_path):
    first = storage.read_bytes(f"{signed.uri}/model.sig")
    assert not signing.sign(signed, signer, tmp_path / "again")
    assert storage.read_bytes(f"{signed.uri}/model.sig") == first
    other = signing.pair(tmp_path / "other")
    with pytest.raises(NotSigned, match=r"model\.sig: does not verify: it was made with another key; if you trust"):
        signing.check(signed, other, tmp_path / "a")
    assert signing.sign(signed, other, tmp_path / "anew")
    signing.check(signed, other, tmp_path / "b")
    with pytest.raises(NotSigned, match="it was made with another key"):
        signing.check(signed, signer, tmp_path / "c")


@pytest.mark.parametrize("name", [*FILES, "weights", "decision.json"])
def test_a_version_that_is_written_anew_with_all_its_digests_is_refused(signed, signer, make, tmp_path, name):
    forged = forge(make.root, "digits", 1, name, b"a program of someone else")
    assert registry.look_up(make.root, "registry:digits@champion") == forged
    assert (registry.download(forged, tmp_path / "unchecked") / name).exists()
    with pytest.raises(NotSigned, match=rf"model\.sig: is not of these files: (manifest\.json, )?{name}"):
        signing.check(forged, signer, tmp_path / "found")


def test_another_file_beside_is_no_part_of_a_signed_version(signed, signer, make, tmp_path):
    forged = forge(make.root, "digits", 1, "variables/more", b"more")
    with pytest.raises(NotSigned, match=r"is not of these files: manifest\.json, variables/more"):
        signing.check(forged, signer, tmp_path / "found")


def test_a_manifest_that_is_written_anew_is_refused(signed, signer, make, tmp_path):
    data = storage.read_bytes(f"{signed.uri}/manifest.json").replace(b'"n": 1', b'"n": 2')
    forged = forge(make.root, "digits", 1, "manifest.json", data)
    assert forged.manifest["metadata"] == {"n": 2}
    with pytest.raises(NotSigned, match=r"is not of these files: manifest\.json"):
        signing.check(forged, signer, tmp_path / "found")


def test_every_byte_that_is_signed_counts(signed, signer, tmp_path):
    directory = registry.download(signed, tmp_path / "found", copy=True)
    files = signatures.files_of(signed)
    (directory / "manifest.json").write_bytes(storage.read_bytes(f"{signed.uri}/manifest.json"))
    data = storage.read_bytes(f"{signed.uri}/model.sig")
    assert signatures._problem(data, directory, files, signer.pem) == ""
    for name in files:
        path = directory / name
        whole = path.read_bytes()
        for changed in [whole + b"x", whole[:-1] + b"x"][: 2 if whole else 1]:
            path.write_bytes(changed)
            assert "a file was changed" in signatures._problem(data, directory, files, signer.pem), name
        path.unlink()
        assert signatures._problem(data, directory, files, signer.pem), name
        path.write_bytes(whole)


def test_a_signature_is_not_one_of_another_version_or_model(signed, signer, make, tmp_path):
    """All that belongs to a version is copied to another number and another model, and made to match there."""
    for model, number in (("digits", 2), ("letters", 1)):
        for item in storage.list_files(signed.uri):
            name = item.uri.removeprefix(f"{signed.uri}/")
            place = storage.join(make.root, model, "versions", str(number), name)
            storage.write_bytes(place, storage.read_bytes(item.uri))
        claim = json.loads(storage.read_bytes(f"{make.root}/digits/claims/1.json"))
        data = sealed(claim, model=model, version=number)
        storage.write_bytes(f"{make.root}/{model}/claims/{number}.json", data)
        with pytest.raises(RegistryError, match="its manifest describes digits version 1"):
            registry.load(make.root, model, number)
        uri = f"{make.root}/{model}/versions/{number}"
        manifest = {**signed.manifest, "model": model, "version": number}
        storage.write_bytes(f"{uri}/manifest.json", json.dumps(manifest).encode())
        copy = registry.load(make.root, model, number)
        with pytest.raises(NotSigned, match=r"is not of these files: manifest\.json"):
            signing.check(copy, signer, tmp_path / model)


def test_prune_removes_the_signature_with_its_version(signed, signer, make, tmp_path):
    make.promoted(b"two", b"three", b"four")
    make.backdate(1, 2, 3, 4)
    registry.pin(make.root, "digits", 4, approver="Ada", reason="the newest")
    assert 1 in [one.number for one in registry.prune(make.root, "digits", keep=1)]
    assert list(make.stored("versions/1")) == ["manifest.json"]


def test_a_directory_with_a_signature_is_not_published(make, tmp_path):
    directory = make.files(b"one")
    (directory / "model.sig").write_bytes(b"{}")
    with pytest.raises(RegistryError, match=r"and no manifest\.json or model\.sig"):
        make(b"one")


def test_a_rival_that_signs_at_the_same_time_is_accepted_if_its_key_is_the_same(make, signer, tmp_path, monkeypatch):
    version, other = make(), signing.pair(tmp_path / "other")
    directory, make_one = registry.download(version, tmp_path / "to sign", copy=True), signatures._make

    def rival(key):
        def made(directory, ours):
            storage.write_bytes(f"{version.uri}/model.sig", make_one(directory, key))
            return make_one(directory, ours)

        monkeypatch.setattr(signatures, "_make", made)

    rival(signer.private)
    assert not registry.sign(version, directory, signer.private)
    signing.check(version, signer, tmp_path / "found")
    storage.delete(f"{version.uri}/model.sig")
    rival(other.private)
    with pytest.raises(NotSigned, match="it was made with another key"):
        registry.sign(version, directory, signer.private)


def test_other_files_than_those_of_the_version_are_not_signed(make, signer, tmp_path):
    version = make()
    directory = registry.download(version, tmp_path / "to sign", copy=True)
    (directory / "model.keras").write_bytes(b"swapped after the check")
    with pytest.raises(RegistryError, match=r"cannot be signed: is not of these files: model\.keras"):
        registry.sign(version, directory, signer.private)
    assert not registry.is_signed(version.uri)


def test_a_key_that_cannot_sign_is_named_as_the_caller_names_it(make, tmp_path):
    version = make()
    with pytest.raises(ConfigError, match="--key: received 'none'; there is no such file"):
        registry.sign(version, tmp_path, "none", "--key")


class TestInADirectory:
    """What only a local registry has."""

    @pytest.fixture
    def root(self, tmp_path):
        return str(tmp_path / "registry")

    def test_the_librarys_own_command_agrees(self, signed, signer, make, tmp_path):
        done = external(signed.uri, signer)
        assert (done.returncode, done.stdout) == (0, "Verification succeeded\n"), done.stderr
        assert external(signed.uri, signing.pair(tmp_path / "other")).returncode
        forge(make.root, "digits", 1, "saved_model.pb", b"a program of someone else")
        done = external(signed.uri, signer)
        assert done.returncode
        assert "saved_model.pb" in done.stdout + done.stderr

    def test_what_the_librarys_own_command_signs_is_accepted(self, make, signer, tmp_path):
        version = make()
        place = f"{version.uri}/model.sig"
        command = [TOOL, "sign", "key", version.uri, "--signature", place, "--private_key", signer.private]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
        signing.check(version, signer, tmp_path / "found")
        assert not signing.sign(version, signer, tmp_path)

    def test_what_the_librarys_own_command_signed_in_part_is_refused(self, make, signer, tmp_path):
        version = make()
        uri = version.uri
        command = [TOOL, "sign", "key", uri, "--signature", f"{uri}/model.sig", "--private_key", signer.private]
        subprocess.run(
            [*command, "--ignore-paths", f"{uri}/saved_model.pb"], capture_output=True, timeout=60, check=True
        )
        assert external(uri, signer).returncode == 0
        with pytest.raises(NotSigned, match=r"is not of these files: saved_model\.pb"):
            signing.check(version, signer, tmp_path / "found")

    @pytest.mark.parametrize("kind", [*odd_files.KINDS, "directory", "link to a file", "link to nothing"])
    def test_what_is_no_regular_file_is_no_signature(self, signed, signer, tmp_path, kind):
        place = Path(signed.uri) / "model.sig"
        kept = place.rename(tmp_path / "kept.sig")
        if kind == "directory":
            place.mkdir()
        elif kind == "link to a file":
            place.symlink_to(kept)
        elif kind == "link to nothing":
            place.symlink_to("nothing")
        else:
            odd_files.make(place, kind)
        with odd_files.in_time():
            assert registry.is_signed(signed.uri)
            with pytest.raises(NotSigned, match=r"model\.sig: is no regular file"):
                signing.check(signed, signer, tmp_path / "found")
            if kind != "directory":
                wrong = registry.differences(Path(signed.uri), signed.manifest)
                assert "model.sig was not published" in wrong

    def test_a_regular_signature_is_no_difference_and_another_file_is(self, signed):
        assert registry.differences(Path(signed.uri), signed.manifest) == []
        (Path(signed.uri) / "variables" / "model.sig").write_bytes(b"{}")
        assert registry.differences(Path(signed.uri), signed.manifest) == ["variables/model.sig was not published"]

    def test_what_is_loaded_is_a_copy_that_nobody_else_can_change(self, signed, signer, tmp_path):
        directory = signing.check(signed, signer, tmp_path / "found")
        for name in FILES:
            assert not (directory / name).samefile(f"{signed.uri}/{name}")

    def test_a_link_in_place_of_a_published_file_is_copied_as_a_file(self, signed, signer, tmp_path):
        place = Path(signed.uri) / "model.keras"
        place.symlink_to(place.rename(tmp_path / "elsewhere"))
        assert not signing.check(signed, signer, tmp_path / "found").joinpath("model.keras").is_symlink()

    def test_a_writer_that_died_leaves_nothing_that_spoils_a_signature(self, make, signer, tmp_path):
        version = make()
        (Path(version.uri) / f".model.sig.{'0' * 32}.partial").write_bytes(b"{")
        assert signing.sign(version, signer, tmp_path)
        signing.check(version, signer, tmp_path / "found")

    def test_a_root_with_a_space_is_quoted(self, tmp_path):
        assert "'a b'" in signatures.command(registry.Version("digits", 3, "a b/digits/versions/3", {}, ""))

    def test_a_registry_that_was_moved_verifies_where_it_is(self, signed, signer, make, tmp_path):
        shutil.copytree(make.root, tmp_path / "moved")
        version = registry.load(str(tmp_path / "moved"), "digits", 1)
        signing.check(version, signer, tmp_path / "found")
        assert keys.public_key(signer.public) == signer.pem
