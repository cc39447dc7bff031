"""Where images come from: the embedded digits, a directory or bucket of class folders, or a TFDS dataset."""

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
_TFDS_RETRIES = 5  # of 10: the last five wait for 198 s and bring back no network
_EXPECTED = "expected digits, tfds://NAME, or a directory or gs:// prefix of class folders"


@dataclass(frozen=True)
class Image:
    """One image: its original bytes are `data`, or the file at `uri` where `data` is None.

    metadata: what metadata.csv says of it, {column: value}.
    """

    id: str
    label: str
    uri: str = ""
    data: bytes | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A source that has been found.

    name: snake_case, as TFDS wants a dataset's name. labels: all there are, sorted, those without an image too.
    total: number of images. packed: images carry their bytes, and have no file of their own.
    left_out: what was passed over, {reason: number of files}.
    unknown: names in metadata.csv that are none of its images, sorted.
    """

    name: str
    labels: tuple[str, ...]
    images: Iterable[Image]
    total: int
    packed: bool
    left_out: dict[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def open_source(source: str) -> Source:
    """Find a source's images and labels; files of class folders are listed, and only their metadata.csv is read.

    Args:
        source: `digits`, `tfds://NAME`, a directory, or `gs://BUCKET/PREFIX`.

    Raises:
        ConfigError: the source is spelled wrongly, or TFDS does not know the name.
        DataError: there is nothing there, it has no images with one label each, or its metadata.csv cannot be used.
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


def _digits() -> Source:
    """The 1,797 8x8 digits that come with scikit-learn, 0..16 scaled to 0..255, as greyscale PNG."""
    import numpy as np
    from PIL import Image as Pillow
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)

    def images() -> Iterator[Image]:
        for number, (picture, target) in enumerate(zip(pixels, digits.target, strict=True)):
            buffer = io.BytesIO()
            Pillow.fromarray(picture).save(buffer, "PNG")
            yield Image(f"digits/{number:05d}", str(target), data=buffer.getvalue())

    return Source("digits", tuple(str(digit) for digit in range(10)), images(), len(pixels), packed=True)


def _folder(source: str) -> Source:
    left_out: Counter[str] = Counter()
    remote = source.startswith("gs://")
    root = source.rstrip("/") if remote else os.path.abspath(source)  # noqa: PTH100  (resolve() would follow links)
    paths, labels = _remote_paths(root) if remote else _local_paths(source, Path(root), left_out)
    described = metadata.FILE in paths
    known = (
        metadata.parse(storage.read_bytes(f"{root}/{metadata.FILE}"), f"{source}: {metadata.FILE}") if described else {}
    )
    images, rows = [], len(known)
    for path in sorted(set(paths) - {metadata.FILE}):
        reason = _why_not(path)
        if reason:
            left_out[reason] += 1
        else:
            images.append(Image(path, path.split("/")[0], uri=f"{root}/{path}", metadata=known.pop(path, {})))
    if images and rows and len(known) == rows:
        raise DataError(
            f"{source}: {metadata.FILE}: file_name: received {min(known)!r}; expected paths like {images[0].id!r}"
        )
    if not labels:
        raise DataError(
            f"source: received {source!r}, which has no class folder; expected one folder of images a class"
        )
    for label in labels:
        if label != label.strip() or not label.isprintable():
            raise DataError(
                f"source: the class folder {label!r} needs a name without control characters or outer spaces"
            )
    return Source(
        _snake_case(root.rpartition("/")[2]),
        tuple(sorted(labels)),
        images,
        len(images),
        packed=False,
        left_out=dict(left_out),
        unknown=tuple(sorted(known)),
    )


def _why_not(path: str) -> str:
    """Why a file below the source is not one of its images; empty if it is."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts):
        return "hidden"
    if len(parts) == 1:
        return "outside every class folder"
    return "" if parts[-1].lower().endswith(EXTENSIONS) else f"not {' '.join(EXTENSIONS)}"


def _remote_paths(root: str) -> tuple[list[str], set[str]]:
    paths = [item.uri.removeprefix(f"{root}/") for item in storage.list_files(root)]
    return paths, {path.split("/")[0] for path in paths if "/" in path and not path.startswith(".")}


def _local_paths(source: str, root: Path, left_out: Counter[str]) -> tuple[list[str], set[str]]:
    """Regular files below `root` (relative, with forward slashes) and the names of its visible folders.

    Links to directories are not followed, links to files only where they stay inside the source.
    """
    if not root.is_dir():
        raise DataError(f"source: received {source!r}, which is no directory; {_EXPECTED}")
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
                left_out["names that are not text"] += 1
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


def _tfds(source: str, name: str) -> Source:
    """A TFDS dataset, all splits pooled, each image in its original encoding; prepared first where it is not yet."""
    if not _TFDS_NAME.fullmatch(name):
        raise ConfigError("source", source, "expected tfds://NAME with TFDS' snake_case name of the dataset")
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
    return Source(name, tuple(sorted(labels)), images, total, packed=True)


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
        raise ConfigError("source", source, f"TFDS knows no dataset of this name{hint}") from None
    except Exception as error:  # whatever a dataset's own code or its download raises
        told = one_line(f"{type(error).__name__}: {error}")
        raise DataError(f"source: {source} cannot be downloaded or prepared here ({told})") from error
    return builder


def _tfds_images(builder: Any, name: str, splits: list[str], labels: tuple[str, ...]) -> Iterator[Image]:
    import tensorflow_datasets as tfds

    for split in splits:
        examples = builder.as_dataset(split=split, shuffle_files=False, decoders={"image": tfds.decode.SkipDecoding()})
        for number, example in enumerate(tfds.as_numpy(examples)):
            label = int(example["label"])
            if label >= 0:  # -1 marks an example without a label, as in ImageNet's test split
                yield Image(f"{name}/{split}/{number:07d}", labels[label], data=bytes(example["image"]))
