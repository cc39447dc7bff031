"""A user's `.keras` model as the backbone: planned, trained, certified and served like any other."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline import storage
from frostline.documents.evaluation import EVALUATION
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN, WEIGHTS_SOURCE
from frostline.documents.training import KERAS_FILE, SERVING_DIRECTORY
from frostline.errors import ConfigError, WeightsError
from frostline.freeze.graph import from_model
from frostline.model import backbones
from frostline.model import weights as references

from tests.support import pictures
from tests.support.stages import Bench


def convolutions(size=32, *, pooled=False, rescaled=True):
    """Two blocks with a skip connection each, for pixels 0..255, as a user would write it."""
    keras.utils.set_random_seed(3)
    image = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 255)(image) if rescaled else image
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(x)
        shortcut = x
        x = keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Conv2D(filters, 3, padding="same")(x))
        x = keras.layers.Add()([keras.layers.ReLU()(x), shortcut])
    if pooled:
        x = keras.layers.GlobalMaxPooling2D()(x)
    return keras.Model(image, x, name="mine")


@pytest.fixture
def saved(tmp_path):
    def save(model):
        path = tmp_path / "mine.keras"
        model.save(path)
        return str(path)

    return save


@pytest.mark.parametrize("pooled", [False, True])
def test_it_is_planned_trained_and_served(tmp_path, saved, pooled):
    bench = Bench(tmp_path / "bench")
    bench.data(pictures.make(tmp_path / "photos", 30))
    original = convolutions(pooled=pooled)
    bench.plan({"through": "block1", "batch_norm": "follow"}, backbone=saved(original), weights="own")
    (tmp_path / "mine.keras").unlink()  # later steps work from the store
    bench.train(epochs=2)
    model = Path(bench.path("model"))
    certificate = CERTIFICATE.read(model)
    assert certificate["verified"]
    assert certificate["frozen_tensors"] == 2 + 2 + 4  # two convolutions with bias and a BatchNorm
    trained = keras.models.load_model(model / KERAS_FILE)
    for layer in original.layers[:6]:
        for old, new in zip(layer.weights, trained.get_layer(layer.name).weights, strict=True):
            np.testing.assert_array_equal(old.numpy(), new.numpy())
    bench.evaluate()
    evaluation = EVALUATION.read(Path(bench.path("evaluation")))
    assert evaluation["accuracy"]["value"] > 0.5  # pixels reach it as 0..255, in training and serving alike
    data = next((tmp_path / "photos").rglob("*.jpg")).read_bytes()
    serve = tf.saved_model.load(str(model / SERVING_DIRECTORY)).signatures["serving_default"]
    assert serve(image_bytes=tf.constant([data]))["probabilities"].shape == (1, 3)


def test_a_frozen_backbone_that_pools_itself_has_the_pooled_vector_as_its_boundary(tmp_path, saved):
    bench = Bench(tmp_path / "bench")
    bench.plan({"head_only": True}, backbone=saved(convolutions(pooled=True)), weights="own")
    plan = FREEZE_PLAN.read(Path(bench.path("plan")))
    assert plan["boundary"]["layer"] == "head_pool"
    assert [block["name"] for block in plan["blocks"]] == ["stem", "block1", "block2"]


def test_it_may_lie_in_a_bucket_and_be_sequential(tmp_path, saved, gcs):
    blocks = [keras.layers.Conv2D(4, 3, name=f"block{number}_conv") for number in (1, 2)]
    path = saved(keras.Sequential([keras.Input((32, 32, 3)), *blocks]))
    storage.upload_file(Path(path), storage.join(gcs, "mine.keras"))
    bench = Bench(tmp_path / "bench")
    bench.store = f"{gcs}/store"
    bench.plan({"through": "block1"}, backbone=f"{gcs}/mine.keras", weights="own")
    source = WEIGHTS_SOURCE.read(Path(bench.path("weights")))
    assert source["resolved"] == f"{gcs}/mine.keras"
    assert source["uri"].endswith(".keras")


def test_two_models_with_the_same_weights_are_stored_apart(tmp_path, saved):
    uris = []
    for rescaled in (True, False):
        bench = Bench(tmp_path / "bench")
        bench.plan({"none": True}, backbone=saved(convolutions(rescaled=rescaled)), weights="own")
        source = WEIGHTS_SOURCE.read(Path(bench.path("weights")))
        uris.append(source["uri"])
    assert uris[0] != uris[1]


def wrapped():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.layers.TimeDistributed(keras.layers.BatchNormalization())(image))


def shared():
    image = keras.Input((32, 32, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    return keras.Model(image, twice(keras.layers.ReLU()(twice(image))))


def spectral():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.layers.SpectralNormalization(keras.layers.Conv2D(3, 3))(image))


def two_outputs():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, [keras.layers.Conv2D(4, 3)(image), keras.layers.Conv2D(4, 5)(image)])


def taken_name():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.layers.Conv2D(4, 3, name="head_pool")(image))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: convolutions(48), r"its input is \(None, 48, 48, 3\); expected \(None, 32, 32, 3\)"),
        (wrapped, "contains BatchNormalization"),
        (shared, "its layer 'twice' is used more than once"),
        (spectral, "is a SpectralNormalization, which changes its weights"),
        (two_outputs, "expected a functional or sequential model with one input and one output"),
        (taken_name, "its layer 'head_pool' has a name that begins with head_"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused_in_one_line(saved, make, message):
    with pytest.raises(ConfigError, match=message) as caught:
        backbones.build(saved(make()), 32)
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        backbones.build(str(tmp_path / "none.keras"), 32)
    (tmp_path / "broken.keras").write_bytes(b"no zip")
    with pytest.raises(ConfigError, match="it cannot be loaded: "):
        backbones.build(str(tmp_path / "broken.keras"), 32)


@pytest.mark.parametrize("weights", ["random", "imagenet"])
def test_weights_by_name_are_refused_for_a_file(saved, weights):
    with pytest.raises(WeightsError, match="expected 'own', a file or a registry reference"):
        references.resolve(weights, saved(convolutions()), 32, 0, "")


def test_own_weights_are_refused_for_a_name():
    with pytest.raises(WeightsError, match="for the backbone SmallConvNet expected 'random' or 'imagenet'"):
        references.resolve("own", "SmallConvNet", 32, 0, "")


def test_a_file_that_leaves_the_image_size_free_is_fixed_to_the_runs_own(tmp_path, saved):
    original = convolutions(None)
    path = saved(original)
    model = backbones.build(path, 48)
    assert model.input.shape == (None, 48, 48, 3)
    image = np.random.default_rng(0).random((1, 48, 48, 3), np.float32)
    np.testing.assert_array_equal(model(image, training=False), original(image, training=False))
    assert backbones.default_image_size(path) == 224
    Bench(tmp_path / "bench").plan({"head_only": True}, backbone=path, weights="own", size=48)


def test_the_default_image_size_of_a_file_is_its_own(saved):
    assert backbones.default_image_size(saved(convolutions(40))) == 40


def test_a_verification_needs_no_file_of_training_time(tmp_path, saved):
    from frostline.verification.verify import verify

    bench = Bench(tmp_path / "bench")
    bench.data(pictures.make(tmp_path / "photos", 24))
    path = Path(saved(convolutions()))
    bench.plan({"through": "block1"}, backbone=str(path), weights="own")
    bench.train(epochs=1)
    moved = path.rename(tmp_path / "elsewhere.keras")
    result = verify(bench.path("model"), str(moved))
    assert result["verified"], result["checks"]


def test_a_subclass_of_batch_norm_counts_as_batch_norm():
    class MyNorm(keras.layers.BatchNormalization):
        pass

    image = keras.Input((4,))
    graph = from_model(keras.Model(image, MyNorm()(image)))
    assert graph.layers[1].kind == "BatchNormalization"
