"""Train on two logical CPUs while one replica's copy of a frozen kernel moves.

`python -m tests.support.mutant BENCH_DIR` prints the error that training ends in, as JSON: {"error": class,
"message": text}.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from frostline.errors import FrostlineError
from frostline.training.phase_run import PhaseRun

from tests.support.stages import Bench

original = PhaseRun.epoch


def epoch(run):
    row = original(run)
    first, second = run.subject.model.get_layer("block1_conv").weights[0].value.values
    value = second.numpy()
    value.flat[0] = np.nextafter(value.flat[0], np.float32(np.inf))
    second.assign(value)
    assert first.numpy().tobytes() != second.numpy().tobytes()
    return row


PhaseRun.epoch = epoch
try:
    Bench(Path(sys.argv[1])).train(epochs=1, model="one-replica")
except FrostlineError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
