"""Deal batches to two replicas beside the CPU: `python -m tests.support.dealing`.

TensorFlow logs what it executes. The last line is JSON: names of the `cpu` and of the replicas' `devices`; for each
batch, as `stream` gives it before any step, `parts`, [batch][tensor][replica], each with its device and its values.
"""

import json

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.debugging.set_log_device_placement(True)
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)

from frostline.data import batches
from frostline.training.strategy import deal

from tests.support.in_memory import memory

_, *devices = [device.name for device in tf.config.list_logical_devices("CPU")]
strategy = tf.distribute.MirroredStrategy(devices)
cpu = tf.constant(0).device
source = memory(13)


def prepare(inputs, labels):
    with tf.device(cpu):
        places = tf.range(len(labels), dtype=tf.int64)
        means = tf.reduce_mean(inputs, axis=(1, 2, 3))
    return deal(strategy, (means, labels, places))


def shown(value):
    parts = strategy.experimental_local_results(value)
    return [{"device": part.device, "values": np.asarray(part).tolist()} for part in parts]


found = list(batches.stream(source, batches.cut(np.arange(13), 7), 0, prepare))
devices = strategy.extended.worker_devices
print(json.dumps({"cpu": cpu, "devices": devices, "parts": [[shown(one) for one in batch] for batch in found]}))
