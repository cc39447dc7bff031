"""A process that is killed, another that saves at once, a full disk: what was saved before is there."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from frostline import storage
from frostline.training.checkpoint import Checkpoints

SAVE_FOREVER = """
import sys
import numpy as np
from frostline.training.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
found = checkpoints.latest()
step = found.step if found else 0
while True:
    step += 1
    checkpoints.save(step, {"w": np.full(300_000, step, np.float32)}, {"step": step})
    print(step, flush=True)
"""
SAVE_THE_SAME = """
import sys
import numpy as np
from frostline.training.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for step in range(40):
    checkpoints.save(step, {"w": np.full(1000, step + float(sys.argv[2]), np.float32)}, {})
"""
SAVE_INTO_LITTLE_SPACE = """
import sys
import numpy as np
from frostline.training.checkpoint import Checkpoints
from frostline.errors import StorageError
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(1, {"w": np.ones(1000, np.float32)}, {})
try:
    checkpoints.save(2, {"w": np.ones(1_000_000, np.float32)}, {})
except StorageError as error:
    print(error)
print(checkpoints.latest().step)
checkpoints.save(3, {"w": np.ones(1000, np.float32)}, {})
print(checkpoints.latest().step)
"""


@pytest.fixture(params=["local", "gcs"])
def root(request, tmp_path):
    place = str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("gcs")
    return storage.join(place, "checkpoints", "fingerprint")


def test_a_process_killed_at_any_moment_leaves_what_it_had_saved(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # whoever is killed does not clean up
    moments, returned = random.Random(5), 0
    for _ in range(10 if root.startswith("/") else 3):
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, root], stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline()]  # at least one is saved
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        returned = max([returned, *(int(line) for line in lines if line.endswith("\n"))])
        found = Checkpoints(root).latest()
        assert found.step in (returned, returned + 1)  # killed between the upload and the line
        assert found.state == {"step": found.step}
        assert (found.arrays["w"] == found.step).all()
    assert capsys.readouterr().err == ""  # and none of what is there is damaged
    assert returned >= 3


@pytest.mark.parametrize("second", ["0", "0.5"], ids=["the same content", "another content"])
def test_two_processes_may_save_the_same_steps_at_once(root, second, capsys):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SAVE_THE_SAME, root, offset],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for offset in ("0", second)
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        assert process.communicate(timeout=120)[1] == ""
        assert process.returncode == 0
    found = Checkpoints(root).latest()
    assert found.step == 39
    assert set(found.arrays["w"]) <= {39.0, 39.5}
    assert capsys.readouterr().err == ""


def mounts():
    """A command that runs another with a file system of its own at $1, or None where the system forbids it."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *user, "--mount", "sh", "-c"]
    works = subprocess.run([*command, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode == 0
    return command if works else None


@pytest.mark.parametrize("full", ["store", "temporary"])
def test_a_full_disk_is_told_in_one_line_and_the_older_checkpoint_serves(tmp_path, full):
    """Where mounting is forbidden, a limit on the size of files stands in for the small disk."""
    store, temporary = tmp_path / "store", tmp_path / "temporary"
    store.mkdir()
    temporary.mkdir()
    namespace = mounts()
    script = 'mount -t tmpfs -o size=300k tmpfs "$1"; shift; exec "$@"'
    prefix = [*namespace, script, "sh", str(tmp_path / full)] if namespace else ["prlimit", "--fsize=300000"]
    done = subprocess.run(
        [*prefix, sys.executable, "-c", SAVE_INTO_LITTLE_SPACE, str(store)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
    )
    message, after, again = done.stdout.splitlines()
    assert message.startswith(str(store))
    assert ("No space left on device" if namespace else "File too large") in message
    assert (after, again) == ("1", "3")
    assert done.stderr == ""
    assert not list(temporary.iterdir())
    assert not list(store.rglob("*.partial"))
