"""The gate stage: it writes a decision whatever its inputs hold, and starts quickly."""

import shutil
import subprocess
import sys

import pytest

from frostline import artifacts, gate
from frostline.errors import ConfigError

from tests.support import evaluations, reports
from tests.support.evaluations import CERTIFICATE, CONFIG, EVALUATION, VALIDATION, evaluated


@pytest.fixture
def stage(tmp_path):
    """Writes the three inputs and runs the stage on them."""
    for name in ("evaluation", "model", "info"):
        (tmp_path / name).mkdir()
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", EVALUATION)
    artifacts.write_json(tmp_path / "model/freeze_certificate.json", "freeze_certificate", CERTIFICATE)
    artifacts.write_json(tmp_path / "info/report.json", "validation", VALIDATION)

    def run(section=None):
        promoted = gate.run(
            evaluation=str(tmp_path / "evaluation"), record=str(tmp_path / "model"), info=str(tmp_path / "info"),
            gate=CONFIG.model_dump() if section is None else section, decision=str(tmp_path / "decision"),
            page=str(tmp_path / "page.md"), report=str(tmp_path / "report.html"),
        )  # fmt: skip
        return promoted, artifacts.read_json(tmp_path / "decision/decision.json", "decision")

    return run


INPUTS = ["evaluation/evaluation.json", "model/freeze_certificate.json", "info/report.json"]


def test_the_stage_writes_the_decision_and_its_review(stage, tmp_path):
    promoted, decision = stage()
    assert promoted is True
    assert decision["verdict"] == "promote"
    review = (tmp_path / "decision/decision.md").read_text()
    assert (tmp_path / "page.md").read_text() == review
    assert review.startswith("# Promote: this model can replace the one in production\n")
    assert "All 14 checks passed" in review
    assert "| accuracy | pass | 0.95 | 0.8 |" in review


def test_the_validation_report_goes_with_the_decision(stage, tmp_path):
    stage()
    kept = artifacts.read_json(tmp_path / "decision/validation.json", "validation")
    assert {name: kept[name] for name in VALIDATION} == VALIDATION


def test_where_the_run_left_nothing_to_show_the_report_shows_the_decision(stage, tmp_path):
    (tmp_path / INPUTS[0]).write_text("<script>")
    assert stage()[0] is False
    page = (tmp_path / "report.html").read_text()
    assert "# Hold: the model in production stays" in page
    assert "<script>" not in page


def test_the_report_shows_the_whole_run(stage, tmp_path):
    worst, history = reports.worst(), [{"epoch": 1, "phase": 1, "loss": 0.5, "accuracy": 0.8}]
    measured = {"model_name": "toy", **reports.evaluation()}
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", measured)
    artifacts.write_json(tmp_path / "evaluation/worst.json", "worst", {"images": worst})
    artifacts.write_json(tmp_path / "model/freeze_plan.json", "freeze_plan", reports.plan())
    artifacts.write_json(tmp_path / "model/training.json", "training", {"sentences": ["The prefix ran once."]})
    artifacts.write_jsonl(tmp_path / "model/training.jsonl", history)
    _, decision = stage()
    page = (tmp_path / "report.html").read_text()
    assert decision["verdict"] in page.lower()
    assert worst[0]["thumbnail"] in page
    assert "The prefix ran once." in page


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[]", b'{"schema": "frostline/other/v1"}', b"\xff\xfe\x00", b"[" * 100_000, None]
)
def test_an_input_that_is_missing_or_unreadable_holds(stage, tmp_path, name, content):
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    promoted, decision = stage()
    assert promoted is False
    assert decision["verdict"] == "hold"


@pytest.mark.parametrize("folder", ["evaluation", "model", "info"])
def test_a_missing_or_odd_artifact_holds(stage, tmp_path, folder):
    shutil.rmtree(tmp_path / folder)
    assert stage()[0] is False
    for name in INPUTS:
        if name.startswith(folder):
            (tmp_path / name).mkdir(parents=True)  # a directory where the file should be
    assert stage()[0] is False


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" * 5000])
def test_numbers_that_json_writers_let_through_hold(stage, tmp_path, number):
    path = tmp_path / "evaluation/evaluation.json"
    path.write_text(path.read_text().replace('"low": 0.9', f'"low": {number}, "was": 0.9'))
    assert number in path.read_text()
    promoted, decision = stage()
    assert (promoted, decision["verdict"]) == (False, "hold")


def test_an_inconclusive_verdict_does_not_promote(stage, tmp_path):
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", evaluated(82, 100))
    promoted, decision = stage()
    assert (promoted, decision["verdict"]) == (False, "inconclusive")


def test_text_from_the_evidence_stays_inside_its_cell(stage, tmp_path):
    hostile = "a | b\n# <script>alert(1)</script> ![x](http://example.org) `c` \\| \x1b[2J"
    lost = {"version": 3, "model_digest": "old", "comparable": False, "reason": hostile}
    row = evaluations.row(hostile, 4, 5)
    evaluation = evaluated(champion=lost, per_class=[row, evaluations.row("dog", 900, 995)])
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", evaluation)
    promoted, decision = stage()
    review = (tmp_path / "decision/decision.md").read_text()
    assert promoted is False
    assert "\n" not in decision["reason"]
    assert any("script" in note for note in decision["notes"])
    assert "<script" not in review
    assert "![" not in review
    (line,) = [line for line in review.splitlines() if line.startswith("| champion")]
    assert line.replace("\\\\", "").replace("\\|", "").count("|") == 6
    assert "\x1b" not in review


def test_a_wrong_gate_section_is_a_configuration_error(stage, tmp_path):
    with pytest.raises(ConfigError, match=r"gate\.margin: received -1"):
        stage({**CONFIG.model_dump(), "margin": -1})
    assert not (tmp_path / "page.md").exists()


def test_deciding_loads_neither_tensorflow_nor_what_reads_data():
    code = (
        "import sys; from frostline import gate, registry; "
        "from frostline.evaluation import calibration, compare, confusion, metrics, slices; "
        "print(sorted({'tensorflow', 'keras', 'scipy.stats', 'sklearn', 'pyarrow', 'kfp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
