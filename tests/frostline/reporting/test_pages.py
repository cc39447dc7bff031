"""Pages: self-contained, escaped, and readable in both of their states."""

import re

import pytest

from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import Layer, LayerGraph
from frostline.freeze.plan import make_plan
from frostline.reporting import pages
from frostline.section import parse

from tests.support import reports
from tests.support.reports import FOUR_EPOCHS as HISTORY


@pytest.fixture
def graph():
    layers = [Layer("in", "InputLayer", (), 0), Layer("a", "Dense", (0,), 10, 30), Layer("b", "Dense", (0,), 30, 60)]
    return LayerGraph((*layers, Layer("sum", "Add", (1, 2), 0, shape=(5, 6)), Layer("out", "Dense", (3,), 60, 30)))


def plan_of(graph, **section):
    return make_plan(graph, parse(FreezeConfig, section), backbone="Toy<script>", image_size=32)


@pytest.fixture
def plan(graph):
    return plan_of(graph, through="block1")


def page_of(tmp_path, plan, source=None):
    """The page as text, with every run of blanks as one."""
    pages.write(tmp_path / "plan.html", "plan.html", plan=plan, source=source)
    return " ".join((tmp_path / "plan.html").read_text().split())


def test_the_plan_page_shows_shares_and_boundary_and_escapes_names(tmp_path, plan):
    page = page_of(tmp_path, plan, {"resolved": "random", "digest": "d" * 64})
    assert "40.0 %" in page
    assert "2 of 3" in page
    assert "weights random <code>dddddddddddd</code>" in page
    assert "boundary <code>sum</code> is frozen: 40 parameters and 75.0 % of the backbone's forward FLOPs" in page
    assert "its features are 5 × 6 per image, 120 B in float32." in page
    assert '<tr class="edge"><td colspan="6"><span>boundary sum</span>' in page
    assert page.index("<td>block1</td>") < page.index('class="edge"') < page.index("<td>top</td>")
    assert "Toy&lt;script&gt;" in page
    assert "<script" not in page


def test_the_bars_of_a_block_are_its_parameters_its_frozen_share_and_its_flops(tmp_path, graph):
    plan = plan_of(graph, match="^a$|<i>")  # 10 of block1's 40 parameters; the widest block has 60
    page = page_of(tmp_path, plan)
    assert '<i style="width:66.67%"></i><i class="frozen" style="width:16.67%"></i>' in page
    assert "<small>10 frozen</small>" in page
    assert "<code>match: ^a$|&lt;i&gt;, batch_norm: freeze</code>" in page
    assert '75.0 %<div class="bar"><i style="width:100.0%"></i>' in page


def test_a_plan_without_a_boundary_says_so_and_one_of_the_head_ends_in_it(tmp_path, graph):
    page = page_of(tmp_path, plan_of(graph, none=True, batch_norm="follow"))
    assert "There is no boundary" in page
    assert 'class="edge' not in page
    page = page_of(tmp_path, plan_of(graph, head_only=True))
    assert page.index("<td>top</td>") < page.index('class="edge"')
    assert "boundary head_pool, in head" in page
    assert "Only the head is trained." in page


def test_further_phases_have_a_summary_each(tmp_path, graph):
    phase = {"policy": {"blocks": ["top"]}, "epochs": 3, "learning_rate": 0.0001}
    page = page_of(tmp_path, plan_of(graph, through="block1", phases=[phase, {**phase, "policy": "head_only"}]))
    assert "<code>blocks: [top]</code> · epochs 3 · learning_rate 0.0001" in page
    assert "60.0 % of parameters frozen, 40 trainable; no boundary" in page
    assert "Later phases" in page
    assert "<b>Phase 3</b> · <code>head_only</code>" in page
    assert "Later phases" not in page_of(tmp_path, plan_of(graph, through="block1"))


def test_the_validation_page_tells_problems_and_what_was_set_aside(tmp_path):
    findings = {
        "valid": False,
        "problems": ["class 'x': none of its images can be read"],
        "warnings": [],
        "counts": {"train": {"x": 0, "y": 3}},
    }
    source = {"name": "toy", "source": "dir", "manifest_digest": "m" * 64, "labels": ["x", "y"]}
    quarantine = [{"id": "x/<b>.jpg", "split": "train", "reason": "no image"}]
    pages.write(tmp_path / "v.html", "validation.html", findings=findings, source=source, quarantine=quarantine)
    page = (tmp_path / "v.html").read_text()
    assert "not valid" in page
    assert "x/&lt;b&gt;.jpg" in page


def test_pages_load_nothing_from_a_network(tmp_path, plan):
    pages.write(tmp_path / "plan.html", "plan.html", plan=plan, source={"resolved": "r", "digest": "d" * 64})
    page = (tmp_path / "plan.html").read_text()
    assert not re.findall(r"""(?:src|href|url)\s*[=(]""", page)


def test_a_template_that_misses_a_value_fails_rather_than_showing_nothing(tmp_path):
    with pytest.raises(Exception, match="undefined"):
        pages.write(tmp_path / "plan.html", "plan.html", source={})
    assert not (tmp_path / "plan.html").exists()


def evaluation_page(tmp_path, history, sentences=()):
    pages.run_page(
        tmp_path / "e.html", model_name="toy", plan=reports.plan(), history=history, sentences=sentences,
        evaluation=reports.evaluation(chain=[]), worst=[], decision=None,
    )  # fmt: skip
    return " ".join((tmp_path / "e.html").read_text().split())


def bare(history):
    """Rows of a run without validation images."""
    return [{name: value for name, value in row.items() if not name.startswith("validation")} for row in history]


def test_the_page_draws_both_splits_their_legend_and_where_a_phase_starts(tmp_path):
    page = evaluation_page(tmp_path, HISTORY, ["9 of 10 passes <saved>.", "It took 3 s."])
    assert page.count('<polyline class="train"') == page.count('<polyline class="validation"') == 3  # legend and two
    assert page.count('class="starts"') == 2
    assert "phase 2</text>" in page
    assert "<ul><li>9 of 10 passes &lt;saved&gt;.</li><li>It took 3 s.</li></ul>" in page
    assert not re.findall(r"""<script|(?:src|url)\s*[=(]""", page)


def test_a_run_without_validation_has_one_line_and_one_epoch_is_a_point(tmp_path):
    page = evaluation_page(tmp_path, bare(HISTORY))
    assert page.count('<polyline class="train"') == 3
    assert 'class="validation"' not in page
    page = evaluation_page(tmp_path, HISTORY[:1])
    assert "<polyline" not in page
    assert page.count('<circle class="validation"') == 3
    assert 'class="starts"' not in page
