"""The plan stage: resolve the weights and the freeze policy before any expensive step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frostline.config import RunConfig
from frostline.consistency import require_consistent
from frostline.data import lineage
from frostline.documents.freeze import FREEZE_PLAN, WEIGHTS_SOURCE, WeightsSource
from frostline.events import say, step
from frostline.features.builder import prefix_digests
from frostline.freeze.graph import from_model
from frostline.freeze.plan import make_plan
from frostline.model import backbones, own_model
from frostline.model import weights as model_weights
from frostline.registry.keys import optional_public_key
from frostline.reporting import pages
from frostline.section import parse


@step("plan")
def run(*, parameters: dict[str, Any], freeze_plan: str, backbone_weights: str, page: str) -> None:
    """Check every parameter of the run; write freeze_plan.json, source.json and images.parquet, and the plan as a page.

    Args:
        parameters: all parameters of the run, as KFP hands them out.
        freeze_plan: directory to create for the plan.
        backbone_weights: directory to create for source.json and images.parquet.
        page: HTML file to write.

    Raises:
        ConfigError, PolicyError: a parameter is wrong, or two contradict each other.
        WeightsError, RegistryError: the weights are missing or do not fit the backbone.
        StorageError: the store cannot be written.
    """
    run_config = parse(RunConfig, parameters)
    require_consistent(run_config)
    backbone, weights, image_size = run_config.backbone, run_config.weights, run_config.image_size
    store, registry, seed, config = run_config.store, run_config.registry, run_config.seed, run_config.freeze
    public_key = optional_public_key(run_config.signing.public_key)
    model, resolved, images = model_weights.resolve(weights, backbone, image_size, seed, registry, public_key)
    if backbones.is_file(backbone):
        own_model.require_servable(backbone, model)
    plan = make_plan(from_model(model), config, backbone=backbone, image_size=image_size)
    source: WeightsSource = {
        "reference": resolved["reference"],
        "resolved": resolved["resolved"],
        "digest": resolved["digest"],
        "graph": resolved["graph"],
        "uri": model_weights.save(model, store, resolved["digest"]),
        "prefixes": prefix_digests(model, plan),
    }
    FREEZE_PLAN.write(Path(freeze_plan), plan)
    WEIGHTS_SOURCE.write(Path(backbone_weights), source)
    lineage.write(Path(backbone_weights), {lineage.BEFORE: images})
    pages.write(Path(page), "plan.html", plan=plan, source=source)
    totals = plan["totals"]
    say(
        f"{backbone}: {totals['frozen_parameters']:,} of {totals['parameters']:,} parameters frozen "
        f"({totals['frozen_layers']} of {totals['weighted_layers']} layers with weights); weights: {source['resolved']}"
    )
    if backbones.is_file(backbone):
        for line in own_model.remarks(model, plan):
            say(line)
    if weights == "random" and plan["boundary"]:
        say("the frozen layers keep random weights, so the features at the boundary are not learned")
    elif weights == "random" and totals["frozen_parameters"]:
        say("batch_norm: freeze freezes untrained BatchNorm layers; with random weights use batch_norm: follow")
