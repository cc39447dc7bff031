"""A user's model taken at its word: nested models, free sizes, precisions, regularizers, random layers, odd files."""

from pathlib import Path

import keras
import numpy as np
import pytest

from frostline.errors import ConfigError, WeightsError
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.plan import make_plan
from frostline.model import backbones, own_model, weights
from frostline.section import parse
from pipelines import freeze_command

from tests.support.stages import Bench

SIZE = 32


@pytest.fixture
def saved(tmp_path):
    def save(model, name="mine.keras"):
        model.save(tmp_path / name)
        return str(tmp_path / name)

    return save


def images(count=2, size=SIZE):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def convolutions(size=SIZE, name="inner"):
    """Layers with BatchNorm and the names that Keras gives, as in a pretrained model."""
    keras.utils.set_random_seed(1)
    image = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(4, 3, name="conv2d")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    model = keras.Model(image, keras.layers.Conv2D(5, 3, name="conv2d_1")(keras.layers.ReLU()(x)), name=name)
    model.get_layer("norm").moving_mean.assign([0.1, 0.2, 0.3, 0.4])
    return model


def nested(size=SIZE):
    image = keras.Input((size, size, 3))
    x = keras.Sequential([keras.Input((size, size, 3)), keras.layers.Rescaling(1 / 255)], name="prepare")(image)
    x = convolutions(size)(x)
    return keras.Model(image, keras.layers.Conv2D(6, 3, name="conv2d")(x), name="outer")


@pytest.mark.parametrize("size", [SIZE, None])
def test_a_nested_pretrained_model_is_replaced_by_its_layers(saved, size):
    original = nested(size)
    model = backbones.build(saved(original), SIZE)
    np.testing.assert_array_equal(model(images(), training=False), original(images(), training=False))
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    names = [layer.name for layer in model.layers if layer.weights]
    assert len(set(names)) == len(names) == 4
    assert {"norm", "conv2d_1"} < set(names)
    plan = make_plan(from_model(model), parse(FreezeConfig, {"match": "norm"}), backbone="mine.keras", image_size=SIZE)
    assert [row["name"] for row in plan["layers"] if row["frozen"]] == ["norm"]


@pytest.mark.parametrize("depth", [1, 3])
def test_models_inside_models_inside_a_sequential_one(saved, depth):
    inner = convolutions(None)
    for number in range(depth):
        inner = keras.Sequential([keras.Input((None, None, 3)), inner], name=f"around_{number}")
    original = keras.Sequential([keras.Input((None, None, 3)), inner, keras.layers.GlobalMaxPooling2D()])
    model = backbones.build(saved(original), SIZE)
    assert model.input.shape == (None, SIZE, SIZE, 3)
    np.testing.assert_array_equal(model(images(), training=False), original(images(), training=False))
    assert [layer.name for layer in model.layers if layer.weights] == ["conv2d", "norm", "conv2d_1"]


def test_frostline_freeze_shows_a_free_size_with_a_nested_sequential(saved):
    path = saved(nested(None))
    plan, _ = freeze_command.plan_of(path, "head_only", weights=None, image_size=64, registry="")
    assert plan["boundary"]["layer"] == "head_pool"
    assert len([row for row in plan["layers"] if row["parameters"]]) == 4


def test_normalization_keeps_what_it_does_when_the_size_is_fixed(saved):
    image = keras.Input((None, None, 3))
    norm = keras.layers.Normalization(axis=-1)
    original = keras.Model(image, keras.layers.Conv2D(4, 3)(norm(image)))
    norm.adapt(images(8))
    model = backbones.build(saved(original), SIZE)
    np.testing.assert_array_equal(model(images(), training=False), original(images(), training=False))
    assert float(np.abs(original(images())).max()) < 10  # pixels were normalised at all


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_another_precision_becomes_float32_and_that_is_told(saved, policy, capfd):
    keras.config.set_dtype_policy(policy)
    try:
        path = saved(convolutions())
    finally:
        keras.config.set_dtype_policy("float32")
    model = backbones.build(path, SIZE)
    assert {(layer.compute_dtype, layer.variable_dtype) for layer in model.layers} == {("float32", "float32")}
    assert model.output.dtype == "float32"
    told = capfd.readouterr().err
    assert "it computes in float32 here" in told
    assert policy.removeprefix("mixed_") in told
    reference = keras.models.load_model(path)
    found, expected = (np.asarray(one(images(), training=False), np.float32) for one in (model, reference))
    np.testing.assert_allclose(found, expected, rtol=0.1, atol=0.05 * np.abs(expected).max())


def test_float32_is_not_told(saved, capfd):
    backbones.build(saved(convolutions()), SIZE)
    assert "float32" not in capfd.readouterr().err


def test_an_activity_regularizer_is_refused_with_what_to_do(saved):
    image = keras.Input((SIZE, SIZE, 3))
    layer = keras.layers.Conv2D(4, 3, activity_regularizer="l2", name="busy")
    with pytest.raises(ConfigError, match="'busy' has an activity_regularizer, which is no part of the loss here"):
        backbones.build(saved(keras.Model(image, layer(image))), SIZE)
    layer = keras.layers.ActivityRegularization(l1=0.1)
    with pytest.raises(ConfigError, match="has an activity_regularizer"):
        backbones.build(saved(keras.Model(image, layer(keras.layers.Conv2D(4, 3)(image)))), SIZE)


def remarks(model, **section):
    plan = make_plan(from_model(model), parse(FreezeConfig, section), backbone="mine.keras", image_size=SIZE)
    return own_model.remarks(model, plan)


def random_layers():
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GaussianNoise(0.1, name="noise")(keras.layers.RandomFlip(name="flip")(image))
    x = keras.layers.Conv2D(4, 3, name="block1_conv")(x)
    x = keras.layers.Conv2D(4, 3, name="block2_conv")(keras.layers.SpatialDropout2D(0.1, name="drop")(x))
    return keras.Model(image, x)


def test_random_layers_below_the_boundary_are_named():
    [told] = remarks(random_layers(), through="block1")
    assert "below the freeze boundary, drop" in told  # it has no weights, so it counts as frozen
    assert "are off: flip, noise, drop;" in told
    [told] = remarks(random_layers(), match="block1")
    assert "are off: flip, noise, drop;" in told
    [told] = remarks(random_layers(), head_only=True)
    assert "flip, noise, drop" in told
    assert remarks(random_layers(), none=True) == []
    assert remarks(convolutions(), head_only=True) == []


def test_frostline_freeze_names_them_too(saved, capsys):
    path = saved(random_layers())
    freeze_command.plan_of(path, "{through: block1}", weights=None, image_size=None, registry="")
    told = capsys.readouterr()
    assert "are off: flip, noise, drop;" in told.err
    assert told.out == ""


def test_weight_regularizers_are_told():
    image = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 3, kernel_regularizer="l2", name="heavy")(image))
    [told] = remarks(model, none=True)
    assert "includes the regularizers of trained weights (heavy)" in told
    assert "\n" not in told
    assert remarks(model, head_only=True) == []  # they change nothing where the weights are frozen
    later = {"policy": "none", "epochs": 1, "learning_rate": 0.1}
    assert len(remarks(model, head_only=True, phases=[later])) == 1


def test_regularizers_of_a_file_of_weights_are_not_taken_over_and_that_is_told(saved, capfd):
    path = saved(backbones.build("SmallConvNet", SIZE))
    weights.resolve(path, "SmallConvNet", SIZE, 0, "")
    assert "regularizers" not in capfd.readouterr().err
    model = keras.models.load_model(path)
    model.get_layer("block1_conv").kernel_regularizer = keras.regularizers.L2(0.1)
    path = saved(keras.Model.from_config(model.get_config()), "regularized.keras")
    weights.resolve(path, "SmallConvNet", SIZE, 0, "")
    assert (
        "(block1_conv) are not used, only its weights; to train the model in a .keras file as it is"
        in capfd.readouterr().err
    )


def split(size=SIZE):
    image = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(8, 3, name="first")(image)
    one, other = keras.ops.split(x, 2, axis=-1)
    x = keras.layers.Concatenate()([keras.layers.Conv2D(4, 3, name="left")(one), keras.layers.Conv2D(4, 3)(other)])
    return keras.Model(image, keras.layers.Conv2D(4, 3, name="last")(x))


def test_an_operation_with_several_outputs_is_no_boundary(saved):
    model = backbones.build(saved(split()), SIZE)
    graph = from_model(model)
    kinds = [graph.layers[cut].kind for cut in graph.cut_points]
    assert "Split" not in kinds
    plan = make_plan(graph, parse(FreezeConfig, {"first_layers": 2}), backbone="mine.keras", image_size=SIZE)
    assert plan["boundary"]["layer"] == "first"


def test_an_hdf5_file_under_the_name_of_an_archive_is_told(tmp_path, saved):
    path = saved(convolutions(), "model.h5")
    disguised = tmp_path / "model.keras"
    disguised.write_bytes((tmp_path / "model.h5").read_bytes())
    with pytest.raises(ConfigError, match=r"it is an HDF5 file and no \.keras archive; load it with keras\.models"):
        backbones.build(str(disguised), SIZE)
    with pytest.raises(ConfigError, match=r"backbone: received .*model\.h5'; expected a \.keras file; load it with"):
        backbones.build(path, SIZE)
    with pytest.raises(WeightsError, match=r"is an HDF5 file and no \.keras archive; rename it to end in \.h5"):
        weights.resolve(str(disguised), "SmallConvNet", SIZE, 0, "")


def test_an_h5_file_of_a_model_with_a_head_says_how_to_use_it(tmp_path):
    backbone = backbones.build("SmallConvNet", SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(3)(pooled))
    model.save(tmp_path / "whole.h5")
    with pytest.raises(WeightsError, match=r"save that model as \.keras: its first layers are then taken") as caught:
        weights.resolve(str(tmp_path / "whole.h5"), "SmallConvNet", SIZE, 0, "")
    assert "\n" not in str(caught.value)
    model.save(tmp_path / "whole.keras")
    weights.resolve(str(tmp_path / "whole.keras"), "SmallConvNet", SIZE, 0, "")


class OddLayer(keras.layers.Layer):
    """Not registered, as in a user's notebook."""

    def call(self, inputs):
        return inputs


def test_a_class_that_is_not_one_of_keras_is_named_first(saved):
    image = keras.Input((SIZE, SIZE, 3))
    path = saved(keras.Model(image, keras.layers.Conv2D(4, 3)(OddLayer(name="x" * 300)(image))))
    with pytest.raises(ConfigError, match="it cannot be loaded: its class 'OddLayer' is not one of Keras"):
        backbones.build(path, SIZE)
    with pytest.raises(WeightsError, match="its class 'OddLayer' is not one of Keras"):
        weights.resolve(path, "SmallConvNet", SIZE, 0, "")


def test_an_operation_that_no_export_may_have_is_told_by_plan(saved, tmp_path):
    image = keras.Input((SIZE, SIZE, 3))
    whole = keras.ops.cast(keras.layers.Conv2D(4, 3)(image), "int32")
    hashed = keras.layers.Hashing(num_bins=5)(whole)
    path = saved(keras.Model(image, keras.ops.cast(hashed, "float32")))
    bench = Bench(tmp_path)
    with pytest.raises(ConfigError, match=r"^backbone: received '.*'; it uses StringToHashBucketFast, which [^\n]+$"):
        bench.plan({"none": True}, backbone=path, weights="own")
    assert not Path(bench.path("plan")).exists()


def test_a_model_inside_with_several_outputs_is_refused_in_one_line(saved):
    image = keras.Input((None, None, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(image))
    inner = keras.Model(image, [x, keras.layers.ReLU()(x)])
    outer = keras.Input((None, None, 3))
    one, other = inner(outer)
    path = saved(keras.Model(outer, keras.layers.Add()([one, other])))
    with pytest.raises(ConfigError, match="its layers cannot be taken out of the models inside it") as caught:
        backbones.build(path, SIZE)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_model_is_refused(saved):
    image = keras.Input((SIZE, SIZE, 3))
    inner = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Dense(5, name="mixed_channels")])
    model = keras.Model(image, keras.layers.Conv2D(4, 3)(inner(image)))
    model.quantize("int8")
    path = saved(model)
    told = "it was quantized, in mixed_channels; use the model that it was quantized from"
    with pytest.raises(ConfigError, match=told):
        backbones.build(path, SIZE)
    with pytest.raises(WeightsError, match=f"does not fit SmallConvNet: {told}"):
        weights.resolve(path, "SmallConvNet", SIZE, 0, "")
