"""Fine-tune a pretrained image model, and replace the model in production only if the evidence allows it.

1. plan      check every parameter, resolve the weights and the freeze policy  (a mistake fails in seconds)
2. ingest    list the source's images, labels and splits, and share them out
3. prepare   one pod per worker: TFRecords, and features of the frozen prefix if caching them pays off
4. validate  check the whole dataset
5. train     with MirroredStrategy, frozen as planned; certify what did not change
6. evaluate  the exported model on the original images, compared with the champion
7. gate      one bool and a written decision
8. release   push or hold; its outcome is that of the run
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from kfp import dsl, kubernetes

from components.evaluate import evaluate
from components.gate import gate
from components.ingest import ingest
from components.plan import plan
from components.prepare import prepare
from components.release import release
from components.train import train
from components.validate import validate
from frostline.config import RunConfig
from pipelines import description

DEFAULT = RunConfig().arguments()
VOLUME_CLAIM, VOLUME_PATH = "frostline", "/frostline"
# An optional secret and config map: a run needs them only if its `signing` section names their files.
PRIVATE_KEY, PUBLIC_KEY, KEYS_PATH = "frostline-signing-key", "frostline-public-key", "/frostline-keys"
HOUR = 3600
TIMEOUTS = {  # seconds: of the work and of the wait for its image; not of the wait for a node
    "plan": HOUR,
    "ingest": 6 * HOUR,
    "prepare": 48 * HOUR,
    "validate": 6 * HOUR,
    "train": 120 * HOUR,
    "evaluate": 12 * HOUR,
    "gate": HOUR,
    "release": 6 * HOUR,
}
DEADLINE = 168 * HOUR  # of the whole run
# What KFP writes for a Python component, shorter: it stands in a workflow eight times for every pod.
_START = """f=$(mktemp -d)/step.py
printf %s "$0" >"$f"
_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main --component_module_path "$f" "$@"
"""


def component(function: Callable[..., Any]) -> Any:
    """A component whose pod imports the function from its image.

    KFP would put the function's source into the YAML instead, and that is in a workflow eight times for every pod. Argo
    compresses a workflow of more than 1 MiB, and the API then no longer tells the states of its tasks.
    """
    made = dsl.component(function, base_image="frostline", install_kfp_package=False)
    name, command = function.__name__, made.component_spec.implementation.container.command
    command[-2:] = [_START, f"from components.{name} import {name}\n"]
    return made


tasks = SimpleNamespace(
    **{one.__name__: component(one) for one in (plan, ingest, prepare, validate, train, evaluate, gate, release)}
)


def on_cluster(task: dsl.PipelineTask, image: str, cpu: str, memory: str) -> dsl.PipelineTask:
    """Give a task what it needs on a cluster: image, resources, volumes, time-out, retries, and no KFP cache.

    KFP's cache key is the identity of the inputs, not their content; here the store reuses results. The limit on retry
    delays counts from the start of the first attempt, so it is longer than the longest step. Inside a loop, KFP finds
    parameters of resources only if they are registered.
    """
    task.register_pipeline_channels([image, cpu, memory])
    task.set_container_image(image)
    task.set_cpu_request(cpu).set_cpu_limit(cpu).set_memory_request(memory).set_memory_limit(memory)
    task.set_caching_options(False)
    task.set_retry(3, "30s", 2.0, "604800s")
    kubernetes.set_timeout(task, TIMEOUTS[task.name])
    kubernetes.set_security_context(task, run_as_non_root=True)
    kubernetes.add_pod_label(task, "app.kubernetes.io/name", "frostline")  # the network policy selects it
    kubernetes.add_pod_label(task, "app.kubernetes.io/component", task.name)
    kubernetes.empty_dir_mount(task, "tmp", "/tmp")  # noqa: S108  (the pod's own)
    return kubernetes.mount_pvc(task, pvc_name=VOLUME_CLAIM, mount_path=VOLUME_PATH)


def finetune_graph(
    image: str,
    model_name: str = DEFAULT["model_name"],
    source: str = DEFAULT["source"],
    backbone: str = DEFAULT["backbone"],
    weights: str = DEFAULT["weights"],
    image_size: int = DEFAULT["image_size"],
    epochs: int = DEFAULT["epochs"],
    batch_size: int = DEFAULT["batch_size"],
    learning_rate: float = DEFAULT["learning_rate"],
    seed: int = DEFAULT["seed"],
    shards: int = DEFAULT["shards"],
    workers: int = DEFAULT["workers"],
    store: str = DEFAULT["store"],
    registry: str = DEFAULT["registry"],
    cpu: str = DEFAULT["cpu"],
    memory: str = DEFAULT["memory"],
    train_cpu: str = DEFAULT["train_cpu"],
    train_memory: str = DEFAULT["train_memory"],
    accelerator_type: str = DEFAULT["accelerator_type"],
    accelerator_count: str = DEFAULT["accelerator_count"],
    node_selector: dict = DEFAULT["node_selector"],
    tolerations: list = DEFAULT["tolerations"],
    data: dict = DEFAULT["data"],
    freeze: dict = DEFAULT["freeze"],
    head: dict = DEFAULT["head"],
    training: dict = DEFAULT["training"],
    augment: dict = DEFAULT["augment"],
    cache: dict = DEFAULT["cache"],
    gate: dict = DEFAULT["gate"],
    signing: dict = DEFAULT["signing"],
) -> str:
    """Fine-tune, certify, evaluate, gate, then push or hold."""
    small = (image, cpu, memory)
    planned = on_cluster(
        tasks.plan(
            model_name=model_name, source=source, backbone=backbone, weights=weights, image_size=image_size,
            epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed, shards=shards,
            workers=workers, store=store, registry=registry, image=image, cpu=cpu, memory=memory, train_cpu=train_cpu,
            train_memory=train_memory, accelerator_type=accelerator_type, accelerator_count=accelerator_count,
            node_selector=node_selector, tolerations=tolerations, data=data, freeze=freeze, head=head,
            training=training, augment=augment, cache=cache, gate=gate, signing=signing,
        ), *small)  # fmt: skip
    freeze_plan = planned.outputs["freeze_plan"]
    ingested = on_cluster(tasks.ingest(source=source, data=data, shards=shards, workers=workers, store=store), *small)
    dataset = ingested.outputs["dataset"]

    with dsl.ParallelFor(ingested.outputs["Output"], name="workers") as worker:
        prepared = on_cluster(
            tasks.prepare(
                dataset=dataset, worker=worker, image_size=image_size, freeze_plan=freeze_plan, epochs=epochs,
                seed=seed, augment=augment, cache=cache, store=store,
            ), *small)  # fmt: skip
    shares = prepared.outputs["share"]
    validated = on_cluster(
        tasks.validate(dataset=dataset, shares=dsl.Collected(shares), image_size=image_size, store=store), *small
    )
    info = validated.outputs["info"]

    trained = on_cluster(
        tasks.train(
            info=info, freeze_plan=freeze_plan, shares=dsl.Collected(shares), head=head, training=training,
            augment=augment, cache=cache, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
            seed=seed, store=store, image=image,
        ), image, train_cpu, train_memory)  # fmt: skip
    trained.set_accelerator_type(accelerator_type).set_accelerator_limit(accelerator_count)
    kubernetes.add_node_selector_json(trained, node_selector)
    kubernetes.add_toleration_json(trained, tolerations)
    # GPUs exchange gradients through shared memory, of which a container has 64 MB otherwise.
    kubernetes.empty_dir_mount(trained, "shm", "/dev/shm", medium="Memory", size_limit="1Gi")  # noqa: S108
    model = trained.outputs["model"]

    evaluated = on_cluster(
        tasks.evaluate(
            dataset=dataset, info=info, model=model, model_name=model_name, gate=gate, store=store, registry=registry,
            signing=signing,
        ), *small)  # fmt: skip
    evaluation = evaluated.outputs["evaluation"]
    decided = on_cluster(
        tasks.gate(evaluation=evaluation, record=trained.outputs["record"], info=info, gate=gate), *small
    )
    decision = decided.outputs["decision"]
    released = on_cluster(
        tasks.release(
            model=model, evaluation=evaluation, decision=decision, model_name=model_name, registry=registry,
            signing=signing,
        ), *small)  # fmt: skip
    for checking in (planned, evaluated, released):  # these load versions, or make one the champion
        kubernetes.use_config_map_as_volume(checking, PUBLIC_KEY, f"{KEYS_PATH}/public", optional=True)
    kubernetes.use_secret_as_volume(released, PRIVATE_KEY, f"{KEYS_PATH}/private", optional=True)
    return released.outputs["Output"]


# Every field of the form has its description in the YAML; the UI shows those of the pipeline's own description only.
finetune_graph.__doc__ = f"{finetune_graph.__doc__}\n\nArgs:\n" + "".join(
    f"    {name}: {field.description}\n" for name, field in RunConfig.model_fields.items()
)
finetune = dsl.pipeline(
    name="frostline-finetune",
    description=description.text(),
    pipeline_config=dsl.PipelineConfig(active_deadline_seconds=DEADLINE),
)(finetune_graph)
