"""Push signs what it published itself, keeps what is signed, and says so where nothing is."""

import pytest

from frostline import registry, storage
from frostline.errors import ConfigError, NotSigned
from frostline.publishing import signing as push_signing

from tests.support import signing


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "registry")


@pytest.fixture
def stored(make):
    """A version, what was published, and its files as the registry has them."""
    version = make()
    return version, make.files(), make.files()


def test_without_a_key_it_says_that_a_version_is_not_signed(stored, capsys):
    push_signing.sign(*stored, "", ours=True)
    assert "digits version 1 is not signed: signing.key names no key" in capsys.readouterr().err
    assert not registry.is_signed(stored[0].uri)


def test_a_signature_that_is_there_needs_no_key(stored, signer, capsys):
    push_signing.sign(*stored, signer.private, ours=True)
    assert "digits version 1 is signed" in capsys.readouterr().err
    push_signing.sign(*stored, "", ours=True)
    assert capsys.readouterr().err == ""
    push_signing.sign(*stored, signer.private, ours=True)
    assert "digits version 1 keeps its signature" in capsys.readouterr().err


def test_what_this_push_did_not_make_is_not_signed(stored, signer, capsys):
    push_signing.sign(*stored, signer.private, ours=False)
    assert "is not signed; if you trust this version, sign it: frostline registry sign" in capsys.readouterr().err
    assert not registry.is_signed(stored[0].uri)


def test_what_another_push_signed_is_accepted(stored, signer, capsys):
    push_signing.sign(*stored, signer.private, ours=True)
    before = storage.read_bytes(f"{stored[0].uri}/model.sig")
    capsys.readouterr()
    push_signing.sign(*stored, signer.private, ours=False)
    assert capsys.readouterr().err == ""
    assert storage.read_bytes(f"{stored[0].uri}/model.sig") == before


def test_a_problem_is_told_only_where_a_signature_is_demanded(stored, signer, tmp_path):
    version, directory, found = stored
    assert push_signing.problem(version, found, "") is None
    assert isinstance(push_signing.problem(version, found, signer.public), NotSigned)
    push_signing.sign(version, directory, found, signer.private, ours=True)
    assert push_signing.problem(version, found, signer.public) is None
    other = signing.pair(tmp_path / "other")
    assert "another key" in str(push_signing.problem(version, found, other.public))
    with pytest.raises(ConfigError):
        push_signing.problem(version, found, signer.private)
