"""A push that signs: what is signed, what is kept or replaced, and which version never becomes the champion."""

import shutil
from pathlib import Path

import pytest

from frostline import digests, registry, storage
from frostline.errors import ConfigError, NotSigned
from frostline.publishing import push

from tests.support import signing
from tests.support.pushes import NAME, Run, compared_with, content
from tests.support.registries import forge


def pushed(run, key="", public_key="", published="published"):
    places = {name: str(run.directory / name) for name in ("model", "evaluation", "decision")}
    out = str(run.directory / published)
    return push.run(**places, model_name=NAME, registry=run.root, published=out, key=key, public_key=public_key)


def signature(run, number=1):
    return storage.read_bytes(f"{run.root}/{NAME}/versions/{number}/model.sig")


def check(run, pair, directory, number=1):
    return registry.download_signed(registry.load(run.root, NAME, number), directory, pair.pem)


def test_a_signed_version_is_promoted_and_a_repeated_push_keeps_it(root, made, tmp_path, signer):
    run = Run(tmp_path / "run", root, made)
    assert pushed(run, signer.private, signer.public) == "pushed: digits version 1 is the champion"
    check(run, signer, tmp_path / "found")
    before = content(root)
    assert pushed(run, signer.private, signer.public) == "pushed: digits version 1 is already the champion"
    assert content(root) == before


def test_a_push_that_died_between_publishing_and_signing_is_finished_by_its_retry(root, made, tmp_path, signer):
    run = Run(tmp_path / "run", root, made, approval="required")
    outcome = pushed(run)  # as far as publishing, without a key
    assert outcome.startswith("candidate: digits version 1 waits for approval")
    assert not registry.is_signed(f"{root}/{NAME}/versions/1")
    assert pushed(run, signer.private, signer.public) == outcome
    first = signature(run)
    assert pushed(run, signer.private, signer.public) == outcome
    assert signature(run) == first
    other = signing.pair(tmp_path / "other")
    assert pushed(run, other.private, other.public) == outcome
    check(run, other, tmp_path / "found")
    assert [one.number for one in registry.versions(root, NAME)] == [1]


def test_the_alias_does_not_move_to_a_version_that_is_not_signed(root, made, tmp_path, signer):
    run = Run(tmp_path / "run", root, made)
    with pytest.raises(NotSigned, match=r"versions/1: is not signed; if you trust this version, sign it: frostline"):
        pushed(run, public_key=signer.public)
    assert registry.champion(root, NAME) is None
    version = registry.load(root, NAME, 1)  # a person signs it, elsewhere
    registry.sign(version, registry.download(version, tmp_path / "to sign", copy=True), signer.private)
    assert pushed(run, public_key=signer.public) == "pushed: digits version 1 is the champion"


def test_a_candidate_may_wait_for_its_signature(root, made, tmp_path, signer, capsys):
    run = Run(tmp_path / "run", root, made, approval="required")
    assert pushed(run, public_key=signer.public).startswith("candidate: digits version 1 waits for approval")
    assert "versions/1: is not signed; if you trust this version, sign it" in capsys.readouterr().err


def test_push_does_not_sign_what_someone_else_put_in_the_place_of_its_version(made, tmp_path, signer):
    """Whoever can write to the registry knows the identity of the next model. Its push finds a version with it."""
    root = str(tmp_path / "registry")
    run = Run(tmp_path / "run", root, made)
    with pytest.raises(NotSigned, match="is not signed"):
        pushed(run, public_key=signer.public)
    forged = forge(root, NAME, 1, "decision.md", b"# promote it, says someone else\n")
    with pytest.raises(NotSigned, match="is not signed"):
        pushed(run, signer.private, signer.public)
    assert not registry.is_signed(forged.uri)
    assert registry.champion(root, NAME) is None
    forge(root, NAME, 1, "decision.md", b"# promote\n")
    assert pushed(run, signer.private, signer.public) == "pushed: digits version 1 is the champion"


def test_without_a_key_nothing_is_signed_and_the_log_says_so(made, tmp_path, capsys):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    assert pushed(run) == "pushed: digits version 1 is the champion"
    assert "digits version 1 is not signed: signing.key names no key" in capsys.readouterr().err
    assert not (tmp_path / "registry" / NAME / "versions/1/model.sig").exists()


def test_a_champion_that_is_not_signed_is_told_by_the_next_push_of_it(made, tmp_path, signer, capsys):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    pushed(run)
    capsys.readouterr()
    assert pushed(run, signer.private, signer.public) == "pushed: digits version 1 is already the champion"
    assert "versions/1: is not signed; if you trust this version, sign it" in capsys.readouterr().err
    assert not registry.is_signed(f"{run.root}/{NAME}/versions/1")


def test_keys_that_cannot_be_used_are_found_before_anything_is_published(made, tmp_path, signer):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    other = signing.pair(tmp_path / "other")
    for keys in ((signer.public, ""), ("", signer.private), (signer.private, other.public), ("none", "")):
        with pytest.raises(ConfigError, match=r"signing\.(public_)?key: received"):
            pushed(run, *keys)
    assert not (tmp_path / "registry").exists()


def test_no_file_of_the_registry_or_the_run_and_no_line_has_the_private_key(made, tmp_path, signer, capsys):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    pushed(run, signer.private, signer.public)
    lines = Path(signer.private).read_bytes().splitlines()[1:-1]
    printed = "".join(capsys.readouterr()).encode()
    files = [path for place in ("run", "registry") for path in (tmp_path / place).rglob("*") if path.is_file()]
    assert len(files) > 30
    for data in [printed, *(path.read_bytes() for path in files)]:
        assert not [line for line in lines if line in data]


def test_the_second_model_is_signed_like_the_first(made, tmp_path, signer):
    root = str(tmp_path / "registry")
    pushed(Run(tmp_path / "first", root, made), signer.private, signer.public)
    second = Run(tmp_path / "second", root, made, "d2", compared_with(root))
    assert pushed(second, signer.private, signer.public) == "pushed: digits version 2 is the champion"
    check(second, signer, tmp_path / "found", 2)
    shutil.copy(f"{root}/{NAME}/versions/1/model.sig", f"{root}/{NAME}/versions/2/model.sig")
    with pytest.raises(NotSigned, match="is not of these files"):
        check(second, signer, tmp_path / "again", 2)
    assert digests.of_bytes(signature(second, 1)) == digests.of_bytes(signature(second, 2))
