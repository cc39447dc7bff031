"""`frostline registry sign`, and the commands that take a public key, as a person meets them."""

from pathlib import Path

import pytest

from frostline import registry, storage
from pipelines import cli, gate_command
from pipelines.options import PUBLIC_KEY

from tests.support import signing
from tests.support.evaluations import check
from tests.support.pushes import NAME, Run, compared_with
from tests.support.registries import forge

WHO = ["--approver", "Ada", "--reason", "looked at the mistakes"]


@pytest.fixture
def call(capsys):
    """Calls `frostline ...`: exit code, standard output, standard error."""

    def called(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return called


@pytest.fixture
def place(made, tmp_path):
    """A registry with a champion, and a candidate that was compared with it; neither is signed."""
    root = str(tmp_path / "registry")
    Run(tmp_path / "first", root, made).push()
    Run(tmp_path / "second", root, made, "d2", compared_with(root), approval="required").push()
    return root


def refused(answer, text):
    code, out, err = answer
    assert (code, out) == (1, "")
    assert err.startswith("frostline: error: ")
    assert err.count("\n") == 1
    assert text in err


def test_a_version_is_signed_then_promoted_and_rolled_back_with_a_public_key(call, place, signer):
    demanded = [*WHO, PUBLIC_KEY, signer.public]
    promote, rollback = ["registry", "promote", place, NAME, 2], ["registry", "rollback", place, NAME]
    refused(call(*promote, *demanded), "version 2 does not verify, so it cannot become the champion; signature: is not")
    assert registry.champion(place, NAME).version == 1
    sign = ["registry", "sign", place, NAME]
    assert call(*sign, 2, "--key", signer.private) == (0, "digits version 2 is signed\n", "")
    before = storage.read_bytes(f"{place}/{NAME}/versions/2/model.sig")
    assert call(*sign, 2, "--key", signer.private)[1] == "digits version 2 already has a signature with this key\n"
    assert storage.read_bytes(f"{place}/{NAME}/versions/2/model.sig") == before
    assert call(*promote, *demanded)[0] == 0
    refused(call(*rollback, *demanded), "versions/1: is not signed; if you trust this version, sign it: frostline reg")
    refused(call(*rollback, "--to", 1, *demanded), "versions/1: is not signed")
    refused(call(*rollback, "--to", 9, *demanded), "version 9 was never the champion")
    assert registry.champion(place, NAME).version == 2
    assert call(*sign, 1, "--key", signer.private)[0] == 0
    assert call(*rollback, *demanded)[0] == 0
    assert registry.champion(place, NAME).version == 1


def test_a_version_that_does_not_verify_is_not_signed(call, place, signer):
    manifest = registry.load(place, NAME, 1).manifest
    storage.write_bytes(f"{place}/{NAME}/versions/1/saved_model.pb", b"x" * manifest["files"]["saved_model.pb"]["size"])
    refused(
        call("registry", "sign", place, NAME, 1, "--key", signer.private),
        "digits version 1 does not verify, so it is not signed; files: ",
    )
    assert not registry.is_signed(f"{place}/{NAME}/versions/1")


def test_keys_are_read_before_anything_else(call, tmp_path, signer):
    for arguments in (
        ["registry", "sign", tmp_path, NAME, 1, "--key", signer.public],
        ["registry", "promote", tmp_path, NAME, 1, *WHO, PUBLIC_KEY, signer.private],
        ["registry", "rollback", tmp_path, NAME, *WHO, PUBLIC_KEY, tmp_path],
        ["verify", tmp_path, PUBLIC_KEY, "none"],
        ["gate", tmp_path, PUBLIC_KEY, "none"],
    ):
        code, out, err = call(*arguments)
        assert (code, out) == (2, ""), arguments
        assert err.startswith(f"frostline: error: {'--key' if 'sign' in arguments else PUBLIC_KEY}: received ")
        assert err.count("\n") == 1


def test_verify_says_what_it_did_about_the_signature(call, place, signer):
    uri = f"{place}/{NAME}/versions/1"
    code, out, _ = call("verify", uri)
    assert code == 0
    assert "skipped signature        not checked: the version is unsigned\n" in out
    code, out, _ = call("verify", uri, PUBLIC_KEY, signer.public)
    assert code == 1
    assert "FAILED  signature        is not signed\n" in out
    assert call("registry", "sign", place, NAME, 1, "--key", signer.private)[0] == 0
    assert "skipped signature        not checked: the version is signed; give --public-key\n" in call("verify", uri)[1]
    code, out, _ = call("verify", uri, PUBLIC_KEY, signer.public)
    assert code == 0
    assert "passed  signature        it is of all published files and the manifest, and verifies" in out


def test_the_gate_demands_the_signature_of_a_version(call, place, signer, tmp_path):
    uri = f"{place}/{NAME}/versions/1"

    def published(public_key=""):
        found = check(gate_command.run(uri, None, public_key), "published")
        return found["verdict"], found["reason"]

    assert published() == ("pass", "every published file is unchanged; signature: not checked: the version is unsigned")
    assert published(signer.public) == ("fail", "is not signed")
    version = registry.load(place, NAME, 1)
    registry.sign(version, registry.download(version, tmp_path / "to sign", copy=True), signer.private)
    assert published(signer.public)[0] == "pass"
    assert published(signing.pair(tmp_path / "other").public)[0] == "fail"
    forge(place, NAME, 1, "decision.md", b"# promote it, says someone else\n")
    assert published()[0] == "pass"
    verdict, reason = published(signer.public)
    assert (verdict, reason) == ("fail", "model.sig: is not of these files: decision.md, manifest.json")


def test_a_run_is_not_signed(call, tmp_path, signer):
    Path(tmp_path / "run" / "artifacts").mkdir(parents=True)
    code, _, err = call("gate", tmp_path / "run", PUBLIC_KEY, signer.public)
    assert code == 2
    assert "a run is not signed; give the directory of its version" in err
