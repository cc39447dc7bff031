"""Three recipes for fine-tuning InceptionV3, compared with the usual script, which does something else.

Each test names a trap of that script and shows it: what the script's selection really freezes or asserts.
"""

import keras
import numpy as np
import pytest

from frostline.documents.freeze import WEIGHTS_SOURCE
from frostline.documents.training import KERAS_FILE
from frostline.errors import PolicyError
from frostline.freeze import certificate
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import make_plan
from frostline.model import backbones, head, weights
from frostline.model.config import HeadConfig
from frostline.training import loop

from tests.support import pictures
from tests.support.plans import frozen_layers
from tests.support.stages import Bench

SIZE = 75
# Untrained convolutions and BatchNorm make activations very small: bright pixels keep the gradients above zero.
PIXELS = 1e4 * np.random.default_rng(0).random((2, SIZE, SIZE, 3), np.float32)
TOP = ["mixed8", "mixed9", "mixed10"]
REST = ["stem", *(f"mixed{number}" for number in range(8))]


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(0)
    return backbones.build("InceptionV3", SIZE)


@pytest.fixture
def thawed(backbone):
    """The backbone with every layer trainable, as keras.applications returns it."""
    for layer in backbone.layers:
        layer.trainable = True
    return backbone


def plan_of(backbone, **section):
    return make_plan(from_model(backbone), FreezeConfig(**section), backbone="InceptionV3", image_size=SIZE)


def parameters(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def apply(backbone, plan):
    """Apply a plan's first phase; return the model with its head."""
    model = head.attach(backbone, HeadConfig(), 3)
    loop.apply_phase(model, plan["layers"], phases(plan, 1, 0.1)[0])
    return model


def train(model, eagerly=True):
    """Take one step of Keras' own training; return names of layers with a changed weight or statistic."""
    if not model.compiled:
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=eagerly)
    before = certificate.replica_digests(model.layers)
    model.train_on_batch(PIXELS, np.array([0, 1]))
    after = certificate.replica_digests(model.layers)
    return {certificate.layer_of(name) for name in before if before[name] != after[name]}


def test_head_only_trains_the_two_weights_of_the_head(thawed):
    # The trap: `for layer in model.layers: if layer.name.startswith("inception_v3"): assert not layer.trainable`. A
    # functional backbone's layers are shared, not nested, so no layer has that name, and the loop asserts nothing.
    model = head.attach(thawed, HeadConfig(), 3)
    asserted_over = [layer for layer in model.layers if layer.name.startswith("inception_v3")]
    assert asserted_over == []
    assert parameters(model.trainable_weights) > 21_000_000  # and it passes with everything trainable

    plan = plan_of(thawed, head_only=True)
    model = apply(thawed, plan)
    assert [weight.path for weight in model.trainable_weights] == ["head_logits/kernel", "head_logits/bias"]
    assert len(frozen_layers(plan)[0]) == 188
    assert plan["totals"]["frozen_parameters"] == parameters(thawed.non_trainable_weights) == 21_802_784
    assert plan["boundary"]["layer"] == "head_pool"


def test_head_only_keeps_the_statistics_of_batch_norm_though_the_model_trains(thawed):
    # The trap: `base(x, training=False)`. Keras up to 3.15 ignores it in fit, and the statistics change.
    norms = {layer.name for layer in thawed.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert len(norms) == 94
    model = apply(thawed, plan_of(thawed, head_only=True))
    assert train(model) == {"head_logits"}

    # The script: convolutions are frozen, BatchNorm is called that way but left trainable.
    image = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.GlobalAveragePooling2D()(thawed(image, training=False))
    script = keras.Model(image, keras.layers.Dense(3, activation="softmax")(features))
    for layer in thawed.layers:
        layer.trainable = layer.name in norms
    held = certificate.replica_digests(thawed.layers)
    train(script)
    moved = {name for name, digest in certificate.replica_digests(thawed.layers).items() if digest != held[name]}
    assert {certificate.layer_of(name) for name in moved} == norms
    assert sum(name.endswith(":moving_mean") for name in moved) == 94


def test_the_first_100_layers_are_exactly_what_lies_before_mixed3(thawed):
    # The trap: counting layers without checking where the count ends. 100 ends a block; 90 is inside one.
    plan = plan_of(thawed, first_layers=100, batch_norm="follow")
    names = [layer.name for layer in thawed.layers]
    assert [layer["name"] for layer in plan["layers"] if layer["frozen"]] == names[:100]
    assert names[100] == "mixed3"  # the block's own merge, which has no weights: all of mixed3 before it is frozen
    assert plan["totals"]["frozen_layers"] == 60
    assert plan["totals"]["frozen_parameters"] == 2_146_976
    assert plan["boundary"]["layer"] == "mixed3"
    assert plan["totals"] == plan_of(thawed, through="mixed3", batch_norm="follow")["totals"]
    assert plan_of(thawed, first_layers=90)["boundary"]["layer"] == "mixed2"

    apply(thawed, plan)
    assert parameters(thawed.non_trainable_weights) - _statistics(thawed.layers[100:]) == 2_146_976
    assert all(layer.trainable for layer in thawed.layers[100:] if layer.weights)


def _statistics(layers):
    """Parameters that no optimizer ever trains: moving means and variances."""
    return sum(parameters(layer.weights[1:]) for layer in layers if isinstance(layer, keras.layers.BatchNormalization))


def test_a_plan_is_applied_before_the_optimizer_is_made(thawed):
    # The trap: `model.compile(...)`, then `layer.trainable = False`. The compiled step does not notice.
    plan = plan_of(thawed, first_layers=100)
    model = head.attach(thawed, HeadConfig(), 3)
    train(model, eagerly=False)
    for layer in thawed.layers[:100]:
        layer.trainable = False
    frozen = frozen_layers(plan)[0]
    assert train(model) & frozen  # layers that say they are frozen, and change

    assert not train(apply(thawed, plan)) & frozen


def test_chosen_blocks_are_frozen_with_all_their_weights(thawed):
    # The trap: `if "mixed" in layer.name: layer.trainable = False`. All of those are Concatenate, and have no weights.
    by_name = [layer for layer in thawed.layers if "mixed" in layer.name]
    assert len(by_name) == 13
    for layer in by_name:
        layer.trainable = False
    assert parameters(weight for layer in by_name for weight in layer.weights) == 0
    assert parameters(thawed.trainable_weights) + _statistics(thawed.layers) == 21_802_784

    with pytest.raises(PolicyError, match=r"freezes nothing: its 13 layers are Concatenate.*blocks: \[\"mixed\*\"\]"):
        plan_of(thawed, match="mixed")
    plan = plan_of(thawed, blocks=TOP, batch_norm="follow")
    assert plan["totals"]["frozen_parameters"] == 1_699_584 + 5_047_872 + 6_080_064
    assert {layer["block"] for layer in plan["layers"] if layer["frozen"]} == set(TOP)
    assert plan["boundary"] is None  # the blocks before them are trained
    assert not train(apply(thawed, plan)) & frozen_layers(plan)[0]


def test_chosen_blocks_alone_are_trained_by_freezing_the_others(thawed):
    # The trap: `layer.trainable = "mixed8" in layer.name or ...`, which leaves nothing trainable in the backbone.
    for layer in thawed.layers:
        layer.trainable = any(name in layer.name for name in TOP)
    assert parameters(thawed.trainable_weights) == 0

    plan = plan_of(thawed, blocks=REST)
    assert plan["boundary"]["layer"] == "mixed7"
    following = plan_of(thawed, blocks=REST, batch_norm="follow")
    assert following["totals"]["trainable_parameters"] == 1_699_584 + 5_047_872 + 6_080_064
    assert following["totals"] == plan_of(thawed, through="mixed7", batch_norm="follow")["totals"]
    moved = train(apply(thawed, plan))
    convolutions = {x["name"] for x in plan["layers"] if x["block"] in TOP and x["class"] == "Conv2D"}
    assert len(convolutions) == 24
    assert moved == convolutions | {"head_logits"}


def test_each_phase_unfreezes_what_it_says_and_trains_with_its_own_learning_rate(tmp_path):
    # The trap: unfreezing without compiling again, so that the layers stay frozen or learn at the head's rate. The
    # first step of a new Adam changes a weight by the learning rate, so the largest change shows it.
    section = {
        "head_only": True,
        "phases": [
            {"policy": {"through": "block2"}, "epochs": 1, "learning_rate": 0.002},
            {"policy": {"through": "block1"}, "epochs": 1, "learning_rate": 0.0005},
        ],
    }
    bench = Bench(tmp_path)
    bench.data(pictures.make(tmp_path / "photos", 24))
    bench.plan(section)
    bench.train(epochs=1, batch_size=500, learning_rate=0.01)  # all examples in one step
    source = WEIGHTS_SOURCE.read(tmp_path / "weights")
    before = weights.load(source)
    after = keras.models.load_model(tmp_path / "model" / KERAS_FILE)
    moves = {
        f"block{number}_conv": np.abs(
            after.get_layer(f"block{number}_conv").kernel.numpy()
            - before.get_layer(f"block{number}_conv").kernel.numpy()
        )
        for number in (1, 2, 3)
    }
    assert moves["block1_conv"].max() == 0
    assert moves["block2_conv"].max() == pytest.approx(0.0005, rel=0.01)  # one step, in the last phase
    assert moves["block3_conv"].max() == pytest.approx(0.002 + 0.0005, rel=0.01)  # one in each of the last two
