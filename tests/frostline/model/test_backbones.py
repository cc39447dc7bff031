"""Backbones by name: the table against the library, size limits, normalisation."""

import inspect
import re

import keras
import numpy as np
import pytest

from frostline.errors import ConfigError
from frostline.model import backbones


def test_the_names_are_those_of_keras_applications():
    constructors = {
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and "include_top" in inspect.signature(value).parameters
    }
    assert set(backbones.names()) - {backbones.SMALL} == constructors


def test_the_smallest_sizes_are_those_that_the_library_enforces():
    for name in backbones.names():
        if name == backbones.SMALL:
            continue
        module = inspect.getmodule(getattr(keras.applications, name))
        text = inspect.getsource(module)
        if name.startswith(("ResNet",)):
            text = inspect.getsource(__import__("keras.src.applications.resnet", fromlist=["resnet"]))
        if name.startswith("MobileNetV3"):
            continue  # it checks no size through obtain_input_shape; 32 is its documented minimum
        assert {int(size) for size in re.findall(r"min_size=(\d+)", text)} == {backbones.minimum_image_size(name)}


class Asked(Exception):
    """Carries the default size of a constructor."""


@pytest.mark.parametrize("name", [name for name in backbones.names() if not name.startswith(("Small", "MobileNetV3"))])
def test_the_default_sizes_are_those_of_the_library(monkeypatch, name):
    def ask(_, *, default_size, **rest):
        raise Asked(default_size)

    monkeypatch.setattr("keras.src.applications.imagenet_utils.obtain_input_shape", ask)
    with pytest.raises(Asked, match=f"^{backbones.default_image_size(name)}$"):
        getattr(keras.applications, name)(weights=None)


def test_names_without_a_default_size_in_the_library_have_one():
    sizes = {"MobileNetV3Small": 224, "SmallConvNet": 32}  # MobileNetV3 was trained at 224
    assert {name: backbones.default_image_size(name) for name in sizes} == sizes


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"backbone: received 'InceptionV4'; did you mean .*InceptionV3"):
        backbones.minimum_image_size("InceptionV4")


@pytest.mark.parametrize(("name", "size"), [("SmallConvNet", 16), ("InceptionV3", 75)])
def test_the_smallest_image_works_and_a_smaller_one_does_not(name, size):
    assert backbones.minimum_image_size(name) == size
    features = backbones.build(name, size)(np.zeros((1, size, size, 3), np.float32))
    assert min(features.shape[1:3]) >= 1


def test_pixels_reach_each_backbone_as_its_own_module_wants_them():
    pixels = np.array([0, 127.5, 255], np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(backbones.normalise(pixels, "InceptionV3").numpy().ravel(), [-1, 0, 1])
    np.testing.assert_allclose(backbones.normalise(pixels, "SmallConvNet").numpy().ravel(), [-1, 0, 1])
    np.testing.assert_allclose(backbones.normalise(pixels, "EfficientNetB0").numpy().ravel(), [0, 127.5, 255])
    caffe = backbones.normalise(pixels, "ResNet50").numpy().ravel()  # BGR, means subtracted
    np.testing.assert_allclose(caffe, [255 - 103.939, 127.5 - 116.779, 0 - 123.68], rtol=1e-6)


def test_pixels_are_left_alone_by_normalise():
    pixels = np.full((1, 2, 2, 3), 7.0, np.float32)
    backbones.normalise(pixels, "ResNet50")
    assert (pixels == 7.0).all()
