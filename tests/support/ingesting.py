"""Folders of small photos, and the ingest stage run on them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from frostline import ingest
from frostline.documents.data import MANIFEST, SOURCE

HALF = {"validation_fraction": 0.2, "test_fraction": 0.3}


def photo(number: int) -> bytes:
    """A PNG file of 4x4 pixels that `number` decides."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def put(root: Path, **images: Iterable[int]) -> Path:
    """`put(root, cats=range(3))` writes cats/0.png to cats/2.png; equal numbers are equal images."""
    for label, numbers in images.items():
        (root / label).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (root / label / f"{number}.png").write_bytes(photo(number))
    return root


def three_classes(root: Path) -> Path:
    return put(root, cats=range(30), dogs=range(100, 130), owls=range(200, 230))


def runner(directory: Path) -> Callable[..., tuple[list[list[str]], list[dict[str, Any]], dict[str, Any]]]:
    """A function that runs the stage and returns shard names, rows and source.json."""
    runs = iter(range(1000))

    def run(source, data=HALF, shards=2, workers=None, store=None):
        dataset = directory / f"dataset-{next(runs)}"
        names = ingest.run(
            source=str(source),
            data=dict(data),
            shards=shards,
            workers=workers or min(shards or 1, 8),
            store=str(store or directory / "store"),
            dataset=str(dataset),
        )
        return names, MANIFEST.read(dataset), SOURCE.read(dataset)

    return run
