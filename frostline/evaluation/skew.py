"""Whether training and serving see the same pixels, and whether the export predicts what the Keras model does.

What can differ is decoding and resizing, which is compared on every test image without running the model, and the
export, for which a few images are enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data import batches, examples
from frostline.data import images as decoding
from frostline.data.batches import Images
from frostline.documents.evaluation import Skew
from frostline.model import arithmetic, backbones

_BATCH = 32
_MOST = 32  # images that the Keras model predicts


class Paths:
    """The two input paths: records, which training reads, and original bytes, which a server gets."""

    def __init__(self, records: str, image_size: int, scratch: Path) -> None:
        """Open the records of the test split.

        Args:
            records: address of the records that preprocess wrote.
            image_size: of the records, in pixels.
            scratch: directory for files from a bucket.
        """
        self._source = Images(examples.load(records, "test", scratch), image_size)
        self._places = {identifier: place for place, identifier in enumerate(self._source.examples.ids)}
        self._same: dict[str, bool] = {}
        traced = tf.function(
            lambda files: decoding.batch(files, image_size),
            autograph=False,
            input_signature=[tf.TensorSpec([None], tf.string)],
        )
        # Tracing takes 0.8 s of Python, while loading and first calling the export take 2 s outside of it.
        with_one_thread = ThreadPoolExecutor(1, "decoding")
        self._decode = with_one_thread.submit(traced.get_concrete_function)
        with_one_thread.shutdown(wait=False)

    def add(self, ids: Sequence[str], files: Sequence[bytes]) -> None:
        """Compare the pixels of some images, bit by bit; those without a record are left out.

        Args:
            ids: SHA-256 of each file.
            files: the original bytes.
        """
        known = [number for number, identifier in enumerate(ids) if identifier in self._places]
        if not known:
            return
        served = self._decode.result()(tf.constant([files[number] for number in known])).numpy()
        places = np.array([self._places[ids[number]] for number in known], np.int64)
        trained = self._source.read(places, 0).numpy()
        same = (served == trained).all(axis=(1, 2, 3)).tolist()
        self._same.update(zip((ids[number] for number in known), same, strict=True))

    def compare(self, model: Path, backbone: str, served: Mapping[str, NDArray[np.float32]]) -> Skew:
        """Compare the Keras model's predictions from records with the export's from the bytes that were added.

        Args:
            model: model.keras.
            backbone: determines how pixels are normalised.
            served: the export's probabilities by the SHA-256 of the image, [classes] float32 each.

        Returns:
            {images, agreement: fraction of images that get the same label, max_difference: of a probability, different:
            number of images with other pixels, predicted: number of images that the Keras model predicted}. Images that
            were not predicted agree as often as those that were and whose pixels are the same, and do not agree if
            their pixels differ.
        """
        same, different = (
            sorted(one for one, is_same in self._same.items() if is_same is kind) for kind in (True, False)
        )
        tried = different[: max(_MOST // 2, _MOST - len(same))]
        chosen = [*tried, *same[: _MOST - len(tried)]]
        if not chosen:
            self._source.examples.close()
            return {"images": 0, "agreement": 0.0, "max_difference": 0.0, "different": 0, "predicted": 0}
        ours, theirs = self._predict(model, backbone, chosen), np.stack([served[one] for one in chosen])
        equal = ours.argmax(axis=1) == theirs.argmax(axis=1)
        of_same = equal[len(tried) :]
        agreeing = int(equal[: len(tried)].sum())
        agreeing += len(same) * int(of_same.sum()) // len(of_same) if len(of_same) else 0
        return {
            "images": len(self._same),
            "agreement": agreeing / len(self._same),
            "max_difference": float(np.abs(ours - theirs).max()),
            "different": len(different),
            "predicted": len(chosen),
        }

    def _predict(self, model: Path, backbone: str, ids: Sequence[str]) -> NDArray[np.float32]:
        whole = keras.models.load_model(model, compile=False, safe_mode=True)
        predict = tf.function(
            lambda pixels: whole(backbones.normalise(pixels, backbone), training=False),
            autograph=False,
            input_signature=[self._source.spec],
        )
        parts = batches.cut(np.array([self._places[one] for one in ids], np.int64), _BATCH)
        with arithmetic.tensor_float_32(on=False):
            predicted = [predict(pixels).numpy() for pixels, _ in batches.stream(self._source, parts)]
        self._source.examples.close()
        return np.concatenate(predicted)
