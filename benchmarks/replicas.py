"""Two logical CPUs against one, with the same global batch: `python benchmarks/replicas.py` prints JSON.

Each strategy runs in a process of its own. SGD, because Adam divides rounding errors by small gradients.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import workload


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:
        train(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        photos = workload.photos(root / "photos", 1000, size=(40, 40))
        found: dict[int, Any] = {}
        for turn in range(2):
            for count in (1, 2):
                command = [sys.executable, __file__, str(count), str(root / f"run-{turn}-{count}"), str(photos)]
                ended = subprocess.run(command, check=True, capture_output=True, text=True)
                result = json.loads(ended.stdout.splitlines()[-1])
                result["seconds_an_epoch"] = min(
                    result["seconds_an_epoch"], found.get(count, result)["seconds_an_epoch"]
                )
                found[count] = result
    one, two = found[1], found[2]
    workload.show(
        {
            "one": one,
            "two": two,
            "largest_difference_of_a_loss": max(abs(a - b) for a, b in zip(one["loss"], two["loss"], strict=True)),
            "time_ratio": round(two["seconds_an_epoch"] / one["seconds_an_epoch"], 2),
        }
    )


def train(count: int, root: Path, photos: Path) -> None:
    """One training on `count` logical CPUs; its losses go to standard output."""
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    root.mkdir()
    run = workload.Run(root, photos, 32, "SmallConvNet")
    head = {"hidden": [64], "dropout": 0.3}
    history = run.train({"through": "block1"}, {"mode": "require"}, 5, head, {"optimizer": "sgd"})["history"]
    fastest = min(row["seconds"] for row in history[1:])
    print(json.dumps({"loss": [row["loss"] for row in history], "seconds_an_epoch": round(fastest, 3)}))


if __name__ == "__main__":
    main()
