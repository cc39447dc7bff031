"""What a person waits for: `python benchmarks/end_to_end.py --photos DIR --weights FILE` prints JSON.

Whole processes, one after the other: `frostline run` on an empty store, the script that one would write (`script.py`,
which tests and exports nothing), `frostline run` again with nothing new, which finds the features and the training in
the store, and with another seed, which finds the features and trains. DIR has one folder of photos per class, FILE is
what `InceptionV3(include_top=False).save_weights` wrote. `steps` are the seconds of each step; `epochs` of them is what
the epochs took within `train`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workload
from script import BATCH, HIDDEN, RATE, SIZE

from frostline.documents.training import HISTORY


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a directory with one folder per class")
    parser.add_argument("--weights", type=Path, required=True, help="a .weights.h5 of InceptionV3 without its top")
    parser.add_argument("--count", type=int, default=400, help="photos that are used, in equal parts of each class")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        photos = workload.some(options.photos, options.count, root / "photos")
        ours = {"empty_store": _ours(root, _configuration(root, photos, options))}
        script = _script(photos, options)
        ours["again"] = _ours(root, _configuration(root, photos, options))
        ours["another_seed"] = _ours(root, _configuration(root, photos, options, seed=1))
        count = sum(path.is_file() for path in photos.rglob("*"))
    workload.show(
        {
            "photos": count,
            "epochs": options.epochs,
            "script": script,
            **ours,
            "ratio": {name: round(script["seconds"] / one["seconds"], 2) for name, one in ours.items()},
        }
    )


def _configuration(root: Path, photos: Path, options: argparse.Namespace, seed: int = 0) -> Path:
    """A configuration like that of the script: a new hidden layer, one learning rate, the same batches."""
    path = root / "run.json"
    settings = {
        "model_name": "photos",
        "source": str(photos),
        "backbone": "InceptionV3",
        "weights": str(options.weights.resolve()),
        "image_size": SIZE,
        "epochs": options.epochs,
        "batch_size": BATCH,
        "learning_rate": RATE,
        "seed": seed,
        "head": {"hidden": [HIDDEN]},
        "store": f"{root}/store",
        "registry": f"{root}/registry",
        "gate": {"min_accuracy": 0.3},
    }
    path.write_text(json.dumps(settings))
    return path


def _ours(root: Path, config: Path) -> dict[str, Any]:
    """One run as a person starts it, in a directory for runs of its own."""
    runs = Path(tempfile.mkdtemp(dir=root))
    taken = _seconds([str(Path(sys.executable).with_name("frostline")), "run", str(config), "--root", str(runs)])
    (summary,) = (json.loads(path.read_text()) for path in runs.glob("*/summary.json"))
    (model,) = runs.glob("*/artifacts/*/train/model")
    epochs = sum(row["seconds"] for row in HISTORY.read(model))
    trained = epochs < summary["steps"]["train"]  # else the history is that of the training that was found
    return {
        "seconds": taken,
        "steps": {**summary["steps"], "epochs": round(epochs, 2) if trained else 0},
        "outcome": summary["outcome"].partition(":")[0],
    }


def _script(photos: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("script.py"))]
    taken = _seconds([*command, str(photos), str(options.weights), str(options.epochs)])
    return {"seconds": taken}


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    return round(time.perf_counter() - started, 2)


if __name__ == "__main__":
    main()
