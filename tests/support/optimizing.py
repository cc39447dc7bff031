"""Clip and step on N logical CPUs, and write the numbers: `python -m tests.support.optimizing N OUT.npz`.

One process a strategy.
"""

import sys

import numpy as np
import tensorflow as tf

count, out = int(sys.argv[1]), sys.argv[2]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)

import keras

from frostline.training import optimizer
from frostline.training.config import TrainingConfig
from frostline.training.strategy import deal, mirrored

STEPS = 6
CLIP = 0.5
random = np.random.default_rng(0)
inputs = random.normal(size=(STEPS, 8, 5)).astype(np.float32)
targets = random.normal(size=(STEPS, 8, 2)).astype(np.float32)
found = {}


def train(name, config):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input([5]), keras.layers.Dense(4, "tanh", name="low"), keras.layers.Dense(2, name="top")]
        )
        made = optimizer.make(config, 0.05, STEPS, model, {"low": 0.5})

    def replica(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((model(x, training=True) - y) ** 2) / 8
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        limited = optimizer.clipped(gradients, config.clip_norm)
        made.apply(limited, model.trainable_variables)
        context = tf.distribute.get_replica_context()
        return [context.all_reduce(tf.distribute.ReduceOp.SUM, parts) for parts in (gradients, limited)]

    def first(value):
        return strategy.experimental_local_results(value)[0].numpy()

    step = tf.function(lambda x, y: strategy.run(replica, args=(x, y)))
    for x, y in zip(inputs, targets, strict=True):
        raw, limited = step(*deal(strategy, (tf.constant(x), tf.constant(y))))
        found.setdefault(f"{name}/raw", []).append(np.concatenate([first(value).ravel() for value in raw]))
        found.setdefault(f"{name}/limited", []).append(np.concatenate([first(value).ravel() for value in limited]))
    for index, variable in enumerate([*model.weights, *made.variables]):
        copies = [copy.numpy() for copy in strategy.experimental_local_results(variable.value)]
        found[f"{name}/alike/{index}"] = all((copy == copies[0]).all() for copy in copies)
        found[f"{name}/variable/{index}"] = copies[0]


strategy = mirrored()
train("adamw", TrainingConfig(optimizer="adamw", weight_decay=0.2, schedule="cosine", warmup_steps=2, clip_norm=CLIP))
train("constant", TrainingConfig(optimizer="adamw", weight_decay=0.2))
train("sgd", TrainingConfig(optimizer="sgd", clip_norm=CLIP))
np.savez(out, replicas=strategy.num_replicas_in_sync, clip=CLIP, **found)
