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


def step(trainer, inputs, labels, number=0):
    return trainer.step(trainer.deal(inputs, labels), number)


def changed(before, after):
    return {path.split("/")[0] for path in before if before[path].tobytes() != after[path].tobytes()}


def test_a_step_changes_what_the_plan_trains_and_nothing_else():
    small = Small({"through": "block1"})
    before = small.values()
    step(small.trainer(), *batch())
    assert changed(before, small.values()) == {"block2_conv", "block3_conv", "head_logits"}


def test_batch_norm_that_follows_its_block_trains_with_its_statistics():
    small = Small({"through": "block1", "batch_norm": "follow"})
    before = small.values()
    step(small.trainer(), *batch())
    after = small.values()
    assert "block2_bn" in changed(before, after)
    assert "block1_bn" not in changed(before, after)
    assert before["block3_bn/moving_mean"].tobytes() != after["block3_bn/moving_mean"].tobytes()


def test_it_returns_the_summed_loss_and_the_correct_predictions_of_its_batch():
    small = Small({"head_only": True})
    inputs, labels = batch()
    probabilities = small.model(backbones.normalise(inputs, "SmallConvNet"), training=False).numpy()
    loss, correct = step(small.trainer(), inputs, labels)
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
        loss, _ = step(trainer, *batch())
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


def regularized(strength):
    """A small model whose first kernel has an L2 regularizer and whose second bias has an L1 regularizer."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, name="block1_conv", kernel_regularizer=keras.regularizers.L2(strength))(image)
    bias = keras.regularizers.L1(strength)
    backbone = keras.Model(image, keras.layers.Conv2D(4, 3, name="block2_conv", bias_regularizer=bias)(x))
    backbone.get_layer("block2_conv").bias.assign([0.5, -0.5, 0.25, -0.25])
    return backbone


def stepped(backbone, freeze=None):
    """The weights after one step of plain SGD at a rate of 0.01."""
    plan = make_plan(
        from_model(backbone), parse(FreezeConfig, freeze or {"none": True}), backbone="SmallConvNet", image_size=SIZE
    )
    keras.utils.set_random_seed(0)
    model = head.attach(backbone, HeadConfig(), 2)
    (phase,) = phases(plan, 1, 0.01)
    loop.apply_phase(model, plan["layers"], phase)
    training = parse(TrainingConfig, {"optimizer": "sgd", "momentum": 0.0})
    settings = loop.StepSettings("SmallConvNet", training, BATCH, 0)
    trainer = loop.Trainer(model, phase, SOURCE, settings, tf.distribute.get_strategy(), [10, 10])
    loss, _ = step(trainer, *batch())
    return {weight.path: weight.numpy() for weight in model.weights}, float(loss)


def test_regularizers_of_weights_are_in_the_loss_that_is_minimized():
    """A step differs by the rate times the penalty's gradient, which is known, and the reported loss does not."""
    start = {weight.path: weight.numpy() for weight in regularized(0.0).weights}
    (plain, reported), (found, also) = stepped(regularized(0.0)), stepped(regularized(0.3))
    assert reported == pytest.approx(also)
    difference = {path: found[path] - plain[path] for path in plain}
    kernel, bias = "block1_conv/kernel", "block2_conv/bias"
    np.testing.assert_allclose(difference[kernel], -0.01 * 2 * 0.3 * start[kernel], rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(difference[bias], -0.01 * 0.3 * np.sign(start[bias]), rtol=1e-3, atol=1e-7)
    others = [difference[path] for path in difference if path not in (kernel, bias)]
    assert all(not one.any() for one in others)


def test_a_step_with_regularizers_is_that_of_keras():
    found, _ = stepped(regularized(0.3))
    backbone = regularized(0.3)
    keras.utils.set_random_seed(0)
    model = head.attach(backbone, HeadConfig(), 2)
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    inputs, labels = batch()
    model.train_on_batch(backbones.normalise(inputs, "SmallConvNet"), labels)
    for weight in model.weights:
        np.testing.assert_allclose(found[weight.path], weight.numpy(), rtol=1e-4, atol=1e-6)


def test_the_regularizer_of_a_frozen_weight_changes_nothing():
    plain, found = (stepped(regularized(strength), {"through": "block1"})[0] for strength in (0.0, 0.3))
    assert found["block1_conv/kernel"].tobytes() == plain["block1_conv/kernel"].tobytes()
    assert found["block2_conv/bias"].tobytes() != plain["block2_conv/bias"].tobytes()
