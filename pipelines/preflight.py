"""Check a configuration before anything is submitted or run.

`for_this_machine` completes a configuration for a local run (store, registry, absolute paths). `check_here` refuses, in
one line and within milliseconds, what would otherwise fail minutes later in a step.
"""

from __future__ import annotations

import os
from pathlib import Path

from frostline.config import RunConfig
from frostline.consistency import is_known_source, require_consistent, require_warm_up_fits
from frostline.data.config import DataConfig
from frostline.errors import ConfigError, FrostlineError
from frostline.model import backbones
from frostline.registry import keys
from frostline.text import listed, os_reason

_WORKERS = 1  # it uses all cores, or the GPU; a second one would load the model again and try bfloat16 again
_NAMED_WEIGHTS = ("imagenet", "random", "own")


def for_this_machine(config: RunConfig, root: Path) -> RunConfig:
    """Complete a configuration for a run on this machine.

    Unless the configuration sets them, store and registry become `root`/store and `root`/registry, and one worker
    prepares all shards. Local paths are resolved against the current directory. A source that is still the placeholder
    stays as it is.

    Raises:
        ConfigError: a path is none that this machine can look up.
    """
    places = {
        name: _absolute(name, getattr(config, name) if name in config.model_fields_set else str(root / name))
        for name in ("store", "registry")
    }
    source = config.source if is_known_source(config.source) else _absolute("source", config.source)
    weights = _absolute("weights", config.weights) if _is_weights_file(config.weights) else config.weights
    backbone = _absolute("backbone", config.backbone) if backbones.is_file(config.backbone) else config.backbone
    workers = config.workers if "workers" in config.model_fields_set else _WORKERS
    paths = {name: path and _absolute(f"signing.{name}", path) for name, path in config.signing.model_dump().items()}
    signing = config.signing.model_copy(update=paths)
    return config.model_copy(
        update={
            **places,
            "signing": signing,
            "workers": workers,
            "source": source,
            "weights": weights,
            "backbone": backbone,
        }
    )


def check_here(config: RunConfig) -> None:
    """Check what a local run uses: the source's folders, keys, weights, and whether store and registry are writable.

    Raises:
        ConfigError: names the field, what was received and what is expected.
    """
    require_consistent(config)
    if not is_known_source(config.source):
        images = _check_folders(Path(config.source), config.data)
        if config.training.warmup_steps:
            require_warm_up_fits(config, images)
    if backbones.is_file(config.backbone) and "://" not in config.backbone and not Path(config.backbone).is_file():
        raise ConfigError("backbone", config.backbone, "there is no such file")
    keys.require_pair(config.signing.key, config.signing.public_key)
    _check_weights(config)
    _check_writable(config)


def _check_folders(source: Path, data: DataConfig) -> int:
    """Check a directory of images as ingest reads it; returns how many there are."""
    if not source.exists():
        raise ConfigError("source", str(source), "there is no such directory")
    if not source.is_dir():
        raise ConfigError("source", str(source), "expected a directory of class folders, not a file")
    from frostline.data import sources  # reads no image

    try:
        opened = sources.open_source(str(source), data.layout)
    except FrostlineError as error:
        raise ConfigError("source", str(source), str(error).removeprefix("source: ")) from None
    images = list(opened.images)
    filled = sorted({image.label for image in images})
    passed = f"; files left out: {sources.left_out_words(opened.left_out)}" if opened.left_out else ""
    classes = data.classes
    missing = [label for label in classes if label not in filled]
    if missing and filled:
        raise ConfigError(
            "data.classes", missing[0], f"no class folder with images; there are {listed(filled, 10)}{passed}"
        )
    if len(filled) < 2:
        found = f"found only {filled[0]!r}" if filled else "found none"
        raise ConfigError("source", str(source), f"at least two class folders with images are needed; {found}{passed}")
    return len(images)


def _is_weights_file(weights: str) -> bool:
    return weights not in _NAMED_WEIGHTS and not weights.startswith(("registry:", "gs://"))


def _check_weights(config: RunConfig) -> None:
    if config.weights.startswith("registry:"):
        from frostline import registry

        try:
            registry.look_up(config.registry, config.weights)
        except FrostlineError as error:
            raise ConfigError("weights", config.weights, str(error)) from None
    elif _is_weights_file(config.weights) and not Path(config.weights).is_file():
        raise ConfigError(
            "weights", config.weights, "there is no such file; expected imagenet, random, registry:MODEL or a file"
        )


def _check_writable(config: RunConfig) -> None:
    from frostline import storage

    for field in ("store", "registry"):
        uri = getattr(config, field)
        try:
            storage.check_writable(uri)
        except FrostlineError as error:
            raise ConfigError(field, uri, str(error)) from None


def _absolute(field: str, path: str) -> str:
    if "://" in path:
        return path
    try:
        place = os.path.abspath(Path(path).expanduser())  # noqa: PTH100  (removes `..`)
        Path(place).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return place
    except (OSError, RuntimeError) as error:  # a name that is too long, a folder of others, `~` of nobody
        raise ConfigError(field, path, os_reason(error) if isinstance(error, OSError) else str(error)) from None
    return place
