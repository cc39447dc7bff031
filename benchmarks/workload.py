"""What the training benchmarks share: photos, the records made of them, and one training through the library."""

import contextlib
import io
import json
import shutil
import time
from pathlib import Path
from typing import Any, cast

import numpy as np

HEAD = {"hidden": [1024]}
BATCH = 16
RATE = 0.001
CLASSES = 5
TEST = 0.05  # share of the photos that neither side of a comparison touches


def photos(directory: Path, count: int, size: tuple[int, int] = (500, 375), first: int = 0) -> Path:
    """JPEGs of photo size: smooth colours with noise, one hue a class."""
    from PIL import Image

    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        label = number % CLASSES
        folder = directory / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 120, (6, 8, 3)) + 25 * label * np.array([1, 0, 1])
        smooth = Image.fromarray(coarse.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) + rng.normal(0, 8, (size[1], size[0], 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=90)
    return directory


def some(source: Path, count: int, directory: Path) -> Path:
    """Copy so many files of a directory of classes, in equal parts of each class, the first by name."""
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    for number, folder in enumerate(classes):
        (directory / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[: count // len(classes) + (number < count % len(classes))]:
            shutil.copy(path, directory / folder.name)
    return directory


class Run:
    """The records of some photos, and trainings on them through the library, with nothing written for serving."""

    def __init__(
        self, root: Path, source: Path, image_size: int, backbone: str = "InceptionV3", weights: Path | None = None
    ) -> None:
        """Ingest, preprocess and validate, timed as `records`; without a file of weights they are random."""
        from frostline import artifacts, ingest, validate
        from frostline.data import preprocess

        self.root, self.store, self.backbone, self.size = root, str(root / "store"), backbone, image_size
        self.weights = weights
        started = time.perf_counter()
        with quiet():
            data = {"validation_fraction": 0.365, "test_fraction": TEST}
            dataset, examples, size = f"{root}/dataset", f"{root}/examples", {"image_size": image_size}
            (self.shard,) = ingest.run(
                source=str(source), data=data, shards=1, workers=1, store=self.store, dataset=dataset
            )
            preprocess.run(dataset=dataset, worker=self.shard, **size, store=self.store, examples=examples)
            validate.run(
                dataset=dataset,
                examples=[examples],
                **size,
                store=self.store,
                info=f"{root}/info",
                page=f"{root}/v.html",
            )
        self.seconds_for_records = time.perf_counter() - started
        self.info = artifacts.read_json(root / "info" / "info.json", "info")
        self.manifest: list[Any] = list(artifacts.read_jsonl(root / "dataset" / "manifest.jsonl"))

    def train(
        self,
        freeze: dict[str, Any],
        cache: dict[str, Any],
        epochs: int,
        head: dict[str, Any],
        training: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """From building the model to a trained, evaluated one; seconds by part, and the last epoch's row."""
        import keras

        from frostline.data.config import AugmentConfig
        from frostline.features import cache_plan
        from frostline.features.builder import FeatureBuilder, ImageRecords
        from frostline.features.config import CacheConfig
        from frostline.freeze.config import FreezeConfig
        from frostline.freeze.graph import from_model
        from frostline.freeze.phases import phases
        from frostline.freeze.plan import make_plan
        from frostline.model import backbones
        from frostline.model import head as heads
        from frostline.model.config import HeadConfig
        from frostline.section import parse
        from frostline.training import strategy

        started = time.perf_counter()
        keras.utils.set_random_seed(0)
        scope = strategy.mirrored()
        with scope.scope():
            backbone = backbones.build(self.backbone, self.size)
            if self.weights:
                backbone.load_weights(self.weights)
            model = heads.attach(backbone, parse(HeadConfig, head), len(self.info["labels"]))
        plan = make_plan(
            from_model(backbone), parse(FreezeConfig, freeze), backbone=self.backbone, image_size=self.size
        )
        schedule, config = phases(plan, epochs, RATE), parse(CacheConfig, cache)
        uses = cache_plan.decide(plan, schedule, self.info["splits"], config, AugmentConfig())
        built = time.perf_counter()
        pictures = ImageRecords(self.info["records"], self.size, AugmentConfig(), 0, self.root)
        builder = FeatureBuilder(self.store, lambda: model, self.backbone, pictures, config)
        with quiet() as said:
            wanted = cache_plan.needed(uses, schedule, AugmentConfig())
            made = builder.make([self.shard], wanted, self.manifest) if wanted else {"sets": [], "computed": 0}
        featurized = time.perf_counter()
        with quiet():
            state = self._fit(model, backbone, plan, schedule, uses, made, builder, scope, training or {})
        ended = time.perf_counter()
        return {
            "seconds": round(ended - started, 2),
            "build": round(built - started, 2),
            "featurize": round(featurized - built, 2),
            "fit": round(ended - featurized, 2),
            "computed": made["computed"],
            "precision": [line for line in said.getvalue().splitlines() if "computes in" in line],
            "history": state.history,
            "equality": state.proofs[-1],
        }

    def _fit(
        self,
        model: Any,
        backbone: Any,
        plan: Any,
        schedule: Any,
        uses: Any,
        made: Any,
        builder: Any,
        scope: Any,
        training: dict[str, Any],
    ) -> Any:
        from frostline.features import equivalence
        from frostline.features.builder import FeatureSet
        from frostline.features.source import Features
        from frostline.section import parse
        from frostline.training import feed, fit, loop
        from frostline.training.checkpoint import Checkpoints
        from frostline.training.config import TrainingConfig
        from frostline.training.state import Saver, Subject

        with feed.Feed(self.store, builder, self.root) as opened:
            opened.open([FeatureSet.read(one) for one in made["sets"]], float32=False)
            sources = opened.sources(uses, schedule)

            saver = Saver(Checkpoints(f"{self.root}/checkpoints"), 60, lambda: False)
            steps = loop.StepSettings(self.backbone, parse(TrainingConfig, training), BATCH, 0)
            run = fit.Fit(Subject(model, backbone.layers, plan, schedule), sources, steps, scope, saver)
            for phase in run.phases():
                list(phase.epochs())
                equal = None
                if phase.sources.train.layer:
                    features = cast(Features, phase.sources.validation)
                    sample = equivalence.take(features, opened.images("validation", varied=False))
                    exact = opened.exact(features.layer)
                    equal = equivalence.require_equivalent(model, self.backbone, [sample], exact)
                phase.finish(equal)
            saver.checkpoints.clear()
        return run.state


@contextlib.contextmanager
def quiet() -> Any:
    """Keep what steps say off the terminal."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        yield said


def show(result: Any) -> None:
    """Print a result as JSON."""
    print(json.dumps(result, indent=2))
