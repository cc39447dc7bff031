"""Prefixes that bfloat16 hurts are refused, and those that it does not hurt are not: the whole way from image files."""

import keras
import numpy as np
import pytest

from frostline.features import precision
from frostline.features.config import CacheConfig
from frostline.features.prefix import Prefix
from frostline.model import bfloat16, head
from frostline.model.config import HeadConfig

from tests.support import pictures
from tests.support.manifests import row

pytestmark = pytest.mark.bfloat16
SIZE = 16


@pytest.fixture(autouse=True)
def hardware(monkeypatch):
    monkeypatch.setattr(bfloat16, "hardware_has_bfloat16", lambda: True)
    monkeypatch.setattr(bfloat16, "is_faster", lambda: True)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    photos = pictures.make(tmp_path_factory.mktemp("planted"), 24)
    return [
        row(path, label) for label, name in enumerate(pictures.COLOURS) for path in sorted((photos / name).iterdir())
    ]


def tried(store, manifest, *layers, pool=True):
    """The verdict on a small network that ends with these layers."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    x = keras.layers.Conv2D(24, 3, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x) if pool else x
    for layer in layers:
        x = layer(x)
    last = keras.layers.Activation("linear", name="last")(x)
    model = head.attach(keras.Model(image, last), HeadConfig(), 3)
    full = Prefix(lambda: model, "own.keras", "last")
    return precision.choose(str(store), full, full.lowered(), CacheConfig(), manifest, SIZE, 400)


def shifted(offset):
    return keras.layers.Rescaling(1.0, offset=offset)


def steep(mean):
    """Normalises what is `mean` and a little more: as a BatchNorm does whose channels hardly varied."""
    layer = keras.layers.BatchNormalization(epsilon=1e-6)
    layer.build((None, 24))
    layer.set_weights([np.ones(24), np.zeros(24), np.full(24, mean), np.full(24, 1e-4)])
    return layer


HARMLESS = {
    "nothing more": [],
    "tiny": [keras.layers.Rescaling(1e-20)],
    "huge": [keras.layers.Rescaling(1e20)],
    "beyond float16": [keras.layers.Rescaling(1e6)],
    "as large an offset as features have": [shifted(1.0)],
    "well conditioned": [keras.layers.BatchNormalization()],
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_bfloat16_does_not_hurt_is_accepted(tmp_path, manifest, name):
    found = tried(tmp_path, manifest, *HARMLESS[name])
    assert found["computed_in"] == "bfloat16", found["reason"]
    assert found["trial"]["probe"]["lost"] == 0


def test_and_so_are_maps(tmp_path, manifest):
    found = tried(tmp_path, manifest, pool=False)
    assert found["computed_in"] == "bfloat16", found["reason"]


def hurt():
    return {
        "a large offset": [shifted(1000.0)],
        "a difference of large numbers": [shifted(1000.0), keras.layers.ReLU(), shifted(-1000.0)],
        "a layer that magnifies rounding": [shifted(30.0), steep(30.0)],
    }


@pytest.mark.parametrize("name", hurt())
def test_what_bfloat16_hurts_is_refused(tmp_path, manifest, name):
    found = tried(tmp_path, manifest, *hurt()[name])
    assert found["computed_in"] == "float32", found["reason"]
    assert found["trial"]["probe"]["shift"] > 0.1


def test_so_are_features_of_which_a_half_is_hurt(tmp_path, manifest):
    """Though a probe does as well without them."""
    twice = keras.layers.Lambda(lambda x: keras.ops.concatenate([x, x], axis=-1), output_shape=(48,))
    found = tried(tmp_path, manifest, twice, keras.layers.Rescaling(1.0, offset=[0.0] * 24 + [1000.0] * 24))
    assert found["computed_in"] == "float32"
    assert found["trial"]["noise"] > 0.3


def test_what_overflows_is_refused(tmp_path, manifest):
    found = tried(tmp_path, manifest, keras.layers.Rescaling(1e30), keras.layers.Rescaling(1e30))
    assert found == {**found, "computed_in": "float32", "reason": "a feature of a sampled image is not finite"}


def test_features_that_are_all_zero_are_left_to_float32(tmp_path, manifest):
    found = tried(tmp_path, manifest, keras.layers.Rescaling(0.0))
    assert found["computed_in"] == "float32"
    assert "all features are the same" in found["reason"]


@pytest.mark.parametrize("images", [1, 2, 9])
def test_few_images_are_judged_without_a_probe(tmp_path, manifest, images):
    few = manifest[:: len(manifest) // images][:images]
    assert tried(tmp_path, few)["computed_in"] == ("bfloat16" if images > 1 else "float32")
    found = tried(tmp_path, few, shifted(1000.0))
    assert found["computed_in"] == "float32"
    assert "probe" not in found["trial"]


def test_classes_of_one_image_and_unequal_classes(tmp_path, manifest):
    alone = [{**one, "label": number} for number, one in enumerate(manifest)]
    unequal = [one for one in manifest if one["label"] == 0] + [one for one in manifest if one["label"] == 1][:2]
    for sample, fair in ((alone, False), (unequal, True)):
        found = tried(tmp_path, sample)
        assert (found["computed_in"], "probe" in found["trial"]) == ("bfloat16", fair), found["reason"]
        assert tried(tmp_path, sample, shifted(1000.0))["computed_in"] == "float32"


def test_images_so_alike_that_rounding_hides_what_tells_them_apart_are_refused(tmp_path, manifest):
    """Noise of one colour: the same network and the same rounding, on images of a single class."""
    found = tried(tmp_path, [one for one in manifest if one["label"] == 0])
    assert found["computed_in"] == "float32"
    assert found["trial"]["noise"] > 0.2
    assert "probe" not in found["trial"]
