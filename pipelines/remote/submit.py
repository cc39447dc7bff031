"""Start or schedule the pipeline on a Kubeflow cluster.

The compiled pipeline is uploaded once. Each new content becomes a version that is named by its digest, so the same YAML
never makes a second version. The configuration becomes the run's arguments.
"""

from __future__ import annotations

import json
import posixpath
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from frostline import digests
from frostline.config import RunConfig
from frostline.errors import ConfigError
from frostline.events import say
from frostline.model import backbones
from pipelines.compile import SHIPPED
from pipelines.lint import load
from pipelines.plan_view import policy_words
from pipelines.remote import following
from pipelines.remote.cluster import Cluster, connected
from pipelines.remote.cron import six_fields
from pipelines.remote.run_states import ENDED
from pipelines.workflow_size import remark

PIPELINE = "frostline-finetune"
_CONFLICT = 409
_PAGE = 100
# REGISTRY/NAME, with a tag or a digest: a first part without a dot or colon is the name of a user of Docker's registry.
_IMAGE = re.compile(
    r"(?P<registry>[^/]+\.[^/]+|[^/]+:\d+|localhost)/[^\s@]+?(:[\w.-]+)?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def submit(
    config: RunConfig,
    cluster: Cluster,
    *,
    experiment: str = "frostline",
    wait: bool = False,
    retries: int = 0,
    wait_for_node: int = following.WAIT_FOR_NODE,
    image_on_nodes: bool = False,
) -> str:
    """Upload the pipeline unless it is already there, and start a run.

    Args:
        config: the run's arguments.
        cluster: the installation.
        experiment: name of the experiment, created if it does not exist.
        wait: follow the run until it ends, with a line for each change of a step.
        retries: how often a followed run that fails is started again.
        wait_for_node: seconds that a pod of a followed run may wait for a node or its image.
        image_on_nodes: the nodes have the image already, so it needs no registry.

    Returns:
        One line: the run's address, and how it ended if it was followed.

    Raises:
        ConfigError: the cluster cannot reach an address in the configuration, or the host is malformed.
        FrostlineError: the host does not answer, it refuses the request, or the followed run did not succeed.
    """
    _check(config, image_on_nodes)
    with connected(cluster) as (client, used):
        pipeline_id, version_id = _version(client, used.namespace)
        experiment_id = _experiment(client, experiment, used.namespace)

        def start() -> str:
            run = client.runs.run_service_create_run(
                {  # kfp.Client.run_pipeline takes no description
                    "experiment_id": experiment_id,
                    "display_name": f"{config.model_name} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}",
                    "description": _words(config),
                    "pipeline_version_reference": {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
                    "runtime_config": {"parameters": config.arguments()},
                    "service_account": cluster.service_account,
                }
            )
            return str(run.run_id)

        run_id = start()
        if not wait:
            return f"started {cluster.run_url(run_id)}"
        say(f"started {cluster.run_url(run_id)}")
        return following.to_its_end(client, used, run_id, retries=retries, wait_for_node=wait_for_node, start=start)


def schedule(
    config: RunConfig,
    cluster: Cluster,
    *,
    cron: str,
    name: str,
    experiment: str = "frostline",
    image_on_nodes: bool = False,
) -> str:
    """Create the recurring run `name`; then disable older ones of that name, and delete those of which nothing runs.

    Runs do not overlap, and missed runs are not caught up. Where a recurring run is deleted, Kubeflow ends the run that
    it started, and then says for ever that it runs.

    Args:
        config: the arguments of every run.
        cron: minutes, hours, day of month, month and day of week; or six fields with seconds first. The server checks
            it. Times are in the cluster's time zone for schedules, which is UTC by default.
        name: name of the recurring run.
        cluster: the installation.
        experiment: name of the experiment, made when it does not exist.
        image_on_nodes: the nodes have the image already, so it needs no registry.

    Returns:
        One line: what was created, and how many older ones it replaced.

    Raises:
        ConfigError: the expression does not have five or six fields, the cluster cannot reach an address in the
            configuration, or the host is malformed.
        FrostlineError: the host does not answer, or refuses the request, such as a wrong cron expression.
    """
    expression = six_fields(cron)
    _check(config, image_on_nodes)
    with connected(cluster) as (client, used):
        pipeline_id, version_id = _version(client, used.namespace)
        created = client.create_recurring_run(
            _experiment(client, experiment, used.namespace),
            name,
            description=_words(config),
            cron_expression=expression,
            max_concurrency=1,
            no_catchup=True,
            params=config.arguments(),
            pipeline_id=pipeline_id,
            version_id=version_id,
            service_account=cluster.service_account,
        )
        # Of all experiments: a schedule may have moved from one to another.
        found = pages(client.list_recurring_runs, "recurring_runs", used.namespace)
        older = [run.recurring_run_id for run in found if run.display_name == name]
        older.remove(created.recurring_run_id)
        busy = retire(client, older, used.namespace)
    replaced = f", replacing {len(older)} older" if older else ""
    if busy:
        replaced += f" ({', '.join(busy)} still runs; the older schedule is disabled, and goes when you schedule again)"
    url = f"{cluster.base}/#/recurringrun/details/{created.recurring_run_id}"
    return f"scheduled {name} at {expression!r}{replaced}: {url}"


def _words(config: RunConfig) -> str:
    """What a person wants to know of a run in a list: the model, what is frozen, and what the gate asks for."""
    asked = {name: value for name, value in config.gate.model_dump().items() if name in config.gate.model_fields_set}
    gate = ", ".join(f"{name}: {value}" for name, value in asked.items()) or "as by default"
    return (
        f"{config.backbone} with weights {config.weights}; freeze {policy_words(config.freeze.policy())}; gate {gate}"
    )


def retire(client: Any, older: Sequence[str], namespace: str) -> list[str]:
    """Disable recurring runs and delete them, except those that still have a run; returns the names of these runs."""
    for one in older:
        client.disable_recurring_run(one)
    runs = pages(client.list_runs, "runs", namespace) if older else iter(())
    busy = {run.recurring_run_id: run.display_name for run in runs if run.state not in ENDED}
    for one in older:
        if one not in busy:
            client.delete_recurring_run(one)
    return [name for one, name in busy.items() if one in older]


def _check(config: RunConfig, image_on_nodes: bool) -> None:
    """Refuse what cannot run on a cluster, and tell what runs there less well."""
    _check_reachable(config)
    check_image(config.image, image_on_nodes)
    told = remark(config)
    if told:
        say(told)


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


def check_image(image: str, image_on_nodes: bool) -> None:
    """Refuse an image that no node can pull: the run would wait for it for as long as its first step may take."""
    if not image:
        raise ConfigError(
            "image", image, "name the image in your registry, by digest: REGISTRY/frostline@sha256:DIGEST"
        )
    match = _IMAGE.fullmatch(image)
    if match is None and not image_on_nodes:
        raise ConfigError(
            "image", image, "expected REGISTRY/NAME@sha256:DIGEST; if the nodes have it already, add --image-on-nodes"
        )
    if match and not match["digest"]:
        say(f"image {image} is named by a tag: if the tag moves, a retry runs other code; name the digest instead")


def _experiment(client: Any, name: str, namespace: str) -> str:
    """The identifier of an experiment, which is created if it is missing."""
    import kfp_server_api

    try:
        made = client.create_experiment(name, namespace=namespace or None)
    except kfp_server_api.ApiException as error:
        if error.status != _CONFLICT:
            raise
        made = client.create_experiment(name, namespace=namespace or None)  # another submit was faster: it finds that
    return str(made.experiment_id)


def _version(client: Any, namespace: str) -> tuple[str, str]:
    """Identifiers of the pipeline and of its version with the shipped YAML; both are created if missing."""
    import kfp_server_api

    pipeline = _find_or_create(
        lambda: client.list_pipelines(filter=_named(PIPELINE), namespace=namespace or None).pipelines,
        lambda: client.pipelines.pipeline_service_create_pipeline(
            kfp_server_api.V2beta1Pipeline(
                name=PIPELINE,
                display_name=PIPELINE,
                description=load(SHIPPED.read_text())[0]["pipelineInfo"]["description"],
                namespace=namespace or None,
            )
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


def pages(listing: Callable[..., Any], name: str, namespace: str) -> Iterator[Any]:
    """Everything that a call lists, page by page."""
    token = ""
    while True:
        page = listing(page_token=token, page_size=_PAGE, namespace=namespace or None)
        yield from getattr(page, name) or []
        token = page.next_page_token or ""
        if not token:
            return
