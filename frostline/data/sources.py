"""Sources of images: the embedded digits, a directory or bucket with one folder per class, or a TFDS dataset."""

from __future__ import annotations

import difflib
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frostline import storage
from frostline.data import metadata
from frostline.errors import ConfigError, DataError, StorageError
from frostline.text import one_line

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
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
    """

    id: str
    label: str
    uri: str = ""
    data: bytes | None = None
    metadata: dict[str, str] = field(default_factory=dict)


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
    """

    name: str
    labels: tuple[str, ...]
    images: Iterable[SourceImage]
    total: int
    packed: bool
    left_out: dict[str, int] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()


def open_source(source: str) -> ImageSource:
    """Find the images and labels of a source. Image files are listed and not read; metadata.csv is read.

    Args:
        source: `digits`, `tfds://NAME`, a directory, or `gs://BUCKET/PREFIX`.

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
    return _folder(source)


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


def _folder(source: str) -> ImageSource:
    left_out: Counter[str] = Counter()
    remote = source.startswith("gs://")
    root = source.rstrip("/") if remote else os.path.abspath(source)  # noqa: PTH100  (resolve() would follow links)
    paths, labels = _remote_paths(root) if remote else _local_paths(source, Path(root), left_out)
    described = _metadata(source, root) if metadata.FILE in paths else {}
    images, unmatched = [], dict(described)
    for path in sorted(set(paths) - {metadata.FILE}):
        reason = _why_not(path)
        if reason:
            left_out[reason] += 1
        else:
            unmatched.pop(path, None)
            images.append(SourceImage(path, path.split("/")[0], uri=f"{root}/{path}", metadata=described.get(path, {})))
    if images and described and len(unmatched) == len(described):
        raise DataError(
            f"{source}: {metadata.FILE}: file_name: received {min(unmatched)!r}; expected paths like {images[0].id!r}"
        )
    _check_labels(source, labels)
    return ImageSource(
        _snake_case(root.rpartition("/")[2]),
        tuple(sorted(labels)),
        images,
        len(images),
        packed=False,
        left_out=dict(left_out),
        unmatched=tuple(sorted(unmatched)),
    )


def _metadata(source: str, root: str) -> dict[str, dict[str, str]]:
    return metadata.parse(storage.read_bytes(f"{root}/{metadata.FILE}"), f"{source}: {metadata.FILE}")


def _check_labels(source: str, labels: set[str]) -> None:
    if not labels:
        raise DataError(f"source: received {source!r}, which has no class folder; expected one folder per class")
    for label in labels:
        if label != label.strip() or not label.isprintable():
            raise DataError(
                f"source: received the class folder {label!r}; expected a name without control characters or "
                "surrounding spaces"
            )


def _why_not(path: str) -> str:
    """Why a file is not one of the source's images; empty if it is one."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts):
        return "hidden"
    if len(parts) == 1:
        return "outside the class folders"
    return "" if parts[-1].lower().endswith(EXTENSIONS) else f"not {' '.join(EXTENSIONS)}"


def _remote_paths(root: str) -> tuple[list[str], set[str]]:
    paths = [item.uri.removeprefix(f"{root}/") for item in storage.list_files(root)]
    return paths, {path.split("/")[0] for path in paths if "/" in path and not path.startswith(".")}


def _local_paths(source: str, root: Path, left_out: Counter[str]) -> tuple[list[str], set[str]]:
    """Relative paths of the regular files under `root`, with forward slashes, and the names of its visible folders.

    Links to directories are not followed; links to files are followed only inside the source.
    """
    if not root.is_dir():
        raise DataError(f"source: received {source!r}, which is not a directory; {_EXPECTED}")
    inside = root.resolve()
    paths: list[str] = []
    labels: set[str] = set()
    for directory, folders, names in os.walk(root, onerror=_cannot_list):
        here = Path(directory)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in links]
        left_out.update(["links to directories"] * len(links))
        if here == root:
            labels.update(folders)
        for name in names:
            path = here / name
            if not name.isprintable():
                left_out["with a name that is not printable text"] += 1
            elif path.is_symlink() and not path.resolve().is_relative_to(inside):
                left_out["links that leave the source"] += 1
            elif path.is_file():
                paths.append(path.relative_to(root).as_posix())
            else:
                left_out["not regular files"] += 1
    return paths, labels


def _cannot_list(error: OSError) -> None:
    raise StorageError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _snake_case(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return words if words[:1].isalpha() else f"images_{words}".rstrip("_")


def _tfds(source: str, name: str) -> ImageSource:
    """A TFDS dataset: all splits together, in the original encoding. Downloads and prepares it if needed."""
    if not _TFDS_NAME.fullmatch(name):
        raise ConfigError("source", source, "expected tfds://NAME, the name in snake_case as TFDS lists it")
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
