"""Follow a run on a cluster to its end, and start it again where that helps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from frostline.errors import FrostlineError
from frostline.events import say
from frostline.text import one_line
from pipelines.remote.cluster import Cluster, reason
from pipelines.remote.run_states import ENDED, RunStates, state_of

POLL_SECONDS = 5.0
WAIT_FOR_NODE = 1800
_TOLD_AFTER = 60.0  # seconds that a pod may wait before a line says so
_PATIENCE = 120.0  # seconds without an answer before following ends: enough for a gateway to restart
_PASSING = (408, 429, 502, 503, 504)  # of HTTP: what is between us and Kubeflow is busy or restarts
_INTERNAL, _CONFLICT = 500, 409
_OF_THE_REQUEST = (401, 403, 404)
_POD_LABEL = "pipeline/runid"  # of every pod of a run, drivers too
T = TypeVar("T")


class NotRetried(FrostlineError):
    """Kubeflow cannot start the failed steps of a run again."""


def to_its_end(
    client: Any,
    cluster: Cluster,
    run_id: str,
    *,
    retries: int = 0,
    wait_for_node: int = WAIT_FOR_NODE,
    start: Callable[[], str] | None = None,
) -> str:
    """Follow a run, with a line for each change of a step.

    A run that fails is retried: its failed steps start again, and train resumes. If none of its steps failed, the
    engine itself did (below 2.18, a driver that ran twice ends a run, and no retry heals it); then, or if Kubeflow
    refuses to retry the run, a new one is started, which finds everything that was finished in the store.

    Args:
        client: a connection.
        cluster: the installation.
        run_id: of the run.
        retries: how often it is started again.
        wait_for_node: seconds after which a run ends of which a pod still waits for a node or its image. Nothing in
            the pipeline bounds a wait for a node promptly.
        start: starts a new run of the same configuration and returns its identifier; None if that is not possible.

    Returns:
        One line: how it ended, and its address.

    Raises:
        FrostlineError: the run did not succeed, a pod waited too long, or the server no longer answers.
    """
    for left in range(retries, -1, -1):
        states = RunStates()
        ended = _follow(client, cluster, run_id, states, _Waits(cluster, run_id, wait_for_node))
        url = cluster.run_url(run_id)
        state = state_of(ended)
        if state == "SUCCEEDED":
            return f"succeeded, its outcome is that of the step release: {url}"
        why = _why(ended, states, cluster)
        if state != "FAILED" or not left:
            break
        unhealed = "a retry does not heal that"
        if states.failed(ended):
            try:
                retry(client, run_id)
            except NotRetried as error:
                if start is None:
                    raise
                unhealed = str(error)
            else:
                say(f"the run failed{why}; it is retried, {left - 1} more left")
                continue
        if start is None:
            break
        run_id = start()
        say(f"the run failed{why}; {unhealed}: started anew as {cluster.run_url(run_id)}")
    raise FrostlineError(f"the run ended as {state}, see {url}{why}")


def retry(client: Any, run_id: str) -> None:
    """Start the failed steps of a run again, and wait until the API says so, a minute at most.

    Raises:
        NotRetried: Kubeflow refuses, such as for a workflow that is too large; a new run does not need the old one.
    """
    import kfp_server_api

    try:
        _patiently(lambda: client.runs.run_service_retry_run(run_id))
    except kfp_server_api.ApiException as error:
        if error.status in _OF_THE_REQUEST:
            raise
        if error.status != _CONFLICT or _get(client, run_id).state in ENDED:
            raise NotRetried(
                f"Kubeflow does not retry the run ({reason(error).rstrip('.')}); a new run of the same configuration "
                "finds what was finished"
            ) from error  # otherwise it runs: the answer to the request before was lost
    for _ in range(12):
        if _get(client, run_id).state != "FAILED":
            return
        time.sleep(POLL_SECONDS)


def _get(client: Any, run_id: str) -> Any:
    return _patiently(lambda: client.get_run(run_id), _INTERNAL)


def _patiently(ask: Callable[[], T], *passing: int) -> T:
    """Ask until there is an answer, for `_PATIENCE` seconds; what the network and the gateway say is none."""
    import kfp_server_api
    import urllib3

    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return ask()
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
            answered = isinstance(error, kfp_server_api.ApiException) and error.status not in (*_PASSING, *passing)
            if answered or time.monotonic() >= until:
                raise
        time.sleep(POLL_SECONDS)


def _why(run: Any, states: RunStates, cluster: Cluster) -> str:
    """What the API tells of a failure, and where the rest is: its message is empty for most."""
    if state_of(run) == "CANCELED":
        return ": someone ended it; frostline resume goes on with it"
    if run.error and run.error.message:
        return f": {one_line(run.error.message, 500)}"
    steps, namespace = states.failed(run), cluster.namespace or "NAMESPACE"
    if steps:
        return f": {', '.join(steps)} failed; its log is in the page of the step, its last lines say why"
    if run.state != "FAILED":
        return ""
    if states.began():
        look = f"kubectl -n {namespace} get pods -l {_POD_LABEL}={run.run_id}"
        return f": none of its steps did; the log of a driver's pod says why: {look}"
    return (
        f": no step began; see kubectl -n {namespace} get events; most often there is no service account "
        f"{cluster.service_account} or no claim in the namespace in which Kubeflow runs pipelines"
    )


class _Waits:
    """How long each pod of a run has waited for a node or its image."""

    def __init__(self, cluster: Cluster, run_id: str, limit: int) -> None:
        self._limit = limit
        self._help = f"kubectl -n {cluster.namespace or 'NAMESPACE'} describe pods -l {_POD_LABEL}={run_id}"
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def too_long(self, waiting: dict[str, str]) -> str:
        """Tell of pods that wait, once; why the run has to end, empty if it has not."""
        now = time.monotonic()
        self._since = {pod: self._since.get(pod, now) for pod in waiting}
        for pod, since in self._since.items():
            if now - since >= _TOLD_AFTER and waiting[pod] not in self._told:
                self._told.add(waiting[pod])
                say(f"a pod of {waiting[pod]} has waited {now - since:.0f} s for a node or its image: {self._help}")
            if now - since >= self._limit:
                return f"a pod of {waiting[pod]} had no node or image after {self._limit} s (--wait-for-node)"
        return ""


def _follow(client: Any, cluster: Cluster, run_id: str, states: RunStates, waits: _Waits) -> Any:
    """Wait until the run ends; kfp.Client's own wait never returns if a run is cancelled."""
    state = ""
    while True:
        run = _get(client, run_id)
        for line in states.news(run):
            say(line)
        if run.state and state_of(run) != state:
            state = state_of(run)
            say(f"run {run_id}: {state}")
        if state in ENDED:
            return run
        why = waits.too_long(states.waiting(run))
        if why:
            _patiently(lambda: client.terminate_run(run_id))
            raise FrostlineError(f"{why}; the run was ended, and can be resumed: {cluster.run_url(run_id)}")
        time.sleep(POLL_SECONDS)
