"""`frostline freeze`: resolve a freeze policy against the real layer graph, without data, store or training."""

from __future__ import annotations

import contextlib
import sys

from frostline import quiet, yaml_text
from frostline.config import checked
from frostline.documents.freeze import FREEZE_PLAN, FreezePlan, ResolvedWeights
from frostline.errors import ConfigError, RegistryError, WeightsError
from frostline.events import say
from frostline.freeze.config import FreezeConfig
from frostline.model import backbones, own_model
from frostline.section import parse

_EXPECTED = 'expected JSON or YAML, such as {"through": "mixed7"}'


def plan_of(
    backbone: str, policy: str, *, weights: str | None, image_size: int | None, registry: str
) -> tuple[FreezePlan, ResolvedWeights | None]:
    """Plan a freeze policy, and resolve the weights if any are given.

    Args:
        backbone: the backbone's name.
        policy: the whole freeze section as JSON or YAML, or a bare word such as head_only.
        weights: a weights reference; None for the graph alone.
        image_size: height and width of the input in pixels; None for the architecture's own.
        registry: root of the registry for weights of the form registry:MODEL.

    Returns:
        The plan, and the source of the weights.

    Raises:
        ConfigError, PolicyError: the policy, the backbone or the image size is wrong.
        WeightsError, RegistryError: the weights cannot be loaded or do not fit; with the exit code of wrong usage.
    """
    section = yaml_text.parse(policy, "--policy", whole=policy, invalid=_EXPECTED).value
    config = parse(FreezeConfig, section, field="freeze")
    backbones.require(backbone)
    if image_size is not None:
        backbones.require_size(backbone, image_size)
        checked(image_size=image_size)
    quiet.import_tensorflow()
    size = image_size if image_size is not None else backbones.default_image_size(backbone)
    with contextlib.redirect_stdout(sys.stderr):  # Keras shows downloads on standard output
        from frostline.freeze.graph import from_model
        from frostline.freeze.plan import make_plan
        from frostline.model import weights as references

        source = None
        if weights is None:
            model = backbones.build(backbone, size, pretrained=True)  # what the default weights have
        else:
            try:
                model, source, _ = references.resolve(weights, backbone, size, 0, registry)
            except (WeightsError, RegistryError) as error:
                error.exit_code = ConfigError.exit_code  # the command line is wrong, and no work was lost
                raise
        plan = make_plan(from_model(model), config, backbone=backbone, image_size=size)
    if backbones.is_file(backbone):
        for line in own_model.remarks(model, plan):
            say(line)
    return plan, source


def as_file(plan: FreezePlan) -> str:
    """The text of freeze_plan.json, byte for byte as the plan stage writes it."""
    return FREEZE_PLAN.encode(plan).decode().rstrip("\n")
