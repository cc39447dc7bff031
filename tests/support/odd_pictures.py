"""Pictures as people have them, made here, and decoded by Frostline and by Pillow."""

import io
import struct

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from frostline.data import images

RANDOM = np.random.default_rng(3)
COLOURS = Image.fromarray(RANDOM.integers(0, 256, (21, 30, 3), np.uint8))
SMOOTH = Image.fromarray(np.mgrid[0:105:5, 0:120:4].sum(axis=0).astype(np.uint8)[..., None].repeat(3, 2))
TRANSLUCENT = Image.fromarray(RANDOM.integers(1, 256, (21, 30, 4), np.uint8))


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def in_a_graph(data):
    return images.decode(data)


def decoded(data):
    """The pixels, which are the same when run from Python and in a graph."""
    graph = in_a_graph(tf.constant(data)).numpy()
    np.testing.assert_array_equal(images.decode(tf.constant(data)).numpy(), graph)
    return graph


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def by_pillow(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def tiff(value, order="<", kind=3, before=()):
    """EXIF with an orientation, after other tags."""
    field = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
    entries = [struct.pack(order + "HHI4s", tag, 3, 1, bytes(4)) for tag in before]
    entries.append(struct.pack(order + "HHI", 0x0112, kind, 1) + field)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


def segment(payload, marker=0xE1):
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def jpeg_with(*segments):
    plain = encoded(SMOOTH, "JPEG", quality=95)
    return plain[:2] + b"".join(segments) + plain[2:]


def bmp(bits, width, height, colours=None, os2=False):
    """A BMP with a random palette and random indices, and its right pixels."""
    count = colours or 2**bits
    palette = RANDOM.integers(0, 256, (count, 3), np.uint8)
    indices = RANDOM.integers(0, count, (abs(height), width), np.uint8)
    stride = (width * bits + 31) // 32 * 4
    unpacked = np.unpackbits(indices[..., None], axis=2)[..., 8 - bits :].reshape(abs(height), -1)
    rows = np.zeros((abs(height), stride), np.uint8)
    packed = np.packbits(unpacked, axis=1)
    rows[:, : packed.shape[1]] = packed
    body = (rows[::-1] if height > 0 else rows).tobytes()
    if os2:
        table, head = palette[:, ::-1].tobytes(), struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        table = np.pad(palette[:, ::-1], [(0, 0), (0, 1)]).tobytes()
        head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(body), 0, 0, colours or 0, 0)
    start = 14 + len(head) + len(table)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + head + table + body, palette[indices]


def direct_bmp(bits, width, height, masks=None, os2=False):
    """A BMP of 16, 24 or 32 bits with random pixels, and its right ones; `masks` say where red, green and blue are."""
    places = masks or ((0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF))
    lowest = [mask & -mask for mask in places]
    most = [mask // low for mask, low in zip(places, lowest, strict=True)]
    values = np.stack([RANDOM.integers(0, one + 1, (abs(height), width)) for one in most], axis=-1)
    pixels = (values * np.array(lowest)).sum(axis=-1).astype("<u4")
    rows = np.zeros((abs(height), (width * bits + 31) // 32 * 4), np.uint8)
    rows[:, : width * bits // 8] = (
        pixels.view(np.uint8).reshape(abs(height), width, 4)[..., : bits // 8].reshape(abs(height), -1)
    )
    body = (rows[::-1] if height > 0 else rows).tobytes()
    if os2:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 3 if masks else 0, len(body), 0, 0, 0, 0)
        head += struct.pack("<III", *masks) if masks else b""
    start = 14 + len(head)
    data = struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + head + body
    return data, (values * 255 // np.array(most)).astype(np.uint8)
