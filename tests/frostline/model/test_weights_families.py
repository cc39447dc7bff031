"""Every family of keras.applications: the model that is named is the one that is planned, trained, exported and served.

The download is replaced by a file of weights that the test makes; everything else is what the steps do.
"""

import io
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.src.applications.efficientnet import IMAGENET_STDDEV_RGB
from keras.src.utils import file_utils

from frostline.data import images
from frostline.documents.evaluation import EVALUATION
from frostline.documents.freeze import FREEZE_PLAN, WEIGHTS_SOURCE
from frostline.documents.training import KERAS_FILE, SERVING_DIRECTORY
from frostline.errors import WeightsError
from frostline.freeze.graph import from_model
from frostline.freeze.plan import POOL
from frostline.model import architecture, backbones, export, head, weights
from frostline.model.config import HeadConfig
from frostline.model.serving import Served
from frostline.verification.verify import verify
from pipelines import freeze_command

from tests.support import pictures
from tests.support.stages import Bench

pytestmark = pytest.mark.filterwarnings("ignore:`input_shape` is undefined")  # MobileNet at a size of its own
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
FAMILIES = [
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "InceptionV3",
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "VGG19",
    "Xception",
]  # fmt: skip
MEAN = (0.485, 0.456, 0.406)


def size_of(name):
    return SIZES.get(name, 32)


@pytest.fixture
def download(monkeypatch, tmp_path):
    """Replaces Keras' download by a file with weights of the architecture; returns the function that makes it."""

    def make(name):
        keras.utils.set_random_seed(1)
        model = backbones.build(name, size_of(name), pretrained=True)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Normalization) and layer.weights:
                layer.set_weights([np.array(MEAN), np.array(IMAGENET_STDDEV_RGB), np.array(0)])
                layer.finalize_state()
            if isinstance(layer, keras.layers.BatchNormalization):  # so that nothing vanishes in random layers
                layer.moving_variance.assign(0.1 * np.ones(layer.moving_variance.shape))
        path = tmp_path / "downloaded.weights.h5"
        model.save_weights(path)
        monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(path))
        return path

    return make


def every_architecture():
    return [name for name in backbones.names() if name != backbones.SMALL]


def photos(size, count=2):
    """PNG files of noise, and the pixels that every model gets of them, [count, size, size, 3] uint8."""
    draw = np.random.default_rng(0)
    encoded = [keras.utils.array_to_img(draw.integers(0, 256, (size, size, 3), np.uint8)) for _ in range(count)]
    data = []
    for image in encoded:
        path = io.BytesIO()
        image.save(path, "PNG")
        data.append(path.getvalue())
    return data, np.stack([images.from_bytes(one, size).numpy() for one in data])


def close(one, other):
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.abs(other).max())


@pytest.mark.parametrize("name", FAMILIES)
def test_resolved_stored_exported_and_served_models_are_keras_pretrained_one(download, tmp_path, name):
    download(name)
    size = size_of(name)
    data, pixels = photos(size)
    named = getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=(size, size, 3))
    inputs = backbones.normalise(pixels, name)
    expected = np.asarray(named(inputs, training=False))
    assert np.ptp(expected) > 0

    model, source, _ = weights.resolve("imagenet", name, size, 0, "")
    close(np.asarray(model(inputs, training=False)), expected)
    source["uri"] = weights.save(model, str(tmp_path), source["digest"])
    loaded = weights.load(source)
    close(np.asarray(loaded(inputs, training=False)), expected)
    assert from_model(loaded) == from_model(model)
    assert source["graph"] == architecture.digest(backbones.build(name, size, pretrained=True))

    whole = head.attach(loaded, HeadConfig(), 3)
    for layer in loaded.layers:
        layer.trainable = False
    whole.compile("sgd", "sparse_categorical_crossentropy")
    whole.train_on_batch(inputs, np.array([0, 1]))
    whole.save(tmp_path / "trained.keras")
    trained = keras.models.load_model(tmp_path / "trained.keras")
    backbone = keras.Model(trained.input, trained.get_layer(POOL).input)
    architecture.require_backbone(trained, source["graph"], "trained.keras")
    close(np.asarray(backbone(inputs, training=False)), expected)

    export.save(trained, ["a", "b", "c"], size, name, tmp_path / "serving")
    with Served(tmp_path / "serving") as served:
        np.testing.assert_allclose(served.predict(data), np.asarray(trained(inputs, training=False)), atol=1e-6)


def test_the_families_are_those_of_the_library():
    assert {backbones.family(name) for name in FAMILIES} == {backbones.family(name) for name in every_architecture()}


@pytest.mark.parametrize("number", range(8))
def test_every_efficientnet_has_the_graph_that_keras_builds_for_its_pretrained_weights(monkeypatch, number):
    """The values do not matter here, so none are loaded."""
    name = f"EfficientNetB{number}"
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: "unused.weights.h5")
    monkeypatch.setattr(keras.Model, "load_weights", lambda *_, **__: None)
    pretrained = architecture.digest(backbones.build_imagenet(name, 32))
    assert architecture.digest(backbones.build(name, 32, pretrained=True)) == pretrained
    assert architecture.digest(backbones.build(name, 32)) != pretrained


def saved(name, path, pretrained):
    model = backbones.build(name, size_of(name), pretrained=pretrained)
    if pretrained:
        model.get_layer("normalization").set_weights([np.array(MEAN), np.array(IMAGENET_STDDEV_RGB), np.array(0)])
        model.get_layer("normalization").finalize_state()
    (model.save if path.suffix == ".keras" else model.save_weights)(path)
    return model


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_file_gives_the_graph_that_it_was_saved_from(tmp_path, suffix, pretrained):
    path = tmp_path / f"mine{suffix}"
    original = saved("EfficientNetB0", path, pretrained)
    model, source, _ = weights.resolve(str(path), "EfficientNetB0", 32, 0, "")
    assert source["graph"] == architecture.digest(original)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(pixels, training=False), original(pixels, training=False))


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_model_with_a_head_and_a_nested_one_give_the_graph_of_their_backbone(tmp_path, pretrained):
    backbone = saved("EfficientNetB0", tmp_path / "backbone.keras", pretrained)
    image = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(image))
    keras.Model(image, keras.layers.Dense(5)(pooled)).save(tmp_path / "nested.keras")
    head.attach(backbone, HeadConfig(), 3).save(tmp_path / "flat.keras")
    for file in ("nested.keras", "flat.keras"):
        source = weights.resolve(str(tmp_path / file), "EfficientNetB0", 32, 0, "")[1]
        assert source["graph"] == architecture.digest(backbone)


def older_file(path, model, names):
    """A file of weights in the format of Keras 2, as Keras downloads it."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            group = file.create_group(name)
            layer = model.get_layer(name)
            group.attrs["weight_names"] = [
                f"{name}/{index}_{one.name}:0".encode() for index, one in enumerate(layer.weights)
            ]
            for index, one in enumerate(layer.weights):
                group.create_dataset(f"{name}/{index}_{one.name}:0", data=one.numpy())


def test_keras_own_older_files_belong_to_the_pretrained_graph(tmp_path):
    """They list one Rescaling; their variances are the standard deviations that need the second one."""
    model = saved("EfficientNetB0", tmp_path / "x.weights.h5", True)
    names = [layer.name for layer in model.layers if layer.name != "rescaling_1"]
    older_file(tmp_path / "efficientnetb0_notop.h5", model, names)
    resolved, source, _ = weights.resolve(str(tmp_path / "efficientnetb0_notop.h5"), "EfficientNetB0", 32, 0, "")
    assert source["graph"] == architecture.digest(model)
    for one, other in zip(resolved.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("name", ["EfficientNetV2B0", "MobileNetV3Small", "ConvNeXtTiny"])
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_file_saved_without_the_preprocessing_that_the_named_model_has_is_refused(tmp_path, name, suffix):
    constructor = getattr(keras.applications, name)
    other = constructor(include_top=False, weights=None, input_shape=(32, 32, 3), include_preprocessing=False)
    path = tmp_path / f"other{suffix}"
    (other.save if suffix == ".keras" else other.save_weights)(path)
    with pytest.raises(WeightsError, match="other preprocessing layers than"):
        weights.resolve(str(path), name, 32, 0, "")


def test_another_graph_than_the_planned_one_is_refused(tmp_path):
    model, source, _ = weights.resolve("random", "EfficientNetB0", 32, 0, "")
    other = backbones.build("EfficientNetB0", 32, pretrained=True)
    other.set_weights(model.get_weights())
    source["uri"] = weights.save(other, str(tmp_path), source["digest"])
    with pytest.raises(WeightsError, match="digest of the graph: received"):
        weights.load(source)


def test_the_default_efficientnet_is_planned_trained_evaluated_and_verified(download, tmp_path):
    """By the stages themselves; before, the gate passed a model that verify refused."""
    download("EfficientNetB0")
    bench = Bench(tmp_path)
    bench.data(pictures.make(tmp_path / "photos", 24))
    bench.plan({"head_only": True}, backbone="EfficientNetB0", weights="imagenet")
    bench.train(epochs=1)
    bench.evaluate()
    assert bench.gate({"min_accuracy": 0.0})
    assert verify(bench.path("model"))["verified"]
    assert bench.push() == "pushed: toy version 1 is the champion"
    plan = FREEZE_PLAN.read(Path(bench.path("plan")))
    assert plan["totals"]["layers"] == 238
    shown, _ = freeze_command.plan_of("EfficientNetB0", "head_only", weights=None, image_size=32, registry="")
    assert shown["totals"] == plan["totals"]
    trained = keras.models.load_model(Path(bench.path("model")) / KERAS_FILE)
    source = WEIGHTS_SOURCE.read(Path(bench.path("weights")))
    architecture.require_backbone(trained, source["graph"], "model.keras")
    assert EVALUATION.read(Path(bench.path("evaluation")))["skew"]["max_difference"] <= 1e-5
    assert (Path(bench.path("model")) / SERVING_DIRECTORY).exists()
    again = weights.resolve("registry:toy@champion", "EfficientNetB0", 32, 0, bench.registry)[1]
    assert again["graph"] == source["graph"]
