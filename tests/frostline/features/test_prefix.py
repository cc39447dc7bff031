"""The frozen prefix: features that depend on the image alone, under an address that says what they depend on."""

import keras
import numpy as np
import pytest

from frostline.data import record_files
from frostline.data.config import AugmentConfig
from frostline.errors import DataError
from frostline.features import packs, prefix
from frostline.features.packs import Layout
from frostline.features.prefix import BATCH, Planned, Prefix
from frostline.model import backbones, head
from frostline.model.config import HeadConfig

from tests.support import recorded

SIZE = 16
LAYER = "block2_pool"


def network():
    keras.utils.set_random_seed(0)
    return head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(), 3)


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module", params=[prefix.FLOAT32, pytest.param(prefix.BFLOAT16, marks=pytest.mark.bfloat16)])
def function(request, model):
    full = Prefix(lambda: model, "SmallConvNet", LAYER)
    return full if request.param == prefix.FLOAT32 else full.lowered()


PIXELS = recorded.noise(BATCH, SIZE)


@pytest.mark.parametrize("count", [1, 5, BATCH - 1])
def test_features_of_an_image_are_bit_identical_whatever_else_is_in_the_batch(function, count):
    whole = function(PIXELS)
    assert whole.shape == (BATCH, *function.shape) == (BATCH, 4, 4, 64)
    assert whole.dtype == np.float32
    few = function(PIXELS[:count])
    assert len(few) == count  # the rows that fill the batch up never come out
    assert few.tobytes() == whole[:count].tobytes()


def test_features_of_an_image_are_bit_identical_at_every_place(function):
    whole = function(PIXELS)
    order = np.random.default_rng(1).permutation(BATCH)
    assert function(PIXELS[order]).tobytes() == whole[order].tobytes()
    other = recorded.noise(BATCH, SIZE, seed=9)
    other[17] = PIXELS[3]
    assert function(other)[17].tobytes() == whole[3].tobytes()


def test_they_are_what_the_model_gives_there_in_inference_mode(model):
    found = Prefix(lambda: model, "SmallConvNet", LAYER)(PIXELS)
    direct = keras.Model(model.input, model.get_layer(LAYER).output)
    expected = direct(backbones.normalise(PIXELS, "SmallConvNet"), training=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.bfloat16
def test_low_precision_differs_a_little_and_leaves_the_model_as_it_was(model):
    full = Prefix(lambda: model, "SmallConvNet", LAYER)(PIXELS)
    low = Prefix(lambda: model, "SmallConvNet", LAYER).lowered()(PIXELS)
    assert 1e-5 < np.abs(full - low).max() < 0.1
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert Prefix(lambda: model, "SmallConvNet", LAYER)(PIXELS).tobytes() == full.tobytes()


@pytest.mark.bfloat16
def test_pooling_by_the_head_stays_in_float32(model):
    pooled = Prefix(lambda: model, "SmallConvNet", "head_pool").lowered()(PIXELS)
    maps = Prefix(lambda: model, "SmallConvNet", "block3_pool").lowered()(PIXELS)
    np.testing.assert_allclose(pooled, maps.mean(axis=(1, 2)), rtol=1e-6)


def test_images_are_counted_without_those_that_fill_up(model):
    function = Prefix(lambda: model, "SmallConvNet", LAYER)
    function(PIXELS)
    function(PIXELS[:5])
    assert function.images == BATCH + 5


def describe(model, layer=LAYER, backbone="SmallConvNet"):
    return Prefix(lambda: model, backbone, layer).digest


def one_ulp(model, layer, index=0):
    weight = model.get_layer(layer).weights[index]
    value = weight.numpy().copy()
    value.flat[-1] = np.nextafter(value.flat[-1], np.float32(np.inf))
    weight.assign(value)


@pytest.mark.parametrize(("layer", "index"), [("block1_conv", 0), ("block2_conv", 0), ("block1_bn", 2)])
def test_one_weight_at_or_below_the_boundary_changes_the_description(layer, index):
    model = network()
    before = describe(model)
    assert describe(model) == before == describe(network())
    one_ulp(model, layer, index)
    assert describe(model) != before


def test_a_weight_above_the_boundary_the_head_and_the_classes_do_not():
    model = network()
    before = describe(model)
    for layer in ("block3_conv", "block3_bn", "head_logits"):
        one_ulp(model, layer)
    assert describe(model) == before
    keras.utils.set_random_seed(0)
    other = head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(hidden=(7,), dropout=0.5), 5)
    assert describe(other) == before


def test_another_boundary_image_size_or_normalisation_changes_the_description(model):
    bigger = head.attach(backbones.build("SmallConvNet", 2 * SIZE), HeadConfig(), 3)
    bigger.set_weights(model.get_weights())
    found = [describe(model), describe(model, "block1_pool"), describe(bigger), describe(model, backbone="VGG16")]
    assert all(one != other for number, one in enumerate(found) for other in found[:number])


def test_the_pixels_change_the_description_and_how_records_store_them_does_not(model, monkeypatch):
    before = describe(model)
    monkeypatch.setattr(record_files, "FORMAT_VERSION", 99)
    assert describe(model) == before
    monkeypatch.setattr(record_files, "PIXELS_VERSION", 99)
    assert describe(model) != before


def test_an_address_depends_on_precision_type_and_variant(model):
    described = describe(model)
    varied = [prefix.view_description(AugmentConfig(flip=True), seed, view) for seed, view in ((0, 0), (0, 1), (1, 0))]
    assert prefix.view_description(AugmentConfig(), 0, 0) == {}
    found = [
        prefix.address(described, "float32", "float32", {}),
        prefix.address(described, "bfloat16", "float32", {}),
        prefix.address(described, "float32", "float16", {}),
        prefix.address(describe(model, "block1_pool"), "float32", "float32", {}),
        *(prefix.address(described, "float32", "float32", view) for view in varied),
    ]
    assert len(set(found)) == len(found)
    assert prefix.address(describe(network()), "float32", "float32", {}) == found[0]


def test_how_many_variants_there_are_changes_no_variants_address():
    views = [prefix.view_description(AugmentConfig(flip=True, views=views), 0, 1) for views in (0, 2, 5)]
    assert views[0] == views[1] == views[2]


def fill(function, source, layout, root, positions=None):
    positions = np.arange(len(source.examples)) if positions is None else positions
    with packs.Writer(str(root), layout, computed_on="CPU") as writer:
        counts = list(prefix.fill(function, source, positions, 0, writer, layout))
    return counts, writer.packs


def test_a_pack_is_filled_with_the_features_of_these_images(tmp_path, model, source):
    pixels = recorded.noise(BATCH + 9, SIZE)
    images, function = source(pixels), Prefix(lambda: model, "SmallConvNet", LAYER)
    layout = Layout(function.shape, "float32")
    positions = np.arange(len(pixels))[::-1]
    counts, written = fill(function, images, layout, tmp_path / "packs", positions)
    assert counts == [BATCH, 9]
    with packs.Reader(str(tmp_path / "packs"), written, layout, tmp_path) as reader:
        assert len(reader.ids) == len(pixels)
        for number in range(0, len(pixels), 8):
            [row] = reader.read([recorded.identifier(number)])
            assert row.tobytes() == function(pixels[number : number + 1]).tobytes()


def own(operation):
    """A user's own model that takes pixels as they are."""
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(operation(image))
    return head.attach(keras.Model(image, x), HeadConfig(), 3)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_image_whose_features_are_not_finite_is_named(tmp_path, source, dtype):
    pixels = np.maximum(recorded.noise(6, SIZE), 1)
    pixels[3] = 0  # black: log(0)
    function = Prefix(lambda: own(keras.ops.log), "own.keras", "conv")
    images, layout = source(pixels), Layout(function.shape, dtype)
    with pytest.raises(
        DataError, match=f"image {recorded.identifier(3)}: a feature .* is not finite .*1 such"
    ) as caught:
        fill(function, images, layout, tmp_path / "packs")
    assert "\n" not in str(caught.value)
    assert packs.names(str(tmp_path / "packs")) == []
    without = np.array([place for place, one in enumerate(images.examples.ids) if one != recorded.identifier(3)])
    fill(function, images, layout, tmp_path / "packs", without)


def test_a_feature_that_the_stored_type_cannot_hold_is_refused_and_a_larger_type_takes_it(tmp_path, source):
    function = Prefix(lambda: own(lambda image: 1e6 * image), "own.keras", "conv")
    images = source(recorded.noise(3, SIZE))
    with pytest.raises(DataError, match="not finite or exceeds 65504, the largest float16"):
        fill(function, images, Layout(function.shape, "float16"), tmp_path / "packs")
    for dtype in ("float32", "bfloat16"):
        fill(function, images, Layout(function.shape, dtype), tmp_path / dtype)


def test_a_planned_prefix_needs_its_model_only_to_compute(model):
    calls = []

    def load():
        calls.append(model)
        return model

    known = Prefix(lambda: model, "SmallConvNet", LAYER)
    planned = Prefix(load, "SmallConvNet", LAYER, Planned(known.digest, known.shape))
    low = planned.lowered()
    assert (planned.digest, planned.shape, low.digest, low.shape) == (known.digest, known.shape) * 2
    assert not calls
    assert planned(PIXELS).tobytes() == known(PIXELS).tobytes()
    assert len(calls) == 1


def test_a_planned_prefix_computes_nothing_with_other_weights_than_the_plans(model):
    known, other = Prefix(lambda: model, "SmallConvNet", LAYER), network()
    other.get_layer("block1_conv").kernel.assign_add(np.full((3, 3, 3, 32), 1e-3, np.float32))
    with pytest.raises(DataError, match=f"the weights up to {LAYER} are not those of the plan; run plan again"):
        Prefix(lambda: other, "SmallConvNet", LAYER, Planned(known.digest, known.shape))(PIXELS)


@pytest.mark.parametrize("library", ["keras", "tf"])
def test_another_version_of_a_library_is_another_address(model, monkeypatch, library):
    before = prefix.address(Prefix(lambda: model, "SmallConvNet", LAYER).digest, "float32", "float32", {})
    monkeypatch.setattr(getattr(prefix, library), "__version__", "0.0.1")
    after = prefix.address(Prefix(lambda: model, "SmallConvNet", LAYER).digest, "float32", "float32", {})
    assert before != after
