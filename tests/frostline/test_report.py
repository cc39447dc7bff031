"""Pages: self-contained, escaped, and readable in both of their states."""

import re

import pytest

from frostline import report
from frostline.freeze.graph import Layer, LayerGraph
from frostline.freeze.plan import make_plan
from frostline.freeze_config import FreezeConfig


@pytest.fixture
def plan():
    layers = [Layer("in", "InputLayer", (), 0), Layer("a", "Dense", (0,), 10), Layer("b", "Dense", (0,), 30)]
    graph = LayerGraph((*layers, Layer("sum", "Add", (1, 2), 0), Layer("out", "Dense", (3,), 60)))
    return make_plan(graph, FreezeConfig(through="block1"), backbone="Toy<script>", image_size=32)


def test_the_plan_page_shows_shares_and_boundary_and_escapes_names(tmp_path, plan):
    source = {"resolved": "random", "digest": "d" * 64}
    report.write(tmp_path / "plan.html", "plan.html", plan=plan, source=source)
    page = (tmp_path / "plan.html").read_text()
    assert "40.0 %" in page
    assert "2 of 3" in page
    assert 'class="boundary"' in page
    assert "Toy&lt;script&gt;" in page
    assert "<script" not in page


def test_the_validation_page_tells_problems_and_what_was_set_aside(tmp_path):
    findings = {
        "valid": False,
        "problems": ["class 'x': none of its images can be read"],
        "warnings": [],
        "counts": {"train": {"x": 0, "y": 3}},
    }
    source = {"name": "toy", "source": "dir", "manifest_digest": "m" * 64, "labels": ["x", "y"]}
    quarantine = [{"id": "x/<b>.jpg", "split": "train", "reason": "no image"}]
    report.write(tmp_path / "v.html", "validation.html", findings=findings, source=source, quarantine=quarantine)
    page = (tmp_path / "v.html").read_text()
    assert "not valid" in page
    assert "x/&lt;b&gt;.jpg" in page


def test_pages_load_nothing_from_a_network(tmp_path, plan):
    report.write(tmp_path / "plan.html", "plan.html", plan=plan, source={"resolved": "r", "digest": "d" * 64})
    page = (tmp_path / "plan.html").read_text()
    assert not re.findall(r"""(?:src|href|url)\s*[=(]""", page)


def test_a_template_that_misses_a_value_fails_rather_than_showing_nothing(tmp_path):
    with pytest.raises(Exception, match="undefined"):
        report.write(tmp_path / "plan.html", "plan.html", source={})
    assert not (tmp_path / "plan.html").exists()
