"""Backbones: the models of keras.applications, SmallConvNet, which needs no download, and `.keras` files.

Names and size limits need no TensorFlow, so a configuration is checked in milliseconds.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import math
from typing import TYPE_CHECKING, Any

from frostline.errors import ConfigError
from frostline.model import own_model

if TYPE_CHECKING:
    import keras

SMALL = "SmallConvNet"

# keras.applications module -> (smallest height and width that its models accept, in pixels; their names).
# The limits are the `min_size` of each module in Keras 3.15; a test compares them with the library.
_FAMILIES: dict[str, tuple[int, tuple[str, ...]]] = {
    "convnext": (32, tuple(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge"))),
    "densenet": (32, ("DenseNet121", "DenseNet169", "DenseNet201")),
    "efficientnet": (32, tuple(f"EfficientNetB{number}" for number in range(8))),
    "efficientnet_v2": (32, tuple(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L"))),
    "inception_resnet_v2": (75, ("InceptionResNetV2",)),
    "inception_v3": (75, ("InceptionV3",)),
    "mobilenet": (32, ("MobileNet",)),
    "mobilenet_v2": (32, ("MobileNetV2",)),
    "mobilenet_v3": (32, ("MobileNetV3Small", "MobileNetV3Large")),
    "nasnet": (32, ("NASNetMobile", "NASNetLarge")),
    "resnet": (32, ("ResNet50", "ResNet101", "ResNet152")),
    "resnet_v2": (32, ("ResNet50V2", "ResNet101V2", "ResNet152V2")),
    "vgg16": (32, ("VGG16",)),
    "vgg19": (32, ("VGG19",)),
    "xception": (71, ("Xception",)),
}
_MODULE_OF = {name: module for module, (_, family) in _FAMILIES.items() for name in family}
_OTHER_FILES = (".h5", ".hdf5", ".pb", ".pth", ".onnx", ".tflite")  # of models, not in Keras' own format
_SMALL_MINIMUM = 16  # three poolings leave 2 x 2
# Default height and width of an architecture in pixels, if not 224.
_DEFAULT_SIZES = {
    SMALL: 32,
    "InceptionV3": 299,
    "InceptionResNetV2": 299,
    "Xception": 299,
    "NASNetLarge": 331,
    **{f"EfficientNetB{number}": size for number, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))},
    **{f"EfficientNetV2{size}": pixels for size, pixels in (("B1", 240), ("B2", 260), ("B3", 300), ("S", 384))},
    **{f"EfficientNetV2{size}": 480 for size in ("M", "L")},
}


def names() -> list[str]:
    """All names of backbones, sorted."""
    return sorted([*_MODULE_OF, SMALL])


def family(name: str) -> str:
    """The module of keras.applications that has an architecture."""
    return _MODULE_OF[name]


def is_file(name: str) -> bool:
    """Whether the backbone is a user's model, a local or gs:// `.keras` file."""
    return name.endswith(".keras")


def require(name: str, field: str = "backbone") -> None:
    """Raise ConfigError with similar names unless `name` is a backbone; a `.keras` file is not read."""
    if name.lower().endswith(_OTHER_FILES):
        raise ConfigError(field, name, f"expected a .keras file; {own_model.CONVERT}")
    if name not in names() and not is_file(name):
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known names are {', '.join(names())}"
        raise ConfigError(field, name, hint)


def minimum_image_size(name: str) -> int:
    """Smallest height and width that the backbone accepts, in pixels; 1 for a file, which is not read.

    Raises:
        ConfigError: the name is unknown.
    """
    require(name)
    if is_file(name):
        return 1
    return _SMALL_MINIMUM if name == SMALL else _FAMILIES[_MODULE_OF[name]][0]


def default_image_size(name: str) -> int:
    """Default height and width in pixels; of a file, which is read, its own input's, or 224 if that is not fixed.

    Raises:
        ConfigError: the name is unknown, or the file cannot be loaded.
    """
    require(name)
    if is_file(name):
        return own_model.read(name).inputs[0].shape[1] or 224
    return _DEFAULT_SIZES.get(name, 224)


def require_size(name: str, image_size: int) -> None:
    """Raise ConfigError if the backbone is unknown or does not accept images of this height and width, in pixels."""
    minimum = minimum_image_size(name)
    if image_size < minimum:
        raise ConfigError("image_size", image_size, f"{name} needs at least {minimum} pixels")


def build(name: str, image_size: int, *, pretrained: bool = False) -> keras.Model:
    """The backbone without its classification top.

    Keras numbers layers without a name per process (`conv2d_94` in the second model). The counter is reset first, so
    that a backbone always has the same layer names. (`keras.utils.clear_session` resets it too, but also replaces the
    graph of an open strategy scope.)

    Args:
        name: a name of `names()`, or a `.keras` file, which comes with its weights.
        image_size: height and width of the input, in pixels.
        pretrained: whether to build the graph that Keras builds for its ImageNet weights; the weights are random.

    Returns:
        A functional model from [batch, image_size, image_size, 3] float32, normalised by `normalise`, to features,
        [batch, height, width, channels] or [batch, channels] float32.

    Raises:
        ConfigError: the name is unknown, or the file cannot be a backbone.
    """
    import keras
    from keras.src.utils import naming

    require(name)
    naming.reset_uids()
    if is_file(name):
        return own_model.load(name, image_size)
    if name == SMALL:
        return _small_conv_net(image_size)
    model = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(image_size, image_size, 3))
    return _rescaled_twice(model) if pretrained and has_pretrained_graph(name) else model


def has_pretrained_graph(name: str) -> bool:
    """Whether Keras builds another graph for its ImageNet weights: with a second Rescaling after Normalization."""
    return _MODULE_OF.get(name) == "efficientnet"


def _rescaled_twice(model: keras.Model) -> keras.Model:
    """The graph of `weights="imagenet"`, as Keras' efficientnet.py builds it, without the weights."""
    import keras
    from keras.src.applications.efficientnet import IMAGENET_STDDEV_RGB

    def call(layer: keras.layers.Layer, *arguments: Any, **named: Any) -> Any:
        output = layer(*arguments, **named)
        if layer.name != "normalization":
            return output
        return keras.layers.Rescaling([1.0 / math.sqrt(deviation) for deviation in IMAGENET_STDDEV_RGB])(output)

    image = keras.Input(model.input.shape[1:], name=model.layers[0].name)
    rescaled = keras.models.clone_model(model, input_tensors=image, call_function=call)
    rescaled.set_weights(model.get_weights())
    return rescaled


def build_imagenet(name: str, image_size: int) -> keras.Model:
    """The backbone with Keras' ImageNet weights, which are downloaded.

    Raises:
        Exception: whatever Keras and urllib raise if the weights cannot be downloaded.
    """
    import keras
    from keras.src.utils import naming

    naming.reset_uids()
    return getattr(keras.applications, name)(
        include_top=False, weights="imagenet", input_shape=(image_size, image_size, 3)
    )


def normalise(images: Any, name: str) -> Any:
    """Scale pixels as the backbone was trained, with `preprocess_input` of its Keras module.

    A user's model gets the pixels unchanged; it can have a layer that rescales them.

    Args:
        images: [batch, height, width, 3] in 0..255, any dtype.
        name: of the backbone.

    Returns:
        [batch, height, width, 3] float32.
    """
    import tensorflow as tf

    pixels = tf.cast(images, tf.float32)
    if is_file(name):
        return pixels
    if name == SMALL:
        return pixels / 127.5 - 1.0
    return _preprocess_input(name)(pixels, data_format="channels_last")


@functools.cache  # also keeps AutoGraph from converting the import
def _preprocess_input(name: str) -> Any:
    return importlib.import_module(f"keras.applications.{_MODULE_OF[name]}").preprocess_input


def _small_conv_net(image_size: int) -> keras.Model:
    """Three blocks of convolution, BatchNorm, ReLU and pooling: 32, 64 and 128 channels, 93,312 kernel weights."""
    import keras

    image = keras.Input((image_size, image_size, 3), name="image")
    x = image
    for block, filters in enumerate((32, 64, 128), start=1):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"block{block}_conv")(x)
        # With Keras' default momentum of 0.99 the statistics need hundreds of steps to become useful.
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"block{block}_bn")(x)
        x = keras.layers.ReLU(name=f"block{block}_relu")(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(image, x, name="small_conv_net")
