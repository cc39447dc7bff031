"""The featurize stage: what no run has computed is computed once, and everything else is found."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from frostline import artifacts
from frostline.errors import ConfigError
from frostline.features import packs
from frostline.features import store as feature_store
from frostline.model import weights

from tests.support import feature_packs, pictures
from tests.support.stages import Bench

THROUGH = {"through": "block1"}
LAYER = "block1_pool"
FLIPPED = {"flip": True, "views": 2}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Data and a plan, made once; 63 + 13 images to train and validate on."""
    bench = Bench(tmp_path_factory.mktemp("featurize"))
    bench.data(pictures.make(bench.root / "photos", 30))
    bench.plan(THROUGH)
    return bench


@pytest.fixture
def bench(prepared, tmp_path):
    """A copy with a feature store of its own."""
    shutil.copytree(prepared.root, tmp_path / "bench")
    made = Bench(tmp_path / "bench")
    source = tmp_path / "bench" / "weights" / "source.json"
    source.write_text(source.read_text().replace(str(prepared.root), str(made.root)))
    for path in made.root.glob("examples-*/shard.json"):
        path.write_text(path.read_text().replace(str(prepared.root), str(made.root)))
    return made


def counts(documents):
    return sum(one["computed"] for one in documents), sum(one["reused"] for one in documents)


def manifest(bench, *splits):
    rows = artifacts.read_jsonl(bench.root / "dataset" / "manifest.jsonl")
    return {row["sha256"] for row in rows if row["split"] in splits}


def test_every_image_of_training_and_validation_goes_through_once_and_a_second_run_computes_nothing(bench):
    expected = manifest(bench, "train", "validation")
    first = bench.featurize()
    assert counts(first) == (len(expected), 0)
    rows = feature_packs.rows(bench.store, first, LAYER)
    assert set(rows) == expected
    second = bench.featurize()
    assert counts(second) == (0, len(expected))
    assert [one["sets"] for one in second] == [one["sets"] for one in first]


def test_a_second_run_leaves_the_packs_as_they_are(bench):
    bench.featurize()
    before = {path: path.stat() for path in (bench.root / "store" / "features").rglob("*.bin")}
    bench.featurize()
    after = {path: path.stat() for path in (bench.root / "store" / "features").rglob("*.bin")}
    assert {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in before.items()} == {
        path: (stat.st_ino, stat.st_mtime_ns) for path, stat in after.items()
    }


@pytest.mark.parametrize(("augment", "sets"), [(None, 1), (FLIPPED, 2)])
def test_one_new_photo_is_one_image_through_the_prefix_for_each_set(bench, augment, sets):
    bench.featurize(epochs=4, augment=augment)
    known = manifest(bench, "train", "validation", "test")
    rng = np.random.default_rng(99)
    for number in range(40):  # until one falls into the training split
        path = bench.root / "photos" / "jade" / f"new-{number}.jpg"
        path.write_bytes(pictures.picture(rng, pictures.COLOURS["jade"]))
        bench.ingest(bench.root / "photos")
        if manifest(bench, "train") - known:
            break
        path.unlink()
    bench.preprocess(bench.workers())
    assert len(manifest(bench, "train", "validation") - known) == 1
    computed, reused = counts(bench.featurize(epochs=4, augment=augment))
    train, validation = (len(manifest(bench, split)) for split in ("train", "validation"))
    assert computed == sets
    assert reused == (sets * train + validation) - sets


def save(model, path):
    model.save_weights(path)
    return str(path)


def test_weights_that_differ_above_the_boundary_find_the_features_and_below_it_they_do_not(bench, tmp_path):
    total = sum(counts(bench.featurize()))
    source = artifacts.read_json(bench.root / "weights" / "source.json", "weights")
    model = weights.load(source)
    for layer in ("block3_conv", "block2_bn"):
        [first, *_] = model.get_layer(layer).weights
        first.assign(first + 0.5)
    bench.plan(THROUGH, weights=save(model, tmp_path / "above.weights.h5"))
    assert counts(bench.featurize()) == (0, total)
    kernel = model.get_layer("block1_conv").weights[0]
    kernel.assign(kernel + 0.5)
    bench.plan(THROUGH, weights=save(model, tmp_path / "below.weights.h5"))
    assert counts(bench.featurize()) == (total, 0)


def test_variants_are_kept_for_training_images_and_plain_ones_for_validation(bench):
    documents = bench.featurize(epochs=4, augment=FLIPPED)
    plain, *views = (feature_packs.rows(bench.store, documents, LAYER, view) for view in (-1, 0, 1))
    assert set(plain) == manifest(bench, "validation")
    assert all(set(view) == manifest(bench, "train") for view in views)
    equal = [views[0][one].tobytes() == views[1][one].tobytes() for one in views[0]]
    assert 0.2 < np.mean(equal) < 0.8  # of two variants, half are mirrored alike
    assert counts(bench.featurize(epochs=4, augment=FLIPPED, seed=1))[1] == len(plain)  # another seed, other variants


def test_phases_have_a_set_for_each_boundary(bench):
    bench.plan({"head_only": True, "phases": [{"epochs": 2, "policy": {"through": "block2"}, "learning_rate": 0.001}]})
    documents = bench.featurize()
    assert [use["layer"] for use in documents[0]["uses"]] == ["head_pool", "block2_pool"]
    maps, pooled = (feature_packs.rows(bench.store, documents, layer) for layer in ("block2_pool", "head_pool"))
    assert set(maps) == set(pooled) == manifest(bench, "train", "validation")
    assert {row.shape for row in pooled.values()} == {(128,)}


def test_a_limit_removes_what_was_used_least_recently_but_never_what_this_run_needs(bench, capfd):
    def addresses():
        return {path.name for path in (bench.root / "store" / "features").iterdir() if list(path.glob("*.bin"))}

    own = {}
    for seed in (1, 2, 3):  # other weights, other features: 2.5 MB each
        bench.plan(THROUGH, seed=seed)
        documents = bench.featurize(cache={"mode": "auto", "limit_gb": 0.006})
        own[seed] = documents[0]["sets"][0]["address"]
    assert addresses() == {own[2], own[3]}
    assert f"removed features/{own[1][:12]} (" in capfd.readouterr().err
    bench.plan(THROUGH, seed=2)
    found = bench.featurize(cache={"mode": "auto", "limit_gb": 0.002491})  # less than the rows and their sidecars take
    assert counts(found) == (0, sum(counts(documents)))
    assert addresses() == {own[2]}
    assert len(feature_packs.rows(bench.store, found, LAYER)) == sum(counts(documents))


def test_features_that_exceed_the_limit_are_not_made_unless_required(bench):
    documents = bench.featurize(cache={"mode": "auto", "limit_gb": 0.001})
    assert counts(documents) == (0, 0)
    assert "cache.limit_gb is 0.001" in documents[0]["uses"][0]["reason"]
    with pytest.raises(ConfigError, match=r"cache: received 'require'; .*cache\.limit_gb is 0\.001; raise the limit"):
        bench.featurize(cache={"mode": "require", "limit_gb": 0.001})


def test_a_required_cache_without_a_frozen_prefix_is_refused(bench):
    bench.plan({"none": True, "batch_norm": "follow"})
    with pytest.raises(ConfigError, match="cache: received 'require'; no phase has a frozen prefix"):
        bench.featurize(cache={"mode": "require"})


SCRIPT = """
import json, sys, time
from pathlib import Path
root, out, cache = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
if cache["mode"] != "off":
    import frostline.features.builder  # what takes its time, before both begin at once
    Path(out + ".ready").touch()
    while len(list(root.glob("*.ready"))) < 2:
        time.sleep(0.01)
from frostline.features import featurize
shard = sorted(root.glob("examples-*"))[0]
featurize.run(
    dataset=str(root / "dataset"), examples=str(shard), freeze_plan=str(root / "plan"),
    backbone_weights=str(root / "weights"), epochs=2, seed=0, augment={}, cache=cache, store=str(root / "store"),
    features=out,
)
print(sorted(name for name in ("tensorflow", "keras") if name in sys.modules))
"""


def pod(bench, name, **cache):
    """Featurize the first shard in a process of its own; what it printed and wrote."""
    command = [sys.executable, "-c", SCRIPT, bench.root, bench.path(name), json.dumps(cache)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout, artifacts.read_json(Path(bench.path(name)) / "features.json", "features")


def test_with_nothing_to_make_tensorflow_is_not_imported(bench):
    imported, document = pod(bench, "nothing", mode="off")
    assert imported == "[]\n"
    assert (document["sets"], document["computed"]) == ([], 0)
    assert document["uses"][0]["reason"] == "cache: off"


def test_two_pods_with_the_same_shard_at_once_both_succeed_and_name_the_same_packs(bench):
    with ThreadPoolExecutor(2) as pool:
        (_, one), (_, other) = pool.map(lambda name: pod(bench, name, mode="auto"), ["one", "other"])
    assert one["sets"] == other["sets"]
    assert one["computed"] + one["reused"] == other["computed"] + other["reused"]
    described = feature_packs.merged([one], LAYER)[0]
    assert tuple(packs.names(feature_store.root_of(bench.store, described.address))) == described.packs
    assert len(feature_packs.rows(bench.store, [one], LAYER)) == one["computed"] + one["reused"]


def test_a_killed_pods_partial_files_are_no_packs(bench):
    documents = bench.featurize()
    described, names = feature_packs.merged(documents, LAYER)
    root = Path(feature_store.root_of(bench.store, described.address))
    (root / f"{names[0]}.json").unlink()  # rows without a sidecar: it was killed in between
    computed, reused = counts(bench.featurize())
    assert computed > 0
    assert reused > 0
    assert packs.names(str(root)) == names


def test_own_models_on_raw_pixels_are_cut_as_well(bench, tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    for number in (1, 2):
        x = keras.layers.Conv2D(4, 3, strides=2, name=f"block{number}_conv")(x)
    keras.Model(image, x).save(tmp_path / "own.keras")
    bench.plan({"head_only": True}, backbone=str(tmp_path / "own.keras"), weights="own")
    rows = feature_packs.rows(bench.store, bench.featurize(), "head_pool")
    assert set(rows) == manifest(bench, "train", "validation")
    assert np.std([row[0] for row in rows.values()]) > 0
