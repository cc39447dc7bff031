"""Train on N logical CPUs and write the weights: `python -m tests.support.replicas N BENCH_DIR OUT.npz JSON`.

One process a strategy.

JSON holds what `Bench.train` is called with.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

count, root, out = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)

import keras

from frostline import artifacts

from tests.support.stages import Bench

bench = Bench(root)
name = f"{Path(out).stem}-model"
bench.train(**json.loads(sys.argv[4]), model=name)
model = root / name
trained = keras.models.load_model(model / "model.keras")
certificate = artifacts.read_json(model / "freeze_certificate.json", "freeze_certificate")
rows = list(artifacts.read_jsonl(model / "training.jsonl"))
np.savez(
    out,
    *[weight.numpy() for weight in trained.weights],
    replicas=certificate["replicas"],
    verified=certificate["verified"],
    loss=[row["loss"] for row in rows],
    validation_loss=[row["validation_loss"] for row in rows],
    validation_accuracy=[row["validation_accuracy"] for row in rows],
)
