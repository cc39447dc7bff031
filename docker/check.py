"""Runs an image as a strict cluster does: `python3 docker/check.py ENGINE IMAGE`, ENGINE being docker or podman.

The whole demo runs in it as a user without a name, on a read-only root, without network or capabilities. Each step is a
new interpreter, as in a pod: a fork of the warm process would not show what TensorFlow writes when it is imported. The
logs of the steps may contain nothing of CUDA, oneDNN or absl. The layers and their sizes are printed.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time

NOISE = re.compile(r"cuda|cuinit|onednn|absl|xla|Warning|Traceback", re.IGNORECASE)
INSIDE = """
import importlib.metadata, importlib.util, json, os, sys
here = {dist.metadata["Name"].lower().replace("_", "-") for dist in importlib.metadata.distributions()}
bill = json.load(open("/opt/frostline/sbom.cdx.json"))
print(json.dumps({
    "python": sys.executable,
    "found": [name for name in ("pip", "setuptools") if importlib.util.find_spec(name)],
    "unlisted": sorted(here - {item["name"].lower().replace("_", "-") for item in bill["components"]}),
    "writable": [root for root, _, _ in os.walk("/opt") if os.access(root, os.W_OK)],
}))
"""

# Python imports sitecustomize when it starts: here it ends the warm process, and leaves a file to show that it did.
COLD = """mkdir cold && cat > cold/sitecustomize.py << 'END'
import os, sys
if "pipelines.warm_server" in sys.orig_argv:
    open(os.path.join(os.path.dirname(__file__), "ended"), "w").close()
    os._exit(0)
END
"""
DEMO = f"{COLD}PYTHONPATH=/tmp/cold python3 -m pipelines.demo && cat cold/ended runs/*/run.log"


def main(engine: str, image: str) -> int:
    """Run the checks and print one line for each. Returns the exit code."""
    uid = random.SystemRandom().randrange(100_000, 1_000_000)
    strict = [
        engine, "run", "--rm", "--user", f"{uid}:0", "--read-only", "--network", "none", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--tmpfs", "/tmp:rw,mode=1777,size=4g", image,  # noqa: S108
    ]  # fmt: skip
    failures = []

    inside = run([*strict, "python3", "-c", INSIDE])
    found = json.loads(inside.stdout) if inside.returncode == 0 else {"error": inside.stderr}
    expected = {"python": "/opt/venv/bin/python3", "found": [], "unlisted": [], "writable": []}
    failures += [f"inside the image: {found}; expected {expected}"] * (found != expected)

    began = time.perf_counter()
    demo = run([*strict, "sh", "-c", DEMO])
    seconds = time.perf_counter() - began
    log = demo.stdout + demo.stderr
    failures += [f"the demo ended with {demo.returncode}:\n{log[-3000:]}"] * (demo.returncode != 0)
    failures += [f"noise in the log: {line}" for line in log.splitlines() if NOISE.search(line)]

    for row in layers(engine, image):
        print(row)
    print(f"demo as uid {uid}: exit code {demo.returncode}, {seconds:.0f} s, {len(log.splitlines())} lines")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return bool(failures)


def layers(engine: str, image: str) -> list[str]:
    """The layers of an image with their sizes, the base's first."""
    history = run([engine, "history", "--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}", image])
    rows = [line.split("\t", 1) for line in reversed(history.stdout.splitlines())]
    return [f"{size:>10}  {' '.join(by.split())[:90]}" for size, by in rows if not re.fullmatch(r"0 ?B", size)]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command and keep its output."""
    return subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"{__doc__}")
    sys.exit(main(*sys.argv[1:]))
