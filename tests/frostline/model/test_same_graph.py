"""A file gives its weights to a named backbone only if its first layers are that backbone's."""

import keras
import numpy as np
import pytest

from frostline.errors import WeightsError
from frostline.model import backbones, head, weights
from frostline.model.config import HeadConfig
from frostline.model.same_graph import difference

from tests.frostline.model.test_weights_families import FAMILIES, size_of

pytestmark = pytest.mark.filterwarnings("ignore:`input_shape` is undefined")  # MobileNet at a size of its own


def small(change=None, size=32):
    """SmallConvNet under other names, with one thing changed."""
    change = change or {}
    image = x = keras.Input((size, size, 3))
    for block, filters in enumerate((32, 64, 128)):
        dilation = change.get("dilation_rate", 1) if block == 1 else 1
        convolution = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, dilation_rate=dilation)
        norm = keras.layers.BatchNormalization(epsilon=change.get("epsilon", 1e-3))
        x = y = norm(convolution(x))
        if change.get("noise"):
            x = keras.layers.Dropout(0.2)(x)
        x = change.get("activation", keras.layers.ReLU)()(x)
        if change.get("skip") and block == 2:
            x = keras.layers.Add()([x, y])
        x = change.get("pooling", keras.layers.MaxPooling2D)()(x)
    return keras.Model(image, x)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_at_another_size_with_another_head_is_the_same_graph(name):
    model = backbones.build(name, size_of(name))
    other = head.attach(backbones.build(name, size_of(name) + 1), HeadConfig(), 3)
    assert difference(model, other) == ""
    assert "is a" in difference(model, small()) or "has the" in difference(model, small())


@pytest.mark.parametrize("change", [{}, {"noise": True}])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("size", [32, None])
def test_other_names_dropout_a_head_and_preprocessing_make_no_other_graph(change, nested, size):
    model = small(change, size)
    if nested:
        image = keras.Input((size, size, 3))
        x = keras.layers.RandomFlip()(keras.layers.Rescaling(1 / 127.5, -1)(image))
        model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalMaxPooling2D()(model(x))))
    assert difference(backbones.build("SmallConvNet", 32), model) == ""


@pytest.mark.parametrize(("change", "told"), [
    ({"activation": keras.layers.LeakyReLU}, "'leaky_re_lu' is a LeakyReLU, where the layer 'block1_relu' is a ReLU"),
    ({"activation": lambda: keras.layers.ReLU(6)}, "has the max_value 6, where the layer 'block1_relu' has None"),
    ({"dilation_rate": 2}, "'conv2d_1' has the dilation_rate [2, 2], where the layer 'block2_conv' has [1, 1]"),
    ({"epsilon": 1e-5}, "has the epsilon 1e-05, where the layer 'block1_bn' has 0.001"),
    ({"pooling": lambda: keras.layers.AveragePooling2D(2)}, "is a AveragePooling2D, where the layer 'block1_pool'"),
    ({"skip": True}, "'add' is a Add, where the layer 'block3_pool' is a MaxPooling2D"),
])  # fmt: skip
def test_the_same_shapes_in_another_graph_do_not_fit(tmp_path, change, told):
    keras.utils.clear_session()
    small(change).save(tmp_path / "other.keras")
    with pytest.raises(WeightsError) as caught:
        weights.resolve(str(tmp_path / "other.keras"), "SmallConvNet", 32, 0, "")
    assert told in str(caught.value)
    assert "use backbone=FILE.keras weights=own" in str(caught.value)


def branches(swapped):
    """Two convolutions of the same shape whose outputs are subtracted one from the other, or both from the first."""
    image = keras.Input((8, 8, 3))
    one = keras.layers.Conv2D(3, 1, name="one")(image)
    two = keras.layers.Conv2D(3, 1, name="two")(image if swapped else one)
    return keras.Model(image, keras.layers.Add(name="sum")([one, two]))


def test_other_connections_are_another_graph():
    assert difference(branches(False), branches(False)) == ""
    assert difference(branches(False), branches(True)) != ""


def test_a_file_that_ends_before_the_backbone_does_is_told():
    model = backbones.build("SmallConvNet", 32)
    cut = keras.Model(model.input, model.get_layer("block3_bn").output)
    assert difference(model, cut) == "it ends before the layer 'block3_relu'"


def test_the_weights_of_a_graph_that_fits_are_taken(tmp_path):
    other = small()
    other.save(tmp_path / "other.keras")
    model, _, _ = weights.resolve(str(tmp_path / "other.keras"), "SmallConvNet", 32, 0, "")
    pixels = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(pixels, training=False), other(pixels, training=False))
