"""What push does about signatures: sign what it published itself, and say why a version may not become the champion."""

from __future__ import annotations

from pathlib import Path

from frostline import registry
from frostline.errors import NotSigned
from frostline.events import say
from frostline.registry import Version, keys


def sign(version: Version, directory: Path, stored: Path, key: str, *, ours: bool) -> None:
    """Sign a version that this push published; say what became of it.

    A version that was found under the model's identity may have files of an earlier run, or of whoever can write to the
    registry. Push has not made those, so it does not sign them.

    Args:
        version: what was published or found.
        directory: what this push publishes.
        stored: the version's files as the registry has them, on this machine.
        key: path of the private key; empty if versions are not signed.
        ours: whether the version has exactly the files in `directory`.

    Raises:
        ConfigError: the key cannot be used.
        RegistryError: the version cannot be signed.
        StorageError: the registry cannot be read or written.
    """
    name = f"{version.model} version {version.number}"
    if not key:
        if not registry.is_signed(version.uri):
            say(f"{name} is not signed: signing.key names no key")
    elif ours:
        say(f"{name} is signed" if registry.sign(version, directory, key) else f"{name} keeps its signature")
    else:
        try:
            registry.require_signed(version, stored, keys.public_half(key))
        except NotSigned as error:
            say(f"{error}; this push did not sign it: an earlier run published it with other documents")


def problem(version: Version, stored: Path, public_key: str) -> NotSigned | None:
    """Why a version must not become the champion; None if it is signed, or if no public key demands it.

    Args:
        version: what was published or found.
        stored: its files, on this machine.
        public_key: path of the public key; empty if signatures are not demanded.

    Raises:
        ConfigError: the key cannot be used.
        StorageError: the registry cannot be read.
    """
    if not public_key:
        return None
    try:
        registry.require_signed(version, stored, keys.public_key(public_key))
    except NotSigned as error:
        return error
    return None
