"""The commands that speak to a cluster: `frostline submit`, `schedule`, `resume`, `terminate` and `schedules`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.options import Config, Debug, Overrides

if TYPE_CHECKING:
    from frostline.config import RunConfig

app = typer.Typer(no_args_is_help=True, help="Look at a cluster.")
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
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run until it ends.")]
Retries = Annotated[
    int, typer.Option("--retries", metavar="N", min=0, help="How often a followed run that fails is started again.")
]
WaitForNode = Annotated[
    int,
    typer.Option("--wait-for-node", metavar="SECONDS", min=1, help="How long a pod may wait for a node or its image."),
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Identifier of the run, the last part of its address.")]
Experiment = Annotated[str, typer.Option("--experiment", metavar="NAME", help="Experiment of the run.")]
ImageOnNodes = Annotated[
    bool, typer.Option("--image-on-nodes", help="The nodes have the image already; it needs no registry.")
]


def submit(
    config: Config,
    host: Host,
    overrides: Overrides = None,
    wait: Wait = True,
    retries: Retries = 0,
    wait_for_node: WaitForNode = 1800,
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
    typer.echo(
        remote.submit(
            checked,
            cluster,
            experiment=experiment,
            wait=wait,
            retries=retries,
            wait_for_node=wait_for_node,
            image_on_nodes=image_on_nodes,
        )
    )


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


def resume(
    run: Run,
    host: Host,
    wait: Wait = True,
    retries: Retries = 0,
    wait_for_node: WaitForNode = 1800,
    namespace: Namespace = "",
    token_env: TokenEnv = "",
    cookies_env: CookiesEnv = "",
    ca_file: CaFile = "",
    debug: Debug = False,
) -> None:
    """Start the failed steps of a run on a cluster again."""
    from pipelines.remote import operate
    from pipelines.remote.cluster import Cluster

    cluster = Cluster(host, namespace, token_env, cookies_env, ca_file)
    typer.echo(operate.resume(cluster, run, wait=wait, retries=retries, wait_for_node=wait_for_node))


def terminate(
    run: Run,
    host: Host,
    namespace: Namespace = "",
    token_env: TokenEnv = "",
    cookies_env: CookiesEnv = "",
    ca_file: CaFile = "",
    debug: Debug = False,
) -> None:
    """End a run on a cluster; what it finished stays in the store."""
    from pipelines.remote import operate
    from pipelines.remote.cluster import Cluster

    typer.echo(operate.terminate(Cluster(host, namespace, token_env, cookies_env, ca_file), run))


def schedules(
    action: Annotated[Literal["status", "pause", "unpause", "delete"], typer.Argument(help="What to do.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.")],
    host: Host,
    namespace: Namespace = "",
    token_env: TokenEnv = "",
    cookies_env: CookiesEnv = "",
    ca_file: CaFile = "",
    debug: Debug = False,
) -> None:
    """Show a schedule on a cluster and its last runs, pause it, let it go on, or delete it."""
    from pipelines.remote import operate
    from pipelines.remote.cluster import Cluster

    cluster = Cluster(host, namespace, token_env, cookies_env, ca_file)
    if action == "status":
        typer.echo(operate.status(cluster, name))
    elif action == "delete":
        typer.echo(operate.delete(cluster, name))
    else:
        typer.echo(operate.set_paused(cluster, name, paused=action == "pause"))


@app.command()
def check(
    host: Host,
    image: Annotated[
        str, typer.Option("--image", metavar="IMAGE", help="Image of the steps, to look at its name.")
    ] = "",
    context: Annotated[
        str, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig; default: the current one.")
    ] = "",
    namespace: Namespace = "",
    token_env: TokenEnv = "",
    cookies_env: CookiesEnv = "",
    ca_file: CaFile = "",
    service_account: ServiceAccount = "frostline",
    image_on_nodes: ImageOnNodes = False,
    debug: Debug = False,
) -> None:
    """Look at what a first run needs on a cluster; exit code 1 if something is missing."""
    from pipelines.remote import inspection
    from pipelines.remote.cluster import Cluster

    cluster = Cluster(host, namespace, token_env, cookies_env, ca_file, service_account)
    found = inspection.check(cluster, image=image, image_on_nodes=image_on_nodes, context=context)
    typer.echo("\n".join(map(str, found)))
    if any(one.state == "problem" for one in found):
        raise typer.Exit(1)


def _for_cluster(path: Path, overrides: list[str] | None) -> RunConfig:
    from frostline.config import load
    from frostline.consistency import require_consistent

    config = load(path, overrides or [])
    require_consistent(config)
    return config
