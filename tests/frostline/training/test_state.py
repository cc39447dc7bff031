"""The state of a training goes through JSON, and the saver says when to save."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict

import numpy as np
import pytest

from frostline.errors import DataError, StorageError
from frostline.training import state as states
from frostline.training.checkpoint import Checkpoints
from frostline.training.state import Saver, State

from tests.support.in_memory import GRADUAL, Made, same

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


class Held(Checkpoints):
    """Checkpoints whose writing waits until `released`, and fails if there is an `error`."""

    def __init__(self, root):
        super().__init__(root)
        self.begun, self.released, self.error = [], threading.Event(), None

    def save(self, step, arrays, state):
        self.begun.append(step)
        assert self.released.wait(60)
        if self.error:
            raise self.error
        return super().save(step, arrays, state)


@pytest.fixture
def held(tmp_path):
    return Held(str(tmp_path / "held"))


def test_what_is_written_beside_the_training_is_the_state_and_the_weights_as_they_were(tmp_path, held):
    made, state = Made(tmp_path, WHOLE), State(total=3, step=3, history=[{"epoch": 1}], digests=[{"a": ["b"]}])
    before = made.weights
    with Saver(held, 60.0, lambda: False) as saver:
        saver.begin(made.subject, state, {})
        state.history[0]["epoch"], state.step = 9, 9
        state.digests[0]["a"].append("c")
        for weight in made.model.weights:
            weight.assign(weight + 1.0)
        held.released.set()
        uri = saver.written()
    state, _, step = Saver(held, 60.0, lambda: False).resume(made.subject)
    assert (held.latest().uri, step) == (uri, 3)
    assert (state.step, state.history, state.digests) == (3, [{"epoch": 1}], [{"a": ["b"]}])
    assert same(made.weights, before)


def test_the_next_checkpoint_waits_for_the_one_before(tmp_path, held):
    made = Made(tmp_path, WHOLE)
    with Saver(held, 60.0, lambda: False) as saver, ThreadPoolExecutor(1) as pool:
        saver.begin(made.subject, State(total=1), {})
        second = pool.submit(saver.begin, made.subject, State(total=2), {})
        assert not wait([second], 0.3).done
        assert held.begun == [1]
        held.released.set()
        second.result()
    assert held.begun == [1, 2]
    assert held.latest().step == 2  # the context waited for it


def test_a_failure_beside_the_training_is_raised_at_the_next_check_and_once(tmp_path, held):
    made = Made(tmp_path, WHOLE)
    with Saver(held, 60.0, lambda: False) as saver:
        saver.begin(made.subject, State(total=1), {})
        assert not saver.due()
        held.error = StorageError("the store: no space left on device")
        held.released.set()
        wait([saver._writing])
        with pytest.raises(StorageError, match=r"^the store: no space left on device$"):
            saver.due()
        assert not saver.due()


def test_a_failure_at_the_end_is_raised_unless_another_error_ended_the_training(tmp_path, held, capfd):
    made = Made(tmp_path, WHOLE)
    held.error = StorageError("the store: no space left on device")
    held.released.set()
    for ended_by, raised in ((None, StorageError), (DataError("a record is damaged"), DataError)):
        with pytest.raises(raised), Saver(held, 60.0, lambda: False) as saver:
            saver.begin(made.subject, State(total=1), {})
            if ended_by:
                raise ended_by
    assert capfd.readouterr().err.count("no space left on device") == 1


def test_the_last_good_checkpoint_may_be_the_one_that_is_being_written(tmp_path, held):
    made = Made(tmp_path, WHOLE)
    with Saver(held, 60.0, lambda: False) as saver:
        saver.begin(made.subject, State(total=1), {})
        threading.Timer(0.3, held.released.set).start()
        assert saver.last_good(2).startswith("the last good checkpoint is at step 1, ")
