"""Training that is wrong on purpose: each ends in a FreezeViolation that names the layer, and in no model.

The trainer's own methods are wrapped, in a real training; no digest is faked. The same training without the mutation
passes: whatever turns the certificate red is the mutation.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from frostline.errors import FreezeViolation
from frostline.training import loop, optimizer
from frostline.training.config import TrainingConfig
from frostline.training.phase_run import PhaseRun

from tests.support import pictures, processes
from tests.support.stages import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("mutations")
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))
    bench.plan({"through": "block1"})
    return bench


def emitted(bench, model):
    return [path.name for path in Path(bench.path(model)).iterdir() if path.name != "training.jsonl"]


def moved_by_one_ulp(weight):
    value = weight.numpy().copy()
    value.flat[-1] = np.nextafter(value.flat[-1], np.float32(np.inf))
    weight.assign(value)


def test_without_a_mutation_the_model_is_emitted(bench):
    bench.train(epochs=1, model="sound")
    assert "model.json" in emitted(bench, "sound")


@pytest.mark.parametrize(
    ("layer", "index"),
    [("block1_conv", 0), ("block1_bn", 2), ("block3_bn", 2)],
    ids=["kernel", "moving mean below the boundary", "moving mean above it"],
)
def test_a_loop_that_moves_one_frozen_value_by_one_ulp(bench, monkeypatch, layer, index):
    original = PhaseRun.epoch

    def epoch(run):
        row = original(run)
        moved_by_one_ulp(run.subject.model.get_layer(layer).weights[index])
        return row

    monkeypatch.setattr(PhaseRun, "epoch", epoch)
    name = f"moved-{layer}"
    with pytest.raises(FreezeViolation, match=f"weights changed during training, in {layer}; no model is emitted"):
        bench.train(epochs=1, model=name)
    assert emitted(bench, name) == []


def test_a_value_that_moves_in_the_second_phase_alone(bench, monkeypatch):
    """block2 may move in the first phase and is frozen in the second."""
    original = PhaseRun.epoch

    def epoch(run):
        row = original(run)
        if run.phase.number == 2:
            moved_by_one_ulp(run.subject.model.get_layer("block2_conv").weights[0])
        return row

    monkeypatch.setattr(PhaseRun, "epoch", epoch)
    second = {"policy": {"through": "block2"}, "epochs": 1, "learning_rate": 0.001}
    bench.plan({"through": "block1", "phases": [second]})
    try:
        with pytest.raises(FreezeViolation, match="in block2_conv; no model is emitted"):
            bench.train(epochs=1, model="second-phase")
    finally:
        bench.plan({"through": "block1"})
    assert emitted(bench, "second-phase") == []


def test_a_value_that_moves_on_one_replica_alone(bench):
    ended = subprocess.run(
        processes.command("mutant", bench.root),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert json.loads(ended.stdout) == {
        "error": "FreezeViolation",
        "message": "frozen weights changed during training, in block1_conv; no model is emitted",
    }
    assert emitted(bench, "one-replica") == []


def test_an_optimizer_that_has_slots_for_a_frozen_weight(bench, monkeypatch):
    """Nothing moves, because no gradient reaches the weight; but it could have."""
    original = loop.Trainer.__init__

    def init(trainer, model, phase, *arguments):
        original(trainer, model, phase, *arguments)
        if not model.name.startswith("small_conv_net"):
            return  # the start-up probe's trainer is left sound: this is a mutation of the training
        model.get_layer("block1_conv").trainable = True
        trainer.optimizer = optimizer.make(TrainingConfig(), phase.learning_rate, 1, model, phase.scales)
        model.get_layer("block1_conv").trainable = False

    monkeypatch.setattr(loop.Trainer, "__init__", init)
    with pytest.raises(FreezeViolation, match="the optimizer has slots for frozen weights, in block1_conv"):
        bench.train(epochs=1, model="slots")
    assert emitted(bench, "slots") == []


def test_a_violation_leaves_no_checkpoint_to_go_on_from(bench, monkeypatch):
    original = PhaseRun.epoch

    def epoch(run):
        row = original(run)
        moved_by_one_ulp(run.subject.model.get_layer("block1_conv").weights[0])
        return row

    with monkeypatch.context() as patch:
        patch.setattr(PhaseRun, "epoch", epoch)
        with pytest.raises(FreezeViolation):
            bench.train(epochs=1, model="once")
    bench.train(epochs=1, model="again")
    assert "model.json" in emitted(bench, "again")
