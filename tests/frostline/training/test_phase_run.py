"""One phase: its rows, its losses, its best weights, and what it says of a loss that is not a number."""

import json
import time

import numpy as np
import pytest
import tensorflow as tf

from frostline.errors import NonFiniteLoss, Preempted
from frostline.model import backbones
from frostline.training import phase_run
from frostline.training.checkpoint import Checkpoints

from tests.support.in_memory import STEPS, Made, same


def test_a_row_tells_the_loss_and_accuracy_of_the_weights_at_its_end(tmp_path):
    made = Made(tmp_path, {"none": True})
    row = made.run().history[-1]
    inputs, labels = made.validation.variants[0], made.validation.examples.labels
    probabilities = made.model(backbones.normalise(inputs, "SmallConvNet"), training=False).numpy()
    expected = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert row["validation_loss"] == pytest.approx(expected, rel=1e-4)
    assert row["validation_accuracy"] == np.mean(probabilities.argmax(axis=1) == labels)


def test_the_loss_of_a_row_is_the_mean_over_its_images_whatever_steps_it_was_saved_at(tmp_path, monkeypatch):
    histories = []
    for number, often in enumerate((1, 2, 32)):
        monkeypatch.setattr(phase_run, "CHECK_EVERY", often)
        histories.append([row["loss"] for row in Made(tmp_path / str(number), {"none": True}).run().history])
    assert histories[0] == histories[1] == histories[2]
    assert all(0 < loss < 5 for loss in histories[0])


def test_early_stopping_gives_the_weights_of_the_best_epoch_back_bit_for_bit(tmp_path):
    made = Made(tmp_path, {"none": True, "batch_norm": "follow"}, epochs=6, turned=True, patience=2)
    state = made.run()
    losses = [row["validation_loss"] for row in state.history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 6
    at_best, at_end = made.after[(best + 1) * STEPS - 1], made.after[-1]
    assert same(made.weights, at_best)
    assert not same(made.weights, at_end)


def test_without_patience_the_last_weights_stay(tmp_path):
    made = Made(tmp_path, {"none": True}, epochs=3, turned=True)
    assert len(made.run().history) == 3
    assert same(made.weights, made.after[-1])


def test_a_validation_loss_that_is_no_number_is_told(tmp_path):
    made = Made(tmp_path, {"none": True}, plain=True)
    made.validation.variants[0][0] = np.nan
    with pytest.raises(NonFiniteLoss, match=r"^epoch 1: the validation loss is nan; check the validation images$"):
        made.run()


def test_a_training_loss_that_is_no_number_names_the_step_though_it_is_looked_at_later(tmp_path):
    made = Made(tmp_path, {"none": True}, plain=True)
    made.train.variants[0][7] = np.nan
    order = np.random.default_rng([0, 0]).permutation(20)
    [step] = [number for number, part in enumerate(np.array_split(order, STEPS), start=1) if 7 in part]
    with pytest.raises(
        NonFiniteLoss, match=rf"^step {step} \(epoch 1\): the loss is nan; there is no good checkpoint yet"
    ):
        made.run()
    note = json.loads(next(tmp_path.glob("non_finite.json")).read_text())
    assert note["step"] == step
    assert f"{7:064x}" in note["ids"]


def test_weights_that_are_no_numbers_after_a_step_with_a_finite_loss_are_not_saved(tmp_path):
    """The loss of a step is computed before its update, so it says nothing about what the update made."""
    made = Made(tmp_path, {"none": True}, plain=True, stop_at=4)
    step = made.after
    stopped = made.fit._saver._stop_requested

    def broken():
        found = stopped()
        if len(step) == 4:
            weight = made.model.trainable_variables[0]
            weight.assign(weight * np.inf)
        made.fit._saver._saved_at = 0.0  # a checkpoint after every step
        return found

    made.fit._saver._stop_requested = broken
    with pytest.raises(NonFiniteLoss) as caught:
        made.run()
    good = made.checkpoints.latest()
    assert good.step == 3
    assert str(caught.value).startswith("step 4: ")
    assert f"nothing was saved; the last good checkpoint is at step 3, {good.uri}; try" in str(caught.value)
    assert all(np.isfinite(array).all() for array in good.arrays.values() if array.dtype.kind == "f")


def test_steps_go_on_while_a_checkpoint_is_written_and_a_stop_waits_for_its_own(tmp_path, monkeypatch):
    made, steps, original = Made(tmp_path, {"none": True}, plain=True, stop_at=5), [], Checkpoints.save

    def save(self, step, arrays, state):
        deadline = time.monotonic() + 30
        while step == 1 and len(made.after) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        steps.append((step, len(made.after)))
        return original(self, step, arrays, state)

    monkeypatch.setattr(Checkpoints, "save", save)
    made.fit._saver._saved_at = -1e9  # due after the first step, and not again
    with pytest.raises(Preempted, match=r"^stopped at step 5; the next attempt resumes from ") as caught:
        made.run()
    assert steps[0][0] == 1
    assert steps[0][1] >= 3
    assert str(caught.value).endswith(made.checkpoints.latest().uri)
    assert made.checkpoints.latest().step == 5


def test_a_loss_that_fails_one_step_after_a_checkpoint_names_the_checkpoint_before_it(tmp_path):
    """Weights can be finite and of no use, which only the next loss shows."""
    made = Made(tmp_path, {"none": True}, plain=True)
    stopped = made.fit._saver._stop_requested

    def broken():
        found = stopped()
        if len(made.after) == 4:
            for weight in made.model.trainable_variables:
                weight.assign(np.full(weight.shape, 1e30, np.float32))
        made.fit._saver._saved_at = 0.0
        return found

    made.fit._saver._stop_requested = broken
    with pytest.raises(NonFiniteLoss) as caught:
        made.run()
    assert made.checkpoints.latest().step == 4  # finite
    good = made.checkpoints.latest(before=4)
    assert good.step == 3
    assert f"step 5 (epoch 2): the loss is nan; the last good checkpoint is at step 3, {good.uri}; " in str(
        caught.value
    )


@pytest.mark.parametrize("on", [True, False])
def test_steps_use_tensor_float_32_only_where_it_is_configured(tmp_path, on):
    made, seen = Made(tmp_path, {"none": True}, plain=True, tensor_float_32=on), []
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    stopped = made.fit._saver._stop_requested
    made.fit._saver._stop_requested = lambda: bool(seen.append(enabled())) or stopped()
    made.run()
    assert set(seen) == {on}
