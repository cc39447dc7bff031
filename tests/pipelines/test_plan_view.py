"""The plan in the terminal: plain text at 80 columns, and the boundary drawn where it is."""

import io

import pytest
from rich.console import Console

from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import Layer, LayerGraph
from frostline.freeze.plan import make_plan
from frostline.section import parse
from pipelines import plan_view


def graph_of(names=("stem_conv", "block1_conv", "block1_out", "block2_conv", "block2_out")):
    layers = [
        Layer(name, "Conv2D" if count else "ReLU", (index,), count, count * 10, shape=(16, 16, 32))
        for index, (name, count) in enumerate(zip(names, (300, 4000, 0, 2000, 5_000_000), strict=True))
    ]
    return LayerGraph((Layer("in", "InputLayer", (), 0), *layers))


def shown(section, width=80, encoding="utf-8", graph=None):
    """The printed lines without trailing blanks."""
    plan = make_plan(graph or graph_of(), parse(FreezeConfig, section), backbone="Toy", image_size=32)
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    plan_view.show(plan, Console(file=file, width=width, highlight=False))
    file.flush()
    return [line.rstrip() for line in file.buffer.getvalue().decode(encoding).splitlines()]


def line_after(lines, block):
    return lines[next(index for index, line in enumerate(lines) if line.startswith(block)) + 1]


def test_a_row_shows_a_block_and_its_frozen_part_and_the_line_is_below_the_boundary():
    lines = shown({"through": "block1", "batch_norm": "follow"})

    assert lines[0] == "Toy at 32 px, through: block1, batch_norm: follow"
    assert lines[1].split() == ["block", "ends", "at", "layers", "parameters", "frozen", "FLOPs"]
    row = next(line for line in lines if line.startswith("block1"))
    assert row.split() == ["block1", "block1_out", "2", "4,000", "████████", "100.0", "%", "0.1", "%"]
    assert line_after(lines, "block1").startswith("boundary block1_out ━━━")
    assert line_after(lines, "boundary block1_out").startswith("block2")
    assert any(line.startswith("frozen     4,300 of 5,006,300 parameters (0.1 %); 2 of 4 layers") for line in lines)


def test_a_boundary_inside_a_block_names_it():
    assert line_after(shown({"first_layers": 5}), "block2").startswith("boundary block2_conv, in block2 ━━━")


def test_the_whole_backbone_frozen_puts_the_line_last():
    lines = shown("head_only")

    assert line_after(lines, "block2").startswith("boundary head_pool, in head ━━━")
    assert any(line.startswith("trainable  0 parameters of the backbone, and the head") for line in lines)


def test_the_boundary_shows_its_features_in_every_phase():
    later = {"policy": {"through": "block1"}, "epochs": 1, "learning_rate": 0.1}
    text = " ".join(" ".join(shown({"head_only": True, "phases": [later]})).split())

    assert "forward FLOPs; its features are 32 per image, 128 B in float32" in text
    assert text.endswith("boundary block1_out; its features are 16 x 16 x 32 per image, 32.8 kB in float32")


def test_no_boundary_draws_no_line_and_says_why():
    lines = shown({"blocks": ["block2"]})

    assert not [line for line in lines if "━" in line]
    assert "boundary   none: layers next to the input are trained" in lines


def test_the_bar_is_empty_only_for_nothing_and_full_only_for_everything():
    lines = shown({"first_layers": 5})  # 2,000 of the 5,002,000 parameters of block2
    assert "█░░░░░░░   0.1 %" in next(line for line in lines if line.startswith("block2"))

    lines = shown({"match": "block2_out|block1|stem"})
    assert "███████░  99.9 %" in next(line for line in lines if line.startswith("block2"))


def test_later_phases_are_listed():
    section = {"head_only": True, "phases": [{"policy": {"blocks": ["block1"]}, "epochs": 3, "learning_rate": 1e-4}]}
    text = " ".join(" ".join(shown(section)).split())

    assert "phase 2 blocks: [block1], epochs: 3, learning_rate: 0.0001; 4,000 of 5,006,300 parameters" in text
    assert text.endswith("boundary none")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_a_long_name_is_cut(width):
    names = ["stem_conv", *(f"block{n}_{'with_a_very_long_name' * 4}{n}{part}" for n in (1, 2) for part in "ab")]
    lines = shown({"through": "block1"}, width=width, graph=graph_of(names))

    assert max(map(len, lines)) <= min(width, 100)
    assert any("…" in line and line.startswith("block1") and "4,000" in line for line in lines)


def test_a_terminal_without_unicode_gets_ascii():
    lines = shown({"through": "block1"}, encoding="ascii")

    assert any("######## 100.0 %" in line for line in lines)
    assert any(line.startswith("boundary block1_out ---") for line in lines)
