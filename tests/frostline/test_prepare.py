"""A worker's share: records and features of any number of shards, in one process."""

from pathlib import Path

import pytest

from frostline import prepare, train, validate
from frostline.documents.data import INFO, SHARE
from frostline.documents.features import FEATURES
from frostline.ingest import run as ingest

from tests.support.stages import Bench

SHARDS = 5


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.plan({"through": "block1"})
    return bench


def prepared(bench, source, workers):
    """Ingest, then one worker after the other: examples and features of each."""
    names = ingest(
        source=str(source), data={}, shards=SHARDS, workers=workers, store=bench.store, dataset=bench.path("dataset")
    )
    assert names == [f"{number:05d}-of-{workers:05d}" for number in range(workers)]
    places = [(bench.path(f"e{workers}-{name}"), bench.path(f"f{workers}-{name}")) for name in names]
    for worker, (examples, features) in zip(names, places, strict=True):
        prepare.run(
            dataset=bench.path("dataset"), worker=worker, image_size=32, freeze_plan=bench.path("plan"),
            backbone_weights=bench.path("weights"), epochs=2, seed=0, augment={}, cache={}, store=bench.store,
            examples=examples, features=features,
        )  # fmt: skip
    return places


def trained(bench, places, name):
    """The digest of the dataset, and of the model that is trained on it."""
    validate.run(
        dataset=bench.path("dataset"), examples=[examples for examples, _ in places], image_size=32,
        store=bench.store, info=bench.path("info"), page=bench.path("page.html"),
    )  # fmt: skip
    train.run(
        info=bench.path("info"), freeze_plan=bench.path("plan"), backbone_weights=bench.path("weights"),
        features=[features for _, features in places], head={}, training={}, augment={}, cache={}, epochs=2,
        batch_size=16, learning_rate=0.003, seed=0, store=bench.store, image="", model=bench.path(name),
        record=bench.path(f"{name}-record"), logs=bench.path(f"{name}-logs"),
    )  # fmt: skip
    from frostline.documents.training import MODEL

    return INFO.read(Path(bench.path("info")))["dataset_digest"], MODEL.read(Path(bench.path(name)))["model_digest"]


def test_every_shard_has_one_worker_and_their_number_changes_nothing(bench, photos):
    source = photos()
    two, one = prepared(bench, source, 2), prepared(bench, source, 1)
    shards = [SHARE.read(Path(examples))["shards"] for examples, _ in two]
    assert [[int(shard[:5]) for shard in share] for share in shards] == [[0, 2, 4], [1, 3]]
    assert SHARE.read(Path(one[0][0]))["shards"] == sorted(shard for share in shards for shard in share)
    assert FEATURES.read(Path(one[0][1]))["computed"] == 0  # the two workers left nothing to compute
    assert trained(bench, two, "two") == trained(bench, one, "one")


def test_a_worker_that_starts_again_finds_its_finished_shards(bench, photos, monkeypatch, capfd):
    from frostline.data import preprocess

    original, written = preprocess._write, []

    def killed(*arguments):
        written.append(arguments[2])
        if len(written) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(preprocess, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        prepared(bench, photos(), 1)
    monkeypatch.setattr(preprocess, "_write", lambda *arguments: written.append(arguments[2]) or original(*arguments))
    prepared(bench, bench.root / "photos", 1)
    assert [int(shard[:5]) for shard in written] == [0, 1, 1, 2, 3, 4]
    assert "shard 00000-of-00005: already finished in the store" in capfd.readouterr().err
