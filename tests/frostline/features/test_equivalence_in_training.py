"""Training on features that are not the model's: no model is made of them, or one of features in float32."""

import shutil
from pathlib import Path

import pytest

from frostline import artifacts
from frostline.errors import FeaturesDisagree
from frostline.features import trial
from frostline.model import bfloat16
from frostline.training import session

from tests.support import feature_packs, pictures
from tests.support.stages import Bench

EXACT = {"mode": "require", "precision": "float32"}
LOW = {"mode": "require"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("forged"))
    bench.data(pictures.make(bench.root / "photos", 30))
    bench.plan({"through": "block1"})
    return bench


def forge(bench, cache):
    """Make features, and give each validation image those of another class, with digests and seals that are right."""
    documents = bench.featurize(cache=cache)
    rows = artifacts.read_jsonl(bench.root / "dataset" / "manifest.jsonl")
    validation = {row["sha256"]: row["label"] for row in rows if row["split"] == "validation"}
    good = feature_packs.rows(bench.store, documents, "block1_pool")
    by_label = {label: good[one] for one, label in validation.items()}

    def change(identifier, row):
        return by_label[(validation[identifier] + 1) % 3] if identifier in validation else row

    feature_packs.forge(bench.store, documents, "block1_pool", change)
    return documents


def test_no_model_is_made_of_features_that_are_not_the_models(bench):
    forge(bench, EXACT)
    try:
        with pytest.raises(FeaturesDisagree, match="features cached at block1_pool are not equivalent to the model"):
            bench.train(cache=EXACT, model="forged", featurize=False)
    finally:
        shutil.rmtree(Path(bench.store) / "features")
    assert not (bench.root / "forged" / "model.json").exists()


def document(bench, name, file, kind):
    return artifacts.read_json(bench.root / name / file, kind)


@pytest.fixture(scope="module")
def restarted(bench):
    """A training on features in bfloat16 that turn out to be wrong, beside one in float32; what the first one said."""
    bench.train(cache=EXACT, model="exact")
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bfloat16, "hardware_has_bfloat16", lambda: True)
        patch.setattr(bfloat16, "is_faster", lambda: True)
        patch.setattr(trial, "_PAYS", 1)  # a trial that pays on 76 images
        patch.setattr(session, "say", said.append)
        [verdict] = forge(bench, LOW)[0]["verdicts"].values()
        assert verdict["computed_in"] == "bfloat16"
        bench.train(cache=LOW, model="restarted", featurize=False)
        following = bench.featurize(cache=LOW)
    return said, following


@pytest.mark.bfloat16
def test_where_low_precision_disagrees_the_model_of_float32_is_made(bench, restarted):
    assert any("computing the prefix in float32 instead and starting training again" in line for line in restarted[0])
    exact, again = (document(bench, name, "model.json", "model") for name in ("exact", "restarted"))
    assert exact["model_digest"] == again["model_digest"]
    told = document(bench, "restarted", "training.json", "training")
    assert [(proof["exact"], proof["agreement"]) for proof in told["equality"]] == [(True, 1.0)]
    assert [one["computed_in"] for one in told["cache"]] == ["float32"]
    assert len(list(artifacts.read_jsonl(bench.root / "restarted" / "training.jsonl"))) == 2
    assert not list((Path(bench.store) / "checkpoints").rglob("*.json"))


@pytest.mark.bfloat16
def test_and_every_run_that_follows_computes_in_float32(restarted):
    assert {one["computed_in"] for part in restarted[1] for one in part["sets"]} == {"float32"}
    [verdict] = restarted[1][0]["verdicts"].values()
    assert verdict["reason"].startswith(
        "after training: the features cached at block1_pool are not equivalent to the model"
    )


@pytest.mark.bfloat16
def test_and_training_json_tells_so(bench, restarted):
    told = document(bench, "restarted", "training.json", "training")
    assert told["precision"]["block1_pool"]["computed_in"] == "float32"
    assert any("up to block1_pool computes in float32: after training" in sentence for sentence in told["sentences"])
