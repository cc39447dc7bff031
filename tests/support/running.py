"""`frostline` as a person runs it: in its own process."""

import subprocess
import sys
from pathlib import Path

from pipelines.documents import SUMMARY

FROSTLINE = Path(sys.executable).parent / "frostline"
COLOURS = """# photos in the directory DIR; a gate section may follow
model_name: colours
source: DIR
backbone: SmallConvNet
weights: random
image_size: 32
epochs: 3
learning_rate: 0.003
freeze: {none: true, batch_norm: follow}
data: {test_fraction: 0.4}
"""


class Run:
    """A finished `frostline run`: exit code, output and files."""

    def __init__(self, root, config, *overrides, prefix=()):
        options = [part for override in overrides for part in ("--set", override)]
        command = [*prefix, str(FROSTLINE), "run", str(config), "--root", str(root), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        found = sorted(root.glob("*/arguments.json"), key=lambda path: path.stat().st_mtime_ns)
        self.directory = found[-1].parent if found else None

    def error(self):
        """The error line, if there is exactly one and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("frostline: error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("frostline: error: ")

    def artifact(self, pattern):
        (path,) = self.directory.glob(f"artifacts/*/{pattern}")
        return path

    def summary(self):
        return SUMMARY.read(self.directory)


def frostline(*arguments):
    """Run a command; returns exit code, standard output and standard error."""
    command = [str(FROSTLINE), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr
