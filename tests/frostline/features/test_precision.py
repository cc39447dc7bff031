"""The precision of the prefix: one answer for all pods of all runs, found on real images, never by a crash."""

import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from frostline import artifacts, storage
from frostline.errors import DataError
from frostline.features import precision, trial
from frostline.features.config import CacheConfig
from frostline.features.prefix import Prefix
from frostline.model import backbones, bfloat16, head
from frostline.model.config import HeadConfig

from tests.support import pictures
from tests.support.manifests import row

pytestmark = pytest.mark.bfloat16
SIZE = 16
AUTO = CacheConfig()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    photos = pictures.make(tmp_path_factory.mktemp("sampled"), 14)
    return [
        row(path, label) for label, name in enumerate(pictures.COLOURS) for path in sorted((photos / name).iterdir())
    ]


def pair(model, backbone="SmallConvNet", layer="block2_pool"):
    full = Prefix(lambda: model, backbone, layer)
    return full, full.lowered()


def network():
    keras.utils.set_random_seed(0)
    return head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(), 3)


@pytest.fixture(scope="module")
def prefixes():
    return pair(network())


@pytest.fixture(autouse=True)
def hardware(monkeypatch):
    """Every machine that the tests run on can do it, and is faster for it."""
    monkeypatch.setattr(bfloat16, "hardware_has_bfloat16", lambda: True)
    monkeypatch.setattr(bfloat16, "is_faster", lambda: True)


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def choose(store, prefixes, manifest, config=AUTO, passes=400):
    return precision.choose(store, *prefixes, config, manifest, SIZE, passes)


def change(verdict, **values):
    path = Path(verdict["uri"])
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_the_configuration_or_the_hardware_decides_and_nothing_is_stored(store, prefixes, manifest, monkeypatch):
    found = choose(store, prefixes, manifest, CacheConfig(precision="float32"))
    assert found == {"computed_in": "float32", "reason": "as configured", "uri": ""}
    monkeypatch.setattr(bfloat16, "hardware_has_bfloat16", lambda: False)
    found = choose(store, prefixes, manifest)
    assert (found["computed_in"], found["uri"]) == ("float32", "")
    assert not Path(store).exists()


def test_a_machine_that_is_not_faster_tries_nothing_but_follows_a_verdict_that_it_finds(
    store, prefixes, manifest, monkeypatch
):
    monkeypatch.setattr(bfloat16, "is_faster", lambda: False)
    found = choose(store, prefixes, manifest)
    assert found == {
        "computed_in": "float32",
        "reason": "this hardware does not compute faster in bfloat16",
        "uri": "",
    }
    assert not Path(store).exists()
    monkeypatch.setattr(bfloat16, "is_faster", lambda: True)
    first = choose(store, prefixes, manifest)
    assert first["computed_in"] == "bfloat16"
    monkeypatch.setattr(bfloat16, "is_faster", lambda: False)  # as the measurement may say where other work runs
    assert choose(store, prefixes, manifest)["computed_in"] == "bfloat16"


def test_where_a_trial_costs_more_than_it_saves_nothing_is_tried_or_stored(store, prefixes, manifest):
    before = prefixes[0].images
    found = choose(store, prefixes, manifest, passes=127)
    assert found == {
        "computed_in": "float32",
        "reason": "bfloat16 saves less on 127 images than it costs to try it",
        "uri": "",
    }
    assert prefixes[0].images == before
    assert not Path(store).exists()


def test_a_sample_of_the_training_images_that_agrees_makes_it_bfloat16(store, prefixes, manifest):
    before = prefixes[0].images
    found = choose(store, prefixes, [*manifest, {"split": "test"}])
    assert found["computed_in"] == "bfloat16"
    assert found["trial"]["images"] == 32
    assert found["trial"]["agrees"]
    assert prefixes[0].images == before + 32
    assert 0 < found["trial"]["noise"] < 0.05
    assert 0 < found["trial"]["probe"]["shift"] < 0.05
    assert found["reason"] == trial.reason(found["trial"])


def test_more_images_are_tried_where_there_are_more(store, prefixes, manifest):
    assert choose(store, prefixes, manifest, passes=10_000)["trial"]["images"] == 42  # all


def test_a_sample_that_does_not_agree_makes_it_float32_and_says_why(store, prefixes, manifest, monkeypatch):
    monkeypatch.setattr(trial, "MAX_SHIFT", 1e-6)
    found = choose(store, prefixes, manifest)
    assert (found["computed_in"], found["trial"]["agrees"]) == ("float32", False)
    assert "(limit 0.0001 %)" in found["reason"]


def test_the_first_verdict_is_stored_and_every_other_run_uses_it(store, prefixes, manifest):
    first = choose(store, prefixes, manifest)
    change(first, computed_in="float32", reason="because")
    before = prefixes[0].images
    second = choose(store, prefixes, list(reversed(manifest)))
    assert (second["computed_in"], second["reason"], second["uri"]) == ("float32", "because", first["uri"])
    assert prefixes[0].images == before  # no image was tried again


def test_a_verdict_that_another_pod_stored_in_between_is_used(store, prefixes, manifest, monkeypatch):
    uri = choose(store, prefixes, manifest)["uri"]
    Path(uri).unlink()
    measure = trial.compare

    def meanwhile(*arguments):
        storage.write_bytes(uri, artifacts.encode("precision", {"computed_in": "float32", "reason": "first"}))
        return measure(*arguments)

    monkeypatch.setattr(trial, "compare", meanwhile)
    found = choose(store, prefixes, manifest)
    assert (found["computed_in"], found["reason"]) == ("float32", "first")


def test_other_weights_or_images_need_another_verdict(store, prefixes, manifest):
    first = choose(store, prefixes, manifest)["uri"]
    model = network()
    kernel = model.get_layer("block1_conv").weights[0]
    kernel.assign(kernel + 0.01)
    assert choose(store, pair(model), manifest)["uri"] != first
    assert choose(store, prefixes, manifest[:20])["uri"] != first
    assert choose(store, prefixes, manifest)["uri"] == first


def test_a_verdict_of_another_trial_is_not_used(store, prefixes, manifest, monkeypatch):
    """Verdicts of the first trial had other measures and limits, and refused what is harmless."""
    first = choose(store, prefixes, manifest)
    change(first, computed_in="float32", reason="relative L2, limit 0.01")
    monkeypatch.setattr(trial, "VERSION", trial.VERSION + 1)
    second = choose(store, prefixes, manifest)
    assert (second["computed_in"], second["reason"]) == ("bfloat16", first["reason"])
    assert second["uri"] != first["uri"]


def test_withdrawn_it_is_float32_for_this_run_and_all_that_follow(store, prefixes, manifest):
    first = choose(store, prefixes, manifest)
    withdrawn = precision.withdraw(first, "the model disagreed")
    expected = {"computed_in": "float32", "reason": "the model disagreed", "uri": first["uri"]}
    assert withdrawn == expected
    after = choose(store, prefixes, manifest)
    assert {key: after[key] for key in expected} == expected


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"{}", b'{"schema": "frostline/precision/v1", "computed_in": "int8"}', b"\xff\xfe\x00"],
)
def test_a_damaged_verdict_is_replaced(store, prefixes, manifest, damage):
    first = choose(store, prefixes, manifest)
    Path(first["uri"]).write_bytes(damage)
    assert choose(store, prefixes, manifest) == first
    assert json.loads(Path(first["uri"]).read_text())["computed_in"] == "bfloat16"


def test_images_that_cannot_be_read_are_left_out_of_the_sample(store, prefixes, manifest, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    found = choose(store, prefixes, [row(broken, 0), *manifest[:8]])
    assert found["trial"]["images"] == 8
    broken.write_bytes(b"another")
    with pytest.raises(DataError, match="changed since it was ingested"):
        choose(store, prefixes, [{**row(broken, 0), "sha256": "0" * 64}, *manifest[:8]])


def test_where_no_image_can_be_read_it_is_float32(store, prefixes, manifest, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    for sample in ([row(broken, 0)], [{**manifest[0], "split": "validation"}], []):
        found = choose(store, prefixes, sample)
        assert found["computed_in"] == "float32"
        assert found["reason"] == "there is no training image to try bfloat16 on"


def test_features_that_are_not_finite_are_left_to_what_names_their_image(store, manifest, tmp_path):
    image = keras.Input((SIZE, SIZE, 3))
    own = keras.Model(image, keras.layers.Conv2D(4, 3, name="conv")(keras.ops.log(image)))
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((SIZE, SIZE, 3), np.uint8)).save(buffer, "PNG")
    (tmp_path / "black.png").write_bytes(buffer.getvalue())
    prefixes = pair(head.attach(own, HeadConfig(), 3), "own.keras", "conv")
    found = choose(store, prefixes, [*manifest[:5], row(tmp_path / "black.png", 1)])
    assert found["computed_in"] == "float32"
    assert "not finite" in found["reason"]


def test_a_bucket_keeps_it_as_well(prefixes, manifest, gcs):
    first = choose(f"{gcs}/store", prefixes, manifest)
    assert first["uri"].startswith(f"{gcs}/store/precision/")
    before = prefixes[0].images
    assert choose(f"{gcs}/store", prefixes, manifest)["reason"] == first["reason"]
    assert prefixes[0].images == before
