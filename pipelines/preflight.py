"""Check a configuration before anything is submitted or run.

`for_this_machine` completes a configuration for a local run (store, registry, absolute paths). `check_model` and
`check_here` refuse, in one line and within milliseconds, what would otherwise fail minutes later in a step.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from frostline.config import RunConfig
from frostline.data.config import DataConfig
from frostline.errors import ConfigError, FrostlineError
from frostline.model import backbones
from frostline.text import listed

PLACEHOLDER = "DIR"  # the source in configs/folder.yaml, which the user has to set
_REMOTE_OR_BUILT_IN = re.compile(r"digits|tfds://[A-Za-z0-9_]\S*|gs://[^/\s]+(/.*)?")
_DIGITS = 1797  # images in scikit-learn's set
_NAMED_WEIGHTS = ("imagenet", "random", "own")


def for_this_machine(config: RunConfig, root: Path) -> RunConfig:
    """Complete a configuration for a run on this machine.

    Unless the configuration sets them, store and registry become `root`/store and `root`/registry. Local paths are
    resolved against the current directory. A source that is still the placeholder stays as it is.
    """
    places = {
        name: _absolute(getattr(config, name) if name in config.model_fields_set else str(root / name))
        for name in ("store", "registry")
    }
    source = config.source if _known_source(config.source) else _absolute(config.source)
    weights = _absolute(config.weights) if _is_weights_file(config.weights) else config.weights
    backbone = _absolute(config.backbone) if backbones.is_file(config.backbone) else config.backbone
    return config.model_copy(update={**places, "source": source, "weights": weights, "backbone": backbone})


def check_model(config: RunConfig) -> None:
    """Check the configuration alone: the form of the source, the backbone, and sections that contradict each other.

    Raises:
        ConfigError: the source is the placeholder or an unknown kind of address, the backbone is unknown, the image is
            smaller than the backbone accepts, or two sections contradict each other.
    """
    _check_source_form(config.source)
    if len(config.data.classes) == 1:
        raise ConfigError("data.classes", list(config.data.classes), "at least two classes are needed")
    backbones.require_size(config.backbone, config.image_size)
    own = backbones.is_file(config.backbone)
    if own and config.weights in ("imagenet", "random"):
        raise ConfigError(
            "weights", config.weights, "a .keras backbone has its own weights; use own, a file or registry:MODEL"
        )
    if config.weights == "own" and not own:
        raise ConfigError("weights", "own", "this needs a backbone that is a .keras file")
    if config.weights == "imagenet" and config.backbone == backbones.SMALL:
        raise ConfigError("weights", "imagenet", f"{config.backbone} has none; use random, registry:MODEL or a file")
    _check_sections(config)
    if config.source == "digits":
        _check_warm_up(config, _DIGITS)


def _check_warm_up(config: RunConfig, images: int) -> None:
    """Refuse a warm-up that is too long even if all of these images are for training."""
    epochs = [config.epochs, *(phase.epochs for phase in config.freeze.phases)]
    config.training.require_warm_up_fits(images, config.batch_size, epochs)


def _check_sections(config: RunConfig) -> None:
    if config.cache.mode == "require" and config.freeze.none:
        # A later phase cannot use features of the initial weights either: the first phase has changed all of them.
        raise ConfigError(
            "cache", "require", "freeze: none leaves no frozen prefix to cache; use auto, or freeze the first blocks"
        )
    if config.training.patience > 0 and config.data.validation_fraction == 0:
        raise ConfigError(
            "training.patience",
            config.training.patience,
            "early stopping needs validation images; set data.validation_fraction above 0, or patience to 0",
        )


def check_here(config: RunConfig) -> None:
    """Check what a local run uses: the source's folders, the weights, and whether store and registry are writable.

    Raises:
        ConfigError: names the field, what was received and what is expected.
    """
    check_model(config)
    if not _known_source(config.source):
        images = _check_folders(Path(config.source), config.data)
        if config.training.warmup_steps:
            _check_warm_up(config, images)
    if backbones.is_file(config.backbone) and "://" not in config.backbone and not Path(config.backbone).is_file():
        raise ConfigError("backbone", config.backbone, "there is no such file")
    _check_weights(config)
    _check_writable(config)


def _known_source(source: str) -> bool:
    return source == PLACEHOLDER or bool(_REMOTE_OR_BUILT_IN.fullmatch(source))


def _check_source_form(source: str) -> None:
    if source == PLACEHOLDER:
        raise ConfigError("source", source, "name a directory of class folders: --set source=path/to/photos")
    if "://" in source and not _known_source(source):
        raise ConfigError("source", source, "expected digits, tfds://NAME, gs://BUCKET/PREFIX or a local directory")


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


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(Path(path).expanduser())  # noqa: PTH100  (removes `..`)
