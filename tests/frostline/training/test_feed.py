"""Training on cached features is training on images: the same model, whatever is missing, damaged or switched off."""

import contextlib
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from frostline import artifacts, storage
from frostline.errors import DataError, NonFiniteLoss
from frostline.features import packs
from frostline.features import store as feature_store
from frostline.features.builder import FeatureBuilder
from frostline.training import feed

from tests.support import feature_packs, pictures
from tests.support.stages import Bench

THROUGH = {"through": "block1"}
LAYER = "block1_pool"
EXACT = {"mode": "require", "precision": "float32"}
OFF = {"mode": "off"}
SGD = {"optimizer": "sgd"}  # Adam divides by the size of a gradient, and makes much of the rounding of small ones


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("feed"))
    bench.data(pictures.make(bench.root / "photos", 30))
    bench.plan(THROUGH)
    return bench


@pytest.fixture(scope="module")
def reference(bench):
    """The digest of the model when nothing is amiss."""
    bench.train(model="reference")
    return digest(bench, "reference")


def document(bench, name, file, kind):
    return artifacts.read_json(bench.root / name / file, kind)


def digest(bench, name):
    return document(bench, name, "model.json", "model")["model_digest"]


def report(bench, name):
    return document(bench, name, "training.json", "training")


def history(bench, name):
    return list(artifacts.read_jsonl(bench.root / name / "training.jsonl"))


def weights(bench, name):
    return [weight.numpy() for weight in keras.models.load_model(bench.root / name / "model.keras").weights]


def assert_same_training(bench, one, other):
    for old, new in zip(weights(bench, one), weights(bench, other), strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-5)
    for old, new in zip(history(bench, one), history(bench, other), strict=True):
        assert [new[key] for key in ("accuracy", "validation_accuracy")] == [
            old[key] for key in ("accuracy", "validation_accuracy")
        ]
        assert new["loss"] == pytest.approx(old["loss"], rel=1e-5)


def test_with_and_without_the_cache_the_same_model_comes_out(bench):
    bench.train(cache=OFF, model="off")
    bench.train(cache=EXACT, model="require")
    required = [part["sets"] for part in bench.featurize(cache=EXACT)]
    assert [part["sets"] for part in bench.featurize(cache={"mode": "auto", "precision": "float32"})] == required
    assert report(bench, "off")["cache"] == []
    assert report(bench, "require")["cache"][0]["images"] == 76
    assert_same_training(bench, "off", "require")
    [proof] = report(bench, "require")["equality"]
    assert proof["exact"]
    assert proof["max_difference"] <= 1e-5


def test_phases_that_unfreeze_read_further_below_and_variants_are_those_made_on_the_fly(bench):
    phases = [{"epochs": 2, "policy": {"through": "block2"}, "learning_rate": 0.05}]
    bench.plan({"head_only": True, "phases": phases})
    augment = {"flip": True, "crop": 0.2, "views": 2}
    try:
        for name, cache in (("phases-off", OFF), ("phases", EXACT)):
            bench.train(learning_rate=0.05, augment=augment, training=SGD, cache=cache, model=name)
    finally:
        bench.plan(THROUGH)
    told = report(bench, "phases")
    assert [phase["layer"] for phase in told["phases"]] == ["head_pool", "block2_pool"]
    assert [(one["layer"], one["view"], one["images"]) for one in told["cache"]] == [
        (layer, view, images) for layer in ("head_pool", "block2_pool") for view, images in ((-1, 13), (0, 63), (1, 63))
    ]
    assert [proof["layer"] for proof in told["equality"]] == ["head_pool", "block2_pool"]
    assert_same_training(bench, "phases-off", "phases")


def test_another_head_or_learning_rate_trains_on_the_same_features(bench, reference):
    bench.train(head={"hidden": [8]}, learning_rate=0.01, model="other-head")
    assert report(bench, "other-head")["prefix_images"] == 0
    assert sum(part["computed"] for part in bench.featurize()) == 0
    first, second = (report(bench, name)["cache"][0]["address"] for name in ("reference", "other-head"))
    assert first == second


@pytest.fixture
def root(bench):
    """Where the packs are that features.json names; whatever a test does there is undone."""
    one, _ = feature_packs.merged(bench.featurize(), LAYER)
    root = Path(feature_store.root_of(bench.store, one.address))
    shutil.copytree(root, bench.root / "before")
    yield root
    shutil.rmtree(root)
    (bench.root / "before").rename(root)


def pack(root, number=0):
    """Path of one pack's rows."""
    return Path(root) / f"{packs.names(str(root))[number]}.bin"


def flip(path, byte):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    replacement = path.with_suffix(".new")
    replacement.write_bytes(data)
    replacement.replace(path)


def train_again(bench, name, capfd):
    """Train on what featurize left, without running it again; what was said and what was computed."""
    capfd.readouterr()
    bench.train(model=name, featurize=False)
    return capfd.readouterr().err, report(bench, name)


def test_a_flipped_byte_is_one_row_that_is_computed_again_to_the_same_model(bench, reference, root, capfd):
    flip(pack(root), 32 * 1024 * 4 + 5)  # in the middle of a pack's rows, of 32 KiB each
    said, told = train_again(bench, "flipped", capfd)
    assert f"features at {LAYER}: computing 1 images that are missing or damaged" in said
    assert (told["prefix_images"], told["cache"][0]["computed"], told["cache"][0]["damaged"]) == (1, 1, 1)
    assert digest(bench, "flipped") == reference


def test_packs_that_are_gone_are_computed_again_to_the_same_model(bench, reference, root, capfd):
    held = [pack(root, number).stat().st_size // (32 * 1024) for number in (0, 1)]
    pack(root, 0).with_suffix(".json").unlink()
    pack(root, 0).unlink()  # the second: without its sidecar, the first is none any more
    said, told = train_again(bench, "without", capfd)
    assert f"computing {sum(held)} images that are missing or damaged" in said
    assert told["prefix_images"] == sum(held)
    assert digest(bench, "without") == reference


def evicting(monkeypatch, root, times):
    """Another run removes what was just written, so often."""
    complete, left = FeatureBuilder.complete, [times]

    def evicted(self, *arguments):
        made = complete(self, *arguments)
        if left[0]:
            left[0] -= 1
            for path in root.iterdir():
                path.unlink()
        return made

    monkeypatch.setattr(FeatureBuilder, "complete", evicted)


@pytest.mark.parametrize("times", [1, 2])
def test_features_that_another_run_evicts_at_once_are_computed_again(bench, reference, root, monkeypatch, capfd, times):
    lost = pack(root).stat().st_size // (32 * 1024)
    pack(root).unlink()
    evicting(monkeypatch, root, times)
    _, told = train_again(bench, "evicted", capfd)
    assert told["cache"][0]["computed"] == told["prefix_images"] == lost * (times + 1)
    assert digest(bench, "evicted") == reference


def test_features_that_are_evicted_again_and_again_end_in_one_line(bench, reference, root, monkeypatch):
    pack(root, 0).unlink()
    evicting(monkeypatch, root, 3)
    with pytest.raises(DataError, match=r"features were removed 3 times before they could be read$"):
        bench.train(model="evicted", featurize=False)


def test_a_pack_of_a_bucket_is_fetched_once(bench, gcs, tmp_path, monkeypatch):
    remote = Bench(tmp_path)
    remote.store = f"{gcs}/store"
    remote.data(bench.root / "photos")
    remote.plan(THROUGH)
    remote.featurize()
    fetched, localize = [], storage.localize

    def counted(uri, into):
        fetched.append(uri)
        return localize(uri, into)

    monkeypatch.setattr(storage, "localize", counted)
    remote.train(featurize=False)
    packed = [uri for uri in fetched if "/features/" in uri]
    assert packed
    assert len(packed) == len(set(packed))


def test_records_and_features_may_lie_in_a_bucket_and_one_that_is_gone_is_computed_again(
    bench, reference, tmp_path, gcs
):
    remote = Bench(tmp_path)
    remote.store = f"{gcs}/store"
    remote.data(bench.root / "photos")
    remote.plan(THROUGH)
    one, names = feature_packs.merged(remote.featurize(), LAYER)
    assert sum(part["computed"] for part in remote.featurize()) == 0
    root = feature_store.root_of(remote.store, one.address)
    assert packs.names(root) == names
    lost = storage.stat(f"{root}/{names[0]}.bin").size // (32 * 1024)
    storage.delete(f"{root}/{names[0]}.bin")
    remote.train(featurize=False)
    assert report(remote, "model")["prefix_images"] == lost
    assert digest(remote, "model") == reference


def opened(bench):
    """Files below the bench's directory that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            found.append(link.readlink())
    return [target for target in found if target.is_relative_to(bench.root)]


def test_files_are_closed_when_training_is_over_however_it_ends(bench, reference):
    assert opened(bench) == []
    with pytest.raises(NonFiniteLoss):
        bench.train(model="diverged", learning_rate=1e30)
    assert opened(bench) == []


def part(layer="pool", address="a", packs=("1",), **use):
    use = {"phase": 1, "layer": layer, "views": 1, "bytes": 1, "passes_saved": 1, "reason": "", **use}
    made = {"layer": layer, "view": -1, "computed_in": "float32", "layout": {"shape": [2], "dtype": "float32"}}
    return {"uses": [use], "sets": [{**made, "address": address, "packs": list(packs)}]}


def test_what_the_shards_made_is_put_together():
    [use], [one] = feed.gather([part(packs=("2", "1")), part(packs=("3", "1"))])
    assert (use.layer, one.packs, one.layout.shape) == ("pool", ("1", "2", "3"), (2,))


def test_a_shard_whose_set_is_another_adds_no_packs():
    _, [one] = feed.gather([part(packs=("1",)), part(address="b", packs=("2",))])
    assert (one.address, one.packs) == ("a", ("1",))


@pytest.mark.parametrize("documents", [[], [part(), part(passes_saved=2)]])
def test_shards_that_decided_differently_or_no_shards_at_all_are_refused(documents):
    with pytest.raises(DataError, match=re.escape("features.json: the shards disagree, or there is none")):
        feed.gather(documents)
