"""The files of a directory or bucket: which are images, what is left out and why, and what the folders stand for.

Links are followed, because caches of datasets (Hugging Face, DVC) link to files elsewhere. A link that leads nowhere or
into a folder that contains it is left out by name.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from frostline import storage
from frostline.data.config import Layout
from frostline.data.formats import EXTENSIONS, HEAD, is_image, not_decoded
from frostline.documents.data import SplitName
from frostline.errors import DataError, StorageError
from frostline.text import listed

_UNNAMED = "with a name that is not printable text"
_READERS = 8  # threads, which mostly wait for disks and buckets
_TABLES = ("metadata.csv", "metadata.jsonl")
_SPLITS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "eval", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Listing:
    """What is under a root. All paths are relative to it, with forward slashes.

    Attributes:
        images: sorted.
        tables: metadata.csv and metadata.jsonl in the root, or in a folder that is named as a split.
        folders: names of the visible folders in the root.
        left_out: number of files that are not used, {reason: files}.
        links: links that lead nowhere or into a folder that contains them.
    """

    images: list[str]
    tables: list[str]
    folders: set[str]
    left_out: Counter[str]
    links: list[str] = field(default_factory=list)


def list_images(root: str) -> Listing:
    """List a directory or gs:// prefix; files with another extension than those of images are opened.

    Raises:
        StorageError: a directory, bucket or file cannot be read.
    """
    left_out: Counter[str] = Counter()
    links: list[str] = []
    if root.startswith("gs://"):
        paths = {item.uri.removeprefix(f"{root}/"): item.size for item in storage.list_files(root)}
        folders = {path.split("/")[0] for path in paths if "/" in path}
    else:
        paths = dict(_walk(Path(root), "", frozenset(), left_out, links))
        folders = {entry.name for entry in _scan(Path(root)) if entry.is_dir()}
    named = [path for path in paths if _is_name(path)]
    if len(named) < len(paths):
        left_out[_UNNAMED] += len(paths) - len(named)
    visible = [path for path in named if not any(part.startswith(".") for part in path.split("/"))]
    if len(visible) < len(named):
        left_out["hidden"] += len(named) - len(visible)
    tables = sorted(path for path in visible if _is_table(path))
    unknown = [path for path in visible if not path.lower().endswith(EXTENSIONS) and path not in tables]
    with ThreadPoolExecutor(_READERS) as pool:
        reasons = dict(
            zip(unknown, pool.map(lambda path: _why_not(f"{root}/{path}", paths[path]), unknown), strict=True)
        )
    left_out.update(reason for reason in reasons.values() if reason)
    images = sorted(path for path in visible if path not in tables and not reasons.get(path))
    return Listing(
        images,
        tables,
        {name for name in folders if name and not name.startswith(".") and name not in links},
        left_out,
        sorted(links),
    )


def _is_name(path: str) -> bool:
    """Whether a relative path, which is any text in a bucket, can be shown, and means the same as a file's."""
    return path.isprintable() and not {"", ".", ".."} & set(path.split("/"))


def _is_table(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return name in _TABLES and (not folder or folder.lower() in _SPLITS)


def _walk(
    directory: Path, prefix: str, above: frozenset[tuple[int, int]], left_out: Counter[str], links: list[str]
) -> Iterator[tuple[str, int]]:
    """Yield relative path and size in bytes of the regular files, hidden ones too, but not those in hidden folders."""
    status = directory.stat()
    inside = above | {(status.st_dev, status.st_ino)}
    for entry in _scan(directory):
        path = f"{prefix}{entry.name}"
        if not entry.name.isprintable() and not entry.is_dir():
            left_out[_UNNAMED] += 1
        elif entry.is_symlink() and not _leads_on(Path(entry.path), inside):
            links.append(path)
            left_out["links that lead nowhere or in a circle"] += 1
        elif entry.is_dir():
            if not entry.name.startswith("."):
                yield from _walk(Path(entry.path), f"{path}/", inside, left_out, links)
        elif entry.is_file():
            yield path, entry.stat().st_size
        else:
            left_out["not regular files"] += 1


def _leads_on(link: Path, inside: frozenset[tuple[int, int]]) -> bool:
    try:
        status = link.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return False
        raise StorageError(f"{link}: cannot be read: {error.strerror}") from error
    return (status.st_dev, status.st_ino) not in inside


def _scan(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise StorageError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _why_not(uri: str, size: int) -> str:
    """Why a file of an unknown extension is no image that can be read; empty if it is one."""
    for _ in range(2 if uri.startswith("gs://") else 1):  # a bit may have changed on the way: a part has no checksum
        head = storage.read_bytes(uri, length=min(HEAD, size))
        if is_image(head):
            return ""
    kind, extension = not_decoded(head), Path(uri).suffix.lower()
    if kind:
        return f"{extension or 'without extension'} ({kind}, which cannot be read; convert them to JPEG or PNG)"
    return f"{extension or 'without extension'} (not images)"


def given_splits(
    images: Iterable[str], layout: Layout, source: str, *, has_labels: bool = False
) -> Mapping[str, SplitName]:
    """The folders in the root that are splits: {folder: split}, empty if they are classes.

    Folders named train, val, test and the like are taken for splits if all images in them are in folders of their own,
    or if there are no other folders and a table names the classes.

    Args:
        images: relative paths.
        layout: `classes` and `splits` decide; `auto` looks at the names.
        source: as configured, for messages.
        has_labels: whether a table names the classes.

    Raises:
        DataError: the folders can be read both ways, or none is a split although `layout` says so.
    """
    depth: dict[str, int] = {}  # the least number of folders between the root and an image, by folder in the root
    for path in images:
        folder, *others = path.split("/")
        if others:
            depth[folder] = min(depth.get(folder, len(others)), len(others))
    named = {folder: _SPLITS[folder.lower()] for folder in sorted(depth) if folder.lower() in _SPLITS}
    if layout == "classes":
        return {}
    if layout == "splits":
        if "train" not in named.values():
            raise DataError(
                f"data.layout: received 'splits', but {source} has no folder train with images; use classes"
            )
        return named
    nested = {folder: split for folder, split in named.items() if depth[folder] > 1}
    if _are_all_splits(nested, depth) or (has_labels and _are_all_splits(named, depth)):
        return named
    if nested or _are_all_splits(named, depth):
        inside = "with class folders inside" if nested else "without labels (a column label in metadata.csv gives them)"
        raise DataError(
            f"{source}: the folders {listed(sorted(depth), 6)} can be read in two ways: as classes, or "
            f"{listed(sorted(nested or named))} as given splits {inside}; set data.layout to classes or to splits"
        )
    return {}


def _are_all_splits(named: Mapping[str, SplitName], folders: Iterable[str]) -> bool:
    """Whether the folders are several different splits, and nothing else."""
    splits = set(named.values())
    return set(named) == set(folders) and len(splits) == len(named) > 1 and "train" in splits
