"""All phases of a training: its history, the variants it sees, its best weights, its state, on images in memory."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline.data.examples import Examples
from frostline.errors import NonFiniteLoss, Preempted
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import make_plan
from frostline.model import backbones, head
from frostline.model.config import HeadConfig
from frostline.section import parse
from frostline.training import fit, loop, strategy
from frostline.training.checkpoint import Checkpoints
from frostline.training.config import TrainingConfig
from frostline.training.fit import Fit, PhaseSources, State

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
        settings = loop.StepSettings("SmallConvNet", parse(TrainingConfig, training, field="training"), BATCH, 0)

        def stopped():
            self.after.append([weight.numpy().copy() for weight in self.model.weights])
            return len(self.after) == stop_at

        sources = [PhaseSources(self.train, self.validation, views)] * len(self.schedule)
        self.told = []  # what is handed on after each epoch
        self.fit = Fit(
            self.model, backbone.layers, plan, self.schedule, sources, settings, replicas, self.checkpoints,
            lambda _: None, stopped, self.told.append,
        )  # fmt: skip

    @property
    def weights(self):
        return [weight.numpy() for weight in self.model.weights]


def same(one, two):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))


STEPS = 3  # an epoch


def test_the_history_has_one_row_an_epoch_counted_over_all_phases(tmp_path):
    made = Made(tmp_path, GRADUAL)
    state = made.fit.run()
    assert [(row["epoch"], row["phase"]) for row in state.history] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert made.told == state.history
    assert (state.phase, state.total) == (2, 4 * STEPS)
    assert len(state.digests) == 3
    assert (state.slots[0], bool(state.slots[1]), state.proofs) == ([], True, [None, None])
    for row in state.history:
        assert set(row) == {
            "epoch", "phase", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "seconds",
            "images_per_second", "input_wait",
        }  # fmt: skip


def test_a_row_tells_the_loss_and_accuracy_of_the_weights_at_its_end(tmp_path):
    made = Made(tmp_path, {"none": True})
    row = made.fit.run().history[-1]
    inputs, labels = made.validation.variants[0], made.validation.examples.labels
    probabilities = made.model(backbones.normalise(inputs, "SmallConvNet"), training=False).numpy()
    expected = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert row["validation_loss"] == pytest.approx(expected, rel=1e-4)
    assert row["validation_accuracy"] == np.mean(probabilities.argmax(axis=1) == labels)


def test_the_loss_of_a_row_is_the_mean_over_its_images_whatever_steps_it_was_saved_at(tmp_path, monkeypatch):
    histories = []
    for number, often in enumerate((1, 2, 32)):
        monkeypatch.setattr(fit, "_CHECK_EVERY", often)
        histories.append([row["loss"] for row in Made(tmp_path / str(number), {"none": True}).fit.run().history])
    assert histories[0] == histories[1] == histories[2]
    assert all(0 < loss < 5 for loss in histories[0])


def test_each_epoch_sees_the_next_variant_and_begins_again_after_the_last(tmp_path):
    made = Made(tmp_path, GRADUAL, views=3)
    made.fit.run()
    assert made.train.seen == [view for view in (0, 1, 2, 0) for _ in range(STEPS)]
    assert set(made.validation.seen) == {0}


def test_a_phase_that_ends_early_does_not_move_the_variants_of_the_next(tmp_path):
    """The cache holds, for each phase, the variants of the epochs that were planned."""
    made = Made(tmp_path, GRADUAL, epochs=3, views=4, learning_rate=1e-9, patience=1, monitor="validation_accuracy")
    state = made.fit.run()
    assert [row["phase"] for row in state.history][:3] == [1, 1, 2]  # the third epoch is not taken
    assert made.train.seen[: 3 * STEPS] == [view for view in (0, 1, 3) for _ in range(STEPS)]


def test_early_stopping_gives_the_weights_of_the_best_epoch_back_bit_for_bit(tmp_path):
    made = Made(tmp_path, {"none": True, "batch_norm": "follow"}, epochs=6, turned=True, patience=2)
    state = made.fit.run()
    losses = [row["validation_loss"] for row in state.history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 6
    at_best, at_end = made.after[(best + 1) * STEPS - 1], made.after[-1]
    assert same(made.weights, at_best)
    assert not same(made.weights, at_end)


def test_without_patience_the_last_weights_stay(tmp_path):
    made = Made(tmp_path, {"none": True}, epochs=3, turned=True)
    assert len(made.fit.run().history) == 3
    assert same(made.weights, made.after[-1])


def test_a_state_goes_through_json_unchanged(tmp_path):
    state = Made(tmp_path, GRADUAL, patience=1).fit.run()
    assert State(**json.loads(json.dumps(asdict(state)))) == state


def test_a_training_told_to_stop_saves_after_its_step_and_the_next_ends_where_it_would_have(tmp_path):
    options = {"epochs": 3, "views": 2, "patience": 2, "optimizer": "adamw", "weight_decay": 0.01}
    freeze = {"none": True, "batch_norm": "follow"}
    whole = Made(tmp_path / "whole", freeze, **options)
    expected = whole.fit.run()
    stopped = Made(tmp_path / "stopped", freeze, **options, stop_at=STEPS + 2)
    with pytest.raises(Preempted, match=rf"^stopped at step {STEPS + 2}; the next attempt goes on from .*\.npz$"):
        stopped.fit.run()
    assert stopped.checkpoints.latest().state == asdict(stopped.fit._state)
    again = Made(tmp_path / "stopped", freeze, **options)
    state = again.fit.run()
    assert again.fit.resumed_from == STEPS + 2
    assert again.told == state.history  # the rows of the attempt before are among them
    assert same(again.weights, whole.weights)
    assert [row["loss"] for row in state.history] == [row["loss"] for row in expected.history]
    assert len(again.after) == STEPS * 2 - 2  # and none of the steps before was taken again


def test_a_phase_is_over_once_its_checkpoint_is_written(tmp_path):
    made = Made(tmp_path, GRADUAL, epochs=1)
    made.fit.run()
    again = Made(tmp_path, GRADUAL, epochs=1)
    state = again.fit.run()
    assert again.fit.resumed_from == 3 * STEPS
    assert again.after == []
    assert state == made.fit._state
    assert same(again.weights, made.weights)


def test_a_validation_loss_that_is_no_number_is_told(tmp_path):
    made = Made(tmp_path, {"none": True}, plain=True)
    made.validation.variants[0][0] = np.nan
    with pytest.raises(NonFiniteLoss, match=r"^epoch 1: the validation loss is nan; one of its images\?$"):
        made.fit.run()


def test_a_training_loss_that_is_no_number_names_the_step_though_it_is_looked_at_later(tmp_path):
    made = Made(tmp_path, {"none": True}, plain=True)
    made.train.variants[0][7] = np.nan
    order = np.random.default_rng([0, 0]).permutation(20)
    [step] = [number for number, part in enumerate(np.array_split(order, STEPS), start=1) if 7 in part]
    with pytest.raises(NonFiniteLoss, match=rf"^step {step} \(epoch 1\): the loss is nan; there is no checkpoint yet"):
        made.fit.run()
    note = json.loads(next(tmp_path.glob("non_finite.json")).read_text())
    assert note["step"] == step
    assert f"{7:064x}" in note["ids"]
