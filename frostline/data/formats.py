"""Kinds of files, known by their first bytes: the images that can be read, and formats that only look like it."""

from __future__ import annotations

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
HEAD = 32  # bytes that `is_image` and `not_decoded` need

_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes; "BM" alone also starts texts
_NOT_DECODED = {  # by the first bytes, or by those after the first four
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    b"ftyphei": "HEIC",
    b"ftypmif1": "HEIF",
    b"ftypavi": "AVIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
}


def is_image(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a JPEG, PNG, GIF, BMP or WebP file."""
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")):
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS


def not_decoded(head: bytes) -> str:
    """Name of the format of images that are known but cannot be read; empty if these bytes are of no such format."""
    return next(
        (kind for start, kind in _NOT_DECODED.items() if start in (head[: len(start)], head[4 : 4 + len(start)])), ""
    )
