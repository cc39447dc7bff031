"""The commands that speak to a cluster: `frostline submit` and `frostline schedule`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import Config, Debug, Overrides

if TYPE_CHECKING:
    from frostline.config import RunConfig

Host = Annotated[str, typer.Option("--host", metavar="URL", help="Address of Kubeflow Pipelines.")]
Namespace = Annotated[
    str, typer.Option("--namespace", metavar="NAME", help="Namespace of your profile, if Kubeflow is multi-user.")
]
TokenEnv = Annotated[
    str, typer.Option("--token-env", metavar="NAME", help="Environment variable with a token for Kubeflow.")
]
CookiesEnv = Annotated[
    str, typer.Option("--cookies-env", metavar="NAME", help="Environment variable with cookies for Kubeflow.")
]
CaFile = Annotated[
    str, typer.Option("--ca-file", metavar="FILE", help="Certificates that sign the server's, if it is not public.")
]
ServiceAccount = Annotated[
    str, typer.Option("--service-account", metavar="NAME", help="Service account of the pods of a run.")
]
Experiment = Annotated[str, typer.Option("--experiment", metavar="NAME", help="Experiment of the run.")]
ImageOnNodes = Annotated[
    bool, typer.Option("--image-on-nodes", help="The nodes have the image already; it needs no registry.")
]


def submit(
    config: Config,
    host: Host,
    overrides: Overrides = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run until it ends.")] = True,
    experiment: Experiment = "frostline",
    namespace: Namespace = "",
    token_env: TokenEnv = "",
    cookies_env: CookiesEnv = "",
    ca_file: CaFile = "",
    service_account: ServiceAccount = "frostline",
    image_on_nodes: ImageOnNodes = False,
    debug: Debug = False,
) -> None:
    """Start a run on a cluster."""
    from pipelines.remote import submit as remote
    from pipelines.remote.cluster import Cluster

    cluster = Cluster(host, namespace, token_env, cookies_env, ca_file, service_account)
    checked = _for_cluster(config, overrides)
    typer.echo(remote.submit(checked, cluster, experiment=experiment, wait=wait, image_on_nodes=image_on_nodes))


def schedule(
    config: Config,
    host: Host,
    cron: Annotated[
        str,
        typer.Option(
            "--cron",
            metavar="EXPRESSION",
            help='When to run, such as "0 2 * * *": minute hour day month weekday, UTC by default.',
        ),
    ],
    overrides: Overrides = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of the schedule; default: the model's name.")
    ] = "",
    experiment: Experiment = "frostline",
    namespace: Namespace = "",
    token_env: TokenEnv = "",
    cookies_env: CookiesEnv = "",
    ca_file: CaFile = "",
    service_account: ServiceAccount = "frostline",
    image_on_nodes: ImageOnNodes = False,
    debug: Debug = False,
) -> None:
    """Create or replace a recurring run on a cluster."""
    from pipelines.remote import submit as remote
    from pipelines.remote.cluster import Cluster

    cluster = Cluster(host, namespace, token_env, cookies_env, ca_file, service_account)
    checked = _for_cluster(config, overrides)
    typer.echo(
        remote.schedule(
            checked,
            cluster,
            cron=cron,
            name=name or checked.model_name,
            experiment=experiment,
            image_on_nodes=image_on_nodes,
        )
    )


def _for_cluster(path: Path, overrides: list[str] | None) -> RunConfig:
    from frostline.config import load
    from frostline.consistency import require_consistent

    config = load(path, overrides or [])
    require_consistent(config)
    return config
