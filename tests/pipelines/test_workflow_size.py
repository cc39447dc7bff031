"""A run's workflow stays small, and a run of which it does not is told what freezes."""

import pytest

from frostline.config import RunConfig
from frostline.data.config import DataConfig
from pipelines import workflow_size
from pipelines.compile import SHIPPED
from pipelines.lint import load

SPEC = load(SHIPPED.read_text())[0]
IMAGE = f"registry.example/team/frostline@sha256:{'0' * 64}"


def with_classes(count, **values):
    return RunConfig(image=IMAGE, data=DataConfig(classes=tuple(f"class-{n:05d}" for n in range(count))), **values)


@pytest.mark.parametrize(("workers", "most"), [(4, 700_000), (8, 2**20)])
def test_a_run_stays_below_what_the_engine_stores_plainly(workers, most):
    config = RunConfig(image=IMAGE, workers=workers, shards=1000)
    assert workflow_size.of_workflow(config) <= most
    assert workflow_size.remark(config) == ""


def test_the_size_depends_on_workers_that_have_work_and_not_on_shards():
    few = RunConfig(workers=2, shards=8)
    assert workflow_size.of_workflow(RunConfig(workers=8, shards=2)) == workflow_size.of_workflow(few)
    assert workflow_size.of_workflow(RunConfig(workers=8, shards=8)) > workflow_size.of_workflow(few)


def test_a_run_that_its_parameters_make_larger_is_told_what_freezes_and_what_to_do():
    assert workflow_size.remark(with_classes(100)) == ""
    told = workflow_size.remark(with_classes(2000))
    assert "the states that it shows of the steps stop changing; fewer workers or a shorter data (" in told
    told = workflow_size.remark(with_classes(5000))
    assert "stop changing, and a run that fails cannot be resumed; fewer workers or a shorter data (" in told


def test_more_workers_than_that_are_not_accepted():
    assert RunConfig.model_fields["workers"].metadata[1].le == 8
    assert RunConfig().workers == 4


def test_the_largest_fan_in_is_far_below_what_a_pods_template_can_have():
    """128 kB; it depends on the workers, not on the shards, of which there may be 1,000."""
    assert RunConfig.model_fields["shards"].metadata[1].le == 1000
    assert workflow_size.of_inputs(SPEC, RunConfig(workers=8), "train") + 600 * 8 < 100_000
