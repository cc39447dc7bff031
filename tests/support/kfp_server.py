"""A small Kubeflow Pipelines 2.17 API: the v2beta1 calls that `kfp.Client` makes, with their state, over HTTP.

It answers as the recordings in tests/pipelines/remote/recordings do, and refuses what the real one refuses. What it is
sent and what it answers is held against the models of kfp-server-api; what does not fit is in `faults`.
"""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
import urllib.parse
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

from tests.support.kfp_answers import Refused, already_there, one, page
from tests.support.kfp_contract import faults

PREFIX = "/apis/v2beta1/"
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
# What belongs to a namespace: its name in a refusal, the beginning of the refusal's chain, the model of its list.
OWNED = {
    "experiments": ("An experiment", "List experiments failed: Failed to authorize with API", "Experiments"),
    "runs": ("A run", "Failed to list runs: Failed to list runs due to authorization error. ", "Runs"),
    "recurringruns": (
        "a recurring run",
        "Failed to list jobs: Failed to list recurring runs due to authorization error. ",
        "RecurringRuns",
    ),
}
NO_IDENTITY = "Request header error: there is no user identity header."
Thing = dict[str, Any]


class KfpServer:
    """Runs in a thread; `states` are a run's states, one per request, of which the last one stays."""

    def __init__(self) -> None:
        self.pipelines: list[Thing] = []
        self.versions: list[Thing] = []
        self.experiments: list[Thing] = []
        self.runs: list[Thing] = []
        self.recurring_runs: list[Thing] = []
        self.states = ["PENDING", "RUNNING", "SUCCEEDED"]
        self.failures: list[int] = []  # HTTP statuses of the next requests for a run
        self.calls: list[str] = []
        self.actions: dict[str, list[str]] = {}  # of each run: what was asked of it
        self.after_retry = ["RUNNING", "SUCCEEDED"]  # the states of a run that is retried
        self.multi_user = False
        self.version = "unknown"  # as of an installation that was not built by a release
        self.token = ""  # that is asked for; none if empty
        self.namespaces: set[str] | None = None  # those that the user may see; all if None
        self.tasks: list[list[Thing]] = []  # of a run, one list per request, of which the last one stays
        self.faults: list[str] = []
        self.method = self.authorization = ""  # of the request that is answered
        self._count = 0
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.host = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> KfpServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: list[str], query: dict[str, str], body: bytes, kind: str) -> Thing:
        self.calls.append(f"{method} {'/'.join(path)}")
        if method == "GET" and path == ["healthz"]:
            return {
                "commit_sha": "unknown",
                "tag_name": self.version,
                "multi_user": self.multi_user,
                "pipeline_store": "database",
            }
        self._authorize(path, query)
        match method, path:
            case "GET", ["pipelines"]:
                return self._told("V2beta1ListPipelinesResponse", page("pipelines", self.pipelines, query))
            case "POST", ["pipelines"]:
                return self._add(self.pipelines, "pipeline_id", self._sent("V2beta1Pipeline", body))
            case "POST", ["pipelines", "upload_version"]:
                return self._upload(query, _uploaded(body, kind))
            case "GET", ["pipelines", pipeline_id, "versions"]:
                mine = [version for version in self.versions if version["pipeline_id"] == pipeline_id]
                return self._told("V2beta1ListPipelineVersionsResponse", page("pipeline_versions", mine, query))
            case "GET", ["experiments" | "runs" | "recurringruns" as kinds]:
                return self._list(kinds, query)
            case "POST", ["experiments"]:
                return self._add(self.experiments, "experiment_id", self._sent("V2beta1Experiment", body))
            case "POST", ["runs"]:
                return self._start(self._checked(self._sent("V2beta1Run", body)))
            case "GET", ["runs", run_id]:
                return self._told("V2beta1Run", self._run(run_id))
            case "POST", ["runs", action]:
                return self._act(*action.split(":"))
            case "POST", ["recurringruns"]:
                return self._schedule(self._checked(self._sent("V2beta1RecurringRun", body)))
            case "POST", ["recurringruns", action]:
                recurring_run_id, verb = action.split(":")
                schedule = one(self.recurring_runs, "recurring_run_id", recurring_run_id)
                schedule |= {"mode": verb.upper(), "status": f"{verb.upper()}D", "updated_at": _now()}
                return {}
            case "DELETE", [*_, kinds, identifier]:
                things, key = self._owned(kinds)
                things.remove(one(things, key, identifier))
                return {}
        raise Refused(404, f"no such call: {method} {'/'.join(path)}")

    def _authorize(self, path: list[str], query: dict[str, str]) -> None:
        """As in multi-user mode: an identity; a namespace that is named, and that this user may see."""
        if self.token and self.authorization != f"Bearer {self.token}":
            reason = "Failed to check authorization. User identity is empty in the request header"
            chain = "Failed to authorize with API: Failed to authorize with API: Unauthenticated"
            raise Refused(
                401,
                reason,
                f"List experiments failed: {chain}: {reason}: Unauthenticated: {NO_IDENTITY}: {NO_IDENTITY}",
            )
        listed = path[0] in OWNED and len(path) == 1 and self.method == "GET"
        if not (self.multi_user and listed):
            return
        what, chain, _ = OWNED[path[0]]
        namespace = query.get("namespace", "")
        if not namespace:
            reason = f"{what} cannot have an empty namespace in multi-user mode"
            about = "" if path[0] == "experiments" else "Check if you have permission to access namespace "
            raise Refused(400, reason, f"{chain}{about}: Invalid input error: {reason}")
        if self.namespaces is not None and namespace not in self.namespaces:
            attributes = f"Namespace:{namespace},Verb:list,Group:pipelines.kubeflow.org,Version:v1beta1"
            request = f"&ResourceAttributes{{{attributes},Resource:{path[0]}}}"
            reason = f"User 'stranger@example.com' is not authorized with reason:  (request: {request})"
            raise Refused(403, reason, f"{chain}: Failed to authorize with API: PermissionDenied: {reason}")

    def _sent(self, model: str, body: bytes) -> Thing:
        sent = json.loads(body)
        if "max_concurrency" in sent:
            sent["max_concurrency"] = str(sent["max_concurrency"])  # an int64, which may also be sent as a number
        self.faults += faults(sent, model, "sent")
        return dict(sent)

    def _told(self, model: str, answer: Thing) -> Thing:
        self.faults += faults(answer, model, "told")
        return answer

    def _owned(self, kinds: str) -> tuple[list[Thing], str]:
        """All things of a kind, and the key of their identifiers."""
        return {
            "pipelines": (self.pipelines, "pipeline_id"),
            "versions": (self.versions, "pipeline_version_id"),
            "experiments": (self.experiments, "experiment_id"),
            "runs": (self.runs, "run_id"),
            "recurringruns": (self.recurring_runs, "recurring_run_id"),
        }[kinds]

    def _list(self, kinds: str, query: dict[str, str]) -> Thing:
        things, _ = self._owned(kinds)
        if self.multi_user:
            mine = [each["experiment_id"] for each in self.experiments if each.get("namespace") == query["namespace"]]
            things = [thing for thing in things if thing["experiment_id"] in mine]
        name = "recurringRuns" if kinds == "recurringruns" else kinds
        return self._told(f"V2beta1List{OWNED[kinds][2]}Response", page(name, things, query))

    def _start(self, run: Thing) -> Thing:
        began = {"storage_state": "AVAILABLE", "created_at": _now(), "scheduled_at": _now(), "state": "PENDING"}
        return self._add(self.runs, "run_id", {**run, **began, "state_history": []}, unique=False)

    def _run(self, run_id: str) -> Thing:
        if self.failures:
            raise Refused(self.failures.pop(0), "the gateway is restarting")
        run = one(self.runs, "run_id", run_id)
        run["state"] = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if [each["state"] for each in run["state_history"][-1:]] != [run["state"]]:
            run["state_history"].append({"update_time": _now(), "state": run["state"]})
        tasks = self.tasks.pop(0) if len(self.tasks) > 1 else (self.tasks or [[]])[0]
        return {**run, **({"run_details": {"task_details": tasks}} if tasks else {})}

    def _act(self, run_id: str, verb: str) -> Thing:
        one(self.runs, "run_id", run_id)
        if verb == "retry" and self.states[0] not in ("FAILED", "CANCELED"):
            reason = "Workflow must be Failed/Error to retry"
            chain = f"Failed to retry a run: Failed to retry run {run_id}: BadRequestError: {reason}"
            raise Refused(409, reason, f"{chain}: workflow cannot be retried")
        if verb == "terminate" and self.states[0] in ENDED:
            raise Refused(400, "Failed to terminate a run: it has already finished")
        self.actions.setdefault(run_id, []).append(verb)
        self.states = {"retry": list(self.after_retry), "terminate": ["CANCELING", "FAILED"]}[verb]
        return {}

    def _schedule(self, recurring_run: Thing) -> Thing:
        _check_cron(recurring_run["trigger"]["cron_schedule"]["cron"])
        recurring_run |= {"status": f"{recurring_run['mode']}D", "created_at": _now(), "updated_at": _now()}
        return self._add(self.recurring_runs, "recurring_run_id", recurring_run, unique=False)

    def _add(self, things: list[Thing], key: str, thing: Thing, unique: bool = True) -> Thing:
        if unique and any(other["display_name"] == thing["display_name"] for other in things):
            raise already_there(thing["display_name"])
        self._count += 1
        things.append({"created_at": _now(), **thing, key: f"{key}-{self._count}"})
        return things[-1]

    def _upload(self, query: dict[str, str], text: bytes) -> Thing:
        one(self.pipelines, "pipeline_id", query["pipelineid"])
        mine = [version for version in self.versions if version["pipeline_id"] == query["pipelineid"]]
        if any(version["display_name"] == query["name"] for version in mine):
            raise already_there(query["name"])
        try:
            spec, platform = yaml.safe_load_all(text)
        except (yaml.YAMLError, ValueError) as error:
            raise Refused(400, "unknown pipeline format", "Invalid input error: unknown pipeline format") from error
        version = {
            "display_name": query["name"],
            "pipeline_id": query["pipelineid"],
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform},
        }
        return self._told("V2beta1PipelineVersion", self._add(self.versions, "pipeline_version_id", version, False))

    def _checked(self, run: Thing) -> Thing:
        one(self.experiments, "experiment_id", run["experiment_id"])
        reference = run["pipeline_version_reference"]
        version = one(self.versions, "pipeline_version_id", reference["pipeline_version_id"])
        inputs = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        unknown = set(run["runtime_config"]["parameters"]) - set(inputs)
        if unknown:
            raise Refused(400, f"the pipeline has no parameter {sorted(unknown)}")
        return run


class _Handler(BaseHTTPRequestHandler):
    owner: KfpServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: a second packet would wait 40 ms (Nagle, delayed ACK)

    def _serve(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = dict(urllib.parse.parse_qsl(url.query))
        path = url.path.removeprefix(PREFIX).split("/")
        self.owner.method, self.owner.authorization = self.command, self.headers.get("Authorization", "")
        try:
            status, answer = (
                200,
                self.owner.answer(self.command, path, query, body, self.headers.get("Content-Type", "")),
            )
        except Refused as error:
            status, answer = error.status, error.body
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output stays readable."""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_cron(expression: str) -> None:
    """Refuse what is not six fields of numbers, stars, ranges, steps and names; the message has two lines."""
    limits = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    fields = expression.split()
    good = len(fields) == len(limits) and all(map(_is_cron_field, fields, limits))
    if not good:
        raise Refused(400, f"Failed to create a recurring run:\nSchedule cron is not supported: {expression!r}")


def _is_cron_field(field: str, limits: tuple[int, int]) -> bool:
    match = re.fullmatch(r"(\*|\?|\d+|[A-Z]{3})(?:-(\d+|[A-Z]{3}))?(?:/([1-9]\d*))?", field)
    numbers = [int(part) for part in match.groups()[:2] if part and part.isdecimal()] if match else [-1]
    return all(limits[0] <= number <= limits[1] for number in numbers)


def _uploaded(body: bytes, kind: str) -> bytes:
    """The file in a multipart/form-data body."""
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
    part = next(message.iter_parts())
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
