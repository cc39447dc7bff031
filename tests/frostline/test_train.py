"""Training as a whole: what is emitted, what is proven, what is refused, on photos that the tests make."""

import copy
import json
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline import artifacts, digests
from frostline.data import lineage, shards
from frostline.errors import ConfigError, DataError, FreezeViolation, FrostlineError, WeightsError
from frostline.model import backbones, weights
from frostline.training import loop

from tests.support import pictures
from tests.support.stages import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Data prepared once: 30 photos of each of three colours."""
    root = tmp_path_factory.mktemp("train")
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))
    bench.plan({"through": "block1"})
    bench.train()
    return bench


@pytest.fixture
def model_dir(bench):
    return Path(bench.path("model"))


def documents(directory):
    certificate = artifacts.read_json(directory / "freeze_certificate.json", "freeze_certificate")
    return certificate, artifacts.read_json(directory / "model.json", "model")


def weights_by_layer(model):
    return {layer.name: [weight.numpy() for weight in layer.weights] for layer in model.layers if layer.weights}


def test_frozen_layers_are_bit_identical_to_the_source_and_the_others_moved(bench, model_dir):
    source = artifacts.read_json(Path(bench.path("weights")) / "source.json", "weights")
    before = weights_by_layer(weights.load(source))
    after = weights_by_layer(keras.models.load_model(model_dir / "model.keras"))
    for name in ("block1_conv", "block1_bn", "block2_bn", "block3_bn"):
        for old, new in zip(before[name], after[name], strict=True):
            assert old.tobytes() == new.tobytes()
    for name in ("block2_conv", "block3_conv"):
        assert not np.array_equal(before[name][0], after[name][0])


def test_the_certificate_is_bound_to_plan_source_and_exported_files(bench, model_dir):
    certificate, model = documents(model_dir)
    assert certificate["verified"]
    assert (certificate["frozen_tensors"], certificate["moved"], certificate["unmoved_trainable"]) == (13, [], [])
    plan = json.loads((model_dir / "freeze_plan.json").read_text())
    assert certificate["plan_digest"] == digests.of_json(plan)
    source = artifacts.read_json(Path(bench.path("weights")) / "source.json", "weights")
    assert certificate["source_digest"] == source["digest"]
    assert certificate["model_digest"] == model["model_digest"]
    vouched = [
        model_dir / name
        for name in ("model.keras", "freeze_plan.json", "training.jsonl", "training.json", "model.json", lineage.FILE)
    ]
    files = [*vouched, *(path for path in (model_dir / "serving").rglob("*") if path.is_file())]
    found = {str(path.relative_to(model_dir)): digests.of_file(path) for path in files}
    assert certificate["files"] == found


def test_the_record_has_what_the_gate_reads_of_the_model_and_no_weights(bench, model_dir):
    record = Path(bench.path("model-record"))
    copied = {path.name: path.read_bytes() for path in record.iterdir()}
    assert copied == {name: (model_dir / name).read_bytes() for name in copied}
    assert set(copied) == {"freeze_plan.json", "freeze_certificate.json", "training.jsonl", "training.json"}


def test_the_images_that_the_model_was_made_with_are_named_and_certified(bench, model_dir):
    rows = list(artifacts.read_jsonl(Path(bench.path("dataset")) / "manifest.jsonl"))
    made_with = {row["sha256"] for row in rows if row["split"] != "test"}
    assert lineage.read(model_dir) == made_with
    assert len(made_with) < len(rows)
    assert documents(model_dir)[0]["files"][lineage.FILE] == digests.of_file(model_dir / lineage.FILE)


def test_model_json_tells_where_everything_came_from(bench, model_dir):
    told = documents(model_dir)[1]["provenance"]
    source = artifacts.read_json(Path(bench.path("dataset")) / "source.json", "source")
    assert (told["source"], told["manifest_digest"]) == (source["source"], source["manifest_digest"])
    assert {split: sum(counts.values()) for split, counts in told["counts"].items()} == {
        "train": 63,
        "validation": 13,
        "test": 14,
    }
    assert told["weights"] == {"reference": "random", "resolved": "random, seed 0"}
    assert (told["versions"]["tensorflow"], told["image"]) == (tf.__version__, "image:1")
    bench.train(learning_rate=0.004, model="another")
    assert documents(bench.root / "another")[1]["provenance"]["config_digest"] != told["config_digest"]


def test_a_training_that_ignores_the_plan_emits_no_model(bench, monkeypatch):
    applied = loop.apply_phase
    monkeypatch.setattr(loop, "apply_phase", lambda *args: None if args[1][0]["block"] else applied(*args))
    bench.plan({"none": True})  # freezes every BatchNorm
    try:
        with pytest.raises(FreezeViolation, match="block1_bn, block2_bn, block3_bn; no model is emitted"):
            bench.train(model="violated")
    finally:
        bench.plan({"through": "block1"})
    assert not (Path(bench.path("violated")) / "model.json").exists()
    assert not (Path(bench.path("violated")) / "model.keras").exists()


def test_training_again_gives_the_same_model_and_another_seed_another(bench, model_dir):
    bench.train(model="again")
    bench.train(model="other", seed=1)
    first, again, other = (documents(Path(bench.path(name)))[1]["model_digest"] for name in ("model", "again", "other"))
    assert first == again
    assert first != other


def test_the_history_has_a_row_an_epoch(model_dir):
    rows = list(artifacts.read_jsonl(model_dir / "training.jsonl"))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("accuracy", "validation_accuracy"))
    assert all(row["loss"] > 0 for row in rows)


def test_the_export_predicts_from_bytes_what_the_trained_model_predicts(bench, model_dir):
    model = keras.models.load_model(model_dir / "model.keras")
    paths = sorted(Path(bench.path("photos")).rglob("*.jpg"))[::9]
    data = [path.read_bytes() for path in paths]
    pixels = np.stack([keras.utils.img_to_array(_decoded(item)) for item in data])
    expected = model.predict(backbones.normalise(pixels, "SmallConvNet"), verbose=0)
    served = tf.saved_model.load(str(model_dir / "serving")).signatures["serving_default"](
        image_bytes=tf.constant(data)
    )
    np.testing.assert_allclose(served["probabilities"].numpy(), expected, atol=1e-6)
    labels = ["amber", "cobalt", "jade"]
    assert [label.decode() for label in served["label"].numpy()] == [labels[i] for i in expected.argmax(axis=1)]


def _decoded(data):
    from frostline.data import images

    return images.from_bytes(tf.constant(data), 32).numpy()


def test_the_export_stores_each_weight_once(model_dir):
    stored = (model_dir / "serving" / "variables" / "variables.data-00000-of-00001").stat().st_size
    model = keras.models.load_model(model_dir / "model.keras")
    needed = sum(weight.numpy().nbytes for weight in model.weights)
    assert needed <= stored <= 1.02 * needed


def test_hidden_layers_and_dropout_are_built_as_configured(bench):
    bench.train(epochs=1, head={"hidden": [7.0, 5.0], "dropout": 0.25}, model="hidden")
    model = keras.models.load_model(Path(bench.path("hidden")) / "model.keras")
    assert [model.get_layer(name).units for name in ("head_hidden1", "head_hidden2", "head_logits")] == [7, 5, 3]
    assert model.get_layer("head_dropout").rate == 0.25


def test_head_only_trains_the_head_and_nothing_else(bench, tmp_path):
    bench.plan({"head_only": True})
    try:
        bench.train(epochs=1, model="head-only")
    finally:
        bench.plan({"through": "block1"})
    certificate, model = documents(Path(bench.path("head-only")))
    assert certificate["trainable_tensors"] == 0
    assert model["frozen_parameters"] == 93_920
    assert model["parameters"] == 93_920 + 128 * 3 + 3


def test_weights_that_changed_in_the_store_are_refused(bench):
    source_file = Path(bench.path("weights")) / "source.json"
    source = json.loads(source_file.read_text())
    source_file.write_text(json.dumps({**source, "digest": "0" * 64}))
    try:
        with pytest.raises(WeightsError, match=r"digest of the weights: received .*; the plan is for 0000"):
            bench.train(model="tampered")
    finally:
        source_file.write_text(json.dumps(source))


def test_an_unknown_key_of_the_head_is_refused_by_the_step_too(bench):
    with pytest.raises(ConfigError, match=r"head\.units: received 3; unknown key"):
        bench.train(head={"units": 3}, model="unknown")


def test_a_loss_that_is_not_finite_stops_the_run_in_one_line(bench):
    with pytest.raises(FrostlineError, match=r"step \d \(epoch 1\): the loss is nan; .* try a lower learning_rate"):
        bench.train(epochs=3, learning_rate=1e30, model="diverged")


def test_what_a_killed_writer_left_is_not_read_and_goes_in_the_end(bench, model_dir, monkeypatch):
    info = artifacts.read_json(Path(bench.path("info")) / "info.json", "info")
    records = Path(info["records"])
    whole = next(path for path in records.glob("*-train.tfrecord-*") if path.stat().st_size)
    left = records / f".{whole.name}.{'0123' * 8}.partial"
    left.write_bytes(whole.read_bytes())
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)  # a day later, nobody is writing it any more
    bench.train(model="with-leftover")
    assert not left.exists()
    assert documents(Path(bench.path("with-leftover")))[1] == documents(model_dir)[1]


def test_records_that_are_not_those_of_the_data_set_stop_the_run(bench):
    path = Path(bench.path("info")) / "info.json"
    whole = path.read_text()
    info = json.loads(whole)
    path.write_text(json.dumps({**info, "splits": {**info["splits"], "train": 64}}))
    try:
        with pytest.raises(DataError, match=r"train: .* has 63 examples; the dataset has 64"):
            bench.train(epochs=1, model="other-data")
    finally:
        path.write_text(whole)


def test_a_label_that_was_changed_after_validation_stops_the_run_whatever_its_digests(bench):
    records = artifacts.read_json(Path(bench.path("info")) / "info.json", "info")["records"]
    shard = shards.names(2)[0]
    state = shards.read_state(records, shard)
    whole = copy.deepcopy(state)
    row = next(row for row in state["index"] if row["split"] == "train")
    row["label"] = (row["label"] + 1) % 3
    shards.write_state(records, shard, state)
    try:
        with pytest.raises(
            DataError, match=r"^train: .* has other images or labels than the dataset; run the pipeline"
        ):
            bench.train(epochs=1, model="relabeled", featurize=False)
    finally:
        shards.write_state(records, shard, whole)


def test_training_json_tells_what_was_cached_and_what_bounded_the_run(bench, model_dir):
    report = artifacts.read_json(model_dir / "training.json", "training")
    (phase,) = report["phases"]
    assert (phase["layer"], phase["epochs"], phase["passes_saved"]) == ("block1_pool", 2, 1)
    assert phase["bound"].startswith("bound by ")
    (cached,) = report["cache"]
    assert (cached["layer"], cached["images"], cached["computed"]) == ("block1_pool", 76, 0)
    (proof,) = report["equality"]
    assert proof["max_difference"] <= 1e-3
    assert (report["prefix_images"], report["resumed_from"], report["replicas"]) == (0, None, 1)
    assert any("up to block1_pool computes in" in sentence for sentence in report["sentences"])
    assert list(Path(bench.path("model-logs")).glob("events.out.tfevents.*"))
