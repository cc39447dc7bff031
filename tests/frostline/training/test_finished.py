"""A training that was done before is found exactly as it was, and only if all that it depends on is the same."""

import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from frostline import digests, storage
from frostline.documents.freeze import CERTIFICATE
from frostline.documents.training import HISTORY, KERAS_FILE, MODEL
from frostline.errors import RegistryError
from frostline.freeze import certificate
from frostline.training import finished
from frostline.training.session import Session
from frostline.verification.verify import require_verified

from tests.support.stages import Bench

FOUND = "the same training was done before, so its model is taken from the store: trainings/"
UNUSABLE = "this finished training cannot be used, so it is repeated"


@pytest.fixture
def kept(bench):
    """The directory of the one finished training in the store, which the test may change."""
    [place] = (Path(bench.store) / "trainings").iterdir()
    before = bench.root / "kept"
    shutil.copytree(place, before)  # not links: tests damage files in place
    shutil.rmtree(place)
    shutil.copytree(before, place)
    yield place
    shutil.rmtree(place, ignore_errors=True)
    before.rename(place)


def files(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def again(bench, capfd, **options):
    """Train once more with the same inputs; what was said, and the model's directory."""
    shutil.rmtree(bench.root / "second", ignore_errors=True)
    capfd.readouterr()
    bench.train(**{"model": "second", "keep_finished": True, **options})
    return capfd.readouterr().err, bench.root / "second"


def no_training(monkeypatch):
    def run(self):
        raise AssertionError("it trains")

    monkeypatch.setattr(Session, "run", run)


def test_a_training_with_the_same_inputs_is_taken_bit_by_bit_and_nothing_is_trained(bench, capfd, monkeypatch):
    no_training(monkeypatch)
    said, model = again(bench, capfd, training={"checkpoint_seconds": 7}, cache={"mode": "auto", "limit_gb": 3})
    assert FOUND in said
    assert files(model) == files(bench.root / "first")
    for part in ("record", "logs"):
        names = [sorted(path.name.split(".")[0] for path in (bench.root / f"{one}-{part}").rglob("*"))
                 for one in ("first", "second")]  # fmt: skip
        assert names[0] == names[1] != []
    assert files(bench.root / "second-record") == files(bench.root / "first-record")


@pytest.mark.parametrize("found", [True, False], ids=["found", "evicted"])
def test_what_a_killed_attempt_left_is_removed_and_its_links_into_the_store_are_not_written_to(bench, kept, found):
    """Another training would be saved into the files of the first run, which the store shares with it."""
    first, second = bench.root / "first", bench.root / "second"
    before = files(first)
    shutil.rmtree(second, ignore_errors=True)
    (second / "serving").mkdir(parents=True)
    os.link(first / KERAS_FILE, second / KERAS_FILE)
    (second / "serving" / f".saved_model.pb.{'0' * 32}.partial").write_bytes(b"half")
    if not found:
        shutil.rmtree(kept)
    bench.train(model="second", keep_finished=True)
    assert files(first) == before
    assert set(files(second)) == set(before)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"epochs": 3},
        {"head": {"hidden": [4]}, "epochs": 1},
        {"batch_size": 8},
        {"learning_rate": 0.01},
    ],
    ids=["seed", "epochs", "head", "batch", "rate"],
)
def test_another_training_is_not_found(bench, capfd, other):
    said, _ = again(bench, capfd, **other, keep_finished=True)
    assert FOUND not in said
    assert len(list((Path(bench.store) / "trainings").iterdir())) == 2
    [new] = (one for one in (Path(bench.store) / "trainings").iterdir() if not same_certificate(bench, one))
    shutil.rmtree(new)


def same_certificate(bench, place):
    return (place / CERTIFICATE.file).read_bytes() == (bench.root / "first" / CERTIFICATE.file).read_bytes()


@pytest.mark.parametrize("name", [KERAS_FILE, "serving/saved_model.pb", MODEL.file, CERTIFICATE.file])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_what_is_damaged_is_told_and_trained_again_and_the_next_run_finds_it(bench, kept, capfd, name, damage):
    path = kept / name
    if damage == "gone":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    said, model = again(bench, capfd)
    assert FOUND not in said
    assert (UNUSABLE in said) == ((name, damage) != (CERTIFICATE.file, "gone"))  # without it, nothing was finished
    assert MODEL.read(model) == MODEL.read(bench.root / "first")
    assert FOUND in again(bench, capfd)[0]


def rewrite(kept, change):
    document = CERTIFICATE.read(kept)
    change(document)
    CERTIFICATE.write(kept, certificate.seal(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(plan_digest="0" * 64),
        lambda document: document.update(source_digest="0" * 64),
        lambda document: document["files"].update({"serving/../../../escaped": "0" * 64}),
        lambda document: document["files"].update({"/tmp/escaped": "0" * 64}),
        lambda document: document["files"].update({"more.txt": "0" * 64}),
        lambda document: document["files"].pop(HISTORY.file),
        lambda document: document.update(files=[]),
        lambda document: document.update(files={"model.json": 3}),
        lambda document: document.pop("files"),
        lambda document: document["files"].update({"serving/\ud800": "0" * 64}),
    ],
    ids=["plan", "source", "outside", "absolute", "more", "fewer", "list", "number", "none", "no-text"],
)
def test_a_certificate_about_something_else_or_with_hostile_names_is_not_followed(bench, kept, capfd, change):
    rewrite(kept, change)
    said, model = again(bench, capfd)
    assert UNUSABLE in said
    assert FOUND not in said
    assert MODEL.read(model) == MODEL.read(bench.root / "first")
    assert not list(bench.root.rglob("escaped"))


def test_a_certificate_with_lists_inside_each_other_is_not_followed(bench, kept, capfd):
    deep = f'{{"schema": "frostline/freeze_certificate/v1", "files": {"[" * 500}{"]" * 500}}}'
    (kept / CERTIFICATE.file).write_text(deep)
    assert UNUSABLE in again(bench, capfd)[0]


def test_a_link_in_place_of_a_finished_training_is_told_and_neither_followed_nor_replaced(bench, kept, tmp_path, capfd):
    kept.rename(tmp_path / "elsewhere")
    kept.symlink_to(tmp_path / "elsewhere")
    try:
        said, model = again(bench, capfd)
    finally:
        kept.unlink()
    assert UNUSABLE in said
    assert "the model is written, but a run with the same inputs may train again" in said
    assert MODEL.read(model) == MODEL.read(bench.root / "first")


@pytest.mark.parametrize("also_its_digests", [False, True], ids=["weights", "weights and digests"])
def test_a_forged_training_with_another_frozen_weight_is_not_published(bench, kept, capfd, also_its_digests):
    """Its files have the digests of the certificate, and its plan and source are those of the run: it is taken."""
    model = keras.models.load_model(kept / KERAS_FILE, compile=False)
    layer = model.get_layer("block1_conv")
    layer.kernel.assign_add(np.full(layer.kernel.shape, 1e-3, np.float32))
    model.save(kept / KERAS_FILE)

    def forge(document):
        document["files"][KERAS_FILE] = digests.of_file(kept / KERAS_FILE)
        document["weights_digest"] = certificate.weights_digest(model.layers)
        if also_its_digests:
            [tensor] = (name for name in document["tensors"] if name.startswith("block1_conv/"))
            forged = certificate.tensor_digest(layer.kernel.numpy())
            states = document["tensors"][tensor]["digests"]
            document["tensors"][tensor]["digests"] = [forged] * len(states)

    rewrite(kept, forge)
    said, taken = again(bench, capfd)
    assert FOUND in said
    with pytest.raises(RegistryError, match="toy does not verify"):
        require_verified(taken, "toy")
    require_verified(bench.root / "first", "toy")


def test_a_finished_training_of_another_key_at_this_place_is_not_taken(bench, kept, capfd):
    """Its certificate is about other weights."""
    other = Bench(bench.root / "other")
    other.data(bench.root / "photos")
    other.plan({"through": "block1"}, seed=9)
    other.train(model="model", keep_finished=True)
    [place] = (Path(other.store) / "trainings").iterdir()
    shutil.rmtree(kept)
    shutil.copytree(place, kept)
    assert UNUSABLE in again(bench, capfd)[0]


def test_without_the_cache_a_training_is_neither_taken_nor_kept(bench, capfd):
    said, _ = again(bench, capfd, cache={"mode": "off"})
    assert FOUND not in said
    assert len(list((Path(bench.store) / "trainings").iterdir())) == 1


def test_a_bucket_keeps_trainings_too(bench, gcs, tmp_path, capfd):
    inputs, out = bench.inputs(), tmp_path / "out"
    out.mkdir()
    assert not finished.take(gcs, "a" * 64, inputs, out)
    finished.keep(gcs, "a" * 64, bench.root / "first", 10**12, set())
    assert finished.take(gcs, "a" * 64, inputs, out)
    assert files(out) == files(bench.root / "first")
    [damaged] = (item for item in storage.list_files(gcs) if item.uri.endswith(KERAS_FILE))
    storage.write_bytes(damaged.uri, b"other")
    assert not finished.take(gcs, "a" * 64, inputs, out)
    assert list(out.iterdir()) == []
    assert f"{KERAS_FILE} is damaged" in capfd.readouterr().err
