"""A new head on InceptionV3, against the script that one would write: `python benchmarks/head_only.py` prints JSON.

Both sides take the time from building the model to a trained, evaluated one, without imports and without an export, in
the same process: ours, the script, ours with the prefix in float32, each in a new store. The script decodes the JPEGs
in every epoch; ours reads records that were made before: their time is told beside it (`records`) and counted in
`ratio_with_records`. Without `--photos` and `--weights` the images are synthetic and the weights random. What a person
waits for is measured by `end_to_end.py`. `--bare N` instead measures the whole of ours on N images against one bare
forward pass of the same model over them.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import script
import workload

SIZE = 299
PHOTOS = 400


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--bare", type=int, default=0, help="images, for the comparison with one forward pass")
    parser.add_argument("--photos", type=Path, help="a directory with one folder of photos per class")
    parser.add_argument("--weights", type=Path, help="a .weights.h5 of InceptionV3 without its top")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        measure = against_a_pass if options.bare else against_a_script
        workload.show(measure(root, options))


def ours(root: Path, photos: Path, options: argparse.Namespace, precision: str = "auto") -> dict[str, Any]:
    """One training in a store of its own."""
    run = workload.Run(root, photos, SIZE, weights=options.weights)
    cache = {"mode": "auto", "precision": precision}
    return {
        "records": round(run.seconds_for_records, 2),
        **run.train({"head_only": True}, cache, options.epochs, workload.HEAD),
        "splits": run.info["splits"],
    }


def pictures(directory: Path, count: int, options: argparse.Namespace) -> Path:
    """So many of the caller's photos, or of our own."""
    if options.photos:
        return workload.some(options.photos, count, directory)
    return workload.photos(directory, count)


def against_a_script(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ours, the script, ours in float32."""
    photos = pictures(root / "photos", PHOTOS, options)
    more = pictures(root / "more", round(PHOTOS / (1 - workload.TEST)), options)  # ours sets a test split aside
    found = {"auto": ours(root / "auto", more, options)}
    started = time.perf_counter()
    accuracy = script.train(str(photos), options.weights and str(options.weights), options.epochs)
    theirs = {"seconds": round(time.perf_counter() - started, 2), "validation_accuracy": accuracy}
    found["float32"] = ours(root / "float32", more, options, "float32")
    times = {name: one["seconds"] for name, one in found.items()}
    with_records = {name: one["seconds"] + one["records"] for name, one in found.items()}
    return {
        "photos": PHOTOS,
        "epochs": options.epochs,
        "script": theirs,
        "ours": found,
        "ratio": {name: round(theirs["seconds"] / seconds, 2) for name, seconds in times.items()},
        "ratio_with_records": {name: round(theirs["seconds"] / seconds, 2) for name, seconds in with_records.items()},
    }


def against_a_pass(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The whole of ours, against the forward pass alone: batches in memory, the model in the same precision."""
    import keras
    import numpy as np
    import tensorflow as tf

    from frostline.model import backbones
    from frostline.model.bfloat16 import low_precision

    photos = pictures(root / "photos", options.bare, options)
    result = ours(root / "ours", photos, options)
    low = any("computes in bfloat16" in line for line in result["precision"])
    model = backbones.build("InceptionV3", SIZE)
    if options.weights:
        model.load_weights(options.weights)
    batch = tf.constant(np.random.default_rng(0).integers(0, 256, (32, SIZE, SIZE, 3)), tf.uint8)

    def forward(pixels: Any) -> Any:
        return model(backbones.normalise(pixels, "InceptionV3"), training=False)

    layers: list[keras.layers.Layer] = model.layers if low else []
    with low_precision(layers):
        function = tf.function(forward).get_concrete_function(tf.TensorSpec(batch.shape, tf.uint8))
    function(batch)
    passed = sum(count for split, count in result["splits"].items() if split != "test")
    started = time.perf_counter()
    for _ in range(-(-passed // 32)):
        function(batch).numpy()
    bare = time.perf_counter() - started
    return {
        "images": passed,
        "precision": "bfloat16" if low else "float32",
        "ours": result,
        "bare_pass": round(bare, 2),
        "ratio": round(result["seconds"] / bare, 3),
    }


if __name__ == "__main__":
    main()
