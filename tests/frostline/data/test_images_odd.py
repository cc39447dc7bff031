"""Pictures as people have them: Pillow's pixels are the reference, in Python and in a graph as servers run it."""

import io
import struct
import zlib

import numpy as np
import pytest
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


PLAIN = by_pillow(encoded(SMOOTH, "JPEG", quality=95))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_a_jpeg_is_turned_as_its_exif_says(value, order):
    data = jpeg_with(segment(b"Exif\0\0" + tiff(value, order, before=[0x0100, 0x0101])))
    np.testing.assert_allclose(decoded(data).astype(int), by_pillow(data), atol=3)
    assert decoded(data).shape == ((30, 21, 3) if value >= 5 else (21, 30, 3))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("value", range(1, 9))
def test_png_and_webp_are_turned_too(value, kind):
    exif = Image.Exif()
    exif[0x0112] = value
    data = encoded(COLOURS, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decoded(data), by_pillow(data))


@pytest.mark.parametrize("segments", [
    [segment(b"JFIF\0" + bytes(9), 0xE0), segment(b"a comment, Exif\0\0", 0xFE), segment(b"Exif\0\0" + tiff(6))],
    [segment(b"http://ns.adobe.com/xap/1.0/\0<x/>"), segment(b"Exif\0\0" + tiff(6))],
    [segment(b"Exif\0\0" + tiff(6)), segment(b"Exif\0\0" + tiff(3))],
    [segment(b"Exif\0\0" + tiff(6, ">", kind=4))],
    [b"\xff\xff\xff" + segment(b"Exif\0\0" + tiff(6))],
    [segment(b"Exif\0\0" + tiff(6) + jpeg_with(segment(b"Exif\0\0" + tiff(3))))],
    [segment(b"x" * 65000, 0xE2), segment(b"x" * 65000, 0xE2), segment(b"Exif\0\0" + tiff(6))],
])  # fmt: skip
def test_exif_is_found_wherever_it_may_be(segments):
    np.testing.assert_allclose(decoded(jpeg_with(*segments)).astype(int), np.rot90(PLAIN, -1), atol=3)


@pytest.mark.parametrize("exif", [
    tiff(0), tiff(9), tiff(6)[:10], tiff(6)[:8], tiff(6)[:20], b"", b"II", b"XX*\0" + tiff(6)[4:],
    b"II*\0" + struct.pack("<I", 2**32 - 1), b"II*\0" + struct.pack("<I", 2**31), b"II*\0" + struct.pack("<I", 500),
    tiff(6)[:8] + b"\xff\xff" + bytes(30), tiff(65535), tiff(6, kind=2), tiff(1) + tiff(6),
])  # fmt: skip
def test_exif_that_is_damaged_or_says_nothing_changes_nothing(exif):
    np.testing.assert_allclose(decoded(jpeg_with(segment(b"Exif\0\0" + exif))).astype(int), PLAIN, atol=3)


def test_the_exif_of_a_second_picture_in_the_file_is_not_the_first_ones():
    data = jpeg_with() + jpeg_with(segment(b"Exif\0\0" + tiff(6)))
    np.testing.assert_allclose(decoded(data).astype(int), PLAIN, atol=3)


def test_a_file_of_nothing_but_chunks_takes_few_steps():
    """A walk through all of its 100,000 chunks would take seconds."""
    head, chunk = encoded(COLOURS, "PNG")[:33], struct.pack(">I4sI", 0, b"zzZz", zlib.crc32(b"zzZz"))
    data = head + chunk * 100_000 + struct.pack(">I4sI", 0, b"eXIf", 0) + encoded(COLOURS, "PNG")[33:]
    np.testing.assert_array_equal(in_a_graph(tf.constant(data)).numpy(), np.asarray(COLOURS))


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


@pytest.mark.parametrize(("bits", "colours"), [(1, None), (4, None), (4, 5), (8, None), (8, 100)])
@pytest.mark.parametrize("size", [(13, 7), (16, 8), (13, -7), (1, 1)])
def test_a_bmp_with_a_palette_has_its_colours(bits, colours, size):
    data, right = bmp(bits, *size, colours)
    np.testing.assert_array_equal(decoded(data), right)
    np.testing.assert_array_equal(by_pillow(data), right)


def test_a_bmp_of_os2_has_its_colours():
    data, right = bmp(8, 13, 7, os2=True)
    np.testing.assert_array_equal(decoded(data), right)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_bmp_of_pillow_has_pillows_pixels(mode):
    data = encoded((TRANSLUCENT if mode == "RGBA" else COLOURS).convert(mode), "BMP")
    np.testing.assert_array_equal(decoded(data), by_pillow(data))


@pytest.mark.parametrize("change", [
    {18: b"\0\0\0\0"}, {18: b"\xff\xff\xff\x7f"}, {22: b"\0\0\0\x80"}, {10: b"\xff\xff\xff\xff"}, {30: b"\1\0\0\0"},
    {22: b"\0\1\0\0"},
])  # fmt: skip
def test_a_bmp_that_lies_is_refused_as_other_damaged_files_are(change):
    data = bytearray(bmp(8, 13, 7)[0])
    for place, value in change.items():
        data[place : place + len(value)] = value
    for decode in (images.decode, in_a_graph):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(tf.constant(bytes(data)))


def test_alpha_of_webp_is_dropped_as_that_of_png():
    for options in ({"lossless": True, "exact": True}, {"quality": 90}):
        data = encoded(TRANSLUCENT, "WEBP", **options)
        np.testing.assert_array_equal(decoded(data), by_pillow(data))
    png = encoded(TRANSLUCENT, "PNG")
    lossless = encoded(TRANSLUCENT, "WEBP", lossless=True, exact=True)
    np.testing.assert_array_equal(decoded(png), decoded(lossless))


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
@pytest.mark.parametrize("first", [COLOURS, TRANSLUCENT, SMOOTH])
def test_an_animated_webp_gives_its_first_frame(first, options):
    """TensorFlow's decoder writes behind its buffer for an opaque one, which ends the process."""
    others = [Image.fromarray(RANDOM.integers(0, 256, np.asarray(first).shape, np.uint8)) for _ in range(3)]
    data = encoded(first, "WEBP", save_all=True, append_images=others, **options)
    for _ in range(20):
        in_a_graph(tf.constant(data))
    np.testing.assert_array_equal(decoded(data), by_pillow(data))


def test_an_animated_webp_whose_first_frame_is_missing_is_refused():
    data = encoded(COLOURS, "WEBP", save_all=True, append_images=[SMOOTH], lossless=True)
    for damaged in (data.replace(b"ANMF", b"XXXX"), data[:60], data.replace(b"VP8L", b"VP8M")):
        with pytest.raises(tf.errors.InvalidArgumentError):
            in_a_graph(tf.constant(damaged))


def test_an_animated_gif_gives_its_first_frame():
    data = encoded(COLOURS.convert("P"), "GIF", save_all=True, append_images=[SMOOTH.convert("P")])
    np.testing.assert_array_equal(decoded(data), by_pillow(data))


def png_text_with_wrong_crc():
    data = encoded(COLOURS, "PNG")
    text = struct.pack(">I", 3) + b"tEXta\0b" + b"\1\2\3\4"
    return data[:33] + text + data[33:]


def interlaced_png():
    """Adam7, by hand: Pillow writes none."""
    pixels, passes = np.asarray(COLOURS), []
    for top, left, down, right in (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    ):  # fmt: skip
        passes += [b"\0" + row.tobytes() for row in pixels[top::down, left::right]]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 30, 21, 8, 2, 0, 0, 1)), (b"IDAT", zlib.compress(b"".join(passes)))]
    chunks = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
              for name, body in [*parts, (b"IEND", b"")]]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(("data", "tolerance"), [
    (encoded(COLOURS.convert("1"), "PNG"), 0),
    (encoded(COLOURS.convert("P"), "PNG"), 0),
    (encoded(TRANSLUCENT.convert("LA"), "PNG"), 0),
    (encoded(COLOURS, "PNG", icc_profile=b"not a profile"), 0),
    (interlaced_png(), 0),
    (encoded(SMOOTH, "JPEG", progressive=True), 3),
    (encoded(SMOOTH, "JPEG", icc_profile=b"x" * 100_000), 3),
    (encoded(SMOOTH, "MPO", save_all=True, append_images=[COLOURS]), 3),
    (encoded(SMOOTH.convert("CMYK"), "JPEG"), 4),
])  # fmt: skip
def test_what_was_right_stays_right(data, tolerance):
    np.testing.assert_allclose(decoded(data).astype(int), by_pillow(data), atol=tolerance)


def test_a_wrong_checksum_in_a_text_chunk_is_no_reason_to_refuse_a_png():
    np.testing.assert_array_equal(decoded(png_text_with_wrong_crc()), np.asarray(COLOURS))


def test_sixteen_bits_are_cut_to_eight_and_a_narrow_range_is_noticed():
    values = np.arange(30 * 21, dtype=np.uint16).reshape(21, 30)
    for factor, narrow in ((6, True), (100, False)):
        data = encoded(Image.fromarray(values * factor), "PNG")
        np.testing.assert_array_equal(decoded(data)[..., 0], values * factor >> 8)
        assert images.uses_a_sixteenth(data) is narrow
    assert not images.uses_a_sixteenth(encoded(Image.fromarray(np.zeros((8, 8), np.uint8)), "PNG"))
    assert not images.uses_a_sixteenth(encoded(SMOOTH, "JPEG"))


def test_a_batch_of_every_kind_has_the_pixels_of_each():
    kinds = [
        jpeg_with(segment(b"Exif\0\0" + tiff(6))), bmp(8, 13, 7)[0], bmp(1, 13, -7)[0], encoded(TRANSLUCENT, "WEBP"),
        encoded(COLOURS, "WEBP", save_all=True, append_images=[SMOOTH]), encoded(COLOURS.convert("P"), "GIF"),
        encoded(TRANSLUCENT, "PNG"),
    ]  # fmt: skip
    spec = tf.TensorSpec([16, 16, 3], tf.uint8)
    served = tf.function(
        lambda batch: tf.map_fn(lambda data: images.from_bytes(data, 16), batch, fn_output_signature=spec),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )(tf.constant(kinds))
    stored = tf.stack([images.from_bytes(tf.constant(data), 16) for data in kinds])
    np.testing.assert_array_equal(served.numpy(), stored.numpy())
