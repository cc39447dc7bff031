"""The configuration of a run: immutable models that describe every field and refuse unknown keys.

A run's YAML file and the pipeline's parameters have the same fields. They are checked here before anything is compiled
or run, and again in each step that uses them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, JsonValue

from frostline import yaml_text
from frostline.data.config import AugmentConfig, DataConfig
from frostline.errors import ConfigError
from frostline.features.config import CacheConfig
from frostline.freeze.config import FreezeConfig
from frostline.gating.config import GateConfig
from frostline.model.config import HeadConfig
from frostline.registry.config import SigningConfig
from frostline.section import TEXT, Integer, ModelName, Number, Section, Text, parse
from frostline.training.config import TrainingConfig

_CPU = re.compile(r"([0-9]+)(\.[0-9]{1,3}|m)?")
_MEMORY = re.compile(r"[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)")
_LABEL_NAME = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PREFIXED = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL_NAME}")
_TOLERATION = {  # what Kubernetes knows of a toleration, and which values; None for any
    "key": None,
    "operator": ("Equal", "Exists"),
    "value": None,
    "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    "tolerationSeconds": None,
}


def _cpu(text: str) -> str:
    if not _CPU.fullmatch(text) or not float(text.rstrip("m")):
        raise ValueError("expected a number of CPU cores, such as '2', '0.5' or '500m'")
    return text


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text) or not float(text.rstrip("kKMGTi")):
        raise ValueError("expected an amount of memory with its unit, such as '4Gi' or '512Mi'")
    return text


def _resource(text: str) -> str:
    if not (_PREFIXED.fullmatch(text) and "/" in text):
        raise ValueError("expected the name that Kubernetes has for a resource of its nodes, such as nvidia.com/gpu")
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for key, value in labels.items():
        if not _PREFIXED.fullmatch(key) or not re.fullmatch(f"({_LABEL_NAME})?", value):
            raise ValueError(f"expected labels as nodes have them; {key!r}: {value!r} cannot be one")
    return labels


def _toleration(one: dict[str, Any]) -> dict[str, Any]:
    """Kubernetes drops a key that it does not know, silently, and then the pod waits; a wrong value ends the run."""
    for key, value in one.items():
        known = _TOLERATION.get(key)
        if key not in _TOLERATION:
            raise ValueError(f"expected the keys {', '.join(_TOLERATION)}, not {key!r}")
        if key != "tolerationSeconds" and not isinstance(value, str):
            raise ValueError(f"expected text for {key}; in YAML, quote it")
        if known and value not in known:
            raise ValueError(f"expected for {key} one of {', '.join(known)}")
    if one.get("operator") == "Exists" and "value" in one:
        raise ValueError("expected no value where the operator is Exists")
    if "key" not in one and one.get("operator") != "Exists":
        raise ValueError("expected a key; to tolerate every taint, the operator Exists and no key")
    return one


# KFP passes resources as strings only: of an integer nothing is left.
Cpu = Annotated[str, AfterValidator(_cpu)]
Memory = Annotated[str, AfterValidator(_memory)]
Toleration = Annotated[dict[Text, JsonValue], AfterValidator(_toleration)]


class RunConfig(Section):
    """All parameters of a run. The field names are the pipeline's parameter names."""

    model_name: ModelName = Field("finetuned", description="name of the model in the registry")
    source: Text = Field(
        "digits",
        min_length=1,
        description="images: a directory with one folder per class, tfds://NAME, or digits (built in)",
    )
    backbone: Text = Field(
        "InceptionV3", min_length=1, description="name of a keras.applications model, SmallConvNet, or a .keras file"
    )
    weights: Text = Field(
        "imagenet",
        min_length=1,
        description="initial weights: imagenet, random, own (of a .keras backbone), a file, or registry:MODEL@champion",
    )
    image_size: Integer = Field(299, ge=16, le=2048, description="height and width of the model's input, in pixels")
    epochs: Integer = Field(10, ge=1, description="passes over the training split in the first phase")
    batch_size: Integer = Field(32, ge=1, description="images per step, over all replicas")
    learning_rate: Number = Field(0.001, gt=0.0, description="learning rate of the optimizer in the first phase")
    seed: Integer = Field(
        0, ge=0, le=2**31 - 1, description="seed for new weights, shuffling, augmentation and dropout"
    )
    shards: Integer = Field(4, ge=1, le=1000, description="number of TFRecord shards")
    workers: Integer = Field(
        4,
        ge=1,
        le=8,
        description="number of pods that prepare shards; no more than there are shards are started, and at most 8: "
        "with more, the states that Kubeflow shows of a run no longer change",
    )
    store: Text = Field(
        "/frostline/store",
        min_length=1,
        description="root of the store for records, features and checkpoints: a directory or gs://",
    )
    registry: Text = Field(
        "/frostline/registry", min_length=1, description="root of the model registry: a directory or gs://"
    )
    image: Text = Field("", description="container image of every step, by digest; a run on this machine needs none")
    cpu: Cpu = Field("1", description="CPU cores of each step except train, as a Kubernetes quantity")
    memory: Memory = Field("3Gi", description="memory of each step except train, as a Kubernetes quantity")
    train_cpu: Cpu = Field("2", description="CPU cores of train, as a Kubernetes quantity")
    train_memory: Memory = Field("4Gi", description="memory of train, as a Kubernetes quantity")
    accelerator_type: Annotated[Text, AfterValidator(_resource)] = Field(
        "nvidia.com/gpu", description="resource name of the accelerators of train"
    )
    accelerator_count: Annotated[str, Field(pattern="^[0-9]{1,3}$")] = Field(
        "0", description="accelerators of train, on one node; 0 trains on CPU cores"
    )
    node_selector: Annotated[dict[Text, Text], AfterValidator(_labels)] = Field(
        {}, description="labels of the nodes on which train may run"
    )
    tolerations: list[Toleration] = Field([], description="taints of nodes that train tolerates")
    data: DataConfig = Field(DataConfig(), description="which images are used, and how they are split")
    freeze: FreezeConfig = Field(
        FreezeConfig(head_only=True), description="which layers are frozen, and in which phases"
    )
    head: HeadConfig = Field(HeadConfig(), description="layers on top of the backbone")
    training: TrainingConfig = Field(
        TrainingConfig(), description="optimizer, schedule, loss, early stopping, checkpoints"
    )
    augment: AugmentConfig = Field(AugmentConfig(), description="random changes to training images")
    cache: CacheConfig = Field(CacheConfig(), description="how features of the frozen layers are cached")
    gate: GateConfig = Field(GateConfig(), description="what a model must achieve to be promoted")
    signing: SigningConfig = Field(SigningConfig(), description="keys that sign versions and check them")

    def arguments(self) -> dict[str, Any]:
        """The pipeline's arguments: scalars as they are, sections as JSON objects without nulls."""
        values = self.model_dump(mode="json")
        values["freeze"] = self.freeze.section()
        return values


def checked(**parameters: Any) -> RunConfig:
    """Check some parameters of a run, as a stage receives them; all others have their defaults.

    Raises:
        ConfigError: names the first wrong parameter, what was received and what is expected.
    """
    return parse(RunConfig, parameters)


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's YAML file and apply overrides of the form `section.key=value`; values are parsed as YAML.

    Raises:
        ConfigError: the file is missing or not a mapping, an override is malformed, or a value is wrong.
    """
    document, node = yaml_text.read(path)
    if not isinstance(document, dict):
        raise ConfigError(str(path), document, "expected a mapping of parameter names to values")
    for override in overrides:
        _apply(document, override)
    try:
        return parse(RunConfig, document)
    except ConfigError as error:
        raise _unquoted(node, error) or error from None


def _unquoted(node: yaml.Node | None, error: ConfigError) -> ConfigError | None:
    """The error with its line, if a text without quotes is the cause: YAML takes yes, null, 012 and 12:30 for others.

    A value of `--set` has no line.
    """
    if not error.expected.startswith(TEXT):
        return None
    for part in error.field.split("."):
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
        else:
            return None
    if not isinstance(node, yaml.ScalarNode) or yaml_text.value_of(node) != error.received:
        return None
    line = node.start_mark.line + 1
    meaning = f"YAML reads it as {error.received!r}" if error.received is not None else "YAML reads it as nothing"
    return ConfigError(error.field, node.value, f'line {line}: quote it: "{node.value}"; {meaning}')


def _apply(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise ConfigError("--set", override, "expected section.key=value")
    *parents, last = key.split(".")
    if len(parents) >= yaml_text.DEEPEST:
        raise ConfigError("--set", override, f"expected a key of at most {yaml_text.DEEPEST} parts")
    parsed = yaml_text.parse(text, "--set", whole=override, invalid="the value is not valid YAML")
    value = parsed.value if text else ""
    target = document
    for parent in parents:
        child = target.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}", child, f"{parent} is not a mapping in this file; set all of it")
        target = child
    target[last] = value
