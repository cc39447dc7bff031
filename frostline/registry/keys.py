"""The keys that sign versions and check them: elliptic curves, PEM files. A private key is read here and not kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from frostline.errors import ConfigError, StorageError
from frostline.files import open_regular
from frostline.text import os_reason

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

KEY, PUBLIC_KEY = "signing.key", "signing.public_key"  # the fields of the configuration
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}  # those that model-signing supports
_LARGEST = 2**16  # bytes; a key has some hundred


def public_half(key: str, field: str = KEY) -> bytes:
    """The public key of a private key, as PEM.

    Args:
        key: path of the private key's file.
        field: what names the file, for messages.

    Raises:
        ConfigError: the file cannot be read, or is no private key that can sign.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    expected = "expected a private key of an elliptic curve, as PEM without a password"
    data = _read(key, field)
    if b"-----BEGIN PUBLIC KEY-----" in data:
        raise ConfigError(field, key, f"that is a public key; {expected}")
    try:
        loaded = load_pem_private_key(data, None)
    except TypeError:  # it asks for the password
        raise ConfigError(field, key, f"that key is encrypted; {expected}") from None
    except Exception:  # several classes; their texts are not shown, because they may have parts of the file
        raise ConfigError(field, key, f"that is no key; {expected}") from None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ConfigError(field, key, f"that is a key of another kind; {expected}")
    return _pem(loaded.public_key(), key, field)


def public_key(path: str, field: str = PUBLIC_KEY) -> bytes:
    """A public key, as PEM.

    Args:
        path: of the public key's file.
        field: what names the file, for messages.

    Raises:
        ConfigError: the file cannot be read, or is no public key that signatures can be checked with.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    expected = "expected a public key of an elliptic curve, as PEM"
    data = _read(path, field)
    if b"PRIVATE KEY-----" in data:
        raise ConfigError(field, path, f"that is a private key, which nobody but release may have; {expected}")
    try:
        loaded = load_pem_public_key(data)
    except Exception:  # as above
        raise ConfigError(field, path, f"that is no key; {expected}") from None
    if not isinstance(loaded, ec.EllipticCurvePublicKey):
        raise ConfigError(field, path, f"that is a key of another kind; {expected}")
    return _pem(loaded, path, field)


def optional_public_key(path: str, field: str = PUBLIC_KEY) -> bytes | None:
    """A public key, as PEM; None if the path is empty. Raises as `public_key` does."""
    return public_key(path, field) if path else None


def require_pair(key: str, public: str) -> None:
    """Check the keys that are configured, before anything is done; an empty path is no key.

    Raises:
        ConfigError: one cannot be used, or the public key is not that of the private key.
    """
    private = public_half(key) if key else None
    if public and public_key(public) != private and private is not None:
        raise ConfigError(PUBLIC_KEY, public, f"that is not the public key of {KEY}, {key}")


def _pem(loaded: ec.EllipticCurvePublicKey, path: str, field: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if loaded.curve.name not in _CURVES:
        expected = f"its curve is {loaded.curve.name}; expected one of {', '.join(_CURVES.values())}"
        raise ConfigError(field, path, expected)
    return loaded.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _read(path: str, field: str) -> bytes:
    try:
        with open_regular(Path(path)) as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise ConfigError(field, path, "there is no such file") from None
    except StorageError:
        raise ConfigError(field, path, "expected a file") from None
    except OSError as error:
        raise ConfigError(field, path, f"it cannot be read: {os_reason(error)}") from None
    if len(data) > _LARGEST:
        raise ConfigError(field, path, f"expected a key, of at most {_LARGEST:,} bytes")
    return data
