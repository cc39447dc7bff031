"""A training that was done before is found exactly as it was, and only if all that it depends on is the same."""

import os
import shutil
from pathlib import Path

import pytest

from frostline import storage
from frostline.documents.freeze import CERTIFICATE
from frostline.documents.training import HISTORY, KERAS_FILE, MODEL
from frostline.errors import StorageError
from frostline.features import store as store_of_features
from frostline.features import usage
from frostline.features.store import evict
from frostline.freeze import certificate
from frostline.training import finished
from frostline.training.session import Session

from tests.support import pictures
from tests.support.stages import Bench

FOUND = "the same training was done before, so its model is taken from the store: trainings/"
UNUSABLE = "this finished training cannot be used, so it is repeated"
SEED = 3


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("finished"))
    bench.data(pictures.make(bench.root / "photos", 8))
    bench.plan({"through": "block1"})
    bench.train(seed=SEED, model="first", keep_finished=True)
    return bench


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
    bench.train(**{"seed": SEED, "model": "second", "keep_finished": True, **options})
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
    bench.train(seed=SEED, model="second", keep_finished=True)
    assert files(first) == before
    assert set(files(second)) == set(before)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": SEED + 1},
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


def test_a_store_that_cannot_keep_it_is_told_and_the_model_is_written(bench, capfd, monkeypatch):
    def refuse(*_, **__):
        raise StorageError("no space left")

    monkeypatch.setattr(finished.storage, "upload_file", refuse)
    finished.keep(bench.store, "c" * 64, bench.root / "first", 10**12, set())
    assert (
        "no space left; the model is written, but a run with the same inputs may train again" in capfd.readouterr().err
    )


def test_features_and_finished_trainings_share_one_limit_and_the_least_recently_used_goes_first(
    bench, tmp_path, monkeypatch, capfd
):
    store, first = str(tmp_path / "store"), bench.root / "first"
    for age, letter in enumerate("abc"):
        monkeypatch.setattr(usage.time, "time", lambda age=age: 1000.0 + age)
        finished.keep(store, letter * 64, first, 10**12, set())
    place = tmp_path / "store" / "features" / ("f" * 64)
    place.mkdir(parents=True)
    (place / "rows.bin").write_bytes(bytes(1000))  # never used
    monkeypatch.setattr(usage.time, "time", lambda: 2000.0)
    each = sum(item.size for item in storage.list_files(f"{store}/trainings/{'a' * 64}"))
    capfd.readouterr()
    finished.keep(store, "d" * 64, first, 2 * each + 500, {"b" * 64})
    left = {item.uri.removeprefix(f"{store}/trainings/")[0] for item in storage.list_files(f"{store}/trainings")}
    assert left == {"b", "d"}
    assert not (place / "rows.bin").exists()
    assert f"removed trainings/{'a' * 12} (" in capfd.readouterr().err


def test_a_store_keeps_the_latest_trainings_however_much_space_there_is(bench, tmp_path, monkeypatch, capfd):
    store, ages = str(tmp_path / "store"), range(store_of_features.MOST_TRAININGS + 2)
    for age in ages:
        monkeypatch.setattr(usage.time, "time", lambda age=age: 1000.0 * age)
        finished.keep(store, f"{age:064x}", bench.root / "first", 10**12, set())
    left = {item.uri.removeprefix(f"{store}/trainings/")[:64] for item in storage.list_files(f"{store}/trainings")}
    assert left == {f"{age:064x}" for age in ages[2:]}
    assert f") to keep at most {store_of_features.MOST_TRAININGS}\n" in capfd.readouterr().err


def test_what_is_being_kept_is_not_removed_as_unused_by_another_run(bench, tmp_path, monkeypatch):
    store, first, upload = str(tmp_path / "store"), bench.root / "first", storage.upload_file
    for age in range(store_of_features.MOST_TRAININGS):
        monkeypatch.setattr(usage.time, "time", lambda age=age: 1000.0 + age)
        finished.keep(store, f"{age:064x}", first, 10**12, set())
    monkeypatch.setattr(usage.time, "time", lambda: 2000.0)

    def while_another_run_evicts(*arguments, **named):
        upload(*arguments, **named)
        evict(store, 10**12, set())

    monkeypatch.setattr(finished.storage, "upload_file", while_another_run_evicts)
    finished.keep(store, "f" * 64, first, 10**12, set())
    assert files(first).items() <= files(tmp_path / "store" / "trainings" / ("f" * 64)).items()


def test_the_certificate_goes_before_all_else_so_that_no_half_of_a_training_is_found(bench, tmp_path, monkeypatch):
    store, removed = str(tmp_path / "store"), []
    finished.keep(store, "a" * 64, bench.root / "first", 10**12, set())
    delete = storage.delete
    monkeypatch.setattr(storage, "delete", lambda uri: (removed.append(uri), delete(uri))[1])
    evict(store, 0, set())
    names = [uri.rpartition("/")[2] for uri in removed]
    assert names.index(CERTIFICATE.file) < min(names.index(KERAS_FILE), names.index("saved_model.pb"))


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
