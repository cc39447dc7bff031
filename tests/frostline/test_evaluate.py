"""Evaluation of the export on original bytes, alone and beside a champion."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from frostline import artifacts, digests, evaluate, registry, storage
from frostline.data import lineage
from frostline.errors import DataError, RegistryError
from frostline.evaluation import golden

from tests.support import hostile, pictures
from tests.support.stages import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    bench = Bench(root)
    source = pictures.make(root / "photos", 40)
    (source / "jade" / "broken.jpg").write_bytes(b"no photo")
    bench.data(source, test_fraction=0.4)
    bench.plan({"none": True, "batch_norm": "follow"})
    bench.train(epochs=4)
    return bench


def test_the_last_checkpoint_of_the_training_is_removed_once_the_model_was_read(bench):
    checkpoints = bench.checkpoints()
    checkpoints.save(3, {}, {})
    bench.evaluate()
    assert checkpoints.latest() is None


def evaluation(bench):
    return artifacts.read_json(Path(bench.path("evaluation")) / "evaluation.json", "evaluation")


def test_predictions_cover_the_readable_test_images_and_agree_with_the_metrics(bench):
    returned = bench.evaluate()
    found = evaluation(bench)
    rows = [r for r in artifacts.read_jsonl(Path(bench.path("dataset")) / "manifest.jsonl") if r["split"] == "test"]
    readable = {row["id"]: row["label"] for row in rows if row["id"] != "jade/broken.jpg"}
    table = pq.read_table(Path(bench.path("evaluation")) / "predictions.parquet").to_pydict()
    assert dict(zip(table["id"], table["label"], strict=True)) == readable
    probabilities = np.array(table["probabilities"])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert table["predicted"] == probabilities.argmax(axis=1).tolist()
    correct = np.mean(np.array(table["predicted"]) == np.array(table["label"]))
    assert found["accuracy"]["value"] == pytest.approx(correct)
    assert found["accuracy"]["low"] <= correct <= found["accuracy"]["high"]
    assert sum(map(sum, found["confusion"])) == found["examples"] == len(readable)
    assert correct > 0.6  # three plain colours are learned: a model fed the wrong bytes or labels is not
    assert found["champion"] is None
    assert returned["confusion"] == found["confusion"]
    page = (Path(bench.path("evaluation")) / "report.html").read_text()
    assert "cobalt" in page
    assert '<polyline class="train"' in page


def test_what_ships_is_measured_in_every_way_that_the_gate_asks_for(bench):
    bench.evaluate()
    found = evaluation(bench)
    assert (found["model_name"], found["leaked"]) == ("toy", 0)
    assert found["arithmetic"] == {"device": "CPU", "tensor_float_32": False, "precision": "float32"}
    assert found["skew"]["images"] == found["examples"]
    assert found["skew"]["agreement"] == 1.0
    assert found["skew"]["max_difference"] <= 1e-5
    serving = found["serving"]
    assert [row["batch"] for row in serving["latency"]] == [1, 32]
    exported = Path(bench.path("model")) / "serving"
    assert serving["size_bytes"] == sum(path.stat().st_size for path in exported.rglob("*") if path.is_file())
    assert serving["peak_memory_bytes"] > serving["size_bytes"]
    assert found["test_split"]["promotions"] == 0
    for name in ("accuracy", "top_k", "macro_f1", "log_loss", "brier", "calibration_error"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    worst = artifacts.read_json(Path(bench.path("evaluation")) / "worst.json", "worst")["images"]
    assert len(worst) == min(
        24, sum(map(sum, found["confusion"])) - sum(row[i] for i, row in enumerate(found["confusion"]))
    )


def test_the_golden_batch_is_of_test_images_and_what_was_measured_on_them(bench):
    bench.evaluate()
    found, expected = golden.read(Path(bench.path("evaluation")))
    table = pq.read_table(Path(bench.path("evaluation")) / "predictions.parquet").to_pydict()
    by_digest = dict(zip(table["sha256"], table["probabilities"], strict=True))
    assert len(found) == 8
    for data, probabilities in zip(found, expected, strict=True):
        np.testing.assert_allclose(probabilities, by_digest[digests.of_bytes(data)], atol=1e-5)


def test_a_test_image_that_the_model_was_made_with_is_counted(bench):
    rows = artifacts.read_jsonl(Path(bench.path("dataset")) / "manifest.jsonl")
    two = [row["sha256"] for row in rows if row["split"] == "test" and row["id"] != "jade/broken.jpg"][:2]
    kept = (Path(bench.path("model")) / lineage.FILE).read_bytes()
    try:
        lineage.write(Path(bench.path("model")), {"train": two[:1], "validation": two[1:]})
        bench.evaluate()
        assert evaluation(bench)["leaked"] == 2
    finally:
        (Path(bench.path("model")) / lineage.FILE).write_bytes(kept)


def test_copies_of_a_test_image_count_once(bench, capfd):
    manifest = Path(bench.path("dataset")) / "manifest.jsonl"
    whole = manifest.read_bytes()
    try:
        bench.evaluate()
        once = evaluation(bench)
        rows = list(artifacts.read_jsonl(manifest))
        copies = [{**row, "id": f"{row['id']}-copy"} for row in rows if row["split"] == "test"]
        artifacts.write_jsonl(manifest, rows + copies)
        bench.evaluate()
        for name in ("examples", "accuracy", "per_class", "confusion", "test_split", "slices"):
            assert evaluation(bench)[name] == once[name]
        assert f"{len(copies)} test images are copies of others and count once" in capfd.readouterr().err
    finally:
        manifest.write_bytes(whole)


def test_a_data_set_full_of_copies_is_judged_by_its_different_images(tmp_path, photos):
    bench, source = Bench(tmp_path), photos(per_class=20)
    different = list(source.rglob("*.jpg"))
    for path in different:
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    bench.data(source, test_fraction=0.4)
    bench.plan({"through": "block1"})
    bench.train(epochs=1)
    bench.evaluate()
    found = evaluation(bench)
    rows = [row for row in artifacts.read_jsonl(tmp_path / "dataset/manifest.jsonl") if row["split"] == "test"]
    assert 2 * found["examples"] == len(rows)
    assert found["skew"]["images"] == found["examples"]
    assert bench.gate({"min_accuracy": 0.0})


def publish(bench, name, labels=None, alter=None):
    """The bench's own model as a version and champion; `labels` renames its classes, `alter` changes its graph."""
    directory = bench.root / f"version-{name}"
    shutil.copytree(Path(bench.path("model")) / "serving", directory)
    shutil.copy(Path(bench.path("model")) / lineage.FILE, directory)
    described = json.loads((Path(bench.path("model")) / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps({**described, "labels": labels or described["labels"]}))
    if alter:
        hostile.change(directory, alter)
    version = registry.publish(bench.registry, name, directory, identity=name, metadata={})
    return version, registry.promote(bench.registry, version, expected=None, reason="test")


def test_a_champion_is_predicted_on_the_same_images_and_compared(bench):
    version, alias = publish(bench, "same")
    bench.evaluate("same")
    champion = evaluation(bench)["champion"]
    assert champion["comparable"]
    assert (champion["version"], champion["promotion"]) == (version.number, alias.promotion)
    assert champion["only_challenger_right"] == champion["only_champion_right"] == 0
    assert champion["both_right"] + champion["both_wrong"] == evaluation(bench)["examples"]
    assert champion["difference"]["value"] == 0


def test_a_champion_that_is_the_same_export_is_not_predicted_again(bench, monkeypatch):
    publish(bench, "itself")
    monkeypatch.setattr(evaluate, "predict", None)
    bench.evaluate("itself")
    champion = evaluation(bench)["champion"]
    assert champion["both_right"] + champion["both_wrong"] == evaluation(bench)["examples"]


def test_a_champion_whose_graph_answers_otherwise_is_predicted_though_its_weights_are_equal(bench):
    def opposite(meta):
        function = hostile.serve(meta)
        (name,) = (one.name for one in function.signature.output_arg if one.type == tf.float32.as_datatype_enum)
        for node, op, given in (("negated", "Neg", function.ret[name]), ("opposite", "Softmax", "negated:y:0")):
            made = function.node_def.add(name=node, op=op, input=[given])
            made.attr["T"].type = tf.float32.as_datatype_enum
        function.ret[name] = "opposite:softmax:0"

    publish(bench, "opposite", alter=opposite)
    bench.evaluate("opposite")
    champion = evaluation(bench)["champion"]
    assert champion["only_challenger_right"] > champion["only_champion_right"]


def test_a_champion_with_its_labels_in_another_order_is_compared_by_label(bench):
    publish(bench, "reordered", labels=["jade", "amber", "cobalt"])
    bench.evaluate("reordered")
    found = evaluation(bench)
    predicted = pq.read_table(Path(bench.path("evaluation")) / "predictions.parquet").to_pydict()
    # the champion's index 0 means jade (2), 1 amber (0), 2 cobalt (1)
    theirs = np.array([2, 0, 1])[np.array(predicted["predicted"])]
    assert found["champion"]["both_right"] + found["champion"]["only_champion_right"] == int(
        np.sum(theirs == np.array(predicted["label"]))
    )


def test_a_champion_with_other_labels_is_not_comparable_and_says_why(bench):
    publish(bench, "others", labels=["amber", "cobalt", "olive"])
    bench.evaluate("others")
    champion = evaluation(bench)["champion"]
    assert not champion["comparable"]
    assert "olive" in champion["reason"]


def test_a_damaged_champion_is_an_error_not_a_comparison(bench):
    version, _ = publish(bench, "damaged")
    variables = next(Path(version.uri).rglob("variables.data*"))
    data = bytearray(variables.read_bytes())
    data[10] ^= 1
    variables.unlink()
    variables.write_bytes(bytes(data))
    with pytest.raises(RegistryError, match="its manifest says"):
        bench.evaluate("damaged")


def test_a_champion_whose_graph_writes_a_file_is_not_loaded(bench, tmp_path):
    target = tmp_path / "written"
    publish(bench, "hostile", alter=lambda meta: hostile.write_file(meta, target))
    with pytest.raises(RegistryError, match=r"^the champion, hostile version 1: .* has the operation WriteFile[^\n]+$"):
        bench.evaluate("hostile")
    assert not target.exists()


def test_without_a_test_image_there_is_no_evaluation(bench, tmp_path):
    other = Bench(tmp_path)
    shutil.copytree(bench.path("dataset"), other.path("dataset"))
    shutil.copytree(bench.path("info"), other.path("info"))
    shutil.copytree(bench.path("model"), other.path("model"))
    manifest = Path(other.path("dataset")) / "manifest.jsonl"
    rows = [row for row in artifacts.read_jsonl(manifest) if row["split"] != "test"]
    artifacts.write_jsonl(manifest, rows)
    with pytest.raises(DataError, match="the test split has no readable image"):
        other.evaluate()


def test_an_image_that_changed_after_ingest_is_not_measured(bench):
    rows = artifacts.read_jsonl(Path(bench.path("dataset")) / "manifest.jsonl")
    victim = Path(next(r["uri"] for r in rows if r["split"] == "test" and "broken" not in r["id"]))
    data = victim.read_bytes()
    victim.write_bytes(data[:-2] + b"\0\0")
    try:
        with pytest.raises(DataError, match="changed since it was ingested"):
            bench.evaluate()
    finally:
        victim.write_bytes(data)


def test_every_stage_works_on_buckets(tmp_path, gcs, photos):
    """Source, store and registry in a bucket; nothing local but the artifacts."""
    for path in photos(per_class=24).rglob("*.jpg"):
        storage.upload_file(path, storage.join(gcs, "photos", path.parent.name, path.name))
    bench = Bench(tmp_path)
    bench.store, bench.registry = f"{gcs}/store", f"{gcs}/registry"
    bench.data(f"{gcs}/photos")
    bench.plan({"through": "block1"})
    bench.train(epochs=1)
    bench.evaluate()
    assert bench.gate({"min_accuracy": 0.0})
    assert bench.push() == "pushed: toy version 1 is the champion"
    bench.evaluate()
    champion = evaluation(bench)["champion"]
    assert (champion["version"], champion["comparable"], champion["difference"]["value"]) == (1, True, 0)
    assert bench.gate({"min_accuracy": 0.0})
    assert bench.push() == "pushed: toy version 1 is already the champion"
    assert not (tmp_path / "store").exists()


def test_what_training_says_of_itself_is_on_the_page_and_another_schema_is_refused(bench):
    summary = Path(bench.path("model")) / "training.json"
    try:
        artifacts.write_json(
            summary, "training", {"sentences": ["The prefix ran once an image."], "fingerprint": "0" * 64}
        )
        bench.evaluate()
        assert "The prefix ran once an image." in (Path(bench.path("evaluation")) / "report.html").read_text()
        artifacts.write_json(summary, "elsewhere", {"sentences": []})
        with pytest.raises(DataError, match="this version reads 'frostline/training/v1'"):
            bench.evaluate()
    finally:
        summary.unlink()
