"""Helpers of the stage tests: run one stage after the other in a directory, as the pipeline does."""

from pathlib import Path

SHARDS = 2


class Bench:
    """The artifacts of a run below one directory, made stage by stage."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = str(root / "store")
        self.registry = str(root / "registry")

    def path(self, name: str) -> str:
        return str(self.root / name)

    def ingest(self, source, **data):
        from frostline import ingest

        return ingest.run(
            source=str(source), data=data, shards=SHARDS, workers=SHARDS, store=self.store, dataset=self.path("dataset")
        )

    def preprocess(self, workers, size=32):
        from frostline.data import preprocess

        for worker in workers:
            preprocess.run(
                dataset=self.path("dataset"), worker=worker, image_size=size, store=self.store,
                examples=self.path(f"examples-{worker}"),
            )  # fmt: skip
        return [self.path(f"examples-{worker}") for worker in workers]

    def validate(self, examples, size=32):
        from frostline import validate

        validate.run(
            dataset=self.path("dataset"), examples=examples, image_size=size, store=self.store, info=self.path("info"),
            page=self.path("validation.html"),
        )  # fmt: skip

    def data(self, source, **section):
        self.validate(self.preprocess(self.ingest(source, **section)))

    def plan(self, freeze, backbone="SmallConvNet", weights="random", size=32, seed=0):
        from frostline import plan

        parameters = {
            "backbone": backbone, "weights": weights, "image_size": size, "seed": seed, "freeze": freeze,
            "store": self.store, "registry": self.registry,
        }  # fmt: skip
        plan.run(
            parameters=parameters, freeze_plan=self.path("plan"), backbone_weights=self.path("weights"),
            page=self.path("plan.html"),
        )  # fmt: skip

    def featurize(self, epochs=2, seed=0, augment=None, cache=None):
        """Every share, one after the other; the documents that they write."""
        from frostline import artifacts
        from frostline.features import featurize

        for worker in self.workers():
            featurize.run(
                dataset=self.path("dataset"), examples=self.path(f"examples-{worker}"), freeze_plan=self.path("plan"),
                backbone_weights=self.path("weights"), epochs=epochs, seed=seed, augment=augment or {},
                cache={"mode": "auto"} if cache is None else cache, store=self.store,
                features=self.path(f"features-{worker}"),
            )  # fmt: skip
        return [artifacts.read_json(path / "features.json", "features") for path in self.features()]

    def workers(self):
        return sorted(path.name.removeprefix("examples-") for path in self.root.glob("examples-*"))

    def features(self):
        return [self.root / f"features-{worker}" for worker in self.workers()]

    def train(
        self, epochs=2, batch_size=16, learning_rate=0.003, seed=0, head=None, model="model", training=None,
        augment=None, cache=None, featurize=True, keep=False, keep_finished=False,
    ):  # fmt: skip
        """The two steps that depend on the plan: featurize, then train.

        The last checkpoint and the finished training are removed unless they are to be kept: a second training would
        only read the first's result.
        """
        from frostline import storage, train

        cache = {"mode": "auto"} if cache is None else cache
        if featurize:
            self.featurize(epochs, seed, augment, cache)
        train.run(
            info=self.path("info"), freeze_plan=self.path("plan"), backbone_weights=self.path("weights"),
            features=[str(path) for path in self.features()], head=head or {}, training=training or {},
            augment=augment or {}, cache=cache, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
            seed=seed, store=self.store, image="image:1", model=self.path(model), record=self.path(f"{model}-record"),
            logs=self.path(f"{model}-logs"),
        )  # fmt: skip
        if not keep:
            self.checkpoints(model).clear()
        if not keep_finished:
            for item in storage.list_files(f"{self.store}/trainings"):
                storage.delete(item.uri)

    def inputs(self):
        """What training reads of the steps before."""
        from frostline.documents.data import INFO
        from frostline.documents.features import FEATURES
        from frostline.documents.freeze import FREEZE_PLAN, WEIGHTS_SOURCE
        from frostline.training.session import Inputs

        return Inputs(
            INFO.read(self.root / "info"), FREEZE_PLAN.read(self.root / "plan"),
            WEIGHTS_SOURCE.read(self.root / "weights"), [FEATURES.read(path) for path in self.features()],
        )  # fmt: skip

    def checkpoints(self, model="model"):
        """Those of the training that made a model."""
        from frostline.documents.training import TRAINING
        from frostline.training import checkpoint

        return checkpoint.Checkpoints(checkpoint.place(self.store, TRAINING.read(self.root / model)["fingerprint"]))

    def gate(self, section, model="model"):
        from frostline import gate

        return gate.run(
            evaluation=self.path("evaluation"), record=self.path(model), info=self.path("info"), gate=section,
            decision=self.path("decision"), page=self.path("decision.md"), report=self.path("report.html"),
        )  # fmt: skip

    def push(self, name="toy"):
        from frostline.publishing import push

        return push.run(
            model=self.path("model"), evaluation=self.path("evaluation"), decision=self.path("decision"),
            model_name=name, registry=self.registry, published=self.path("published"),
        )  # fmt: skip

    def evaluate(self, name="toy", model="model", signing=None):
        from frostline import evaluate

        return evaluate.run(
            dataset=self.path("dataset"), info=self.path("info"), model=self.path(model), model_name=name, gate={},
            store=self.store, registry=self.registry, signing=signing or {}, evaluation=self.path("evaluation"),
            page=self.path("evaluation.html"),
        )  # fmt: skip
