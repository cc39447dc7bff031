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

        return ingest.run(str(source), data, SHARDS, self.store, self.path("dataset"))

    def preprocess(self, shards, size=32):
        from frostline import preprocess

        for shard in shards:
            preprocess.run(self.path("dataset"), shard, size, self.store, self.path(f"examples-{shard}"))
        return [self.path(f"examples-{shard}") for shard in shards]

    def validate(self, examples, size=32):
        from frostline import validate

        validate.run(self.path("dataset"), examples, size, self.store, self.path("info"), self.path("validation.html"))

    def data(self, source, **section):
        self.validate(self.preprocess(self.ingest(source, **section)))

    def plan(self, freeze, backbone="SmallConvNet", weights="random", size=32, seed=0):
        from frostline import plan

        plan.run(
            backbone, weights, size, seed, freeze, self.store, self.registry,
            self.path("plan"), self.path("weights"), self.path("plan.html"),
        )  # fmt: skip

    def featurize(self, epochs=2, seed=0, augment=None, cache=None):
        """Every shard, one after the other; the documents that they write."""
        from frostline import artifacts, featurize

        for shard in self.shards():
            featurize.run(
                self.path("dataset"), self.path(f"examples-{shard}"), self.path("plan"), self.path("weights"),
                epochs, seed, augment or {}, {"mode": "auto"} if cache is None else cache, self.store,
                self.path(f"features-{shard}"),
            )  # fmt: skip
        return [artifacts.read_json(path / "features.json", "features") for path in self.features()]

    def shards(self):
        return sorted(path.name.removeprefix("examples-") for path in self.root.glob("examples-*"))

    def features(self):
        return [self.root / f"features-{shard}" for shard in self.shards()]

    def train(
        self, epochs=2, batch_size=16, learning_rate=0.003, seed=0, head=None, model="model", training=None,
        augment=None, cache=None, featurize=True,
    ):  # fmt: skip
        """The two steps that depend on the plan: featurize, then train."""
        from frostline import train

        cache = {"mode": "auto"} if cache is None else cache
        if featurize:
            self.featurize(epochs, seed, augment, cache)
        sections = {"head": head or {}, "training": training or {}, "augment": augment or {}, "cache": cache}
        train.run(
            self.path("info"), self.path("plan"), self.path("weights"), [str(path) for path in self.features()],
            sections, epochs, batch_size, learning_rate, seed, self.store, "image:1", self.path(model),
            self.path(f"{model}-logs"),
        )  # fmt: skip

    def gate(self, section, model="model"):
        from frostline import gate

        return gate.run(
            self.path("evaluation"), self.path(model), self.path("info"), section,
            self.path("decision"), self.path("decision.md"), self.path("report.html"),
        )  # fmt: skip

    def push(self, name="toy"):
        from frostline import push

        return push.run(
            self.path("model"), self.path("evaluation"), self.path("decision"), name, self.registry,
            self.path("published"),
        )  # fmt: skip

    def evaluate(self, name="toy", model="model"):
        from frostline import evaluate

        return evaluate.run(
            self.path("dataset"), self.path("info"), self.path(model), name, {}, self.registry,
            self.path("evaluation"), self.path("evaluation.html"),
        )  # fmt: skip
