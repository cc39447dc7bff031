"""Gradual unfreezing and learning rates by depth: what each phase changes, and how much."""

from pathlib import Path

import keras
import numpy as np
import pytest

from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN, WEIGHTS_SOURCE
from frostline.documents.training import HISTORY, KERAS_FILE, MODEL
from frostline.errors import FreezeViolation
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import make_plan
from frostline.model import backbones, weights
from frostline.section import parse
from frostline.training import loop

from tests.support import pictures
from tests.support.stages import Bench

GRADUAL = {
    "head_only": True,
    "phases": [
        {"policy": {"through": "block2"}, "epochs": 1, "learning_rate": 0.002},
        {"policy": {"through": "block1"}, "epochs": 2, "learning_rate": 0.001},
    ],
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("phases")
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))
    bench.plan(GRADUAL)
    bench.train(epochs=1)
    return bench


def certificate_of(bench):
    return CERTIFICATE.read(Path(bench.path("model")))


def test_each_phase_has_its_certificate_and_changes_only_trainable_weights(bench):
    certificate = certificate_of(bench)
    assert certificate["verified"]
    assert [phase["policy"] for phase in certificate["phases"]] == [
        {"head_only": True}, {"through": "block2"}, {"through": "block1"},
    ]  # fmt: skip
    assert [phase["verified"] for phase in certificate["phases"]] == [True] * 3
    moved = [
        {name for name, tensor in certificate["tensors"].items() if tensor["digests"][at] != tensor["digests"][at + 1]}
        for at in range(3)
    ]
    assert moved[0] == set()
    assert moved[1] == {"block3_conv/0:kernel"}
    assert moved[2] == {"block2_conv/0:kernel", "block3_conv/0:kernel"}


def test_what_is_frozen_in_every_phase_is_what_the_certificate_counts(bench):
    certificate = certificate_of(bench)
    always = {name for name, tensor in certificate["tensors"].items() if tensor["frozen"]}
    assert "block1_conv/0:kernel" in always
    assert "block2_conv/0:kernel" not in always
    assert certificate["frozen_tensors"] == len(always) == 5 + 2 * 4
    assert certificate["unmoved_trainable"] == []


def test_the_history_has_the_phase_of_each_epoch(bench):
    rows = HISTORY.read(Path(bench.path("model")))
    assert [(row["epoch"], row["phase"]) for row in rows] == [(1, 1), (2, 2), (3, 3), (4, 3)]


def test_the_plan_shows_every_phase(bench):
    plan = FREEZE_PLAN.read(Path(bench.path("plan")))
    assert plan["boundary"]["layer"] == "head_pool"
    assert [phase["boundary"]["layer"] for phase in plan["phases"]] == ["block2_pool", "block1_pool"]
    frozen = [plan["totals"]["frozen_parameters"], *(phase["totals"]["frozen_parameters"] for phase in plan["phases"])]
    assert frozen == sorted(frozen, reverse=True)


def test_a_phase_that_is_applied_wrongly_is_a_violation(bench, monkeypatch):
    applied = loop.apply_phase

    def forgetful(model, layers, phase):
        applied(model, layers, phase)
        if phase.number == 2:
            model.get_layer("block3_bn").trainable = True

    monkeypatch.setattr(loop, "apply_phase", forgetful)
    with pytest.raises(FreezeViolation, match="in block3_bn; no model is emitted"):
        bench.train(epochs=1, model="forgotten")
    assert not (Path(bench.path("forgotten")) / MODEL.file).exists()


def test_learning_rates_fall_from_block_to_block():
    model = backbones.build("SmallConvNet", 32)
    config = parse(FreezeConfig, {"none": True, "batch_norm": "follow", "layer_lr_decay": 0.5})
    plan = make_plan(from_model(model), config, backbone="SmallConvNet", image_size=32)
    scales = phases(plan, 1, 0.1)[0].scales
    assert scales["block3_conv"] == scales["block3_bn"] == 0.5
    assert scales["block2_conv"] == 0.25
    assert scales["block1_conv"] == 0.125
    assert "head_logits" not in scales


def test_a_decayed_block_changes_less_in_a_real_training(tmp_path):
    """One step of Adam changes a weight by the learning rate, so the largest change shows the rate of each layer."""
    bench = Bench(tmp_path)
    bench.data(pictures.make(tmp_path / "photos", 24))
    bench.plan({"none": True, "batch_norm": "follow", "layer_lr_decay": 0.5})
    bench.train(epochs=1, batch_size=500, learning_rate=0.01)  # all examples in one step
    source = WEIGHTS_SOURCE.read(tmp_path / "weights")
    before = weights.load(source)
    after = keras.models.load_model(tmp_path / "model" / KERAS_FILE)
    moves = {
        name: np.abs(after.get_layer(name).weights[0].numpy() - before.get_layer(name).weights[0].numpy()).max()
        for name in ("block1_conv", "block2_conv", "block3_conv")
    }
    assert moves["block3_conv"] == pytest.approx(0.005, rel=0.01)
    assert moves["block2_conv"] == pytest.approx(0.0025, rel=0.01)
    assert moves["block1_conv"] == pytest.approx(0.00125, rel=0.01)
