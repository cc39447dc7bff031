"""A freeze plan in the terminal: one row a block, the boundary as a line between them, totals and phases below."""

from __future__ import annotations

from typing import Any, Literal

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from frostline.artifacts import Json
from frostline.text import size_words

_WIDEST = 100  # characters; in a longer row the eye loses the line
_BAR = 8
_HEADINGS = ("block", "ends at", "layers", "parameters", "frozen", "FLOPs")
_NUMBERS = ("layers", "parameters", "FLOPs")


def show(plan: Json, console: Console) -> None:
    """Print a plan, as freeze_plan.json holds it."""
    width = min(console.width, _WIDEST)
    rows = _rows(plan, "#." if console.options.ascii_only else "█░")
    widths = _widths(rows, width)
    split = _rows_above_the_line(plan)
    title = f"{plan['backbone']} at {plan['image_size']} px, {policy_words(plan['policy'])}"
    console.print(Text(title, style="bold"), width=width)
    console.print(_table(rows[:split], widths, header=True), width=width)
    if plan["boundary"]:
        console.print(Rule(_line_label(plan), characters="━", align="left", style="cyan"), width=sum(widths) - 2)
    if rows[split:]:
        console.print(_table(rows[split:], widths, header=False), width=width)
    console.print()
    console.print(_summary(plan), width=width)


def policy_words(policy: Json) -> str:
    """A policy as its configuration spells it, without its phases: `through: mixed7, batch_norm: follow`."""
    return ", ".join(
        name if value is True else f"{name}: {_flow(value)}" for name, value in policy.items() if name != "phases"
    )


def _flow(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def _rows(plan: Json, marks: str) -> list[tuple[str, ...]]:
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
    """A bar and a share; only nothing looks empty, and only the whole looks full."""
    filled = round(_BAR * part / whole) if whole else 0
    if 0 < part < whole:
        filled = min(max(filled, 1), _BAR - 1)
    return marks[0] * filled + marks[1] * (_BAR - filled) + _percent(part, whole).rjust(8)


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "-"
    share = 100 * part / whole
    return f"{min(max(share, 0.1), 99.9) if 0 < part < whole else share:.1f} %"


def _widths(rows: list[tuple[str, ...]], width: int) -> list[int]:
    """Width of each column with two characters between columns; the names of layers get what the others leave."""
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


def _rows_above_the_line(plan: Json) -> int:
    """Those up to the block that the boundary lies in; all of them where it is in the head, or nowhere."""
    names = [block["name"] for block in plan["blocks"]]
    boundary = plan["boundary"]
    return names.index(boundary["block"]) + 1 if boundary and boundary["block"] in names else len(names)


def _line_label(plan: Json) -> str:
    boundary = plan["boundary"]
    ends = {block["last_layer"] for block in plan["blocks"]}
    where = "" if boundary["layer"] in ends else f", in {boundary['block']}"
    return f"boundary {boundary['layer']}{where}"


def _summary(plan: Json) -> Table:
    """Totals and boundary of the first phase, and one line for each further one."""
    totals = plan["totals"]
    lines = [
        ("frozen", f"{_frozen(totals)}; {totals['frozen_layers']} of {totals['weighted_layers']} layers with weights"),
        ("trainable", f"{totals['trainable_parameters']:,} parameters, and the head"),
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


def _boundary(boundary: Json | None) -> str:
    if boundary is None:
        return "none: weights next to the image train"
    return (
        f"{boundary['layer']}: between the image and it nothing moves; {boundary['parameters_below']:,} parameters "
        f"and {100 * boundary['flops_share']:.1f} % of the forward FLOPs lie below it; {_features(boundary)}"
    )


def _features(boundary: Json) -> str:
    shape = " x ".join(map(str, boundary["shape"]))
    return f"one image's features there are {shape}, {size_words(boundary['feature_bytes'])} in float32"


def _frozen(totals: Json) -> str:
    share = _percent(totals["frozen_parameters"], totals["parameters"])
    return f"{totals['frozen_parameters']:,} of {totals['parameters']:,} parameters ({share})"
