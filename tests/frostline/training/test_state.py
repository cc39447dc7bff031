"""The state of a training goes through JSON, and the saver says when to save."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from frostline.training import state as states
from frostline.training.checkpoint import Checkpoints
from frostline.training.state import Saver, State

from tests.support.in_memory import GRADUAL, Made

WHOLE = {"none": True, "batch_norm": "follow"}


def test_a_state_goes_through_json_unchanged(tmp_path):
    state = Made(tmp_path, GRADUAL, patience=1).run()
    assert State(**json.loads(json.dumps(asdict(state)))) == state


@pytest.fixture
def clock(monkeypatch):
    """The time that the saver sees, in seconds."""
    now = [100.0]
    monkeypatch.setattr(states.time, "monotonic", lambda: now[0])
    return now


def test_a_checkpoint_is_due_when_its_time_has_passed_and_not_again_once_saved(tmp_path, clock):
    made = Made(tmp_path, GRADUAL)
    saver = Saver(Checkpoints(str(tmp_path)), 60.0, lambda: False)
    clock[0] += 59.0
    assert not saver.due()
    clock[0] += 1.0
    assert saver.due()
    saver.save(made.subject, State(), {})
    assert not saver.due()
    assert not saver.stopping


def test_a_request_to_stop_makes_it_due_at_once(tmp_path, clock):
    asked = [False]
    saver = Saver(Checkpoints(str(tmp_path)), 60.0, lambda: asked[0])
    assert not saver.due()
    asked[0] = True
    assert saver.due()
    assert saver.stopping


def test_what_was_saved_is_loaded_into_another_model(tmp_path):
    first, second = (Made(tmp_path, WHOLE, learning_rate=rate) for rate in (0.01, 0.02))
    for weight in first.model.weights:
        weight.assign(weight + 1.0)
    saved = State(total=7, step=2, history=[])
    Saver(first.checkpoints, 60.0, lambda: False).save(first.subject, saved, {"optimizer/0/0": np.ones(3)})
    state, arrays, step = Saver(first.checkpoints, 60.0, lambda: False).resume(second.subject)
    assert (state, step) == (saved, 7)
    assert arrays["optimizer/0/0"].tolist() == [1.0, 1.0, 1.0]
    for one, two in zip(first.model.weights, second.model.weights, strict=True):
        assert one.numpy().tobytes() == two.numpy().tobytes()


def test_a_phase_that_starts_gets_no_arrays_and_no_checkpoint_is_a_fresh_state(tmp_path):
    made = Made(tmp_path, {"none": True})
    saver = Saver(made.checkpoints, 60.0, lambda: False)
    assert saver.resume(made.subject) == (State(), {}, None)
    saver.save(made.subject, State(phase=1, total=3), {})
    state, arrays, step = saver.resume(made.subject)
    assert (state.phase, arrays, step) == (1, {}, 3)


def test_only_weights_that_some_phase_so_far_trains_are_kept(tmp_path):
    made = Made(tmp_path, {**GRADUAL, "batch_norm": "follow"})
    in_first, in_second = (len(made.subject.moving(phase)) for phase in (0, 1))
    assert 0 < in_first < in_second == len(made.model.variables)
