"""Keys that cannot sign or check are refused in one line that names the file, and shows nothing that is in it."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from frostline.errors import ConfigError
from frostline.registry import keys

from tests.support import signing

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]
MADE = ec.generate_private_key(ec.SECP256R1())
OTHER_CURVE = ec.generate_private_key(ec.SECP256K1())
RSA, EDWARDS = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
TRADITIONAL = MADE.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
GARBAGE = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
WRONG = {
    "private": {
        "empty": (b"", "that is no key"),
        "garbage": (GARBAGE, "that is no key"),
        "cut": (signing.private_pem(MADE)[:80], "that is no key"),
        "binary": (bytes(range(256)), "that is no key"),
        "encrypted": (signing.private_pem(MADE, b"secret"), "that key is encrypted"),
        "public": (signing.public_pem(MADE), "that is a public key"),
        "rsa": (signing.private_pem(RSA), "that is a key of another kind"),
        "ed25519": (signing.private_pem(EDWARDS), "that is a key of another kind"),
        "curve": (signing.private_pem(OTHER_CURVE), "its curve is secp256k1; expected one of P-256, P-384, P-521"),
        "huge": (b"-" * 2**20, "expected a key, of at most 65,536 bytes"),
    },
    "public": {
        "empty": (b"", "that is no key"),
        "garbage": (GARBAGE.replace(b"PRIVATE", b"PUBLIC"), "that is no key"),
        "private": (signing.private_pem(MADE), "that is a private key, which nobody but release may have"),
        "encrypted": (signing.private_pem(MADE, b"secret"), "that is a private key"),
        "rsa": (signing.public_pem(RSA), "that is a key of another kind"),
        "curve": (signing.public_pem(OTHER_CURVE), "its curve is secp256k1; expected one of P-256, P-384, P-521"),
        "huge": (b"-" * 2**20, "expected a key, of at most 65,536 bytes"),
    },
}
READ = {"private": keys.public_half, "public": keys.public_key}
FIELD = {"private": "signing.key", "public": "signing.public_key"}


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_a_private_key_gives_its_public_half(curve, tmp_path):
    pair = signing.pair(tmp_path, curve=curve)
    assert keys.public_half(pair.private) == keys.public_key(pair.public) == pair.pem
    keys.require_pair(pair.private, pair.public)


def test_the_older_form_of_a_private_key_is_read(tmp_path):
    (tmp_path / "key").write_bytes(TRADITIONAL)
    assert keys.public_half(str(tmp_path / "key")) == signing.public_pem(MADE)


def test_a_key_is_read_through_a_link_as_a_cluster_mounts_it(signer, tmp_path):
    (tmp_path / "mounted").symlink_to(signer.private)
    assert keys.public_half(str(tmp_path / "mounted")) == signer.pem


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, cases in WRONG.items() for name in cases])
def test_a_file_that_is_no_such_key_is_refused_and_not_shown(kind, name, tmp_path):
    data, message = WRONG[kind][name]
    path = tmp_path / "key"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        READ[kind](str(path))
    text = str(caught.value)
    assert text.startswith(f"{FIELD[kind]}: received '{path}'; {message}")
    assert "\n" not in text
    lines = [line for line in data.splitlines() if len(line) > 8 and not line.startswith(b"-----")]
    assert not [line for line in lines if line.decode("latin-1") in text]
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", READ)
def test_a_file_that_cannot_be_read_is_refused_at_once(kind, tmp_path):
    for place, expected in [(tmp_path / "none", "there is no such file"), (tmp_path, "expected a file")]:
        with pytest.raises(ConfigError, match=expected):
            READ[kind](str(place))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="expected a file"):
        READ[kind](str(tmp_path / "fifo"))


def test_no_path_is_no_key(signer):
    assert keys.optional_public_key("") is None
    assert keys.optional_public_key(signer.public) == signer.pem
    keys.require_pair("", "")
    keys.require_pair(signer.private, "")
    keys.require_pair("", signer.public)


def test_the_public_key_of_another_pair_is_refused(signer, tmp_path):
    other = signing.pair(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"signing\.public_key: .* that is not the public key of signing\.key"):
        keys.require_pair(signer.private, other.public)
    with pytest.raises(ConfigError, match=r"signing\.public_key: .* that is a private key"):
        keys.require_pair("", signer.private)
