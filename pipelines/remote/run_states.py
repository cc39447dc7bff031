"""The steps of a run on a cluster, from what the API tells of it.

The API lists every node of Argo's workflow: for a step `train` these are `train`, a node for each attempt `train(N)`,
`train-driver`, and nameless ones called `executor`. The step's own name tells its state, its attempts how often it was
retried. Where a run ends early, what was still to come is listed without a state.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import Any

STEPS = ("plan", "ingest", "prepare", "validate", "train", "evaluate", "gate", "release")
_ATTEMPT = re.compile(r"(?P<step>[a-z]+)\((?P<number>\d+)\)")
# A node with attempts below it is never PENDING; a driver has none where the engine is not told to retry drivers.
_POD = re.compile(r"(executor|[\w-]+-driver)(\(\d+\))?")
ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
_NEVER = 1  # the year of a time that the API does not know


def state_of(run: Any) -> str:
    """The state of a run, empty if unknown; CANCELED too where the API says FAILED of a run that someone ended.

    Args:
        run: a V2beta1Run.
    """
    states = [each.state for each in run.state_history or []]
    since = len(states) - states[::-1].index("RUNNING") if "RUNNING" in states else 0  # a retry makes it run again
    if run.state == "FAILED" and "CANCELING" in states[since:]:
        return "CANCELED"
    return run.state or ""


class RunStates:
    """What was told so far; `news` gives one line for each change."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def news(self, run: Any) -> list[str]:
        """Lines for what changed since the last call, in the order of the steps.

        Args:
            run: a V2beta1Run.
        """
        tasks = (run.run_details and run.run_details.task_details) or []
        lines = []
        for step in STEPS:
            line = _line(step, tasks)
            if line and self._told.get(step) != line:
                self._told[step] = line
                lines.append(line)
        return lines

    def waiting(self, run: Any) -> dict[str, str]:
        """Pods that have no node, or no image, yet: the steps that are running, by the identifier of each pod's node.

        The API lists these pods without their step, so all steps that run are named for each.
        """
        tasks = (run.run_details and run.run_details.task_details) or []
        running = [step for step in STEPS if any(one.display_name == step and one.state == "RUNNING" for one in tasks)]
        return {
            task.task_id: " or ".join(running) or "the first step"
            for task in tasks
            if task.state == "PENDING" and _POD.fullmatch(task.display_name or "")
        }

    def began(self) -> bool:
        """Whether any step began, as far as was told."""
        return bool(self._told)

    def failed(self, run: Any) -> list[str]:
        """The steps that failed, by the names that people know; empty if none of them ever began."""
        tasks = (run.run_details and run.run_details.task_details) or []
        return [step for step in STEPS if any(one.display_name == step and one.state == "FAILED" for one in tasks)]


def _line(step: str, tasks: list[Any]) -> str:
    """A step's state in words; empty before it begins. Several workers are counted."""
    mine = [task for task in tasks if task.display_name == step and task.state]
    if not mine:
        return ""
    states = Counter(task.state for task in mine)
    tries = _retries(step, tasks)
    again = f", retried {tries} time{'s' * (tries != 1)}" if tries else ""
    if states["FAILED"]:
        return f"{step:<9} failed{again}"
    if states["SUCCEEDED"] == len(mine):
        return f"{step:<9} done in {_seconds(mine):.0f} s{again}"
    done = f", {states['SUCCEEDED']} of {len(mine)} done" if len(mine) > 1 else ""
    return f"{step:<9} {'running' if states['RUNNING'] else 'waiting'}{done}{again}"


def _retries(step: str, tasks: list[Any]) -> int:
    """Attempts beyond the first of each pod, by Argo's count and by people's: a state that became RUNNING again."""
    numbers = [match for match in (_ATTEMPT.fullmatch(task.display_name or "") for task in tasks) if match]
    by_engine = sum(1 for match in numbers if match["step"] == step and int(match["number"]) > 0)
    histories = [task.state_history or [] for task in tasks if task.display_name == step]
    return by_engine + sum(1 for history in histories for one in history[:-1] if one.state == "FAILED")


def _seconds(tasks: list[Any]) -> float:
    starts = [task.start_time for task in tasks if _is_known(task.start_time)]
    ends = [task.end_time for task in tasks if _is_known(task.end_time)]
    return (max(ends) - min(starts)).total_seconds() if starts and ends else 0.0


def _is_known(time: datetime | None) -> bool:
    return time is not None and time.year > _NEVER
