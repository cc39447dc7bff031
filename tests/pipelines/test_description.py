"""What people read in the Kubeflow UI before they fill in the form."""

from frostline.config import RunConfig
from frostline.freeze.config import POLICIES
from frostline.gating.config import GateConfig
from frostline.training.config import TrainingConfig
from pipelines import description
from pipelines.compile import SHIPPED
from pipelines.lint import load


def rows(text):
    """The cells of every row of every table, without the heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| parameter")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_parameter_and_every_key_of_a_section_is_there_with_default_and_meaning():
    found = {row[0]: row for row in rows(description.text())}
    scalars = {name for name in RunConfig.model_fields if not hasattr(RunConfig().__getattribute__(name), "model_dump")}
    assert scalars <= set(found)
    assert {*TrainingConfig.model_fields, *GateConfig.model_fields, *POLICIES} <= set(found)
    assert found["epochs"][1:] == ["`10`", RunConfig.model_fields["epochs"].description]
    assert found["optimizer"][1] == "`adam`"
    assert all(len(row) == 3 and row[2] for row in found.values())


def test_the_compiled_pipeline_has_it():
    assert load(SHIPPED.read_text())[0]["pipelineInfo"]["description"] == description.text()


def test_it_begins_with_what_the_pipeline_does_and_says_what_has_to_be_filled_in():
    lines = description.text().splitlines()
    assert lines[0] == description.SUMMARY
    assert "container image, by digest, and the service account, `frostline`" in lines[2]
    assert "Exactly one of head_only, none," in description.text()
