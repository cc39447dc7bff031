"""Follow a local run: read events.jsonl, show progress, and remember times and failures.

A terminal shows a progress bar for each running process. Each message of a step and the end of each process are a
line, in a terminal or not. All of it goes to standard error; standard output is for the result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from pipelines.documents import Event


@dataclass
class Steps:
    """What the events have reported so far. Times are those of the events' `clock`."""

    launched: dict[str, float] = field(default_factory=dict)  # by step: when its first process started
    finished: dict[str, float] = field(default_factory=dict)  # by step: when its last process ended
    processes: dict[int, float] = field(default_factory=dict)  # by process number: when it started
    errors: list[Event] = field(default_factory=list)
    failures: list[Event] = field(default_factory=list)  # exit events with a code other than 0

    def add(self, event: Event) -> None:
        """Record one event."""
        kind, step, time = event["kind"], event["step"], event["clock"]
        if kind == "launch":
            self.launched.setdefault(step, time)
            self.processes[event["number"]] = time
        elif kind == "error":
            self.errors.append(event)
        elif kind == "exit":
            self.finished[step] = time
            if event["code"]:
                self.failures.append(event)

    def seconds(self) -> dict[str, float]:
        """Wall time of each finished step in seconds, including process start; parallel processes count once."""
        return {name: round(end - self.launched[name], 2) for name, end in self.finished.items()}


class _Pace(ProgressColumn):
    """The rate over the last 30 s and the estimated time left; the elapsed time until there is a rate."""

    def render(self, task: Task) -> Text:
        """`85/s  0:00:33 left`."""
        speed, left = task.speed, task.time_remaining
        if speed is None or left is None:
            return Text(str(timedelta(seconds=int(task.elapsed or 0))))
        rate = f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}"
        return Text(f"{rate}/s  {timedelta(seconds=int(left))} left")


class Follower:
    """Follows an events file: draws bars (`display`), prints lines. Leaving the context removes the bars."""

    def __init__(self, path: Path, console: Console) -> None:
        self.steps = Steps()
        self._path = path
        self._console = console
        self._read = 0
        self._bars: dict[int, TaskID] = {}  # by process id, once the process has sent an event
        self._starting: dict[str, list[TaskID]] = {}  # by step: processes that have not sent an event yet
        self.display = Progress(
            TextColumn("{task.fields[step]:<11}", table_column=Column(min_width=11, no_wrap=True)),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            _Pace(table_column=Column(min_width=18, no_wrap=True)),  # in a narrow terminal the bar shrinks first
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Follower:
        self.display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.display.stop()

    def poll(self) -> None:
        """Read the events written since the last call; an incomplete last line waits for the next call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for line in whole.splitlines():
            event = json.loads(line)
            self.steps.add(event)
            getattr(self, f"_on_{event['kind']}", self._ignore)(event)

    def _ignore(self, event: Event) -> None:
        pass

    def _on_launch(self, event: Event) -> None:
        bar = self.display.add_task("", total=None, step=event["step"], count="starting")
        self._starting.setdefault(event["step"], []).append(bar)

    def _on_start(self, event: Event) -> None:
        starting = self._starting.get(event["step"])
        if starting:
            self._bars[event["pid"]] = starting.pop(0)
            self.display.update(self._bars[event["pid"]], count="")

    def _on_progress(self, event: Event) -> None:
        if event["pid"] in self._bars:
            self.display.update(
                self._bars[event["pid"]],
                completed=event["done"],
                total=event["total"],
                count=f"{event['done']}/{event['total']} {event['unit']}",
            )

    def _on_end(self, event: Event) -> None:
        if event["pid"] in self._bars:
            self.display.remove_task(self._bars.pop(event["pid"]))

    _on_error = _on_end

    def _on_say(self, event: Event) -> None:
        self._line(event["step"], event["message"])

    def _on_exit(self, event: Event) -> None:
        for bar in self._starting.pop(event["step"], []) if event["code"] else []:
            self.display.remove_task(bar)
        if not event["code"]:
            self._line(event["step"], f"done in {event['clock'] - self.steps.processes[event['number']]:.1f} s")

    def _line(self, step: str, message: str) -> None:
        self._console.print(f"{step:<11} {message}", markup=False, highlight=False, soft_wrap=True)
