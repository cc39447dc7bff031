"""Training above mixed7 of InceptionV3, on cached features and without a cache: `python benchmarks/suffix.py`.

Prints JSON. Ten epochs with validation of the same policy on the same records, in the same process: with the cache,
without it, with it again in a new store.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import workload

POLICY = {"through": "mixed7"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=420)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--precision", choices=["auto", "float32"], default="auto", help="of the prefix")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        photos = workload.photos(root / "photos", options.photos)
        results = []
        for number, mode in enumerate(("require", "off", "require")):
            run = workload.Run(root / str(number), photos, 299)
            cache = {"mode": mode, "precision": options.precision}
            results.append(run.train(POLICY, cache, options.epochs, {}))
    first, without, second = results
    best = min(first["seconds"], second["seconds"])
    workload.show({"cached": [first, second], "without": without, "ratio": round(without["seconds"] / best, 2)})


if __name__ == "__main__":
    main()
