"""Whether the parameters of a run fit together: checked before a run starts, and first thing in its first step."""

from __future__ import annotations

import json
import re

from frostline.config import RunConfig
from frostline.errors import ConfigError
from frostline.model import backbones

PLACEHOLDER = "DIR"  # the source in configs/folder.yaml, which the user has to set
_REMOTE_OR_BUILT_IN = re.compile(r"digits|tfds://[A-Za-z0-9_]\S*|gs://[^/\s]+(/.*)?")
_DIGITS = 1797  # images in scikit-learn's set
_LONGEST = 100_000  # characters of all parameters: KFP passes them to a step in one argument, of at most 131,071 bytes


def require_consistent(config: RunConfig) -> None:
    """Check the configuration alone: the form of the source, the backbone, and sections that contradict each other.

    Raises:
        ConfigError: the source is the placeholder or an unknown kind of address, the backbone is unknown, the image is
            smaller than the backbone accepts, two sections contradict each other, or all is too long for a step.
    """
    _check_length(config)
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
        require_warm_up_fits(config, _DIGITS)


def require_warm_up_fits(config: RunConfig, images: int) -> None:
    """Refuse a warm-up that is too long even if all of these images are for training."""
    epochs = [config.epochs, *(phase.epochs for phase in config.freeze.phases)]
    config.training.require_warm_up_fits(images, config.batch_size, epochs)


def _check_length(config: RunConfig) -> None:
    lengths = {name: len(json.dumps(value)) for name, value in config.arguments().items()}
    if sum(lengths.values()) > _LONGEST:
        longest = max(lengths, key=lengths.__getitem__)
        raise ConfigError(
            longest,
            f"{lengths[longest]:,} characters of JSON",
            f"all parameters together may have {_LONGEST:,}, because Kubeflow passes them in one argument",
        )


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


def _check_source_form(source: str) -> None:
    if source == PLACEHOLDER:
        raise ConfigError("source", source, "name a directory of class folders: --set source=path/to/photos")
    if "://" in source and not is_known_source(source):
        raise ConfigError("source", source, "expected digits, tfds://NAME, gs://BUCKET/PREFIX or a local directory")


def is_known_source(source: str) -> bool:
    """Whether a source is no path of a file system, or still the placeholder."""
    return source == PLACEHOLDER or bool(_REMOTE_OR_BUILT_IN.fullmatch(source))
