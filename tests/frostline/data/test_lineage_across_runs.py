"""A model keeps the images of the version that it started from, however the data are split later."""

from pathlib import Path

import pytest

from frostline import artifacts
from frostline.data import lineage
from frostline.documents.data import MANIFEST

from tests.support import pictures
from tests.support.stages import Bench

START = {"through": "block1"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A champion, and a model that started from it when the test split had grown."""
    root = tmp_path_factory.mktemp("lineage")
    bench = Bench(root)
    photos = pictures.make(root / "photos", 30)
    bench.data(photos, test_fraction=0.2)
    bench.plan(START)
    bench.train(epochs=1)
    bench.evaluate()
    assert bench.gate({"min_accuracy": 0.0})
    assert bench.push().startswith("pushed")
    bench.first = made_with(bench)
    bench.data(photos, test_fraction=0.6)
    bench.plan(START, weights="registry:toy@champion")
    bench.train(epochs=1, model="second")
    return bench


def made_with(bench, *splits):
    rows = MANIFEST.read(Path(bench.path("dataset")))
    return {row["sha256"] for row in rows if row["split"] in (splits or ("train", "validation"))}


def test_a_model_lists_the_images_of_the_version_that_it_started_from(bench):
    assert lineage.read(Path(bench.path("second"))) == made_with(bench) | bench.first
    assert made_with(bench) < bench.first


def test_a_test_image_that_only_an_earlier_version_was_made_with_holds_the_model(bench):
    leaked = made_with(bench, "test") & bench.first
    assert leaked
    bench.evaluate(model="second")
    evaluation = artifacts.read_json(Path(bench.path("evaluation")) / "evaluation.json", "evaluation")
    assert (evaluation["leaked"], evaluation["champion"]["excluded"]) == (len(leaked), len(leaked))
    assert not bench.gate({"min_accuracy": 0.0}, model="second")
    decision = artifacts.read_json(Path(bench.path("decision")) / "decision.json", "decision")
    [reason] = [check["reason"] for check in decision["checks"] if check["verdict"] == "fail"]
    assert reason.startswith(f"{len(leaked)} test images were in the training or validation split of this model or of")


def test_the_plan_step_passes_on_the_images_of_a_version_and_none_for_other_weights(bench):
    weights = Path(bench.path("weights"))
    assert lineage.read(weights) == bench.first
    bench.plan(START)
    assert lineage.read(weights) == set()
