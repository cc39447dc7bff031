"""The training and the serving input path agree on images of all kinds, and a difference between them is found."""

import io
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from frostline.data import examples, images, records
from frostline.documents.data import INFO, MANIFEST
from frostline.documents.training import KERAS_FILE, SERVING_DIRECTORY
from frostline.evaluation import skew
from frostline.model import backbones, export, head
from frostline.model.config import HeadConfig
from frostline.model.serving import Served

from tests.support import pictures
from tests.support.stages import Bench

LABELS = ["amber", "cobalt", "jade"]
SIZE = 32


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(hidden=(8,)), len(LABELS))
    root = tmp_path_factory.mktemp("model")
    model.save(root / KERAS_FILE)
    export.save(model, LABELS, SIZE, "SmallConvNet", root / SERVING_DIRECTORY)
    return root


def odd_images(folder):
    """The same scene as phones and web sites deliver it: rotated by EXIF, with alpha, grey, palette, 16 bits."""
    rng = np.random.default_rng(3)
    pixels = np.clip(rng.normal(128, 60, (40, 60, 3)), 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels)
    for orientation in (1, 3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.rotate(orientation).save(folder / f"turned-{orientation}.jpg", exif=exif)
    alpha = Image.fromarray(np.dstack([pixels, rng.integers(0, 256, (40, 60), np.uint8)]))
    alpha.save(folder / "alpha.png")
    alpha.convert("LA").save(folder / "grey-alpha.png")
    picture.convert("L").save(folder / "grey.png")
    picture.convert("L").save(folder / "grey.jpg")
    picture.convert("P").save(folder / "palette.png")
    picture.save(folder / "one.gif")
    Image.fromarray(rng.integers(0, 65536, (40, 60)).astype(np.uint16)).save(folder / "deep.png")


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A test split, made by the stages, with images of all kinds: its records, and the original bytes by digest."""
    bench = Bench(tmp_path_factory.mktemp("odd"))
    photos = pictures.make(bench.root / "photos", 12)
    odd_images(photos / "jade")
    bench.data(photos, test_fraction=0.7)
    address = INFO.read(bench.root / "info")["records"]
    rows = {row["sha256"]: row for row in MANIFEST.read(bench.root / "dataset")}
    ids = examples.load(address, "test", bench.root).ids
    return SimpleNamespace(
        records=address,
        names=[rows[one]["id"] for one in ids],
        originals={one: records.original(rows[one]) for one in ids},
    )


def serve(exported, originals):
    """The export's probabilities by digest."""
    with Served(exported / SERVING_DIRECTORY) as served:
        return dict(zip(originals, served.predict(list(originals.values())), strict=True))


def compare(exported, odd, served, scratch, files=None):
    paths = skew.Paths(odd.records, SIZE, scratch)
    files = odd.originals if files is None else files
    for start in range(0, len(files), 5):
        paths.add(list(files)[start : start + 5], list(files.values())[start : start + 5])
    return paths.compare(exported / KERAS_FILE, "SmallConvNet", served)


def test_both_paths_agree_on_images_of_all_kinds(odd, exported, tmp_path):
    kinds = {name.split("/")[1].split(".")[0].split("-")[0] for name in odd.names}
    assert {"turned", "alpha", "grey"} <= kinds
    found = compare(exported, odd, serve(exported, odd.originals), tmp_path)
    assert (found["images"], found["agreement"], found["different"]) == (len(odd.names), 1.0, 0)
    assert found["predicted"] == min(len(odd.names), 32)
    assert found["max_difference"] <= 1e-5


def altered(encoded, alter):
    buffer = io.BytesIO()
    Image.fromarray(alter(images.decode(tf.constant(encoded)).numpy())).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_serving_path_with_its_channels_in_another_order_is_found(odd, exported, tmp_path):
    files = {one: altered(data, lambda pixels: pixels[..., ::-1]) for one, data in odd.originals.items()}
    found = compare(exported, odd, serve(exported, files), tmp_path, files)
    assert found["max_difference"] > 1e-3
    assert found["different"] > found["images"] / 2  # grey images stay as they are


def test_one_level_of_one_image_is_found_without_a_prediction_that_shows_it(odd, exported, tmp_path):
    victim = odd.names.index(next(name for name in odd.names if name.endswith(".jpg") and "turned" not in name))
    digest = list(odd.originals)[victim]

    def brighter(pixels):
        return np.where(pixels < 255, pixels + 1, pixels)

    files = {**odd.originals, digest: altered(odd.originals[digest], brighter)}
    found = compare(exported, odd, serve(exported, odd.originals), tmp_path, files)
    assert (found["different"], found["agreement"]) == (1, 1.0)


def test_the_agreement_is_the_fraction_of_equal_labels(odd, exported, tmp_path):
    served = serve(exported, odd.originals)
    first = next(iter(served))
    other = np.roll(np.eye(len(LABELS), dtype=np.float32)[served[first].argmax()], 1)
    found = compare(exported, odd, {**served, first: other}, tmp_path)
    assert found["agreement"] == pytest.approx(1 - 1 / len(served))
    assert found["max_difference"] > 0.3


def test_only_images_that_were_added_are_compared(odd, exported, tmp_path):
    served = serve(exported, odd.originals)
    some = dict(list(odd.originals.items())[:3])
    assert compare(exported, odd, served, tmp_path, {**some, "0" * 64: b"no record of it"})["images"] == 3
    nothing = {"images": 0, "agreement": 0.0, "max_difference": 0.0, "different": 0, "predicted": 0}
    assert compare(exported, odd, served, tmp_path, {}) == nothing


@pytest.mark.parametrize(
    ("different", "wrong_of_same", "wrong_of_different", "agreement"),
    [
        (0, 0, 0, 1.0),
        (0, 6, 0, 1 - 38 / 200),  # 6 of 32, so 37.5 of 200: rounded to the worse
        (10, 0, 10, 1 - 10 / 200),
        (10, 0, 0, 1.0),
        (60, 0, 0, 1 - 44 / 200),  # 16 of the 60 were predicted, and agree; the others count as wrong
        (200, 0, 0, 32 / 200),
    ],
)
def test_images_that_were_not_predicted_count_as_the_others_or_as_wrong(
    monkeypatch, different, wrong_of_same, wrong_of_different, agreement
):
    """200 images; the Keras model says class 0 for all, the export class 1 for the wrong ones."""
    names = [f"{number:03}" for number in range(200)]
    paths = object.__new__(skew.Paths)
    paths._same = {name: number >= different for number, name in enumerate(names)}
    monkeypatch.setattr(
        skew.Paths, "_predict", lambda self, model, backbone, ids: np.eye(2, dtype=np.float32)[[0] * len(ids)]
    )
    wrong = [*names[:wrong_of_different], *names[different : different + wrong_of_same]]
    served = {name: np.eye(2, dtype=np.float32)[int(name in wrong)] for name in names}
    found = paths.compare(None, "", served)
    assert found["agreement"] == pytest.approx(agreement)
    assert (found["images"], found["different"], found["predicted"]) == (200, different, 32)
