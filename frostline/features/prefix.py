"""The frozen prefix: the model up to a layer as a function, its content address, and features computed with it."""

from __future__ import annotations

import copy
import functools
import json
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline import digests
from frostline.data import augment, batches, record_files
from frostline.data.batches import Images
from frostline.data.config import AugmentConfig
from frostline.errors import DataError
from frostline.features.folding import folded
from frostline.features.packs import Writer
from frostline.features.sidecars import Layout
from frostline.freeze import certificate
from frostline.model import arithmetic, backbones, bfloat16, head

BATCH = 32  # images per call, always: the features of an image must not depend on how many others there are
FLOAT32, BFLOAT16 = "float32", "bfloat16"
_UNWRITTEN = 2  # batches that are computed and not yet written, beside the one that is being computed
_FORMAT = 1  # part of every address; raise it when features of the same description change


@dataclass(frozen=True)
class Planned:
    """What the plan step knew about a prefix: its digest, and the shape of the features of one image."""

    digest: str
    shape: tuple[int, ...]


class Prefix:
    """The model up to `layer`, in inference mode, with the weights that it has at the first call."""

    def __init__(
        self, model: Callable[[], keras.Model], backbone: str, layer: str, planned: Planned | None = None
    ) -> None:
        """A prefix that computes in float32; nothing is loaded, cut or traced yet.

        Args:
            model: gives a backbone with a head. If `planned` is given, it is called only when something is computed.
            backbone: name of the backbone, which determines how pixels are normalised.
            layer: the boundary.
            planned: what is known of the prefix.
        """
        self.layer, self.computed_in = layer, FLOAT32
        self.images = 0  # images computed so far
        self._backbone, self._planned = backbone, planned
        self._cut = functools.cache(lambda: _up_to(layer, model()))
        self._folded = functools.cache(lambda: folded(self._cut()))
        self._traced: Any = None

    def lowered(self) -> Prefix:
        """The same prefix, computing in bfloat16 except for pooling."""
        low = copy.copy(self)
        low.computed_in, low.images, low._traced = BFLOAT16, 0, None
        return low

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features of one image."""
        return self._planned.shape if self._planned else tuple(self._cut().output.shape[1:])

    @property
    def digest(self) -> str:
        """Digest of the description."""
        return self._planned.digest if self._planned else digests.of_json(self.description)

    @functools.cached_property
    def description(self) -> Mapping[str, object]:
        """Everything that the features depend on, except the images and the precision.

        Only weights up to the layer are included: a champion that was trained above it shares features with its source.
        """
        return {
            "format": _FORMAT,
            "image_size": int(self._cut().input.shape[1]),
            "graph": json.loads(self._cut().to_json())["config"],
            "weights": certificate.weights_digest(self._cut().layers),
            "normalisation": "none" if backbones.is_file(self._backbone) else self._backbone,
            "images": record_files.PIXELS_VERSION,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,  # its layers choose the operations
        }

    def __call__(self, pixels: Any) -> NDArray[np.float32]:
        """Features of up to BATCH images: [n, size, size, 3] uint8 to [n, *shape] float32."""
        return self.begin(pixels).numpy()  # type: ignore[no-any-return]

    def begin(self, pixels: Any) -> Any:
        """The same features as a tensor, which a GPU may still be computing."""
        count = int(pixels.shape[0])
        self.images += count
        if self._traced is None:
            self._traced = self._trace(pixels.shape[1:])
        padded = tf.pad(pixels, [[0, BATCH - count], [0, 0], [0, 0], [0, 0]])
        with arithmetic.tensor_float_32(on=False):
            return self._traced(padded)[:count]

    def _trace(self, size: Any) -> Any:
        if self._planned and self._planned.digest != digests.of_json(self.description):
            raise DataError(f"the weights up to {self.layer} are not those of the plan; run plan again")
        low = [layer for layer in self._folded().layers if not layer.name.startswith(head.PREFIX)]
        with bfloat16.low_precision(low) if self.computed_in == BFLOAT16 else nullcontext():
            return tf.function(self._forward, autograph=False).get_concrete_function(
                tf.TensorSpec([BATCH, *size], tf.uint8)
            )

    def _forward(self, pixels: Any) -> Any:
        return tf.cast(self._folded()(backbones.normalise(pixels, self._backbone), training=False), tf.float32)


def _up_to(layer: str, model: keras.Model) -> keras.Model:
    outputs = {operation.name: operation.output for operation in model.operations}
    return keras.Model(model.input, outputs[layer], name="prefix")


def address(prefix: str, computed_in: str, dtype: str, view: Mapping[str, object]) -> str:
    """Name of a set of features: a digest of everything that they depend on, except the bytes of the images.

    Args:
        prefix: digest of the prefix.
        computed_in: float32 or bfloat16.
        dtype: storage type.
        view: from `view_description`.
    """
    return digests.of_json({"prefix": prefix, "computed_in": computed_in, "dtype": dtype, "view": view})


def view_description(config: AugmentConfig, seed: int, view: int) -> Mapping[str, object]:
    """Everything that a variant of an image depends on; empty if images are not augmented."""
    described = augment.description(config, seed)
    return {**described, "view": view} if described else {}


def fill(
    prefix: Prefix, source: Images, positions: NDArray[np.int64], view: int, writer: Writer, layout: Layout
) -> Generator[int, None, None]:
    """Compute the features at these positions and add them to packs; yields the number of images per batch.

    Another thread fetches a batch from the device, checks and writes it, in order, while the device computes the next
    ones. It has ended when this generator has, however that ends: close the generator before the writer.

    Raises:
        DataError: a record is damaged, or a feature is not finite in the storage type.
        StorageError: a pack cannot be written.
    """
    parts = [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]
    pending: deque[Future[int]] = deque()

    def write(part: NDArray[np.int64], features: Any, before: Future[int] | None) -> int:
        if before:
            before.result()  # nothing is written after what failed
        rows, ids = features.numpy(), [source.examples.ids[position] for position in part]
        _require_finite(rows, ids, layout)
        writer.add(ids, rows)
        return len(part)

    pool = ThreadPoolExecutor(1, "features")
    try:
        for part, (pixels, _) in zip(parts, batches.stream(source, parts, view), strict=True):
            before = pending[-1] if pending else None
            pending.append(pool.submit(write, part, prefix.begin(pixels), before))
            if len(pending) > _UNWRITTEN:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _require_finite(rows: NDArray[np.float32], ids: list[str], layout: Layout) -> None:
    largest = np.abs(rows.reshape(len(rows), -1)).max(axis=1)
    limit = float(tf.as_dtype(layout.dtype).max)
    wrong = [identifier for identifier, value in zip(ids, largest, strict=True) if not value <= limit]
    if wrong:
        raise DataError(
            f"image {wrong[0]}: a feature at the boundary is not finite or exceeds {limit:g}, the largest "
            f"{layout.dtype} ({len(wrong)} such images in this batch)"
        )
