"""The export: encoded images in, the model's probabilities out, in the servers' loader and in Python's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline.data import images
from frostline.model import backbones, export, head, serving
from frostline.model.config import HeadConfig

from tests.support import bombs, pictures

LABELS = ["amber", "cobalt", "jade"]
SIZE = 32


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(hidden=(8,), dropout=0.5), len(LABELS))


@pytest.fixture(scope="module")
def directory(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "serving"
    export.save(model, LABELS, SIZE, "SmallConvNet", directory)
    return directory


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = pictures.make(tmp_path_factory.mktemp("photos") / "all", 3)
    return [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]


@pytest.fixture(scope="module")
def expected(model, photos):
    pixels = tf.stack([images.from_bytes(tf.constant(data), SIZE) for data in photos])
    return model(backbones.normalise(pixels, "SmallConvNet"), training=False).numpy()


def test_the_session_loader_that_servers_use_predicts_what_the_model_predicts(directory, photos, expected):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(directory))
        signature = loaded.signature_def["serving_default"]
        feeds = {signature.inputs["image_bytes"].name: photos}
        names = {key: value.name for key, value in signature.outputs.items()}
        found = session.run(names, feeds)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert [label.decode() for label in found["label"]] == [LABELS[index] for index in expected.argmax(axis=1)]


def test_a_served_model_refuses_a_huge_picture_and_serves_on(directory, photos, expected):
    with serving.Served(directory) as served:
        for name in ("png", "jpeg", "gif"):
            with pytest.raises(tf.errors.InvalidArgumentError, match="more than 67,108,864 pixels; make it smaller"):
                served.predict([photos[0], bombs.make()[name]])
        np.testing.assert_allclose(served.predict(photos), expected, atol=1e-6)


def test_the_python_loader_does_too_for_any_number_of_images(directory, photos, expected):
    served = tf.saved_model.load(str(directory)).signatures["serving_default"]
    for count in (1, 4, len(photos)):
        found = served(image_bytes=tf.constant(photos[:count]))["probabilities"].numpy()
        np.testing.assert_allclose(found, expected[:count], atol=1e-6)


def test_each_weight_is_stored_once(directory, model):
    stored = sum(path.stat().st_size for path in (directory / "variables").iterdir())
    needed = sum(variable.numpy().nbytes for variable in model.variables)
    graph = (directory / "saved_model.pb").stat().st_size
    assert needed <= stored <= 1.02 * needed
    assert sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) <= 1.02 * needed + graph + 1000
