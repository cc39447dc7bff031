"""The configuration of a run: frozen models, unknown keys refused, every field described.

A YAML file and the pipeline's parameters are the same thing in two spellings. Both are checked here before anything
is compiled or run, and once more inside the step that uses them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from frostline.errors import ConfigError


def _integral(value: Any) -> Any:
    """KFP hands every number of a dict over as a float: 20.0 is the integer 20, 2.5 stays wrong."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3, without a point, as text."""
    return float(value) if isinstance(value, str) and re.fullmatch(r"\d+(\.\d*)?[eE][+-]?\d+", value) else value


Integer = Annotated[int, BeforeValidator(_integral)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
SUPPORTED_POLICIES = ("head_only", "none", "through")
_LATER_POLICIES = ("first_layers", "blocks", "match", "fraction", "phases", "layer_lr_decay")


class Section(BaseModel):
    """Base of every configuration section: immutable, strict about types and unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Which images of the source are used, and how they are split."""

    classes: tuple[str, ...] = Field((), description="labels to keep, in this order; empty: all, sorted by name")
    train_examples_per_class: Integer = Field(
        0, ge=0, description="images a class in the training split, the first by content hash; 0: all"
    )
    validation_fraction: Fraction = Field(0.1, ge=0.0, description="share of all images used to watch training")
    test_fraction: Fraction = Field(0.2, gt=0.0, description="share of all images used by evaluation only")

    @model_validator(mode="before")
    @classmethod
    def _classes_as_tuple(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and isinstance(value.get("classes"), list):
            return {**value, "classes": tuple(value["classes"])}
        return value

    @model_validator(mode="after")
    def _something_to_train_on(self) -> DataConfig:
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise ValueError("validation_fraction + test_fraction must be below 1")
        return self


class FreezeConfig(Section):
    """The freeze policy: exactly one of head_only, none, through; and what BatchNorm does."""

    head_only: bool = Field(False, description="freeze the whole backbone, train the head")
    none: bool = Field(False, description="freeze nothing")
    through: str = Field("", description="freeze everything up to and including this block")
    batch_norm: Literal["freeze", "follow"] = Field(
        "freeze", description="freeze: no backbone BatchNorm ever changes; follow: each follows its block"
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {value: True} if value in ("head_only", "none") else {value: value}
        if isinstance(value, Mapping):
            for key in value:
                if key in _LATER_POLICIES:
                    raise ValueError(f"{key!r} is not supported by this version, which has {SUPPORTED_POLICIES}")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> FreezeConfig:
        chosen = [name for name in SUPPORTED_POLICIES if getattr(self, name)]
        if len(chosen) != 1:
            raise ValueError(f"choose exactly one policy of {SUPPORTED_POLICIES}; received {chosen or 'none of them'}")
        return self

    def section(self) -> dict[str, Any]:
        """The policy as configured, without the policies that were not chosen."""
        return {key: value for key, value in self.model_dump().items() if value}


class HeadConfig(Section):
    """The layers on top of the backbone: pooling, hidden dense layers (ReLU), dropout, logits."""

    hidden: tuple[Integer, ...] = Field((), description="units of each hidden dense layer")
    dropout: Fraction = Field(0.0, description="share of features dropped before the logits while training")

    @model_validator(mode="before")
    @classmethod
    def _hidden_as_tuple(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and isinstance(value.get("hidden"), list):
            return {**value, "hidden": tuple(value["hidden"])}
        return value

    @model_validator(mode="after")
    def _positive_units(self) -> HeadConfig:
        if any(units < 1 for units in self.hidden):
            raise ValueError(f"hidden: every layer needs at least 1 unit; received {list(self.hidden)}")
        return self


class GateConfig(Section):
    """What a model must show before it may replace the one that serves."""

    min_accuracy: float = Field(0.5, ge=0.0, le=1.0, description="floor of the test accuracy (0..1)")
    margin: float = Field(
        0.02, ge=0.0, le=1.0, description="how much worse than the champion still counts as not worse (accuracy)"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="confidence of every interval the gate looks at")


class RunConfig(Section):
    """Everything a run of the pipeline takes. Field names are the pipeline's parameter names."""

    model_name: str = Field(
        "finetuned", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="name of the model in the registry"
    )
    source: str = Field(
        "digits", min_length=1, description="images: a directory of class folders, tfds://NAME, or digits (embedded)"
    )
    backbone: str = Field("InceptionV3", description="a keras.applications model by name, or SmallConvNet")
    weights: str = Field(
        "imagenet",
        min_length=1,
        description="imagenet, random, a local or gs:// weights file, or registry:MODEL@champion (registry:MODEL/N)",
    )
    image_size: Integer = Field(299, ge=16, le=2048, description="height and width of the model's input, in pixels")
    epochs: Integer = Field(10, ge=1, description="passes over the training split")
    batch_size: Integer = Field(32, ge=1, description="images a step, over all replicas")
    learning_rate: Annotated[float, BeforeValidator(_number)] = Field(0.001, gt=0.0, description="Adam's step size")
    seed: Integer = Field(0, ge=0, le=2**31 - 1, description="seed of weights, shuffling and dropout")
    shards: Integer = Field(2, ge=1, le=1000, description="parallel preprocessing pods, one TFRecord shard each")
    store: str = Field("/frostline/store", min_length=1, description="root of the heavy bytes: a directory or gs://")
    registry: str = Field("/frostline/registry", min_length=1, description="root of the model registry, same forms")
    image: str = Field("frostline:0.1.0", min_length=1, description="container image of every step; pin it by digest")
    data: DataConfig = Field(DataConfig(), description="which images are used, and their split")
    freeze: FreezeConfig = Field(FreezeConfig(head_only=True), description="the freeze policy")
    head: HeadConfig = Field(HeadConfig(), description="the layers on top of the backbone")
    gate: GateConfig = Field(GateConfig(), description="what a promotion demands")

    def arguments(self) -> dict[str, Any]:
        """The pipeline's arguments: scalars as they are, sections as JSON objects without nulls."""
        values = self.model_dump(mode="json")
        values["freeze"] = self.freeze.section()
        return values


S = TypeVar("S", bound=Section)


def parse(model: type[S], value: Any, *, field: str = "") -> S:
    """Check `value` against a section.

    Args:
        model: the section's class.
        value: what was received, usually a dict.
        field: dotted name of the section, as a prefix for messages.

    Raises:
        ConfigError: names the first field that is wrong, what was received and what would be right.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in (*([field] if field else []), *first["loc"])) or "configuration"
        raise ConfigError(where, first["input"], _expected(model, first)) from None


def _expected(model: type[Section], error: Any) -> str:
    if error["type"] == "extra_forbidden":
        owner: Any = model
        for part in error["loc"][:-1]:
            owner = owner.model_fields[part].annotation
        return f"unknown key; known keys are {', '.join(owner.model_fields)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's YAML file and apply `section.key=value` overrides; values are read as YAML.

    Raises:
        ConfigError: the file is missing or not a mapping, an override is malformed, or a value is wrong.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(str(path), str(path), f"a readable YAML file is needed ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), " ".join(str(error).split()), "expected valid YAML") from None
    if not isinstance(document, dict):
        raise ConfigError(str(path), document, "expected a mapping of parameter names to values")
    for override in overrides:
        _apply(document, override)
    return parse(RunConfig, document)


def _apply(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise ConfigError("--set", override, "expected section.key=value")
    try:
        value = yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        raise ConfigError("--set", override, "the value is not valid YAML") from None
    target = document
    *parents, last = key.split(".")
    for parent in parents:
        child = target.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}", child, f"{parent} is not a section here; set it whole")
        target = child
    target[last] = value
