"""Training: a session runs phases, a phase runs steps; checkpoints, optimizers and the report of what happened.

Imports `features`, `model`, `freeze` and `data`. It knows nothing of the stage that calls it.
"""
