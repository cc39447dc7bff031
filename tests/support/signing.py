"""Keys that sign versions, made anew, and what is done with them."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from frostline import registry


@dataclass(frozen=True)
class Keys:
    """Paths of a private and a public key, and the public one as PEM."""

    private: str
    public: str
    pem: bytes


def private_pem(made, password=None):
    """A private key as a file has it."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def public_pem(made):
    """The public half of a private key as a file has it."""
    return made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def pair(directory, name="key", curve=None):
    """A new pair of keys."""
    made = ec.generate_private_key(curve or ec.SECP256R1())
    directory.mkdir(parents=True, exist_ok=True)
    private, public = directory / f"{name}.pem", directory / f"{name}.pub"
    private.write_bytes(private_pem(made))
    public.write_bytes(public_pem(made))
    return Keys(str(private), str(public), public_pem(made))


def sign(version, keys, directory):
    """Sign a version as `registry sign` does, with a copy of it in the directory; whether it was not signed before."""
    return registry.sign(version, registry.download(version, directory / "to sign", copy=True), keys.private)


def check(version, keys, directory):
    """Check as evaluate does, in a new directory."""
    return registry.download_signed(version, directory, keys.pem)
