"""A connection to Kubeflow Pipelines: where it is, who asks, in which namespace; every refusal is one line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from frostline.errors import ConfigError, FrostlineError
from frostline.events import say
from frostline.text import one_line

_CONNECT_SECONDS = 10.0
_READ_SECONDS, _WRITE_SECONDS = 15.0, 60.0  # for an answer; a port-forward that broke would never give one
_HINTS = {  # what helps, by HTTP status
    401: "; say who you are: --token-env names an environment variable with a token, --cookies-env one with cookies",
    403: "; ask for the role kubeflow-edit in this namespace, or name another one with --namespace",
}


@dataclass(frozen=True)
class Cluster:
    """An installation of Kubeflow Pipelines, and how to be let in.

    Attributes:
        host: its address, `http://` or `https://`.
        namespace: of a profile, on a multi-user installation; empty on any other.
        token_env, cookies_env: environment variables with a bearer token, or with cookies; empty if not needed. Without
            either, the token is used that Kubeflow mounts into pods (KF_PIPELINES_SA_TOKEN_PATH).
        ca_file: certificates that sign the server's, PEM; empty for those of the system.
        service_account: of the pods of a run.
    """

    host: str
    namespace: str = ""
    token_env: str = ""
    cookies_env: str = ""
    ca_file: str = ""
    service_account: str = "frostline"

    def __post_init__(self) -> None:
        """Refuse a malformed address, and one with a password: messages, links and the list of processes show it.

        Raises:
            ConfigError: so it is.
        """
        if "@" in self.host:
            advice = "leave out the user and password; name variables with --token-env or --cookies-env instead"
            raise ConfigError("host", f"...@{self.host.rpartition('@')[2]}", advice)
        if not re.fullmatch(r"https?://[^\s/]+\S*", self.host):
            raise ConfigError("host", self.host, "expected http://HOST or https://HOST")

    @property
    def base(self) -> str:
        """The address without a slash at its end."""
        return self.host.rstrip("/")

    def run_url(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.base}/#/runs/details/{run_id}"


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[tuple[Any, Cluster]]:
    """Yield a kfp.Client that prints no links and no warnings, and whose errors become one line; and the installation.

    On a multi-user one, a namespace that is not named is that of kfp's own configuration, or of the pod that this is.

    Raises:
        ConfigError: a variable is missing, or an option does not fit the mode that the server says it has.
        FrostlineError: the server does not answer, or refuses a request.
    """
    host = cluster.host
    token, cookies = _secret("--token-env", cluster.token_env), _secret("--cookies-env", cluster.cookies_env)
    import kfp_server_api
    import urllib3

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            _check_answers(cluster, token, cookies)
            client = _client(cluster, token, cookies)
            yield client, _in_its_mode(cluster, client.get_kfp_healthz().multi_user, client.get_user_namespace())
    except kfp_server_api.ApiException as error:
        raise FrostlineError(f"{host}: refused: {reason(error).rstrip('.')}{_HINTS.get(error.status, '')}") from error
    except (urllib3.exceptions.HTTPError, kfp_server_api.OpenApiException) as error:
        why = str(getattr(error, "reason", error)).rsplit(": ", 1)[-1]
        raise FrostlineError(f"{host}: Kubeflow Pipelines does not answer: {why}") from error


def _secret(option: str, variable: str) -> str | None:
    """The value of an environment variable: a secret on the command line is seen by everyone on the machine."""
    if not variable:
        return None
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(option, variable, "there is no such environment variable, or it is empty")
    return value


def _in_its_mode(cluster: Cluster, multi_user: bool, usual: str) -> Cluster:
    if multi_user and not cluster.namespace and usual:
        say(f"namespace {usual}, as kfp is configured here")
        return replace(cluster, namespace=usual)
    if multi_user and not cluster.namespace:
        raise ConfigError("--namespace", "", f"{cluster.host} is multi-user; name the namespace of your profile")
    if cluster.namespace and not multi_user:
        expected = f"{cluster.host} is not multi-user and runs pipelines in its own namespace; leave the option out"
        raise ConfigError("--namespace", cluster.namespace, expected)
    return cluster


def _check_answers(cluster: Cluster, token: str | None, cookies: str | None) -> None:
    """Send one request first: kfp.Client would retry many times, with a warning each time."""
    import kfp_server_api

    settings = kfp_server_api.Configuration(host=cluster.base)
    settings.retries = 0
    if cluster.ca_file:
        settings.ssl_ca_cert = cluster.ca_file
    headers = {"header_name": "Authorization", "header_value": f"Bearer {token}"} if token else {}
    with (
        kfp_server_api.ApiClient(settings, cookie=cookies, **headers) as api,
        contextlib.suppress(kfp_server_api.ApiException),
    ):
        kfp_server_api.HealthzServiceApi(api).healthz_service_get_healthz(
            _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
        )


def _client(cluster: Cluster, token: str | None, cookies: str | None) -> Any:
    """A kfp.Client with a quiet health check: its own logs five tracebacks in 25 s before it gives up."""
    import kfp
    import kfp_server_api

    class Client(kfp.Client):  # type: ignore[misc]
        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            try:
                answer = self._healthz_api.healthz_service_get_healthz(_preload_content=False)
                told = json.loads(answer.data)
                version = one_line(told.get("tag_name") or "unknown", 50)
                return types.SimpleNamespace(multi_user=bool(told.get("multi_user", False)), version=version)
            except (ValueError, AttributeError):
                raise FrostlineError(f"{cluster.host}: this is a web server, but not Kubeflow Pipelines") from None
            except kfp_server_api.ApiException as error:
                if error.status in _HINTS:
                    raise
                raise FrostlineError(
                    f"{cluster.host}: this is a web server, but not Kubeflow Pipelines ({reason(error)})"
                ) from None

    made = Client(
        host=cluster.host,
        namespace=cluster.namespace or "kubeflow",
        existing_token=token,
        credentials=None if token or cookies else _mounted_credentials(),
        cookies=cookies,
        ssl_ca_cert=cluster.ca_file or None,
    )
    _bound(made.runs.api_client.rest_client)
    return made


def _bound(rest: Any) -> None:
    """Give up requests that are not answered; the generated client has no such setting, and ignores a single float."""
    unbounded = rest.request

    def request(method: str, *arguments: Any, **named: Any) -> Any:
        most = (_CONNECT_SECONDS, _READ_SECONDS if method == "GET" else _WRITE_SECONDS)
        return unbounded(method, *arguments, **{**named, "_request_timeout": most})

    rest.request = request


def _mounted_credentials() -> Any:
    """The token that Kubeflow mounts into pods of a profile, and renews; None where there is none."""
    from kfp import client
    from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

    path = os.environ.get(client.KF_PIPELINES_SA_TOKEN_ENV, client.KF_PIPELINES_SA_TOKEN_PATH)
    return ServiceAccountTokenVolumeCredentials(path) if Path(path).is_file() else None


def reason(error: Any) -> str:
    """The server's words for people in one line, without the chain of its own functions; or the HTTP status."""
    try:
        body = json.loads(error.body)
        told = [detail["message"] for detail in body.get("details") or [] if detail.get("message")]
        return one_line(told[0] if told else body["message"], 500)
    except (TypeError, ValueError, KeyError, AttributeError):
        return f"HTTP {error.status} {error.reason or ''}".strip()
