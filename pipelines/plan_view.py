"""A freeze plan in the terminal: one row per block, the boundary as a line between rows, totals and phases below."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from frostline.documents.freeze import Boundary, FreezePlan, Policy, Totals
from frostline.text import size_words

_WIDEST = 100  # characters; longer rows are hard to read
_BAR = 8
_HEADINGS = ("block", "ends at", "layers", "parameters", "frozen", "FLOPs")
_NUMBERS = ("layers", "parameters", "FLOPs")


def show(plan: FreezePlan, console: Console) -> None:
    """Print a freeze plan."""
    width = min(console.width, _WIDEST)
    rows = _rows(plan, "#." if console.options.ascii_only else "█░")
    widths = _widths(rows, width)
    boundary = plan["boundary"]
    split = _rows_above(boundary, plan)
    title = f"{plan['backbone']} at {plan['image_size']} px, {policy_words(plan['policy'])}"
    console.print(Text(title, style="bold"), width=width)
    console.print(_table(rows[:split], widths, header=True), width=width)
    if boundary:
        line = Rule(_line_label(boundary, plan), characters="━", align="left", style="cyan")
        console.print(line, width=sum(widths) - 2)
    if rows[split:]:
        console.print(_table(rows[split:], widths, header=False), width=width)
    console.print()
    console.print(_summary(plan), width=width)


def policy_words(policy: Policy) -> str:
    """A policy as written in the configuration, without its phases: `through: mixed7, batch_norm: follow`."""
    return ", ".join(
        name if value is True else f"{name}: {_flow(value)}" for name, value in policy.items() if name != "phases"
    )


def _flow(value: object) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def _rows(plan: FreezePlan, marks: str) -> list[tuple[str, ...]]:
    flops = sum(block["flops"] for block in plan["blocks"])
    return [
        (
            block["name"],
            block["last_layer"],
            str(block["layers"]),
            f"{block['parameters']:,}",
            _bar(block["frozen_parameters"], block["parameters"], marks),
            _percent(block["flops"], flops),
        )
        for block in plan["blocks"]
    ]


def _bar(part: int, whole: int, marks: str) -> str:
    """A bar and a percentage; the bar is empty only for nothing, and full only for everything."""
    filled = round(_BAR * part / whole) if whole else 0
    if 0 < part < whole:
        filled = min(max(filled, 1), _BAR - 1)
    return marks[0] * filled + marks[1] * (_BAR - filled) + _percent(part, whole).rjust(8)


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "-"
    percent = 100 * part / whole
    return f"{min(max(percent, 0.1), 99.9) if 0 < part < whole else percent:.1f} %"


def _widths(rows: list[tuple[str, ...]], width: int) -> list[int]:
    """Width of each column, including two blanks between columns; layer names get the width that is left."""
    widths = [max(map(len, column)) + 2 for column in zip(_HEADINGS, *rows, strict=True)]
    widths[1] = max(10, min(widths[1], width - sum(widths) + widths[1]))
    return widths


def _table(rows: list[tuple[str, ...]], widths: list[int], *, header: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=header, header_style="dim")
    for heading, width in zip(_HEADINGS, widths, strict=True):
        side: Literal["left", "right"] = "right" if heading in _NUMBERS else "left"
        table.add_column(heading, width=width - 2, justify=side, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _rows_above(boundary: Boundary | None, plan: FreezePlan) -> int:
    """How many rows are above the line: up to the boundary's block; all rows if it is in the head, or there is none."""
    names = [block["name"] for block in plan["blocks"]]
    return names.index(boundary["block"]) + 1 if boundary and boundary["block"] in names else len(names)


def _line_label(boundary: Boundary, plan: FreezePlan) -> str:
    ends = {block["last_layer"] for block in plan["blocks"]}
    where = "" if boundary["layer"] in ends else f", in {boundary['block']}"
    return f"boundary {boundary['layer']}{where}"


def _summary(plan: FreezePlan) -> Table:
    """Totals and boundary of the first phase, and one line for each later phase."""
    totals = plan["totals"]
    lines = [
        ("frozen", f"{_frozen(totals)}; {totals['frozen_layers']} of {totals['weighted_layers']} layers with weights"),
        ("trainable", f"{totals['trainable_parameters']:,} parameters of the backbone, and the head"),
        ("boundary", _boundary(plan["boundary"])),
    ]
    for number, phase in enumerate(plan["phases"], start=2):
        edge = f"{phase['boundary']['layer']}; {_features(phase['boundary'])}" if phase["boundary"] else "none"
        how = f"epochs: {phase['epochs']}, learning_rate: {phase['learning_rate']:g}"
        text = f"{policy_words(phase['policy'])}, {how}; {_frozen(phase['totals'])} frozen, boundary {edge}"
        lines.append((f"phase {number}", text))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, text in lines:
        grid.add_row(Text(label, style="dim"), Text(text))
    return grid


def _boundary(boundary: Boundary | None) -> str:
    if boundary is None:
        return "none: layers next to the input are trained"
    return (
        f"{boundary['layer']}: everything from the image up to it is frozen, {boundary['parameters_below']:,} "
        f"parameters and {100 * boundary['flops_share']:.1f} % of the forward FLOPs; {_features(boundary)}"
    )


def _features(boundary: Boundary) -> str:
    shape = " x ".join(map(str, boundary["shape"]))
    return f"its features are {shape} per image, {size_words(boundary['feature_bytes'])} in float32"


def _frozen(totals: Totals) -> str:
    percent = _percent(totals["frozen_parameters"], totals["parameters"])
    return f"{totals['frozen_parameters']:,} of {totals['parameters']:,} parameters ({percent})"
