"""What a plan freezes, as training uses it."""

from frostline.freeze.phases import phases


def frozen_layers(plan):
    """Names of the frozen layers that own weights, for each phase in order."""
    weighted = {layer["name"] for layer in plan["layers"] if layer["parameters"]}
    return [phase.frozen & weighted for phase in phases(plan, 1, 0.1)]
