"""A small training on images in memory, ready to run: `Made(directory, freeze, ...).run()`."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from frostline.data.examples import Examples
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import make_plan
from frostline.model import backbones, head
from frostline.model.config import HeadConfig
from frostline.section import parse
from frostline.training import loop, strategy
from frostline.training.checkpoint import Checkpoints
from frostline.training.config import TrainingConfig
from frostline.training.feed import PhaseSources
from frostline.training.fit import Fit
from frostline.training.state import Saver, Subject

SIZE = 16
BATCH = 8
GRADUAL = {"head_only": True, "phases": [{"policy": "none", "epochs": 2, "learning_rate": 0.01}]}


@dataclass(frozen=True)
class Memory:
    """Images in memory, one array a variant; remembers which variant each batch was read from."""

    examples: Examples
    variants: tuple
    seen: list
    layer: str = ""

    @property
    def spec(self):
        return tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)

    def read(self, positions, view):
        self.seen.append(view)
        return tf.constant(self.variants[view][positions])


def memory(count, *, views=1, seed=0, turned=False):
    """Images of two brightnesses; `turned` gives each the other's label."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    variants = [
        np.clip(draw.normal(80 + 90 * labels[:, None, None, None], 20, (count, SIZE, SIZE, 3)), 0, 255)
        for _ in range(views)
    ]
    ids = tuple(f"{number:064x}" for number in range(count))
    examples = Examples("memory", ids, (labels + turned) % 2, (), Path())
    return Memory(examples, tuple(one.astype(np.float32) for one in variants), [])


def convolution():
    """A backbone without ReLU, which on a CPU makes zero of what is no number."""
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, keras.layers.Conv2D(4, 3, strides=2, name="block1_conv")(image))


class Made:
    """A training ready to run, and what it is made of."""

    def __init__(
        self,
        root,
        freeze,
        *,
        epochs=2,
        views=1,
        learning_rate=0.01,
        turned=False,
        stop_at=None,
        plain=False,
        **training,
    ):
        keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
        replicas = strategy.mirrored()
        with replicas.scope():
            backbone = convolution() if plain else backbones.build("SmallConvNet", SIZE)
            self.model = head.attach(backbone, HeadConfig() if plain else HeadConfig(hidden=(8,), dropout=0.3), 2)
        config = parse(FreezeConfig, freeze, field="freeze")
        plan = make_plan(from_model(backbone), config, backbone="SmallConvNet", image_size=SIZE)
        self.schedule = phases(plan, epochs, learning_rate)
        self.train, self.validation = memory(20, views=views), memory(6, seed=1, turned=turned)
        self.checkpoints = Checkpoints(str(root))
        self.after = []  # the weights after each step
        self.rows = []  # what the phases of this attempt yielded
        settings = loop.StepSettings("SmallConvNet", parse(TrainingConfig, training, field="training"), BATCH, 0)

        def stopped():
            self.after.append([weight.numpy().copy() for weight in self.model.weights])
            return len(self.after) == stop_at

        sources = [PhaseSources(self.train, self.validation, views)] * len(self.schedule)
        self.subject = Subject(self.model, backbone.layers, plan, self.schedule)
        saver = Saver(self.checkpoints, settings.training.checkpoint_seconds, stopped)
        self.fit = Fit(self.subject, sources, settings, replicas, saver)

    def run(self):
        """All phases, as a session runs them; the state at the end."""
        for run in self.fit.phases():
            self.rows = [*self.rows, *run.epochs()]
            run.finish(None)
        return self.fit.state

    @property
    def weights(self):
        return [weight.numpy() for weight in self.model.weights]


def same(one, two):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))


STEPS = 3  # an epoch
