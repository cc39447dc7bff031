"""Events of a step: its start, messages, progress, end or error, as lines in a file."""

import errno
import json

import pytest

from frostline import events
from frostline.errors import ConfigError, DataError, StorageError


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that returns the events written so far."""
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(events.EVENTS_FILE, str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def test_a_step_reports_its_start_its_messages_and_its_end(written):
    @events.step("work")
    def work():
        events.say("half way")
        return 7

    assert work() == 7
    assert [(event["step"], event["kind"]) for event in written()] == [
        ("work", "start"),
        ("work", "say"),
        ("work", "end"),
    ]
    assert written()[-1]["seconds"] >= 0


def test_an_error_is_reported_in_one_line_with_its_exit_code_and_raised(written):
    @events.step("work")
    def work():
        raise ConfigError("epochs", "x\ny", "expected an integer")

    with pytest.raises(ConfigError):
        work()
    last = written()[-1]
    assert (last["kind"], last["exit_code"]) == ("error", 2)
    assert "\n" not in last["message"]


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/x"),
        OSError("Unable to synchronously write: errno = 28, error message = 'No space left on device'"),
        RuntimeError("/data/x; No space left on device"),
    ],
)
def test_a_full_disk_is_a_storage_error_whichever_library_reports_it(written, raised):
    @events.step("work")
    def work():
        raise raised

    with pytest.raises(StorageError, match=r"[Nn]o space left on device"):
        work()
    assert written()[-1]["message"].lower().count("no space left") >= 1


def test_other_errors_keep_their_type(written):
    @events.step("work")
    def work():
        raise KeyError("missing")

    with pytest.raises(KeyError):
        work()
    assert written()[-1]["message"] == "KeyError: 'missing'"
    assert written()[-1]["exit_code"] == 1


def test_progress_yields_everything_and_ends_with_the_total(written):
    assert list(events.progress(range(1000), total=1000, unit="images")) == list(range(1000))
    progress = [event for event in written() if event["kind"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == 1000
    assert len(progress) < 20  # by the clock, not by the item


def test_progress_that_comes_in_uneven_parts_is_reported_at_once_and_at_its_end(written):
    with events.Progress(1000, "images") as progress:
        first = written()[-1]
        for _ in range(100):
            progress.advance(7)
    assert (first["done"], first["total"], first["unit"]) == (0, 1000, "images")
    assert written()[-1]["done"] == 700  # a training that stops early has not done the rest
    assert len(written()) < 20


def test_progress_that_an_error_ends_is_not_reported_again(written):
    with pytest.raises(DataError), events.Progress(10, "images") as progress:
        progress.advance(4)
        before = written()
        raise DataError("no")
    assert written() == before


def test_nothing_is_written_without_an_events_file(monkeypatch, capsys):
    monkeypatch.delenv(events.EVENTS_FILE, raising=False)

    @events.step("work")
    def work():
        events.say("hello")

    work()
    assert capsys.readouterr().err == "hello\n"


def test_a_line_in_the_log_of_a_pod_has_its_time(monkeypatch, capsys):
    monkeypatch.setenv("KFP_POD_NAME", "frostline-finetune-1")
    monkeypatch.setattr(events.time, "gmtime", lambda: (2026, 1, 2, 3, 4, 5, 0, 1, 0))
    events.say("hello")
    assert capsys.readouterr().err == "03:04:05 hello\n"


def test_a_step_inside_a_step_restores_the_name(written):
    @events.step("inner")
    def inner():
        raise DataError("no")

    @events.step("outer")
    def outer():
        with pytest.raises(DataError):
            inner()
        events.say("after")

    outer()
    assert [event["step"] for event in written() if event["kind"] == "say"] == ["outer"]


def test_a_message_that_fills_pages_is_cut(written):
    @events.step("work")
    def work():
        raise RuntimeError("page " * 10_000)

    with pytest.raises(RuntimeError):
        work()
    assert len(written()[-1]["message"]) < 2100


def test_the_clock_of_events_goes_forward_though_the_time_is_set_back(written, monkeypatch):
    times = iter((5000.0, 1400.0))
    monkeypatch.setattr(events.time, "time", lambda: next(times))
    events.say("before")
    events.say("after")
    first, second = written()
    assert (first["time"], second["time"]) == (5000.0, 1400.0)
    assert 0 <= second["clock"] - first["clock"] < 3600


def test_a_name_in_a_message_neither_breaks_its_line_nor_turns_it_around(capsys):
    events.say("reading a\nb\x1b[2K\u202ec  as it is")
    line = capsys.readouterr().err
    assert line == "reading a b [2K c as it is\n"
    events.say("plan      done")  # spaces in a row stay where nothing is wrong
    assert capsys.readouterr().err == "plan      done\n"
