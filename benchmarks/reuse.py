"""What a second run computes: `python benchmarks/reuse.py` prints JSON, in counts of images and in seconds.

`again`: the same photos. `more`: one in a hundred is new. Every count is of images that went through the frozen prefix
before training. The images of the comparison with the whole model are counted separately,
because it runs all layers.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import workload


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=400)
    count = parser.parse_args().photos
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        photos = workload.photos(root / "photos", count)
        result = {"first": one(root / "first", root / "store", photos)}
        result["again"] = one(root / "again", root / "store", photos)
        workload.photos(root / "photos", count // 100, first=count)
        result["more"] = one(root / "more", root / "store", photos)
    workload.show(result)


def one(root: Path, store: Path, photos: Path) -> dict[str, Any]:
    """One run with the common store."""
    root.mkdir(parents=True)
    store.mkdir(exist_ok=True)
    (root / "store").symlink_to(store)
    run = workload.Run(root, photos, 299)
    measured = run.train({"head_only": True}, {"mode": "auto"}, 10, workload.HEAD)
    splits = {split: number for split, number in run.info["splits"].items() if split != "test"}
    return {
        "images": sum(splits.values()),
        "through_the_prefix": measured["computed"],
        "for_the_comparison": measured["equality"]["images"],
        "seconds": measured["seconds"],
    }


if __name__ == "__main__":
    main()
