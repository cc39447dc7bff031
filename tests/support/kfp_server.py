"""A small Kubeflow Pipelines API: the v2beta1 calls that `kfp.Client` makes, with their state, over HTTP.

It refuses what the real one refuses: a name that is taken (409), an unknown identifier (404), and a YAML file that does
not parse, an argument that the pipeline does not have, or a wrong cron expression (400).
"""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

PREFIX = "/apis/v2beta1/"
PAGE_SIZE = 2  # small, so that a client that reads only the first page fails


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KfpServer:
    """Runs in a thread; `states` are a run's states, one per request, of which the last one stays."""

    def __init__(self) -> None:
        self.pipelines: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.experiments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.recurring_runs: list[dict[str, Any]] = []
        self.states = ["PENDING", "RUNNING", "SUCCEEDED"]
        self.failures: list[int] = []  # HTTP statuses of the next requests for a run
        self.calls: list[str] = []
        self.after_retry = ["RUNNING", "SUCCEEDED"]  # the states of a run that is retried
        self.multi_user = False
        self.token = ""  # that is asked for; none if empty
        self.tasks: list[list[dict[str, Any]]] = []  # of a run, one list per request, of which the last one stays
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

    def answer(self, method: str, path: list[str], query: dict[str, str], body: bytes, kind: str) -> dict[str, Any]:
        self.calls.append(f"{method} {'/'.join(path)}")
        if method == "GET" and path == ["healthz"]:
            return {"multi_user": self.multi_user}
        self._authorize(path, query)
        match method, path:
            case "GET", ["pipelines"]:
                return _page("pipelines", self.pipelines, query)
            case "POST", ["pipelines"]:
                return self._add(self.pipelines, "pipeline_id", json.loads(body), unique=True)
            case "POST", ["pipelines", "upload_version"]:
                return self._upload(query, _uploaded(body, kind))
            case "GET", ["pipelines", pipeline_id, "versions"]:
                mine = [version for version in self.versions if version["pipeline_id"] == pipeline_id]
                return _page("pipeline_versions", mine, query)
            case "GET", ["experiments"]:
                return _page("experiments", self.experiments, query)
            case "POST", ["experiments"]:
                return self._add(self.experiments, "experiment_id", json.loads(body), unique=True)
            case "POST", ["runs"]:
                return self._add(self.runs, "run_id", self._checked(json.loads(body)))
            case "GET", ["runs", run_id]:
                if self.failures:
                    raise Refused(self.failures.pop(0), "the gateway is restarting")
                state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
                tasks = self.tasks.pop(0) if len(self.tasks) > 1 else (self.tasks or [[]])[0]
                details = {"run_details": {"task_details": tasks}} if tasks else {}
                return {**_one(self.runs, "run_id", run_id), "state": state, **details}
            case "POST", ["runs", action]:
                return self._act(*action.split(":"))
            case "GET", ["runs"]:
                return _page("runs", self.runs, query)
            case "GET", ["recurringruns"]:
                return _page("recurringRuns", self.recurring_runs, query)
            case "POST", ["recurringruns"]:
                run = self._checked(json.loads(body))
                _check_cron(run["trigger"]["cron_schedule"]["cron"])
                return self._add(self.recurring_runs, "recurring_run_id", run)
            case "POST", ["recurringruns", action]:
                recurring_run_id, verb = action.split(":")
                _one(self.recurring_runs, "recurring_run_id", recurring_run_id)["mode"] = verb.upper()
                return {}
            case "DELETE", ["recurringruns", recurring_run_id]:
                self.recurring_runs.remove(_one(self.recurring_runs, "recurring_run_id", recurring_run_id))
                return {}
        raise Refused(404, f"no such call: {method} {'/'.join(path)}")

    def _authorize(self, path: list[str], query: dict[str, str]) -> None:
        """As the real one in multi-user mode: an identity, and a namespace where experiments and runs are listed."""
        if self.token and self.authorization != f"Bearer {self.token}":
            raise Refused(401, "List experiments failed: Request header error: there is no user identity header.")
        listed = path in (["experiments"], ["runs"], ["recurringruns"]) and self.method == "GET"
        if self.multi_user and listed and not query.get("namespace"):
            raise Refused(400, "Invalid input error: An experiment cannot have an empty namespace in multi-user mode")

    def _act(self, run_id: str, verb: str) -> dict[str, Any]:
        run, state = _one(self.runs, "run_id", run_id), self.states[0]
        if verb == "retry" and state not in ("FAILED", "CANCELED"):
            raise Refused(409, "Failed to retry a run: Workflow must be Failed/Error to retry: it cannot be retried")
        run.setdefault("actions", []).append(verb)
        self.states = {"retry": self.after_retry, "terminate": ["CANCELED"]}[verb]
        return {}

    def _add(
        self, things: list[dict[str, Any]], key: str, thing: dict[str, Any], unique: bool = False
    ) -> dict[str, Any]:
        if unique and any(other["display_name"] == thing["display_name"] for other in things):
            raise Refused(409, f"{thing['display_name']} already exists")
        self._count += 1
        things.append({**thing, key: f"{key}-{self._count}"})
        return things[-1]

    def _upload(self, query: dict[str, str], text: bytes) -> dict[str, Any]:
        _one(self.pipelines, "pipeline_id", query["pipelineid"])
        mine = [version for version in self.versions if version["pipeline_id"] == query["pipelineid"]]
        if any(version["display_name"] == query["name"] for version in mine):
            raise Refused(409, f"{query['name']} already exists")
        spec, platform = yaml.safe_load_all(text)
        version = {
            "display_name": query["name"],
            "pipeline_id": query["pipelineid"],
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform},
        }
        return self._add(self.versions, "pipeline_version_id", version)

    def _checked(self, run: dict[str, Any]) -> dict[str, Any]:
        _one(self.experiments, "experiment_id", run["experiment_id"])
        reference = run["pipeline_version_reference"]
        version = _one(self.versions, "pipeline_version_id", reference["pipeline_version_id"])
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
            status, answer = error.status, {"error": str(error), "message": str(error), "code": 1}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output stays readable."""


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


def _one(things: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    for thing in things:
        if thing[key] == value:
            return thing
    raise Refused(404, f"no {key} {value!r}")


def _page(name: str, things: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
        things = [thing for thing in things if thing[predicate["key"]] == predicate["stringValue"]]
    start = int(query.get("page_token") or 0)
    end = start + min(PAGE_SIZE, int(query.get("page_size") or PAGE_SIZE))
    more = {"next_page_token": str(end)} if end < len(things) else {}
    return {name: things[start:end], **more} if things else {}


def _uploaded(body: bytes, kind: str) -> bytes:
    """The file in a multipart/form-data body."""
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
    part = next(message.iter_parts())
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
