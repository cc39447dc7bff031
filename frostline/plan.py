"""The plan stage: resolve weights and freeze policy, and draw the plan, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frostline import artifacts
from frostline.data import lineage
from frostline.events import say, step
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.plan import make_plan
from frostline.model import backbones
from frostline.model import weights as model_weights
from frostline.reporting import pages
from frostline.section import parse


@step("plan")
def run(
    *,
    backbone: str,
    weights: str,
    image_size: int,
    seed: int,
    freeze: dict[str, Any],
    store: str,
    registry: str,
    freeze_plan: str,
    backbone_weights: str,
    page: str,
) -> None:
    """Write freeze_plan.json, source.json and images.parquet of the weights, and the plan as a page.

    Raises:
        ConfigError, PolicyError: the backbone, the image size or the policy is wrong.
        WeightsError, RegistryError: the weights cannot be had.
    """
    policy = parse(FreezeConfig, freeze, field="freeze")
    backbones.require_size(backbone, image_size)
    model, source, images = model_weights.resolve(weights, backbone, image_size, seed, registry)
    plan = make_plan(from_model(model), policy, backbone=backbone, image_size=image_size)
    source["uri"] = model_weights.save(model, store, backbone, source["digest"])
    artifacts.write_json(Path(freeze_plan) / "freeze_plan.json", "freeze_plan", plan)
    artifacts.write_json(Path(backbone_weights) / "source.json", "weights", source)
    lineage.write(Path(backbone_weights), {lineage.BEFORE: images})
    pages.write(Path(page), "plan.html", plan=plan, source=source)
    totals = plan["totals"]
    say(
        f"{backbone}: {totals['frozen_parameters']:,} of {totals['parameters']:,} parameters frozen "
        f"({totals['frozen_layers']} of {totals['weighted_layers']} layers with weights); weights: {source['resolved']}"
    )
    if weights == "random" and plan["boundary"]:
        say("the frozen layers keep random weights: nothing below the boundary has learned anything")
    elif weights == "random" and totals["frozen_parameters"]:
        say("batch_norm: freeze holds untrained BatchNorm layers still; from random weights choose batch_norm: follow")
