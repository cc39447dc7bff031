"""The plan stage: files for later steps, a page for people, and errors before any expensive step."""

from pathlib import Path

import pytest

from frostline import plan as stage
from frostline import storage
from frostline.data import lineage
from frostline.documents.freeze import FREEZE_PLAN, WEIGHTS_SOURCE
from frostline.errors import ConfigError, PolicyError
from frostline.features.builder import prefix_digests
from frostline.freeze import certificate
from frostline.model import architecture, weights

from tests.support.stages import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_the_plan_and_the_weights_are_written_and_belong_together(bench):
    bench.plan({"through": "block2"})
    plan = FREEZE_PLAN.read(Path(bench.path("plan")))
    source = WEIGHTS_SOURCE.read(Path(bench.path("weights")))
    assert (plan["backbone"], plan["image_size"]) == ("SmallConvNet", 32)
    assert plan["policy"] == {"through": "block2", "batch_norm": "freeze"}
    assert plan["boundary"]["layer"] == "block2_pool"
    assert storage.stat(source["uri"]) is not None
    stored = weights.load(source)
    assert (certificate.weights_digest(stored.layers), architecture.digest(stored)) == (
        source["digest"],
        source["graph"],
    )
    assert lineage.read(Path(bench.path("weights"))) == set()
    assert "block2_pool" in Path(bench.path("plan.html")).read_text()


def test_the_prefix_up_to_each_boundary_is_named_as_later_steps_find_it(bench):
    later = {"policy": {"through": "block1"}, "epochs": 1, "learning_rate": 0.001}
    bench.plan({"head_only": True, "phases": [later]})
    plan = FREEZE_PLAN.read(Path(bench.path("plan")))
    source = WEIGHTS_SOURCE.read(Path(bench.path("weights")))
    assert set(source["prefixes"]) == {"head_pool", "block1_pool"}
    assert source["prefixes"] == prefix_digests(weights.load(source), plan)


def test_frozen_random_weights_are_pointed_out(bench, capsys):
    bench.plan({"head_only": True})
    assert "the frozen layers keep random weights" in capsys.readouterr().err
    bench.plan({"none": True})
    assert "freezes untrained BatchNorm layers" in capsys.readouterr().err
    bench.plan({"none": True, "batch_norm": "follow"})
    assert "random weights" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"freeze": {"through": "block9"}}, PolicyError, "freeze.through: received 'block9'"),
        ({"freeze": {"match": "lstm"}}, PolicyError, "freeze.match: received 'lstm', which matches no layer's name"),
        ({"freeze": {"none": True}, "backbone": "VGG16", "size": 31}, ConfigError, "VGG16 needs at least 32"),
        ({"freeze": {"none": True}, "backbone": "Inception"}, ConfigError, "backbone: received 'Inception'"),
    ],
)
def test_what_cannot_be_planned_is_refused_and_nothing_is_written(bench, options, error, message):
    with pytest.raises(error) as caught:
        bench.plan(**options)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert not list(bench.root.iterdir())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gate": {"min_acuracy": 0.9}}, "gate.min_acuracy: received 0.9; unknown key; known keys are"),
        ({"training": {"optimizer": "adam", "patience": 3.0}, "data": {"validation_fraction": 0.0}}, "early stopping"),
        ({"source": "s3://bucket"}, "source: received 's3://bucket'; expected digits"),
        ({"head": {"hidden": [0.5]}}, "head.hidden.0: received 0.5"),
        ({"accelerator_count": "one"}, "accelerator_count: received 'one'"),
        ({"memory": "4 GB"}, "memory: received '4 GB'"),
        ({"epochs": 0}, "epochs: received 0"),
        ({"bach_size": 8}, "bach_size: received 8; unknown key"),
    ],
)
def test_a_mistake_anywhere_in_the_parameters_is_found_before_anything_runs(tmp_path, parameters, message):
    """As KFP hands them out: numbers in sections are floats."""
    paths = {name: str(tmp_path / name) for name in ("freeze_plan", "backbone_weights", "page")}
    with pytest.raises(ConfigError) as caught:
        stage.run(parameters={"store": str(tmp_path / "store"), **parameters}, **paths)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
