"""Small files that claim, or would become, large pictures."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

SIDE = 22_000  # 484 million pixels, 1.5 GB


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _png(width, height):
    """A whole picture of zeros, whose rows are compressed a thousandfold."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    packer, row = zlib.compressobj(9), bytes(1 + width // 8 + 1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _claims(data, at, layout, *values):
    packed = struct.pack(layout, *values)
    return data[:at] + packed + data[at + len(packed) :]


def _jpeg():
    plain = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    return _claims(plain, plain.index(b"\xff\xc2") + 5, ">HH", SIDE, SIDE)


def _gif(frames):
    """Many frames of 16 million pixels each, 4 kB each in the file."""
    side = 4000
    plain = encoded(Image.new("P", (side, side)), "GIF")
    frame = plain[plain.index(b"\x2c\0\0\0\0") : -1]
    return plain[: -1 - len(frame)] + frame * frames + b";"


def _riff(*chunks):
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _lossless(side):
    return encoded(Image.new("RGB", (side, side)), "WEBP", lossless=True)


def _canvas(side, flags):
    return b"VP8X", bytes([flags, 0, 0, 0]) + struct.pack("<I", side - 1)[:3] * 2


def _animation(canvas, side, picture):
    size = struct.pack("<I", side - 1)[:3]
    frame = bytes(6) + size + size + bytes(4) + picture[12:]
    return _riff(_canvas(canvas, 2), (b"ANIM", bytes(6)), (b"ANMF", frame))


def make():
    """The files by name."""
    small, huge = _lossless(16), _lossless(16_383)
    bitmap = encoded(Image.new("RGB", (16, 16)), "BMP")
    return {
        "png": _png(SIDE, SIDE),
        "png whose area overflows": _claims(_png(8, 8), 16, ">II", 2**32 - 1, 2**32 - 1),
        "jpeg": _jpeg(),
        "gif": _claims(_gif(1), _gif(1).index(b"\x2c\0\0\0\0") + 5, "<HH", 60_000, 60_000),
        "webp without loss": huge,
        "webp animation on a large canvas": _animation(2**24, 16, small),
        "bmp": _claims(bitmap, 18, "<ii", 2**20, -(2**20)),
        "bmp of 1 bit": _claims(encoded(Image.new("1", (16, 16)), "BMP"), 18, "<ii", 2**20, 2**20),
        # Of these the header is small, or what is decoded is.
        "webp frame that is larger than the animation": _animation(16, 16_383, huge),
        "webp that is larger than its canvas": _riff(_canvas(16, 0), (b"VP8L", huge[20:])),
        "gif of 500 frames": _gif(500),
    }
