"""Peak memory of featurize and train on 1,000 and on 10,000 images: `python benchmarks/memory.py` prints JSON.

Each training runs in a process of its own, with SmallConvNet through block1 at 32 px: features of 32.8 kB an image, 328
MB for 10,000. The peak is the largest resident set that the kernel saw.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import workload

COUNTS = (1_000, 10_000)


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:
        train(Path(sys.argv[1]), Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        peaks = {}
        for count in COUNTS:
            photos = workload.photos(root / f"photos-{count}", count, size=(40, 40))
            command = [sys.executable, __file__, str(root / f"run-{count}"), str(photos)]
            ended = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks[count] = int(ended.stdout.splitlines()[-1])
    first, last = (peaks[count] for count in COUNTS)
    workload.show({"peak_bytes": peaks, "ratio": round(last / first, 3)})


def train(root: Path, photos: Path) -> None:
    """One training; the peak goes to standard output."""
    from frostline.training.telemetry import peak_memory

    root.mkdir()
    run = workload.Run(root, photos, 32, "SmallConvNet")
    run.train({"through": "block1"}, {"mode": "require", "precision": "float32"}, 2, {})
    print(peak_memory()["host_bytes"])


if __name__ == "__main__":
    main()
