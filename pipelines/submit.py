"""Start or schedule the pipeline on a Kubeflow cluster through `kfp.Client`.

The compiled pipeline is uploaded once. Each new content becomes a version that is named by its digest, so the same YAML
never makes a second version. The configuration becomes the run's arguments.
"""

from __future__ import annotations

import contextlib
import io
import json
import posixpath
import re
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from frostline import digests
from frostline.config import RunConfig
from frostline.errors import ConfigError, FrostlineError
from frostline.events import say
from frostline.model import backbones
from frostline.text import one_line
from pipelines.compile import SHIPPED
from pipelines.cron import six_fields

PIPELINE = "frostline-finetune"
SERVICE_ACCOUNT = "frostline"
POLL_SECONDS = 5.0
_PATIENCE = 12  # failed polls in a row before following ends: a minute, enough for a gateway to restart
_ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
_CONNECT_SECONDS = 10.0
_CONFLICT = 409
_PAGE = 100


def submit(config: RunConfig, *, host: str, experiment: str = "frostline", wait: bool = False) -> str:
    """Upload the pipeline unless it is already there, and start a run.

    Args:
        config: the run's arguments.
        host: address of Kubeflow Pipelines, `http://` or `https://`.
        experiment: name of the experiment, created if it does not exist.
        wait: follow the run until it ends.

    Returns:
        One line: the run's address, and how it ended if it was followed.

    Raises:
        ConfigError: the cluster cannot reach an address in the configuration, or the host is malformed.
        FrostlineError: the host does not answer, it refuses the request, or the followed run did not succeed.
    """
    _check_reachable(config)
    with _connected(host) as client:
        pipeline_id, version_id = _version(client)
        run = client.run_pipeline(
            client.create_experiment(experiment).experiment_id,
            f"{config.model_name} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}",
            params=config.arguments(),
            pipeline_id=pipeline_id,
            version_id=version_id,
            service_account=SERVICE_ACCOUNT,
        )
        url = f"{host.rstrip('/')}/#/runs/details/{run.run_id}"
        if not wait:
            return f"started {url}"
        say(f"started {url}")
        ended = _follow(client, run.run_id)
    if ended.state != "SUCCEEDED":
        reason = f": {ended.error.message}" if ended.error and ended.error.message else ""
        raise FrostlineError(f"the run ended as {ended.state}, see {url}{reason}")
    return f"succeeded {url}"


def schedule(config: RunConfig, *, cron: str, host: str, experiment: str = "frostline", name: str) -> str:
    """Create the recurring run `name`; then delete older ones of that name.

    Runs do not overlap, and missed runs are not caught up.

    Args:
        config: the arguments of every run.
        cron: minutes, hours, day of month, month and day of week; or six fields with seconds first. The server checks
            it. Times are in the cluster's time zone for schedules, which is UTC by default.
        host: address of Kubeflow Pipelines, `http://` or `https://`.
        experiment: name of the experiment, made when it does not exist.
        name: name of the recurring run.

    Returns:
        One line: what was created, and how many older ones it replaced.

    Raises:
        ConfigError: the expression does not have five or six fields, the cluster cannot reach an address in the
            configuration, or the host is malformed.
        FrostlineError: the host does not answer, or refuses the request, such as a wrong cron expression.
    """
    expression = six_fields(cron)
    _check_reachable(config)
    with _connected(host) as client:
        pipeline_id, version_id = _version(client)
        created = client.create_recurring_run(
            client.create_experiment(experiment).experiment_id,
            name,
            cron_expression=expression,
            max_concurrency=1,
            no_catchup=True,
            params=config.arguments(),
            pipeline_id=pipeline_id,
            version_id=version_id,
            service_account=SERVICE_ACCOUNT,
        )
        older = [run.recurring_run_id for run in _recurring_runs(client) if run.display_name == name]
        older.remove(created.recurring_run_id)
        for recurring_run_id in older:
            client.delete_recurring_run(recurring_run_id)
    replaced = f", replacing {len(older)} older" if older else ""
    url = f"{host.rstrip('/')}/#/recurringrun/details/{created.recurring_run_id}"
    return f"scheduled {name} at {expression!r}{replaced}: {url}"


def _check_reachable(config: RunConfig) -> None:
    """Refuse paths of this machine: a pod reaches the mounted volume, buckets and the network."""
    from pipelines.finetune import VOLUME_PATH

    built_in = {"source": ("digits",), "weights": ("imagenet", "random", "own"), "backbone": backbones.names()}
    for field in ("source", "weights", "backbone", "store", "registry"):
        value = getattr(config, field)
        on_volume = posixpath.normpath(value).startswith(f"{VOLUME_PATH}/")
        remote = value.startswith(("gs://", "tfds://", "registry:"))
        if not (remote or on_volume or value in built_in.get(field, ())):
            raise ConfigError(field, value, f"the cluster cannot reach it; use gs:// or a path below {VOLUME_PATH}")


@contextlib.contextmanager
def _connected(host: str) -> Iterator[Any]:
    """Yield a client that prints no links and no warnings, and whose errors become one line."""
    if not re.fullmatch(r"https?://[^\s/]+\S*", host):
        raise ConfigError("host", host, "expected http://HOST or https://HOST")
    import kfp_server_api
    import urllib3

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            _check_answers(host)
            yield _client(host)
    except kfp_server_api.ApiException as error:
        raise FrostlineError(f"{host}: refused: {_reason(error)}") from error
    except (urllib3.exceptions.HTTPError, kfp_server_api.OpenApiException) as error:
        reason = str(getattr(error, "reason", error)).rsplit(": ", 1)[-1]
        raise FrostlineError(f"{host}: Kubeflow Pipelines does not answer: {reason}") from error


def _check_answers(host: str) -> None:
    """Send one request first: kfp.Client would retry many times, with a warning each time."""
    import kfp_server_api

    settings = kfp_server_api.Configuration(host=host.rstrip("/"))
    settings.retries = 0
    with kfp_server_api.ApiClient(settings) as api, contextlib.suppress(kfp_server_api.ApiException):
        kfp_server_api.HealthzServiceApi(api).healthz_service_get_healthz(_request_timeout=_CONNECT_SECONDS)


def _client(host: str) -> Any:
    """A kfp.Client with a quiet health check: its own logs five tracebacks in 25 s before it gives up."""
    import kfp

    class Client(kfp.Client):  # type: ignore[misc]
        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            answer = self._healthz_api.healthz_service_get_healthz(_preload_content=False)
            try:
                return types.SimpleNamespace(multi_user=json.loads(answer.data).get("multi_user", False))
            except (ValueError, AttributeError):
                raise FrostlineError(f"{host}: this is a web server, but not Kubeflow Pipelines") from None

    return Client(host=host)


def _reason(error: Any) -> str:
    """The server's message in one line, or the HTTP status."""
    try:
        body = json.loads(error.body)
        return one_line(body.get("message") or body["error"], 500)
    except (TypeError, ValueError, KeyError, AttributeError):
        return f"HTTP {error.status} {error.reason or ''}".strip()


def _version(client: Any) -> tuple[str, str]:
    """Identifiers of the pipeline and of its version with the shipped YAML; both are created if missing."""
    import kfp_server_api

    namespace = client.get_user_namespace() or None
    pipeline = _find_or_create(
        lambda: client.list_pipelines(filter=_named(PIPELINE), namespace=namespace).pipelines,
        lambda: client.pipelines.pipeline_service_create_pipeline(
            kfp_server_api.V2beta1Pipeline(name=PIPELINE, display_name=PIPELINE, namespace=namespace)
        ),
    )
    name = f"{PIPELINE}-{digests.of_file(SHIPPED)[:16]}"
    version = _find_or_create(
        lambda: client.list_pipeline_versions(pipeline.pipeline_id, filter=_named(name)).pipeline_versions,
        lambda: client.upload_pipeline_version(str(SHIPPED), name, pipeline_id=pipeline.pipeline_id),
    )
    return pipeline.pipeline_id, version.pipeline_version_id


def _find_or_create(find: Callable[[], list[Any] | None], create: Callable[[], Any]) -> Any:
    import kfp_server_api

    found = find()
    if not found:
        try:
            return create()
        except kfp_server_api.ApiException as error:
            found = find() if error.status == _CONFLICT else None  # another submit was faster
            if not found:
                raise
    return found[0]


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _recurring_runs(client: Any) -> Iterator[Any]:
    """All recurring runs of all experiments: a schedule may have moved from one experiment to another."""
    token = ""
    while True:
        page = client.list_recurring_runs(page_token=token, page_size=_PAGE)
        yield from page.recurring_runs or []
        token = page.next_page_token or ""
        if not token:
            return


def _follow(client: Any, run_id: str) -> Any:
    """Wait until the run ends; kfp.Client's own wait never returns if a run is cancelled."""
    import kfp_server_api
    import urllib3

    state, failures = "", 0
    while True:
        try:
            run = client.get_run(run_id)
            failures = 0
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
            failures += 1
            permanent = isinstance(error, kfp_server_api.ApiException) and 400 <= error.status < 500
            if permanent or failures >= _PATIENCE:
                raise
        else:
            if run.state and run.state != state:
                state = run.state
                say(f"run {run_id}: {state}")
            if state in _ENDED:
                return run
        time.sleep(POLL_SECONDS)
