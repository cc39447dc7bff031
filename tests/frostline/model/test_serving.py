"""The exported model, loaded as servers load it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline.data import images
from frostline.errors import DataError
from frostline.model import backbones, export, head
from frostline.model.config import HeadConfig
from frostline.model.serving import Served

from tests.support import pictures

LABELS = ["amber", "cobalt", "jade"]
SIZE = 32


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(hidden=(8,)), len(LABELS))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    model.save(root / "model.keras")
    export.save(model, LABELS, SIZE, "SmallConvNet", root / "serving")
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = pictures.make(tmp_path_factory.mktemp("photos") / "all", 3)
    return [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]


def test_a_served_model_gives_the_probabilities_of_the_model(model, exported, photos):
    pixels = tf.stack([images.from_bytes(tf.constant(data), SIZE) for data in photos])
    expected = model(backbones.normalise(pixels, "SmallConvNet"), training=False).numpy()
    with Served(exported / "serving") as served:
        found = served.predict(photos)
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_allclose(served.predict(photos[:1]), expected[:1], atol=1e-6)


def test_what_cannot_be_served_is_told_in_one_line(exported, tmp_path):
    with pytest.raises(DataError, match=r"cannot be served: [^\n]+$"):
        Served(tmp_path)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "saved_model.pb").write_bytes((exported / "serving" / "saved_model.pb").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"cannot be served: [^\n]+$"):
        Served(damaged)
    other = tf.Module()
    other.call = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(other, str(tmp_path / "other"), signatures={"serving_default": other.call})
    with pytest.raises(DataError, match="image_bytes"):
        Served(tmp_path / "other")
