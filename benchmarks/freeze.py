"""What planning and certifying cost: `python benchmarks/freeze.py` prints JSON.

`plan`: milliseconds from a built InceptionV3 to its plan through mixed7: reading the graph and resolving the policy.
`certificate`: one head-only train stage of InceptionV3 with random weights, as the pipeline runs it, and how many of
its seconds go into digests of weights and files and into comparing them.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROUNDS = 21
PHOTOS = 400
CLASSES = 4
EPOCHS = 2
SECTIONS = {"head": {}, "training": {}, "augment": {}, "cache": {"mode": "off"}}
TIMED = ("replica_digests", "certify", "file_digests")  # none of them calls another


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=299, help="height and width of the photos, in pixels")
    size = parser.parse_args().size
    print(json.dumps({"plan": plan_cost(), "certificate": certificate_cost(size)}, indent=2))


def plan_cost() -> dict[str, Any]:
    """Milliseconds of from_model and make_plan together."""
    from frostline.freeze.config import FreezeConfig
    from frostline.freeze.graph import from_model
    from frostline.freeze.plan import make_plan
    from frostline.model import backbones

    model, config = backbones.build("InceptionV3", 299), FreezeConfig(through="mixed7")
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        make_plan(from_model(model), config, backbone="InceptionV3", image_size=299)
        times.append(1000 * (time.perf_counter() - started))
    summary = {"min": min(times), "median": statistics.median(times), "max": max(times)}
    return {"unit": "ms", "rounds": ROUNDS, **{name: round(value, 2) for name, value in summary.items()}}


def certificate_cost(size: int) -> dict[str, Any]:
    """Seconds of the train stage, and of the certificate within it."""
    from frostline import train
    from frostline.freeze import certificate

    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stderr(io.StringIO()):
        root = Path(directory)
        _prepare(root, size)
        spent = dict.fromkeys(TIMED, 0.0)
        for name in TIMED:
            setattr(certificate, name, _timed(getattr(certificate, name), name, spent))
        started = time.perf_counter()
        train.run(
            info=f"{root}/info", freeze_plan=f"{root}/plan", backbone_weights=f"{root}/weights",
            features=[f"{root}/features"], **SECTIONS, epochs=EPOCHS, batch_size=16, learning_rate=0.001, seed=0,
            store=f"{root}/store", image="", model=f"{root}/model", record=f"{root}/record",
            logs=f"{root}/logs",
        )  # fmt: skip
        total = time.perf_counter() - started
    certified = sum(spent.values())
    return {
        "photos": PHOTOS,
        "image_size": size,
        "epochs": EPOCHS,
        "unit": "s",
        **{name: round(value, 3) for name, value in spent.items()},
        "certificate": round(certified, 3),
        "train": round(total, 3),
        "share": round(certified / total, 5),
    }


def _timed(function: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **options)
        finally:
            spent[name] += time.perf_counter() - started

    return timed


def _prepare(root: Path, size: int) -> None:
    """Run the stages before training: one shard of photos, a head-only plan, random weights."""
    from frostline import ingest, plan, prepare, validate

    _photos(root / "photos", size)
    store = str(root / "store")
    dataset, examples = f"{root}/dataset", f"{root}/examples"
    (worker,) = ingest.run(source=str(root / "photos"), data={}, shards=1, workers=1, store=store, dataset=dataset)
    parameters = {
        "backbone": "InceptionV3", "weights": "random", "image_size": size, "freeze": {"head_only": True},
        "store": store, "registry": f"{root}/registry",
    }  # fmt: skip
    planned = {"freeze_plan": f"{root}/plan", "backbone_weights": f"{root}/weights"}
    plan.run(parameters=parameters, **planned, page=f"{root}/plan.html")
    prepare.run(
        dataset=dataset, worker=worker, image_size=size, **planned, epochs=EPOCHS, seed=0, augment={},
        cache=SECTIONS["cache"], store=store, examples=examples, features=f"{root}/features",
    )  # fmt: skip
    validate.run(
        dataset=dataset, examples=[examples], image_size=size, store=store, info=f"{root}/info", page=f"{root}/v.html"
    )


def _photos(directory: Path, size: int) -> None:
    """Noisy JPEGs, one brightness a class."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        folder = directory / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(PHOTOS // CLASSES):
            pixels = np.clip(rng.normal(40 + 50 * label, 20, (size, size, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:03d}.jpg", quality=90)


if __name__ == "__main__":
    main()
