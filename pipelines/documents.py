"""The documents in the directory of a local run: its arguments, its events, its outcome and its summary."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from frostline.documents.kinds import Document, Stored


class Arguments(Stored):
    """arguments.json: the pipeline's arguments, as `RunConfig.arguments` gives them."""

    arguments: dict[str, Any]


class Outcome(Stored):
    """outcome.json: the pipeline's output; empty if it has none."""

    outcome: str


class Summary(Stored):
    """summary.json: how the run ended.

    `seconds` is the whole run's wall time and `steps` that of each step. `pages` has the path of each page by its name.
    """

    run: str
    directory: str
    status: Literal["interrupted", "failed", "succeeded"]
    outcome: str
    error: NotRequired[str]
    seconds: float
    steps: dict[str, float]
    pages: dict[str, str]


class Event(TypedDict):
    """A line of events.jsonl; its fields depend on `kind`."""

    time: float  # seconds since the epoch, for people
    clock: float  # seconds, for durations: never set back, and the same in all processes of a machine
    pid: int
    step: str
    kind: str  # launch, start, progress, say, error, end or exit; a reader skips any other
    number: NotRequired[int]  # launch, exit: which process of the run
    done: NotRequired[int]  # progress
    total: NotRequired[int]  # progress
    unit: NotRequired[str]  # progress: a plural, such as images
    message: NotRequired[str]  # say, error
    exit_code: NotRequired[int]  # error: what the command line exits with
    code: NotRequired[int]  # exit: the process's own exit code, negative if a signal ended it
    last: NotRequired[str]  # exit: the last lines that the process printed


ARGUMENTS = Document[Arguments]("arguments", "arguments.json")
OUTCOME = Document[Outcome]("outcome", "outcome.json")
SUMMARY = Document[Summary]("run", "summary.json")
EVENT_LOG = "events.jsonl"
PIPELINE_FILE = "pipeline.yaml"
LOG_FILE = "run.log"
ARTIFACTS_DIRECTORY = "artifacts"
