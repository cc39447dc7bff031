"""All phases of a training: its history, the variants that it sees, and how it resumes, on images in memory."""

from dataclasses import asdict

import pytest

from frostline.errors import Preempted

from tests.support.in_memory import GRADUAL, STEPS, Made, same


def test_the_history_has_one_row_an_epoch_counted_over_all_phases(tmp_path):
    made = Made(tmp_path, GRADUAL)
    state = made.run()
    assert [(row["epoch"], row["phase"]) for row in state.history] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert made.rows == state.history
    assert (state.phase, state.total) == (2, 4 * STEPS)
    assert len(state.digests) == 3
    assert (state.slots[0], bool(state.slots[1]), state.proofs) == ([], True, [None, None])
    for row in state.history:
        assert set(row) == {
            "epoch", "phase", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "seconds",
            "images_per_second", "input_wait",
        }  # fmt: skip


def test_each_epoch_sees_the_next_variant_and_begins_again_after_the_last(tmp_path):
    made = Made(tmp_path, GRADUAL, views=3)
    made.run()
    assert made.train.seen == [view for view in (0, 1, 2, 0) for _ in range(STEPS)]
    assert set(made.validation.seen) == {0}


def test_a_phase_that_ends_early_does_not_move_the_variants_of_the_next(tmp_path):
    """The cache holds, for each phase, the variants of the epochs that were planned."""
    made = Made(tmp_path, GRADUAL, epochs=3, views=4, learning_rate=1e-9, patience=1, monitor="validation_accuracy")
    state = made.run()
    assert [row["phase"] for row in state.history][:3] == [1, 1, 2]  # the third epoch is not taken
    assert made.train.seen[: 3 * STEPS] == [view for view in (0, 1, 3) for _ in range(STEPS)]


def test_a_training_told_to_stop_saves_after_its_step_and_the_next_ends_where_it_would_have(tmp_path):
    options = {"epochs": 3, "views": 2, "patience": 2, "optimizer": "adamw", "weight_decay": 0.01}
    freeze = {"none": True, "batch_norm": "follow"}
    whole = Made(tmp_path / "whole", freeze, **options)
    expected = whole.run()
    stopped = Made(tmp_path / "stopped", freeze, **options, stop_at=STEPS + 2)
    with pytest.raises(Preempted, match=rf"^stopped at step {STEPS + 2}; the next attempt resumes from .*\.npz$"):
        stopped.run()
    assert stopped.checkpoints.latest().state == asdict(stopped.fit.state)
    again = Made(tmp_path / "stopped", freeze, **options)
    state = again.run()
    assert again.fit.resumed_from == STEPS + 2
    assert again.rows == state.history[1:]  # the first one is of the attempt before
    assert same(again.weights, whole.weights)
    assert [row["loss"] for row in state.history] == [row["loss"] for row in expected.history]
    assert len(again.after) == STEPS * 2 - 2  # and none of the steps before was taken again


def test_a_phase_is_over_once_its_checkpoint_is_written(tmp_path):
    made = Made(tmp_path, GRADUAL, epochs=1)
    made.run()
    again = Made(tmp_path, GRADUAL, epochs=1)
    state = again.run()
    assert again.fit.resumed_from == 3 * STEPS
    assert again.after == []
    assert state == made.fit.state
    assert same(again.weights, made.weights)


@pytest.mark.parametrize(("speed", "told"), [(0.0, "accuracy 0.500\n"), (12.4, "accuracy 0.500, 12 images/s\n")])
def test_an_epoch_of_which_nothing_was_left_after_a_resume_has_no_speed(tmp_path, capsys, speed, told):
    row = {"epoch": 1, "loss": 0.25, "accuracy": 0.5, "images_per_second": speed}
    Made(tmp_path, {"none": True}).fit.describe(row)
    assert capsys.readouterr().err.endswith(told)
