"""The sidecar of a pack: which images its rows are of, how a row is stored, and a digest of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import ml_dtypes  # noqa: F401  (gives NumPy bfloat16)
import numpy as np

from frostline import digests, storage
from frostline.documents.features import FEATURE_PACK, FeaturePack, PackContent, RowLayout
from frostline.errors import DataError, NotFound, NotRegular

DIGEST = re.compile(r"[0-9a-f]{64}")  # names of packs and addresses
_DTYPES = {name: np.dtype(name) for name in ("float32", "float16", "bfloat16")}


@dataclass(frozen=True)
class Layout:
    """Shape and stored type of one row; the type is float32, float16 or bfloat16."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The type as a NumPy dtype."""
        return _DTYPES[self.dtype]

    @property
    def row_bytes(self) -> int:
        """Bytes per row."""
        return int(np.prod(self.shape, dtype=np.int64)) * int(self.numpy_dtype.itemsize)

    def document(self) -> RowLayout:
        """As JSON."""
        return {"shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def read(cls, document: RowLayout) -> Layout:
        """From JSON."""
        return cls(tuple(document["shape"]), document["dtype"])


def sealed(layout: Layout, ids: list[str], row_digests: list[str], computed_on: str) -> FeaturePack:
    """The sidecar of a pack, with a seal over all of it.

    Args:
        layout: of each row.
        ids: of the images, in the order of the rows.
        row_digests: SHA-256 of each row's bytes.
        computed_on: kind of the device that computed the rows.
    """
    content = PackContent(**layout.document(), ids=ids, digests=row_digests, computed_on=computed_on)
    return cast(FeaturePack, {**content, "seal": digests.of_json(content)})


def read(root: str, name: str, layout: Layout) -> FeaturePack | None:
    """Read a pack's sidecar; None unless it is byte for byte what `Writer` writes for this name and layout."""
    uri = storage.join(root, f"{name}.json")
    try:
        data = storage.read_bytes(uri)
        found = FEATURE_PACK.parse(data, uri)
    except (NotFound, NotRegular, DataError, RecursionError):
        return None
    # Others can write to the store, so any field may be wrong.
    ids, checks, device = found.get("ids"), found.get("digests"), found.get("computed_on")
    if not isinstance(device, str) or not _are_digests(ids) or not _are_digests(checks):
        return None
    if len(ids) != len(checks) or digests.of_json(ids) != name:
        return None
    return found if FEATURE_PACK.encode(sealed(layout, ids, checks, device)) == data else None


def _are_digests(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) and DIGEST.fullmatch(one) for one in value)
