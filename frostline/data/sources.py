"""Sources of images: the embedded digits, a directory or bucket with one folder per class, or a TFDS dataset."""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frostline import quiet
from frostline.data import folders, metadata
from frostline.data.config import Layout
from frostline.documents.data import SplitName
from frostline.errors import ConfigError, DataError
from frostline.text import one_line

_TFDS_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TFDS_RETRIES = 5  # instead of 10: without a network, the last five only add a wait of 198 s
_EXPECTED = "expected digits, tfds://NAME, or a directory or gs:// prefix with one folder per class"


@dataclass(frozen=True)
class SourceImage:
    """One image of a source.

    Attributes:
        id: its path relative to the source, or its place in the dataset.
        label: name of its class.
        uri: address of its file; empty for a packed source.
        data: its original bytes; None if they are in the file.
        metadata: its values in metadata.csv, {column: value}.
        split: the split whose folder it is in; None if the source has no such folders.
    """

    id: str
    label: str
    uri: str = ""
    data: bytes | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    split: SplitName | None = None


@dataclass(frozen=True)
class ImageSource:
    """A source that was found.

    Attributes:
        name: in snake case, as TFDS requires for the name of a dataset.
        labels: names of all classes, sorted, with those that have no images.
        images: the images; can be read once.
        total: number of images.
        packed: whether images carry their bytes instead of having their own files.
        left_out: number of files that are not used, {reason: files}.
        unmatched: file names in metadata.csv that match no image, sorted.
        links: links that lead nowhere or into a folder that contains them, sorted; they are left out.
    """

    name: str
    labels: tuple[str, ...]
    images: Iterable[SourceImage]
    total: int
    packed: bool
    left_out: dict[str, int] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


def open_source(source: str, layout: Layout = "auto") -> ImageSource:
    """Find the images and labels of a source. Image files are listed and not read; metadata.csv is read.

    Args:
        source: `digits`, `tfds://NAME`, a directory, or `gs://BUCKET/PREFIX`.
        layout: whether the folders of a directory or bucket are classes or splits.

    Raises:
        ConfigError: the source is malformed, or TFDS has no dataset of this name.
        DataError: nothing is there, the images have no labels, or metadata.csv cannot be used.
        StorageError: a directory or bucket cannot be read.
    """
    if source == "digits":
        return _digits()
    scheme, separator, name = source.partition("://")
    if separator and scheme == "tfds":
        return _tfds(source, name)
    if separator and scheme != "gs":
        raise ConfigError("source", source, _EXPECTED)
    return _folder(source, layout)


def _digits() -> ImageSource:
    """The 1,797 digits of 8x8 pixels in scikit-learn, scaled from 0..16 to 0..255, as greyscale PNG."""
    import numpy as np
    from PIL import Image as Pillow
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)

    def images() -> Iterator[SourceImage]:
        for number, (picture, target) in enumerate(zip(pixels, digits.target, strict=True)):
            buffer = io.BytesIO()
            Pillow.fromarray(picture).save(buffer, "PNG")
            yield SourceImage(f"digits/{number:05d}", str(target), data=buffer.getvalue())

    return ImageSource("digits", tuple(str(digit) for digit in range(10)), images(), len(pixels), packed=True)


def _folder(source: str, layout: Layout) -> ImageSource:
    remote = source.startswith("gs://")
    root = source.rstrip("/") if remote else os.path.abspath(source)  # noqa: PTH100  (resolve() would follow links)
    if not remote and not Path(root).is_dir():
        raise DataError(f"source: received {source!r}, which is not a directory; {_EXPECTED}")
    listing = folders.list_images(root)
    described = metadata.read(root, listing.tables, source)
    has_labels = layout != "classes" and metadata.has_labels(described)
    splits = folders.given_splits(listing.images, layout, source, has_labels=has_labels)
    labelled = has_labels and not _have_class_folders(listing.images, splits)
    left_out, images = listing.left_out, []
    for path in listing.images:
        values = dict(described.get(path, {}))
        parts = path.split("/")
        if labelled:
            label, reason = values.pop(metadata.LABEL, ""), "without a label in the metadata"
        else:
            inside = parts[1:] if splits else parts
            label, reason = inside[0] if len(inside) > 1 else "", "outside the class folders"
        if splits and parts[0] not in splits:
            label, reason = "", "outside the split folders"
        if label:
            images.append(SourceImage(path, label, f"{root}/{path}", None, values, splits.get(parts[0])))
        else:
            left_out[reason] += 1
    labels = {image.label for image in images}
    if not labelled and not splits:
        labels |= listing.folders
    unmatched = sorted(set(described) - set(listing.images))
    if images and described and len(unmatched) == len(described):
        raise DataError(
            f"{source}: {listing.tables[0]}: file_name: received {unmatched[0]!r}; expected paths like {images[0].id!r}"
        )
    _check_labels(source, labels, left_out)
    return ImageSource(
        _snake_case(root.rpartition("/")[2]),
        tuple(sorted(labels)),
        images,
        len(images),
        packed=False,
        left_out=dict(left_out),
        unmatched=tuple(unmatched),
        links=tuple(listing.links),
    )


def _have_class_folders(images: Iterable[str], splits: Mapping[str, SplitName]) -> bool:
    """Whether folders name the classes of images: several folders in the root, or any inside a split."""
    parts = [path.split("/") for path in images]
    if splits:
        return any(len(one) > 2 for one in parts if one[0] in splits)
    return len({one[0] for one in parts if len(one) > 1}) > 1


def left_out_words(left_out: Mapping[str, int]) -> str:
    """How many files are left out, and why, in one line: `12 .tif (TIFF, ...), 1 hidden`."""
    return ", ".join(f"{number:,} {reason}" for reason, number in sorted(left_out.items()))


def _check_labels(source: str, labels: set[str], left_out: Mapping[str, int]) -> None:
    if not labels:
        passed = f"; files left out: {left_out_words(left_out)}" if left_out else ""
        raise DataError(
            f"source: received {source!r}, which has no class folder; expected one folder per class, or "
            f"{metadata.FILE} with the columns file_name and {metadata.LABEL}{passed}"
        )
    for label in labels:
        if label != label.strip() or not label.isprintable():
            raise DataError(
                f"source: received the class folder {label!r}; expected a name without control characters or "
                "surrounding spaces"
            )


def _snake_case(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return words if words[:1].isalpha() else f"images_{words}".rstrip("_")


def _tfds(source: str, name: str) -> ImageSource:
    """A TFDS dataset: all splits together, in the original encoding. Downloads and prepares it if needed."""
    if not _TFDS_NAME.fullmatch(name):
        raise ConfigError("source", source, "expected tfds://NAME, the name in snake_case as TFDS lists it")
    quiet.import_tensorflow()
    import tensorflow_datasets as tfds

    builder = _tfds_builder(source, name)
    features = builder.info.features
    found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    if not isinstance(found.get("image"), tfds.features.Image) or not isinstance(
        found.get("label"), tfds.features.ClassLabel
    ):
        kinds = {key: type(feature).__name__ for key, feature in found.items()}
        raise DataError(f"source: {source} has the features {kinds}; expected image: Image and label: ClassLabel")
    labels = tuple(found["label"].names)
    _check_labels(source, set(labels), {})
    splits = sorted(split for split, info in builder.info.splits.items() if info.num_examples)
    total = sum(builder.info.splits[split].num_examples for split in splits)
    images = _tfds_images(builder, name, splits, labels)
    return ImageSource(name, tuple(sorted(labels)), images, total, packed=True)


def _tfds_builder(source: str, name: str) -> Any:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = _TFDS_RETRIES
    try:
        builder = tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except tfds.core.DatasetNotFoundError:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError("source", source, f"TFDS has no dataset of this name{hint}") from None
    except Exception as error:  # a dataset's own code and its download can raise anything
        cause = one_line(f"{type(error).__name__}: {error}")
        raise DataError(f"source: {source} cannot be downloaded or prepared here ({cause})") from error
    return builder


def _tfds_images(builder: Any, name: str, splits: list[str], labels: tuple[str, ...]) -> Iterator[SourceImage]:
    import tensorflow_datasets as tfds

    for split in splits:
        examples = builder.as_dataset(split=split, shuffle_files=False, decoders={"image": tfds.decode.SkipDecoding()})
        for number, example in enumerate(tfds.as_numpy(examples)):
            label = int(example["label"])
            if label >= 0:  # -1: no label, as in ImageNet's test split
                yield SourceImage(f"{name}/{split}/{number:07d}", labels[label], data=bytes(example["image"]))
