"""Validate a small model on N replicas: `python -m tests.support.validating N`.

Prints JSON: by number of examples, the scores and `used`, the replicas that measured something.
"""

import json
import sys

import keras
import tensorflow as tf

count = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)

from frostline.freeze.phases import Phase
from frostline.model import backbones, head
from frostline.model.config import HeadConfig
from frostline.training import loop
from frostline.training.config import TrainingConfig
from frostline.training.strategy import mirrored

from tests.support.in_memory import BATCH, SIZE, memory

strategy, train = mirrored(), memory(20)
with strategy.scope():
    keras.utils.set_random_seed(0)
    model = head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(), 2)
    phase = Phase(1, "", 1, 0.01, frozenset(), "", {})
    settings = loop.StepSettings("SmallConvNet", TrainingConfig(), BATCH, 0)
    trainer = loop.Trainer(model, phase, train, settings, strategy, [10, 10])

used = set()
joined = trainer._joined


def spied(value):
    used.update(index for index, part in enumerate(strategy.experimental_local_results(value)) if len(part))
    return joined(value)


trainer._joined = spied
found = {}
for examples in (1, 2, 5, 8, 20):
    used.clear()
    found[examples] = {**trainer.validate(memory(examples, seed=1)), "used": sorted(used)}
print(json.dumps(found))
