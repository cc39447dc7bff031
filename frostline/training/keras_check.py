"""A check at start-up: trains on a few random images, to see that the installed Keras honours `trainable`.

It drives `loop.Trainer` itself through three phases: frozen, unfrozen, and frozen again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state
from numpy.typing import NDArray

from frostline.data.batches import Images
from frostline.data.examples import Examples
from frostline.documents.freeze import LayerRow
from frostline.errors import FrostlineError
from frostline.freeze import certificate
from frostline.freeze.phases import Phase
from frostline.model import backbones, head
from frostline.training import loop
from frostline.training.config import TrainingConfig

_EXAMPLES, _SIZE = 8, 4  # images, and their height and width in pixels
_LAYERS = ("probe_dense", "probe_bn_below", "probe_bn_above")
_CUT = "probe_dropout"
_UIDS = "object_name_uids"  # where Keras counts the names that it gives


def require_trustworthy_keras() -> str:
    """Refuse a Keras that would train frozen layers, or freeze trained ones; takes 0.3 s.

    Random states and the counters of layer names are the same afterwards.

    Returns:
        The result in one line for the log.

    Raises:
        FrostlineError: names the wrong behaviour and the version of Keras.
    """
    with _same_names_after(), tf.device("CPU:0"):
        model = small_model()
        _require_phase(model, _LAYERS, _CUT, "")
        _require_phase(model, _LAYERS[2:], "", " when it was set to True after a first phase")
        _require_inference(model)
        _require_phase(model, _LAYERS, "", " when it was set to False after a first phase")
        ignored = _nested_argument_is_ignored()
    nested = "ignored, and not relied on" if ignored else "respected"
    return f"Keras {keras.__version__} honours trainable=False; training=False of a nested model is {nested}"


def _require_phase(model: keras.Model, frozen: Collection[str], boundary: str, when: str) -> None:
    """Train one step with these layers frozen: none of their weights may change, and all others must."""
    phase = Phase(1, {}, 1, 0.1, frozenset(frozen), boundary)
    loop.apply_phase(model, [_row(name) for name in _LAYERS], phase)
    listed = set(certificate.names_of(model.trainable_variables, model.layers))
    if any(certificate.layer_of(name) in frozen for name in listed):
        raise _refusal(f"a layer with trainable=False is in model.trainable_variables{when}")
    before = certificate.replica_digests(model.layers)
    train_step(trainer_of(model, phase))
    after = certificate.replica_digests(model.layers)
    for name in before:
        moved, held = before[name] != after[name], certificate.layer_of(name) in frozen
        if moved and held:
            kind = "a BatchNormalization" if "_bn_" in name else "a layer"
            raise _refusal(f"{kind} with trainable=False changes in a training step{when}")
        if not moved and not held:
            raise _refusal(f"a layer with trainable=True does not change in a training step{when}")


def _row(name: str) -> LayerRow:
    """A layer as a plan lists it, reduced to what the loop reads."""
    return {"name": name, "block": "", "class": "", "parameters": 1, "frozen": False, "rule": ""}


def trainer_of(model: keras.Model, phase: Phase) -> loop.Trainer:
    """A trainer of the small model in one phase."""
    source = Images(Examples("", ("",) * _EXAMPLES, _labels(), (), Path()), _SIZE)
    settings = loop.StepSettings(backbones.SMALL, TrainingConfig(), _EXAMPLES, 0)
    return loop.Trainer(model, phase, source, settings, tf.distribute.get_strategy(), np.bincount(_labels()).tolist())


def train_step(trainer: loop.Trainer) -> None:
    """One step on all images."""
    trainer.step(trainer.deal(_images(), tf.constant(_labels())), 0)


def _labels() -> NDArray[np.int64]:
    return np.arange(_EXAMPLES) % 2


def _require_inference(model: keras.Model) -> None:
    """A model split off from the whole, called with training=False, changes no statistics and drops nothing."""
    dropout = model.get_layer(_CUT)
    prefix = keras.Model(model.input, [dropout.input, dropout.output], name="probe_prefix")
    before = certificate.replica_digests(model.layers)
    called = tf.function(lambda pixels: prefix(pixels, training=False), autograph=False)
    kept, dropped = called(tf.cast(_images(), tf.float32))
    if before != certificate.replica_digests(model.layers):
        raise _refusal("model(x, training=False) changes the statistics of BatchNormalization")
    if not bool(tf.reduce_all(kept == dropped)):
        raise _refusal("model(x, training=False) leaves Dropout on")


def _nested_argument_is_ignored() -> bool:
    """Whether training ignores `base(x, training=False)` inside a functional model.

    Keras up to 3.15 does (keras-team/keras#20285). Nothing here nests models, but many scripts do.
    """
    image = keras.Input((_SIZE,), name="probe_nested_input")
    norm = keras.layers.BatchNormalization(name="probe_nested_bn")
    base = keras.Model(image, norm(image), name="probe_nested_base")
    model = keras.Model(image, base(image, training=False), name="probe_nested")
    model(tf.ones((1, _SIZE)), training=True)
    return bool(tf.reduce_any(norm.moving_mean.value != 0.0))


def small_model() -> keras.Model:
    """A dense layer, BatchNorm, dropout, BatchNorm and a head, all with fixed seeds."""
    image = keras.Input((_SIZE, _SIZE, 3), name="probe_image")
    kernel, below, above = _LAYERS
    x = keras.layers.Dense(2, use_bias=False, kernel_initializer=_random(1), name=kernel)(
        keras.layers.Flatten(name="probe_flat")(image)
    )
    x = keras.layers.BatchNormalization(momentum=0.5, name=below)(x)
    x = keras.layers.Dropout(0.5, seed=2, name=_CUT)(x)
    x = keras.layers.BatchNormalization(momentum=0.5, name=above)(x)
    x = keras.layers.Dense(2, kernel_initializer=_random(3), name=head.LOGITS)(x)
    return keras.Model(image, x, name="probe")


def _random(seed: int) -> Any:
    return keras.initializers.RandomUniform(-1.0, 1.0, seed=seed)


def _images() -> Any:
    """[8, 4, 4, 3] uint8."""
    return tf.constant(np.random.default_rng(5).integers(0, 256, (_EXAMPLES, _SIZE, _SIZE, 3)), tf.uint8)


@contextmanager
def _same_names_after() -> Iterator[None]:
    """Restore the counters of automatic layer names."""
    counts = global_state.get_global_attribute(_UIDS)
    before = None if counts is None else counts.copy()
    try:
        yield
    finally:
        global_state.set_global_attribute(_UIDS, before)


def _refusal(behaviour: str) -> FrostlineError:
    return FrostlineError(
        f"Keras {keras.__version__}: {behaviour}, so no freeze plan works; install the Keras that frostline requires"
    )
