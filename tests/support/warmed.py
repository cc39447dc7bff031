"""What the tests run in forks of the warm process: `python -m tests.support.warmed ACTION ...`."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

ACTIONS = {
    "tell": lambda *words: print(
        json.dumps(
            {
                "words": words,
                "directory": str(Path.cwd()),
                "input": sys.stdin.read(),
                "color": os.environ.get("COLOR"),
                "tensorflow": "tensorflow" in sys.modules,
                "random": random.random(),
                "main": __name__,
            }
        )
    ),
    "exit": lambda code: sys.exit(int(code) if code.isdigit() else code),
    "raise": lambda: 1 / 0,
    "die": lambda number: os.kill(os.getpid(), int(number)),
    "sleep": lambda path: (Path(path).write_text(str(os.getpid())), time.sleep(60)),
    "compute": lambda: print(compute()),
}


def compute():
    import tensorflow as tf

    return int(tf.function(lambda x: tf.reduce_sum(tf.matmul(x, x)))(tf.ones((9, 9))))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(77))
    ACTIONS[sys.argv[1]](*sys.argv[2:])
