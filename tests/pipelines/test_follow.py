"""What is shown of a run, from the events that its steps write."""

import io
import json

import pytest
from rich.console import Console

from pipelines.follow import Follower


def plain():
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def event(kind, step="train", pid=7, clock=100.0, **fields):
    return json.dumps({"time": 1e9, "clock": clock, "pid": pid, "step": step, "kind": kind, **fields}) + "\n"


def test_a_line_that_is_still_being_written_waits(tmp_path):
    path = tmp_path / "events.jsonl"
    whole = event("launch", number=1) + event("exit", number=1, code=0)
    follower = Follower(path, plain())

    follower.poll()  # no file yet
    path.write_text(whole[:-9])
    follower.poll()
    assert follower.steps.seconds() == {}
    path.write_text(whole)
    follower.poll()
    assert set(follower.steps.seconds()) == {"train"}


def test_a_terminal_shows_a_bar_for_each_process_at_work(tmp_path):
    path = tmp_path / "events.jsonl"
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Follower(path, console) as follower:
        path.write_text(
            event("launch", "preprocess", number=1)
            + event("launch", "preprocess", number=2)
            + event("start", "preprocess", pid=1)
            + event("start", "preprocess", pid=2)
            + event("progress", "preprocess", pid=1, done=3, total=9, unit="images")
            + event("progress", "preprocess", pid=2, done=5, total=8, unit="images")
        )
        follower.poll()
        follower.display.refresh()
    shown = console.file.getvalue()

    assert "3/9 images" in shown
    assert "5/8 images" in shown


@pytest.mark.parametrize("width", [60, 100])
def test_a_bar_shows_the_rate_and_the_time_left_in_one_line(tmp_path, width):
    """A resumed training reports what it had done before at once; that is no rate."""
    path = tmp_path / "events.jsonl"
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    follower = Follower(path, console)
    clock = [0.0]
    follower.display.get_time = lambda: clock[0]
    path.write_text(event("launch", number=1) + event("start"))
    follower.poll()
    for done in (0, 1000, 1050, 1100, 1150, 1200):
        clock[0] += 1.0
        with path.open("a") as file:
            file.write(event("progress", done=done, total=4000, unit="images"))
        follower.poll()
    console.print(follower.display)
    [line] = console.file.getvalue().splitlines()

    assert line.startswith("train ")
    assert line.rstrip().endswith("1200/4000 images 50/s  0:00:56 left")
    assert "━" in line


def test_a_slow_step_shows_a_rate_other_than_zero_and_a_starting_one_its_time(tmp_path):
    path = tmp_path / "events.jsonl"
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    follower = Follower(path, console)
    clock = [0.0]
    follower.display.get_time = lambda: clock[0]
    path.write_text(event("launch", number=1) + event("launch", "push", number=2) + event("start"))
    follower.poll()
    for done in (0, 1, 2):
        clock[0] += 20.0
        with path.open("a") as file:
            file.write(event("progress", done=done, total=100, unit="steps"))
        follower.poll()
    console.print(follower.display)
    train, push = console.file.getvalue().splitlines()

    assert "0.05/s  0:32:40 left" in train
    assert push.rstrip().endswith("starting    0:01:00")


def test_events_of_an_unknown_kind_are_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(event("retraced"))

    Follower(path, plain()).poll()


def test_parallel_processes_of_a_step_count_once(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(
        event("launch", number=1, clock=100.0)
        + event("launch", number=2, clock=101.0)
        + event("exit", number=1, code=0, clock=104.0)
        + event("exit", number=2, code=0, clock=106.5)
    )
    console = plain()
    follower = Follower(path, console)

    follower.poll()

    assert follower.steps.seconds() == {"train": 6.5}
    assert console.file.getvalue() == "train       done in 4.0 s\ntrain       done in 5.5 s\n"


def test_a_clock_that_is_set_back_does_not_make_a_step_end_before_it_began(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(event("launch", number=1, time=5000.0) + event("exit", number=1, code=0, time=1400.0, clock=103.0))
    console = plain()
    follower = Follower(path, console)

    follower.poll()

    assert follower.steps.seconds() == {"train": 3.0}
    assert console.file.getvalue() == "train       done in 3.0 s\n"


def test_what_a_step_says_is_shown_as_it_is_however_long(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(event("say", message="[bold] epoch 1/30: " + "x" * 80))
    console = plain()

    Follower(path, console).poll()

    assert console.file.getvalue() == "train       [bold] epoch 1/30: " + "x" * 80 + "\n"


def test_errors_and_failed_processes_are_remembered(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(event("error", message="no", expected=True) + event("exit", number=1, code=1, last="no"))
    follower = Follower(path, plain())

    follower.poll()

    assert follower.steps.errors[0]["message"] == "no"
    assert follower.steps.failures[0]["code"] == 1
