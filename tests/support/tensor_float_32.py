"""TensorFloat-32 on a CPU: where TensorFlow's switch is on, convolutions and matrix products round their operands."""

import keras.src.backend as backend
import numpy as np
import tensorflow as tf


def _rounded(value):
    """To 10 bits of mantissa, to nearest; the gradient passes."""
    bits = tf.bitcast(tf.stop_gradient(value), tf.int32)
    coarse = tf.bitcast(tf.bitwise.bitwise_and(bits + 0x1000, ~0x1FFF), tf.float32)
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    on = tf.numpy_function(lambda: np.bool_(enabled()), [], tf.bool)
    on.set_shape([])
    return value + tf.stop_gradient(tf.where(on, coarse - value, tf.zeros_like(value)))


def emulate(monkeypatch):
    """Patch Keras' convolution and matrix product; functions that are traced afterwards follow the switch."""
    for module, name in ((backend.nn, "conv"), (backend.numpy, "matmul")):
        original = getattr(module, name)

        def rounding(one, other, *rest, original=original, **options):
            one, other = (tf.convert_to_tensor(part) for part in (one, other))
            if one.dtype == other.dtype == tf.float32:
                one, other = _rounded(one), _rounded(other)
            return original(one, other, *rest, **options)

        monkeypatch.setattr(module, name, rounding)
