"""What the training loop costs beside its steps: `python benchmarks/loop.py` prints JSON.

The same step, of what lies above mixed7 of InceptionV3 with batches of 16: by Frostline's loop on cached features, with
its order, checks, telemetry and progress; and by Keras' bare `train_on_batch` on one batch in memory. Epochs of both
take turns in the same process.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import workload

PHOTOS, ROUNDS = 420, 5


def main() -> None:
    """Measure and print."""
    from frostline.training.phase_run import PhaseRun

    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        run = workload.Run(root / "run", workload.photos(root / "photos", PHOTOS), 299)
        bare, ours, theirs = Bare(), [], []
        original = PhaseRun.epoch

        def epoch(run: Any) -> Any:
            """One epoch of ours, without its validation, then as many bare steps."""
            trainer = run.trainer
            validate, trainer.validate = trainer.validate, lambda _: {}
            started = time.perf_counter()
            row = original(run)
            ours.append((time.perf_counter() - started) / trainer.steps)
            trainer.validate = validate
            theirs.append(bare.seconds_a_step(trainer.steps))
            return row

        PhaseRun.epoch = epoch  # type: ignore[method-assign, assignment]
        run.train({"through": "mixed7"}, {"mode": "require"}, ROUNDS + 1, {})
    ours, theirs = ours[1:], theirs[1:]  # the first of each traces
    workload.show(
        {
            "unit": "s a step",
            "rounds": ROUNDS,
            "loop": [round(value, 4) for value in ours],
            "train_on_batch": [round(value, 4) for value in theirs],
            "ratio_of_medians": round(statistics.median(ours) / statistics.median(theirs), 4),
            "ratio_of_minima": round(min(ours) / min(theirs), 4),
        }
    )


class Bare:
    """Keras' own step on one batch in memory."""

    def __init__(self) -> None:
        import keras
        import numpy as np

        from frostline.model import backbones, head
        from frostline.model.config import HeadConfig

        model = head.attach(backbones.build("InceptionV3", 299), HeadConfig(), workload.CLASSES)
        cut = model.get_layer("mixed7").output
        self.model = keras.Model(cut, model.output)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        self.model.compile(keras.optimizers.Adam(workload.RATE), "sparse_categorical_crossentropy")
        rng = np.random.default_rng(0)
        self.features = rng.random((workload.BATCH, *cut.shape[1:]), np.float32)
        self.labels = rng.integers(0, workload.CLASSES, workload.BATCH)
        self.model.train_on_batch(self.features, self.labels)

    def seconds_a_step(self, steps: int) -> float:
        """Mean over some steps."""
        started = time.perf_counter()
        for _ in range(steps):
            self.model.train_on_batch(self.features, self.labels)
        return (time.perf_counter() - started) / steps


if __name__ == "__main__":
    main()
