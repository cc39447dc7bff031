"""One step: which weights it changes, what it returns, and what it is traced in."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline.errors import ConfigError
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import make_plan
from frostline.model import backbones, head
from frostline.model.config import HeadConfig
from frostline.section import parse
from frostline.training import loop
from frostline.training.config import TrainingConfig

from tests.support.in_memory import BATCH, SIZE, memory

SOURCE = memory(20)


class Small:
    """SmallConvNet with a head and a plan, and trainers of its first phase."""

    def __init__(self, freeze, **training):
        keras.utils.set_random_seed(0)
        backbone = backbones.build("SmallConvNet", SIZE)
        self.model = head.attach(backbone, HeadConfig(), 2)
        config = parse(FreezeConfig, freeze, field="freeze")
        self.plan = make_plan(from_model(backbone), config, backbone="SmallConvNet", image_size=SIZE)
        (self.phase,) = phases(self.plan, 1, 0.01)
        self.settings = loop.StepSettings("SmallConvNet", parse(TrainingConfig, training), BATCH, 0)

    def trainer(self, strategy=None):
        loop.apply_phase(self.model, self.plan["layers"], self.phase)
        used = strategy or tf.distribute.get_strategy()
        return loop.Trainer(self.model, self.phase, SOURCE, self.settings, used, [10, 10])

    def values(self):
        return {weight.path: weight.numpy() for weight in self.model.weights}


def batch(count=BATCH):
    positions = np.arange(count)
    return SOURCE.read(positions, 0), tf.constant(SOURCE.examples.labels[positions])


def changed(before, after):
    return {path.split("/")[0] for path in before if before[path].tobytes() != after[path].tobytes()}


def test_a_step_changes_what_the_plan_trains_and_nothing_else():
    small = Small({"through": "block1"})
    before = small.values()
    small.trainer().step(*batch(), 0)
    assert changed(before, small.values()) == {"block2_conv", "block3_conv", "head_logits"}


def test_batch_norm_that_follows_its_block_trains_with_its_statistics():
    small = Small({"through": "block1", "batch_norm": "follow"})
    before = small.values()
    small.trainer().step(*batch(), 0)
    after = small.values()
    assert "block2_bn" in changed(before, after)
    assert "block1_bn" not in changed(before, after)
    assert before["block3_bn/moving_mean"].tobytes() != after["block3_bn/moving_mean"].tobytes()


def test_it_returns_the_summed_loss_and_the_correct_predictions_of_its_batch():
    small = Small({"head_only": True})
    inputs, labels = batch()
    probabilities = small.model(backbones.normalise(inputs, "SmallConvNet"), training=False).numpy()
    loss, correct = small.trainer().step(inputs, labels, 0)
    assert float(loss) == pytest.approx(-np.log(probabilities[np.arange(BATCH), labels]).sum(), rel=1e-4)
    assert int(correct) == np.count_nonzero(probabilities.argmax(axis=1) == labels.numpy())


def test_validation_is_the_mean_over_all_examples_whatever_the_batches():
    small = Small({"head_only": True})
    inputs, labels = batch(20)
    probabilities = small.model(backbones.normalise(inputs, "SmallConvNet"), training=False).numpy()
    found = small.trainer().validate(SOURCE)
    assert found["validation_loss"] == pytest.approx(-np.log(probabilities[np.arange(20), labels]).mean(), rel=1e-4)
    assert found["validation_accuracy"] == np.mean(probabilities.argmax(axis=1) == labels.numpy())


def test_without_validation_examples_there_are_no_scores():
    assert Small({"head_only": True}).trainer().validate(memory(0)) == {}


def test_more_replicas_than_images_of_a_step_are_refused():
    with pytest.raises(ConfigError, match=r"^batch_size: received 8; each of the 3 steps needs an image per replica$"):
        Small({"head_only": True}).trainer(SimpleNamespace(num_replicas_in_sync=7))


@pytest.mark.bfloat16
def test_low_precision_is_for_trained_layers_while_steps_are_traced_and_logits_stay_in_float32():
    small = Small({"through": "block1"}, precision="bfloat16")
    trainer = small.trainer()
    with trainer.configured():
        policies = {layer.name: layer.dtype_policy.name for layer in small.model.layers}
        assert policies["block2_conv"] == "mixed_bfloat16"
        assert (policies["block1_conv"], policies["head_logits"]) == ("float32", "float32")
        loss, _ = trainer.step(*batch(), 0)
    assert np.isfinite(float(loss))
    assert {layer.dtype_policy.name for layer in small.model.layers} == {"float32"}
    assert {weight.dtype for weight in small.model.weights} <= {"float32", "uint32", "int64"}


def test_synchronized_batch_norm_is_so_only_while_steps_are_traced():
    small = Small({"none": True, "batch_norm": "follow"}, synchronized_batch_norm=True)
    trainer = small.trainer()
    norms = loop.trained_batch_norms(small.model.layers)
    assert [layer.name for layer in norms] == ["block1_bn", "block2_bn", "block3_bn"]
    with trainer.configured():
        assert all(layer.synchronized for layer in norms)
    assert not any(layer.synchronized for layer in norms)
