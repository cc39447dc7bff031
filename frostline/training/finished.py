"""Finished trainings in the store: a training whose inputs are the same is found there instead of repeated.

A trained model is a function of what the step reads, to the bit on the same kind of device, so its files are kept under
a digest of all that. The certificate, which is written last, lists the digests of the others.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import frostline
from frostline import digests, storage
from frostline.documents.freeze import CERTIFICATE, Certificate
from frostline.documents.training import CERTIFIED_FILES, MODEL, SERVING_DIRECTORY
from frostline.errors import DataError, StorageError
from frostline.events import say
from frostline.features.store import TRAININGS, evict
from frostline.features.usage import touch
from frostline.freeze import certificate
from frostline.model import arithmetic
from frostline.text import one_line
from frostline.training import strategy
from frostline.training.config import SessionSettings
from frostline.training.session import Inputs


def key_of(settings: SessionSettings, inputs: Inputs, before: Collection[str], image: str) -> str:
    """Digest of everything that the files of a trained model depend on.

    Args:
        settings: of the training; how often it is saved and the limit of the cache change no bit.
        inputs: what the steps before wrote.
        before: the images that the source weights were made with.
        image: the container image.
    """
    unimportant = {"training": {"checkpoint_seconds"}, "cache": {"limit_gb"}}
    return digests.of_json(
        {
            "settings": settings.model_dump(mode="json", exclude=unimportant),
            "info": inputs.info,
            "plan": inputs.plan,
            "source": inputs.source,
            "features": [[part["uses"], part["sets"], part.get("sample")] for part in inputs.features],
            "before": sorted(before),
            "image": image,
            "replicas": strategy.mirrored().num_replicas_in_sync,
            "device": arithmetic.device_kind(),
            "versions": [platform.python_version(), np.__version__, tf.__version__, keras.__version__],
            "code": _code_digest(),
        }
    )


def _code_digest() -> str:
    """Of this library's modules: another release, or a changed line of one, trains anew."""
    root = Path(frostline.__file__).parent
    return digests.of_json({str(path.relative_to(root)): digests.of_file(path) for path in root.rglob("*.py")})


def take(store: str, key: str, inputs: Inputs, out: Path) -> bool:
    """Copy the model of a finished training, if it is intact.

    Args:
        store: root of the store.
        key: of the training, from `key_of`.
        inputs: what the steps before wrote: the certificate must be about the same plan and weights.
        out: an empty directory; it is empty again if this returns False.

    Returns:
        Whether there was such a training. What is damaged or cannot be read is told, and counts as none.
    """
    try:
        root = storage.join(store, TRAININGS, key)
        if storage.stat(storage.join(root, CERTIFICATE.file)) is None:
            return False
        touch(root)  # before it is read, so that no eviction takes it for unused
        with tempfile.TemporaryDirectory() as scratch:
            _fetch(root, CERTIFICATE.file, out, Path(scratch))
            certified = CERTIFICATE.read(out)
            _require_about(certified, inputs)
            for name in sorted(certified["files"], key=lambda name: (name == MODEL.file, name)):  # model.json last
                _fetch(root, name, out, Path(scratch))
                if digests.of_file(out / name) != certified["files"][name]:
                    raise DataError(f"{name} is damaged")
    except Exception as error:  # a damaged certificate can have anything in any place
        say(f"{TRAININGS}/{key}: this finished training cannot be used, so it is repeated: {one_line(error)}")
        shutil.rmtree(out)
        out.mkdir()
        return False
    return True


def _fetch(root: str, name: str, out: Path, scratch: Path) -> None:
    """One file; a link to it where the store is a directory of the same file system."""
    path = storage.localize(storage.join(root, name), scratch / digests.of_bytes(name.encode()))
    storage.upload_file(path, storage.join(str(out), name))


def _require_about(certified: Certificate, inputs: Inputs) -> None:
    """Raise DataError unless the certificate is intact, complete, and about this plan and these weights."""
    known = (digests.of_json(inputs.plan), inputs.source["digest"])
    if not certificate.is_sealed(certified) or (certified["plan_digest"], certified["source_digest"]) != known:
        raise DataError(f"{CERTIFICATE.file} is damaged, or about another plan")
    names = set(certified["files"])
    others = {name for name in names - set(CERTIFIED_FILES) if not name.startswith(f"{SERVING_DIRECTORY}/")}
    if others or not names >= set(CERTIFIED_FILES):
        raise DataError(f"{CERTIFICATE.file} lists other files than those of a model")


def keep(store: str, key: str, out: Path, limit_bytes: int, in_use: Collection[str]) -> None:
    """Keep the files of a model, and remove what was used least recently until the store fits its limit.

    A failure is told and changes nothing else: the model is written.

    Args:
        store: root of the store.
        key: of the training, from `key_of`.
        out: the model's directory, complete.
        limit_bytes: of all features and finished trainings together.
        in_use: addresses of features that stay.
    """
    try:
        root = storage.join(store, TRAININGS, key)
        touch(root)  # before anything is written, so that no eviction takes it for unused
        for name in (*CERTIFICATE.read(out)["files"], CERTIFICATE.file):
            storage.upload_file(out / name, storage.join(root, name))
        evict(store, limit_bytes, {key, *in_use})
    except StorageError as error:
        say(f"{error}; the model is written, but a run with the same inputs may train again")
