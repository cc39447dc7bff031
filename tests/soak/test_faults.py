"""Twenty random faults on one device and twenty on two, each followed by a training that must end in the same bits.

One training more is struck over and over. The seed is printed; FROSTLINE_SOAK_SEED repeats a run.
"""

import os
import random

import pytest

from tests.support import resuming
from tests.support.resuming import STEPS

SEED = int(os.environ.get("FROSTLINE_SOAK_SEED") or random.SystemRandom().randrange(10**6))
FAULTS = 20
# How often each point is reached by a training that nothing disturbs and that saves after every step: five epochs.
CATEGORIES = {
    "before-step": 5 * STEPS,
    "after-step": 5 * STEPS,
    "checkpoint-begun": 5 * STEPS,
    "checkpoint-unnamed": 5 * STEPS,
    "checkpoint-unpruned": 5 * STEPS - 2,
    "validation": 5,
    "epoch-over": 5,
    "phase-unsaved": 2,
    "phase-saved": 2,
    "pack-half": 3,
    "export": 1,
    "model-unnamed": 1,
    "not-cleared": 1,
}

# SIGTERM inside the training is a wish that is granted after its next step, if there is one, and its default before
# and after.
EXPECTED = {"SIGKILL": [-9], "SIGTERM": [143, -15, 0]}


def drawn(devices):
    """Each category once, and then any of them: dicts of what `resuming.run` takes."""
    draw = random.Random(f"{SEED}/{devices}")
    points = [*CATEGORIES, *draw.choices(list(CATEGORIES), k=FAULTS - len(CATEGORIES))]
    return [fault(draw, point, devices) for point in points]


def fault(draw, point, devices):
    every = draw.choice([1, 1, 2, 3])
    times = CATEGORIES[point] // every if point.startswith("checkpoint") else CATEGORIES[point]
    signal = draw.choice(["SIGKILL", "SIGKILL", "SIGTERM"])
    return {"point": point, "number": draw.randint(1, times), "every": every, "signal": signal, "devices": devices}


def described(struck):
    return "-".join(str(struck[name]) for name in ("devices", "point", "number", "every", "signal"))


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    print(f"FROSTLINE_SOAK_SEED={SEED}")
    return resuming.prepare(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def undisturbed(bench, tmp_path_factory):
    """What one and two devices come to, each in a process of its own, without a checkpoint inside a phase."""

    def train(devices):
        place = tmp_path_factory.mktemp(f"undisturbed-{devices}")
        ended = resuming.run(bench, place, devices=devices, every=1000)
        assert ended.returncode == 0, ended.stderr[-2000:]
        return resuming.outcome(place)

    return {devices: train(devices) for devices in (1, 2)}


@pytest.mark.parametrize("what", [*drawn(1), *drawn(2)], ids=described)
def test_a_training_that_was_struck_ends_in_the_same_bits(bench, undisturbed, tmp_path, what):
    struck = resuming.run(bench, tmp_path, **what)
    assert struck.returncode in EXPECTED[what["signal"]], (struck.returncode, struck.stderr[-2000:])
    again = resuming.run(bench, tmp_path, devices=what["devices"], every=what["every"])
    assert again.returncode == 0, again.stderr[-2000:]
    assert resuming.outcome(tmp_path) == undisturbed[what["devices"]]
    assert len(resuming.checkpoints(tmp_path)) == 1


@pytest.mark.parametrize("devices", [1, 2])
def test_a_training_that_is_struck_over_and_over_ends_in_the_same_bits(bench, undisturbed, tmp_path, devices):
    """Each attempt takes three steps, saves them, and dies before the next."""
    for _ in range(2 * STEPS):
        ended = resuming.run(bench, tmp_path, devices=devices, point="before-step", number=4)
        if ended.returncode == 0:
            break
        assert ended.returncode == -9, ended.stderr[-2000:]
    assert resuming.outcome(tmp_path) == undisturbed[devices]
