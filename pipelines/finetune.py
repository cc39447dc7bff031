"""Fine-tune a pretrained image model, and replace the model in production only if the evidence allows it.

1. plan        resolve the weights and the freeze policy    (parallel to ingest: a wrong policy fails in seconds)
2. ingest      list the source's images, labels and splits
3. preprocess  write TFRecords, one pod per shard
   featurize   run each shard through the frozen prefix once, if caching its features pays off
4. validate    check the whole dataset
5. train       with MirroredStrategy, frozen as planned; certify what did not change
6. evaluate    the exported model on the original images, compared with the champion
7. gate        one bool and a written decision
8. push or hold
"""

from kfp import dsl, kubernetes

from components.evaluate import evaluate
from components.featurize import featurize
from components.gate import gate as decide
from components.hold import hold
from components.ingest import ingest
from components.plan import plan
from components.preprocess import preprocess
from components.push import push
from components.train import train
from components.validate import validate
from frostline.config import RunConfig

DEFAULT = RunConfig().arguments()
VOLUME_CLAIM, VOLUME_PATH = "frostline", "/frostline"


def on_cluster(task: dsl.PipelineTask, image: str) -> dsl.PipelineTask:
    """Give a task what it needs on a cluster: the image, the shared volume, retries, and no KFP cache.

    KFP's cache key is the identity of the inputs, not their content; here the store reuses results. The limit on retry
    delays counts from the start of the first attempt, so it is longer than the longest step.
    """
    task.set_container_image(image)
    task.set_caching_options(False)
    task.set_retry(3, "30s", 2.0, "86400s")
    return kubernetes.mount_pvc(task, pvc_name=VOLUME_CLAIM, mount_path=VOLUME_PATH)


def finetune_graph(
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
    store: str = DEFAULT["store"],
    registry: str = DEFAULT["registry"],
    image: str = DEFAULT["image"],
    data: dict = DEFAULT["data"],
    freeze: dict = DEFAULT["freeze"],
    head: dict = DEFAULT["head"],
    training: dict = DEFAULT["training"],
    augment: dict = DEFAULT["augment"],
    cache: dict = DEFAULT["cache"],
    gate: dict = DEFAULT["gate"],
) -> str:
    """Fine-tune, certify, evaluate, gate, then push or hold."""
    planned = on_cluster(plan(backbone=backbone, weights=weights, image_size=image_size, seed=seed, freeze=freeze,
                              store=store, registry=registry), image)  # fmt: skip
    ingested = on_cluster(ingest(source=source, data=data, shards=shards, store=store), image)
    dataset = ingested.outputs["dataset"]

    with dsl.ParallelFor(ingested.outputs["Output"], name="shards") as shard:
        preprocessed = on_cluster(preprocess(dataset=dataset, shard=shard, image_size=image_size, store=store), image)
        featurized = on_cluster(featurize(dataset=dataset, examples=preprocessed.outputs["examples"],
                                          freeze_plan=planned.outputs["freeze_plan"],
                                          backbone_weights=planned.outputs["backbone_weights"], epochs=epochs,
                                          seed=seed, augment=augment, cache=cache, store=store), image)  # fmt: skip
    validated = on_cluster(validate(dataset=dataset, examples=dsl.Collected(preprocessed.outputs["examples"]),
                                    image_size=image_size, store=store), image)  # fmt: skip
    info = validated.outputs["info"]

    trained = on_cluster(train(info=info, freeze_plan=planned.outputs["freeze_plan"],
                               backbone_weights=planned.outputs["backbone_weights"],
                               features=dsl.Collected(featurized.outputs["features"]), head=head, training=training,
                               augment=augment, cache=cache, epochs=epochs, batch_size=batch_size,
                               learning_rate=learning_rate, seed=seed, store=store, image=image), image)  # fmt: skip
    model = trained.outputs["model"]
    evaluated = on_cluster(evaluate(dataset=dataset, info=info, model=model, model_name=model_name, gate=gate,
                                    registry=registry), image)  # fmt: skip
    evaluation = evaluated.outputs["evaluation"]
    decided = on_cluster(decide(evaluation=evaluation, model=model, info=info, gate=gate), image)

    with dsl.If(decided.outputs["Output"] == True, name="promote"):  # noqa: E712  (a KFP expression, not a bool)
        pushed = on_cluster(push(model=model, evaluation=evaluation, decision=decided.outputs["decision"],
                                 model_name=model_name, registry=registry), image)  # fmt: skip
    with dsl.Else(name="keep"):
        kept = on_cluster(hold(decision=decided.outputs["decision"], evaluation=evaluation, model_name=model_name,
                               registry=registry), image)  # fmt: skip
    return dsl.OneOf(pushed.outputs["Output"], kept.outputs["Output"])


# The run form takes the descriptions of its fields from the configuration.
finetune_graph.__doc__ = f"{finetune_graph.__doc__}\n\nArgs:\n" + "".join(
    f"    {name}: {field.description}\n" for name, field in RunConfig.model_fields.items()
)
finetune = dsl.pipeline(name="frostline-finetune")(finetune_graph)
