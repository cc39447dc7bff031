"""Small photos that the tests make themselves: noisy JPEGs, one colour per class."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"amber": (230, 160, 30), "cobalt": (30, 60, 200), "jade": (20, 160, 90)}


def picture(rng: np.random.Generator, colour: tuple[int, int, int], size: int = 40) -> bytes:
    """A JPEG that a small network can distinguish from other colours; no two are equal."""
    noise = rng.normal(0, 25, (size, size, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make(directory: Path, per_class: int, classes: tuple[str, ...] = tuple(COLOURS)) -> Path:
    """Fill a directory with class folders; the same photos every time."""
    rng = np.random.default_rng(7)
    for label in classes:
        folder = directory / label
        folder.mkdir(parents=True)
        for number in range(per_class):
            (folder / f"{number:03d}.jpg").write_bytes(picture(rng, COLOURS[label]))
    return directory
