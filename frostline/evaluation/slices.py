"""Slices: groups of images with the same value in a metadata column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.documents.data import ManifestRow

_MOST_VALUES = 50  # per column; more suggest identifiers or measurements, and leave too few images per value
NO_VALUE = "(none)"


@dataclass(frozen=True)
class Slice:
    """The images with one value of a column.

    Attributes:
        column: name of the metadata column.
        value: the value; "(none)" for images without one.
        mask: [rows] whether a row belongs to the slice.
    """

    column: str
    value: str
    mask: NDArray[np.bool_]


def find(rows: Sequence[ManifestRow]) -> tuple[list[Slice], list[str]]:
    """The slices of all metadata columns, by column and value.

    Args:
        rows: manifest rows; `metadata`, if present, is {column: value}.

    Returns:
        The slices; and the columns that are left out because they have more than 50 different values. Both sorted.
    """
    metadata = [_metadata(row) for row in rows]
    found, left_out = [], []
    for column in sorted({str(column) for values in metadata for column in values}):
        codes: dict[str, int] = {}
        of_row = np.fromiter(
            (codes.setdefault(_text(values.get(column)), len(codes)) for values in metadata), np.int64, len(rows)
        )
        if len(codes) > _MOST_VALUES:
            left_out.append(column)
        else:
            found += [Slice(column, value, of_row == code) for value, code in sorted(codes.items())]
    return found, left_out


def _metadata(row: ManifestRow) -> dict[str, str]:
    values = row.get("metadata")
    return values if isinstance(values, dict) else {}


def _text(value: object) -> str:
    return NO_VALUE if value is None or value == "" else str(value)
