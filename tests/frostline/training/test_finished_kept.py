"""Finished trainings in a store: the latest are kept, within a limit, and never a part of one."""

from frostline import storage
from frostline.documents.freeze import CERTIFICATE
from frostline.documents.training import KERAS_FILE
from frostline.errors import StorageError
from frostline.features import store as store_of_features
from frostline.features import usage
from frostline.features.store import evict
from frostline.training import finished


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
    for path in (path for path in first.rglob("*") if path.is_file()):
        place = tmp_path / "store" / "trainings" / ("f" * 64) / path.relative_to(first)
        assert place.read_bytes() == path.read_bytes()


def test_the_certificate_goes_before_all_else_so_that_no_half_of_a_training_is_found(bench, tmp_path, monkeypatch):
    store, removed = str(tmp_path / "store"), []
    finished.keep(store, "a" * 64, bench.root / "first", 10**12, set())
    delete = storage.delete
    monkeypatch.setattr(storage, "delete", lambda uri: (removed.append(uri), delete(uri))[1])
    evict(store, 0, set())
    names = [uri.rpartition("/")[2] for uri in removed]
    assert names.index(CERTIFICATE.file) < min(names.index(KERAS_FILE), names.index("saved_model.pb"))
