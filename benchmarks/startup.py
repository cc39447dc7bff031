"""How long the command line takes to answer, in seconds: `python benchmarks/startup.py` prints JSON.

The commands are run in turn, several rounds, with bytecode cached by a first round that does not count. A bare
`python -c pass` in the same rounds says what of it is the interpreter. `keras_check` is what training spends, once
TensorFlow is imported, on checking that this Keras holds frozen layers still.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 9
FROSTLINE = str(Path(sys.executable).parent / "frostline")


def main() -> None:
    """Time each command and print minimum, median and maximum."""
    with tempfile.TemporaryDirectory() as directory:
        commands = {
            "python": [sys.executable, "-c", "pass"],
            "help": [FROSTLINE, "--help"],
            "compile": [FROSTLINE, "compile", "--output", f"{directory}/pipeline.yaml"],
        }
        checks = keras_checks()
        rounds = [{name: seconds(command) for name, command in commands.items()} for _ in range(ROUNDS + 1)][1:]
    report = {}
    for name in commands:
        report[name] = spread([times[name] for times in rounds])
    report["keras_check"] = spread(checks)
    print(json.dumps({"unit": "s", "rounds": ROUNDS, **report}, indent=2))


def spread(times: list[float]) -> dict[str, float]:
    """What a reader wants of some times."""
    return {"min": min(times), "median": statistics.median(times), "max": max(times)}


def keras_checks() -> list[float]:
    """Seconds of each check of Keras in this process; the first one, which traces everything anew, does not count."""
    from frostline.training import keras_check

    taken = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        keras_check.require_trustworthy_keras()
        taken.append(round(time.perf_counter() - started, 3))
    return taken[1:]


def seconds(command: list[str]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return round(time.perf_counter() - started, 3)


if __name__ == "__main__":
    main()
