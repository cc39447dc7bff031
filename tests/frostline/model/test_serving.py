"""What ships, loaded as servers load it: predictions, latency, and agreement with the way into training."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from frostline.data import examples, images
from frostline.documents.data import INFO, MANIFEST
from frostline.errors import DataError
from frostline.evaluation import latency, skew
from frostline.model import backbones, export, head
from frostline.model.config import HeadConfig
from frostline.model.serving import Served

from tests.support import pictures
from tests.support.stages import Bench

LABELS = ["amber", "cobalt", "jade"]
SIZE = 32


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(hidden=(8,)), len(LABELS))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    model.save(root / "model.keras")
    export.save(model, LABELS, SIZE, "SmallConvNet", root / "serving")
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = pictures.make(tmp_path_factory.mktemp("photos") / "all", 3)
    return [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]


def test_a_served_model_gives_the_probabilities_of_the_model(model, exported, photos):
    pixels = tf.stack([images.from_bytes(tf.constant(data), SIZE) for data in photos])
    expected = model(backbones.normalise(pixels, "SmallConvNet"), training=False).numpy()
    with Served(exported / "serving") as served:
        found = served.predict(photos)
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_allclose(served.predict(photos[:1]), expected[:1], atol=1e-6)


def test_what_cannot_be_served_is_told_in_one_line(exported, tmp_path):
    with pytest.raises(DataError, match=r"cannot be served: [^\n]+$"):
        Served(tmp_path)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "saved_model.pb").write_bytes((exported / "serving" / "saved_model.pb").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"cannot be served: [^\n]+$"):
        Served(damaged)
    other = tf.Module()
    other.call = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(other, str(tmp_path / "other"), signatures={"serving_default": other.call})
    with pytest.raises(DataError, match="image_bytes"):
        Served(tmp_path / "other")


def test_latency_is_told_by_batch_with_its_percentiles_in_order(exported, photos):
    with Served(exported / "serving") as served:
        found = latency.time_calls(served, photos)
    assert [row["batch"] for row in found["latency"]] == [1, 32]
    for row in found["latency"]:
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
        assert row["calls"] >= 5
    assert found["throughput"] == pytest.approx(32_000 / found["latency"][1]["p50"])


def test_a_slow_model_is_measured_by_few_calls(monkeypatch):
    class Slow:
        calls = 0

        def predict(self, data):
            self.calls += 1
            clock[0] += 2.0
            return len(data)

    clock = [0.0]
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])
    slow = Slow()
    found = latency.time_calls(slow, [b"image"])
    assert [(row["p50"], row["calls"]) for row in found["latency"]] == [(2000.0, 5), (2000.0, 5)]
    assert slow.calls == 2 * (5 + 2)


def odd_images(folder):
    """The same scene as phones and web sites deliver it: turned by EXIF, with alpha, grey, CMYK, 16 bits deep."""
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
    """Records, by way of the stages, whose test split has images of all kinds."""
    bench = Bench(tmp_path_factory.mktemp("odd"))
    photos = pictures.make(bench.root / "photos", 12)
    odd_images(photos / "jade")
    bench.data(photos, test_fraction=0.7)
    return bench


def original(bench, identifiers):
    from frostline.data import records

    rows = {row["sha256"]: row for row in MANIFEST.read(bench.root / "dataset")}
    return [records.original(rows[one]) for one in identifiers], [rows[one]["id"] for one in identifiers]


def test_the_way_into_training_and_the_way_into_serving_agree_on_images_of_all_kinds(odd, exported, tmp_path):
    info = INFO.read(odd.root / "info")
    ids = examples.load(info["records"], "test", tmp_path).ids
    data, names = original(odd, ids)
    kinds = {name.split("/")[1].split(".")[0].split("-")[0] for name in names}
    assert {"turned", "alpha", "grey"} <= kinds
    with Served(exported / "serving") as served:
        told = dict(zip(ids, served.predict(data), strict=True))
    found = skew.compare_paths(exported / "model.keras", info["records"], SIZE, "SmallConvNet", told, tmp_path)
    assert (found["images"], found["agreement"]) == (len(ids), 1.0)
    assert found["max_difference"] <= 1e-5


def test_a_serving_path_that_sees_other_pixels_is_found(odd, exported, tmp_path):
    """A server that gets its images' channels in the other order."""
    info = INFO.read(odd.root / "info")
    ids = examples.load(info["records"], "test", tmp_path).ids
    data, _ = original(odd, ids)

    def swapped(encoded):
        buffer = io.BytesIO()
        pixels = images.decode(tf.constant(encoded)).numpy()[..., ::-1]
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    with Served(exported / "serving") as served:
        told = dict(zip(ids, served.predict([swapped(one) for one in data]), strict=True))
    found = skew.compare_paths(exported / "model.keras", info["records"], SIZE, "SmallConvNet", told, tmp_path)
    assert found["max_difference"] > 1e-3


def test_skew_without_a_common_image_agrees_on_nothing(odd, exported, tmp_path):
    info = INFO.read(odd.root / "info")
    found = skew.compare_paths(exported / "model.keras", info["records"], SIZE, "SmallConvNet", {}, tmp_path)
    assert found == {"images": 0, "agreement": 0.0, "max_difference": 0.0}
