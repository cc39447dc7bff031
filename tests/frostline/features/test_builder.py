"""Sets of features: which images belong to one, what is missing of it, and what a shard makes."""

import json
from pathlib import Path

import pytest

from frostline import artifacts
from frostline.data.config import AugmentConfig
from frostline.errors import DataError
from frostline.features import packs, precision, prefix
from frostline.features import store as feature_store
from frostline.features.builder import FeatureBuilder, FeatureSet, ImageRecords
from frostline.features.cache_plan import PLAIN
from frostline.features.config import CacheConfig
from frostline.features.packs import Layout
from frostline.features.prefix import FLOAT32
from frostline.model import bfloat16, weights

from tests.support import feature_packs, pictures
from tests.support.stages import Bench

UNVARIED = AugmentConfig()
FLIPPED = AugmentConfig(flip=True)
LAYER, OTHER = "block1_pool", "head_pool"
FIRST, SECOND = "00000-of-00002", "00001-of-00002"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("sets"))
    bench.data(pictures.make(bench.root / "photos", 30))
    bench.plan({"head_only": True})
    return bench


@pytest.fixture(scope="module")
def manifest(bench):
    return list(artifacts.read_jsonl(bench.root / "dataset" / "manifest.jsonl"))


@pytest.fixture
def records(bench):
    return artifacts.read_json(bench.root / "info" / "info.json", "info")["records"]


@pytest.fixture
def pictures_of(records, tmp_path):
    def pictures_of(augment=UNVARIED, seed=0):
        return ImageRecords(records, 32, augment, seed, tmp_path)

    return pictures_of


@pytest.fixture
def maker(bench, tmp_path, pictures_of):
    def maker(augment=UNVARIED, **cache):
        source = artifacts.read_json(bench.root / "weights" / "source.json", "weights")
        plan = artifacts.read_json(bench.root / "plan" / "freeze_plan.json", "freeze_plan")
        return FeatureBuilder.from_source(
            str(tmp_path / "store"), source, plan, pictures_of(augment), CacheConfig(precision="float32", **cache)
        )

    return maker


def ids(sources):
    return {one for source in sources for one in source.examples.ids}


def of(manifest, *splits):
    return {row["sha256"] for row in manifest if row["split"] in splits}


def test_a_set_survives_being_written_as_json():
    one = FeatureSet("pool", 2, "bfloat16", Layout((3, 4), "float16"), "a" * 64, ("b" * 64,))
    assert FeatureSet.read(json.loads(json.dumps(one.document()))) == one


def test_a_set_holds_training_and_validation_images_or_where_they_vary_one_of_the_two(pictures_of, manifest):
    assert ids(pictures_of().sources(PLAIN)) == of(manifest, "train", "validation")
    varied = pictures_of(FLIPPED)
    assert ids(varied.sources(PLAIN)) == of(manifest, "validation")
    [training] = varied.sources(1)
    assert ids([training]) == of(manifest, "train")
    assert training.augment == FLIPPED
    assert not varied.sources(PLAIN)[0].augment.active
    parts = [ids(pictures_of().sources(PLAIN, [shard])) for shard in (FIRST, SECOND)]
    assert parts[0] | parts[1] == of(manifest, "train", "validation")
    assert not parts[0] & parts[1]


def test_the_precision_is_chosen_for_all_images_of_all_views_that_go_through_the_prefix(
    bench, maker, manifest, monkeypatch
):
    asked = []

    def choose(store, full, low, config, rows, size, passes):
        asked.append((full.layer, low.computed_in, passes))
        raise DataError("stop")

    monkeypatch.setattr(precision, "choose", choose)
    train, validation = (len(of(manifest, split)) for split in ("train", "validation"))
    for augment, wanted in (
        (UNVARIED, [(LAYER, PLAIN), (OTHER, PLAIN)]),
        (FLIPPED, [(LAYER, PLAIN), (LAYER, 0), (LAYER, 1), (OTHER, 0)]),
    ):
        with pytest.raises(DataError):
            maker(augment).make([SECOND], wanted, manifest)
    assert asked == [(LAYER, "bfloat16", train + validation), (LAYER, "bfloat16", 2 * train + validation)]


def test_two_shards_together_make_every_set_and_the_second_one_nothing_of_the_firsts(bench, maker, manifest, tmp_path):
    made = maker()
    wanted = [(LAYER, PLAIN), (OTHER, PLAIN)]
    parts = [made.make([shard], wanted, manifest) for shard in (FIRST, SECOND)]
    expected = of(manifest, "train", "validation")
    assert made.computed == parts[1]["computed"] == 2 * len(expected)  # each image for each set
    for layer, shape in ((LAYER, (16, 16, 32)), (OTHER, (128,))):
        rows = feature_packs.rows(str(tmp_path / "store"), parts, layer)
        assert set(rows) == expected
        assert {row.shape for row in rows.values()} == {shape}
    assert [part["verdicts"][LAYER]["reason"] for part in parts] == ["as configured"] * 2


def test_the_model_is_loaded_only_where_something_is_computed(maker, manifest, monkeypatch):
    loaded, load = [], weights.load
    monkeypatch.setattr(weights, "load", lambda source: (loaded.append(source), load(source))[1])
    made = [maker().make([FIRST], [(OTHER, PLAIN)], manifest) for _ in range(2)]
    assert len(loaded) == 1
    assert made[0]["sets"] == made[1]["sets"]
    assert (made[1]["computed"], made[1]["reused"]) == (0, made[0]["computed"])


def test_prefixes_that_the_plan_does_not_name_have_the_same_addresses(bench, maker, manifest, pictures_of, tmp_path):
    source = artifacts.read_json(bench.root / "weights" / "source.json", "weights")
    plan = artifacts.read_json(bench.root / "plan" / "freeze_plan.json", "freeze_plan")
    assert set(source.pop("prefixes")) == {OTHER}  # LAYER is no boundary of this plan
    earlier = FeatureBuilder.from_source(
        str(tmp_path / "store"), source, plan, pictures_of(), CacheConfig(precision="float32")
    )
    wanted = [(LAYER, PLAIN), (OTHER, PLAIN)]
    sets = [made.make([FIRST], wanted, manifest)["sets"] for made in (maker(), earlier)]
    assert sets[0] == sets[1]


def test_the_first_shard_alone_says_what_the_prefix_computes_in(maker, manifest, capfd):
    made = maker()
    for shard in (SECOND, FIRST):
        capfd.readouterr()
        made.make([shard], [(OTHER, PLAIN)], manifest)
        said = f"the prefix up to {OTHER} computes in float32: as configured" in capfd.readouterr().err
        assert said == (shard == FIRST)


def test_made_again_all_is_reused_and_the_packs_have_the_same_names(maker, manifest):
    first = maker().make([FIRST], [(OTHER, PLAIN)], manifest)
    second = maker().make([FIRST], [(OTHER, PLAIN)], manifest)
    assert (first["reused"], second["computed"]) == (0, 0)
    assert second["reused"] == first["computed"] > 0
    assert second["sets"] == first["sets"]


@pytest.mark.bfloat16
def test_types_and_precisions_have_places_of_their_own(maker, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(bfloat16, "hardware_has_bfloat16", lambda: True)
    monkeypatch.setattr(bfloat16, "is_faster", lambda: True)
    made = {dtype: maker(dtype=dtype) for dtype in ("float32", "float16", "bfloat16")}
    found = {dtype: one.make([FIRST], [(OTHER, PLAIN)], manifest)["sets"][0] for dtype, one in made.items()}
    assert len({one["address"] for one in found.values()}) == 3
    for dtype, one in found.items():
        assert one["layout"] == {"shape": [128], "dtype": dtype}
        root = feature_store.root_of(str(tmp_path / "store"), one["address"])
        [name] = packs.names(root)
        assert (Path(root) / f"{name}.bin").stat().st_size == len(ids(maker().images.sources(PLAIN, [FIRST]))) * 128 * (
            4 if dtype == "float32" else 2
        )
    low, _ = made["float32"].describe(OTHER, PLAIN, prefix.BFLOAT16)
    assert low.address not in {one["address"] for one in found.values()}


def test_only_what_is_missing_is_computed_and_nothing_twice(maker, tmp_path):
    made = maker()
    described, function = made.describe(OTHER, PLAIN, FLOAT32)
    sources = made.images.sources(PLAIN)
    everything = ids(sources)
    have = set(sorted(everything)[5:])
    [name] = made.complete(described, function, [*sources, *made.images.sources(PLAIN)], have)  # each image twice
    assert made.computed == 5
    held = packs.names_by_image(feature_store.root_of(str(tmp_path / "store"), described.address), described.layout)
    assert held == {key: [name] for key in everything - have}
    assert made.complete(described, function, sources, everything) == []
    assert made.computed == 5


def test_no_pack_is_left_when_a_record_is_damaged(maker, records, tmp_path):
    made = maker()
    described, function = made.describe(OTHER, PLAIN, FLOAT32)
    path = next(path for path in sorted(Path(records).glob("*-train.tfrecord-*")) if path.stat().st_size)
    whole = path.read_bytes()
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    sources = made.images.sources(PLAIN)
    try:
        with pytest.raises(DataError, match="is damaged; remove the directory"):
            made.complete(described, function, sources, [])
    finally:
        path.write_bytes(whole)
    assert packs.names(feature_store.root_of(str(tmp_path / "store"), described.address)) == []
    for source in sources:
        source.examples.close()


def test_tidying_up_removes_the_longest_unused_but_nothing_in_use(maker, manifest, capfd, tmp_path):
    made = maker(limit_gb=0.0001)  # 100 kB; the two sets take some 20 and 1,250 kB
    made.make([FIRST], [(LAYER, PLAIN)], manifest)
    small = made.make([FIRST], [(OTHER, PLAIN)], manifest)["sets"][0]["address"]
    assert "to stay within 0.0001 GB" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "store" / "features").iterdir() if list(path.glob("*.bin"))] == [small]
    large = made.make([FIRST], [(LAYER, PLAIN)], manifest)["sets"][0]["address"]
    assert [path.name for path in (tmp_path / "store" / "features").iterdir() if list(path.glob("*.bin"))] == [large]
