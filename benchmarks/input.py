"""Images that training reads from records, per CPU second, stage by stage: `python benchmarks/input.py` prints JSON.

CPU time is that of all threads of the process. The stages take turns: reading records with their checksums; finding
their pixels; plain and augmented batches of the library; and both as they were made before, from PNGs by one call of
TensorFlow operations an image. `formats` has what other ways to store the same pixels would cost. `features` are rows
of 2,048 float32, read in random order: by the library, and by nothing but the system call that a row takes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import workload

BATCH = 32
WIDTH, ROWS = 2048, 8192  # of the features
CHANGES: dict[str, Any] = {"flip": True, "crop": 0.2, "colour": 0.2}
LUMA = (0.299, 0.587, 0.114)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="class folders with JPEGs or PNGs; synthetic ones if left out")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, nargs="+", default=[299, 224])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        photos = options.photos or workload.photos(Path(directory) / "photos", options.images)
        files = sorted(path for path in photos.glob("*/*") if path.is_file())
        chosen = files[:: max(1, len(files) // options.images)][: options.images]
        found: dict[str, Any] = {
            str(size): of_size(Path(directory) / str(size), chosen, size, options.rounds) for size in options.size
        }
        workload.show({**found, "features": features(Path(directory) / "features", options.rounds)})


def of_size(root: Path, files: list[Path], size: int, rounds: int) -> dict[str, Any]:
    """All stages at one image size."""
    import tensorflow as tf

    from frostline.data import augment, images, records
    from frostline.data.batches import Images
    from frostline.data.config import AugmentConfig

    pixels = [images.from_bytes(tf.constant(path.read_bytes()), size).numpy() for path in files]
    new, old = (written(root / name, pixels, make) for name, make in (("bytes", records.serialize), ("png", as_png)))
    config = AugmentConfig(**CHANGES)
    plain, augmented = Images(new, size), Images(new, size, config)
    plain_before, augmented_before = (before(size, one) for one in (AugmentConfig(), config))
    stored = new.read(np.arange(len(new)))
    batches = [np.arange(start, min(start + BATCH, len(files))) for start in range(0, len(files), BATCH)]

    def from_pngs(make: Any, part: Any) -> Any:
        return make(tf.constant(old.read(part)), tf.constant(old.keys(part)))

    stages: dict[str, Callable[[Any], Any]] = {
        "records read": new.read,
        "pixels found": lambda part: np.stack([records.pixels(stored[number], size) for number in part]),
        "plain batches": lambda part: plain.read(part, 0),
        "augmented batches": lambda part: augmented.read(part, 0),
        "plain batches before": lambda part: from_pngs(plain_before, part),
        "augmented batches before": lambda part: from_pngs(augmented_before, part),
        "random numbers drawn": lambda part: augment.draws(new.keys(part), view=0, seed=0),
    }
    kinds = ("plain batches", "augmented batches")
    differ = [
        (stages[kind](part) != stages[f"{kind} before"](part)).numpy().sum() for kind in kinds for part in batches
    ]
    measured = rates({name: partial(each, one, batches) for name, one in stages.items()}, len(files), rounds)
    return {
        "images": len(files),
        "per_cpu_second": measured,
        "ratio": {kind: round(measured[kind] / measured[f"{kind} before"], 2) for kind in kinds},
        "differing_pixels": int(sum(differ)),
        "formats": formats(pixels, rounds),
    }


def features(root: Path, rounds: int) -> dict[str, float]:
    """Rows per CPU second, batch by batch, of packs that are in memory as files."""
    from frostline import digests
    from frostline.features.packs import Reader, Writer
    from frostline.features.sidecars import Layout

    layout = Layout((WIDTH,), "float32")
    ids = [digests.of_bytes(str(number).encode()) for number in range(ROWS)]
    generator = np.random.default_rng(0)
    with Writer(str(root), layout, computed_on="CPU") as writer:
        for start in range(0, ROWS, BATCH):
            writer.add(ids[start : start + BATCH], generator.normal(size=(BATCH, WIDTH)))
    with Reader(str(root), writer.packs, layout, root) as reader:
        places = generator.permutation(reader.locate(ids)).reshape(-1, BATCH, 2)
        row = bytearray(layout.row_bytes)

        def only_called(batch: Any) -> None:
            for descriptor, offset in batch.tolist():
                os.preadv(descriptor, (row,), offset)

        ways: dict[str, Callable[[Any], Any]] = {"read": reader.read_at, "only called": only_called}
        return rates({name: partial(each, one, places) for name, one in ways.items()}, ROWS, rounds)


def each(function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """What the function returns for each of them."""
    return list(map(function, arguments))


def rates(calls: Mapping[str, Callable[[], Any]], images: int, rounds: int) -> dict[str, float]:
    """Images per CPU second of each call, in the round where it took least; the calls take turns."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            started = time.process_time()
            call()
            if number:  # the first round warms up
                spent[name].append(time.process_time() - started)
    return {name: round(images / min(times)) for name, times in spent.items()}


def written(directory: Path, pixels: list[Any], serialize: Any) -> Any:
    """The examples of one shard with these images."""
    from frostline.data import examples, record_files, records, shards

    (shard,) = shards.names(1)
    rows: list[Any] = [
        {"id": str(n), "sha256": f"{n * 2**193 + n:064x}", "label": 0, "split": "train"} for n in range(len(pixels))
    ]
    with records.writers(directory, "input", shard) as writers:
        for row, image in zip(rows, pixels, strict=True):
            writers["train"].write(serialize(image, 0, row["sha256"]))
    name = record_files.file_name("input", "train", shard)
    files: dict[str, Any] = {
        name: {"split": "train", "examples": len(rows), "bytes": (directory / name).stat().st_size}
    }
    shards.write_state(str(directory), shard, {"index": rows, "quarantine": [], "files": files})
    return examples.load(str(directory), "train", directory)


def as_png(image: Any, label: int, identifier: str) -> bytes:
    """An example of format version 2."""
    import tensorflow as tf

    from frostline.data import records

    example = tf.train.Example.FromString(records.serialize(image, label, identifier))
    example.features.feature["image"].bytes_list.value[0] = tf.io.encode_png(image, compression=1).numpy()
    return bytes(example.SerializeToString(deterministic=True))


def before(size: int, config: Any) -> Any:
    """A function from [n] serialized examples with PNGs and [n] int64 keys to a batch, image by image."""
    import tensorflow as tf

    def whole(draw: Any, count: Any) -> Any:
        return tf.cast(draw * tf.cast(count, tf.float32), tf.int32)

    def grey(pixels: Any) -> Any:
        return tf.reduce_sum(pixels * tf.constant(LUMA), axis=-1, keepdims=True)

    def one(pair: Any) -> Any:
        fields = tf.io.parse_single_example(pair[0], {"image": tf.io.FixedLenFeature([], tf.string)})
        image = tf.ensure_shape(tf.io.decode_png(fields["image"], channels=3), [size, size, 3])
        if not config.active:
            return image
        stream = tf.constant([0, 0], tf.int64)
        for part in (tf.constant(0, tf.int64), pair[1]):
            stream = tf.random.experimental.stateless_fold_in(stream, part, alg="philox")
        draws = tf.random.stateless_uniform([7], stream, alg="philox")
        image = tf.where(draws[0] < 0.5, tf.reverse(image, [1]), image)
        smallest = max(1, size - int(size * config.crop))
        side = smallest + whole(draws[1], size - smallest + 1)
        top, left = whole(draws[2], size - side + 1), whole(draws[3], size - side + 1)
        pixels = tf.image.resize(tf.cast(image, tf.float32)[top : top + side, left : left + side], [size, size])
        factors = 1.0 + config.colour * (2.0 * draws[4:7] - 1.0)
        pixels *= factors[0]
        levels = tf.cast(tf.round(grey(pixels)), tf.int64)
        mean = tf.cast(tf.reduce_sum(levels) / tf.size(levels, tf.int64), tf.float32)
        pixels = mean + (pixels - mean) * factors[1]
        pixels = grey(pixels) + (pixels - grey(pixels)) * factors[2]
        return tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8)

    shape = tf.TensorSpec([size, size, 3], tf.uint8)
    cores = os.cpu_count()

    def batch(serialized: Any, keys: Any) -> Any:
        return tf.map_fn(one, (serialized, keys), parallel_iterations=cores, fn_output_signature=shape)

    return tf.function(batch).get_concrete_function(*(tf.TensorSpec([None], dtype) for dtype in (tf.string, tf.int64)))


def formats(pixels: list[Any], rounds: int) -> dict[str, Any]:
    """Mean bytes an image, and images decoded to an array of one's own per CPU second, of ways to store pixels."""
    import pyarrow as pa
    import tensorflow as tf

    shape = pixels[0].shape

    def png(level: int) -> Any:
        return lambda image: tf.io.encode_png(image, compression=level).numpy(), tf.io.decode_png

    def packed(codec: str) -> Any:
        def unpack(data: bytes) -> Any:
            whole = pa.decompress(data, decompressed_size=pixels[0].size, codec=codec)
            return np.frombuffer(whole, np.uint8).reshape(shape)

        return lambda image: pa.compress(image.tobytes(), codec=codec, asbytes=True), unpack

    def differences(pack: Any, unpack: Any) -> Any:
        """Of each value from its left neighbour, modulo 256."""
        return (
            lambda image: pack(np.diff(image, axis=1, prepend=np.zeros_like(image[:, :1]))),
            lambda data: np.cumsum(unpack(data), axis=1, dtype=np.uint8),
        )

    ways = {
        "bytes": (lambda image: image.tobytes(), lambda data: np.frombuffer(data, np.uint8).reshape(shape).copy()),
        "png, level 1": png(1),
        "png, level 0": png(0),
        "lz4": packed("lz4_raw"),
        "zstd": packed("zstd"),
        "zstd of differences": differences(*packed("zstd")),
    }
    for encode, decode in ways.values():
        np.testing.assert_array_equal(decode(encode(pixels[0])), pixels[0])
    stored = {name: [encode(image) for image in pixels] for name, (encode, _) in ways.items()}
    calls = {name: partial(each, decode, stored[name]) for name, (_, decode) in ways.items()}
    decoded = rates(calls, len(pixels), rounds)
    return {
        name: {"bytes": round(sum(map(len, stored[name])) / len(pixels)), "per_cpu_second": decoded[name]}
        for name in ways
    }


if __name__ == "__main__":
    main()
