"""Images before they reach a model: where they come from, how they are split, stored, augmented and read in batches.

May import the storage and the modules at the top of `frostline`, and no other package. A stage reads images only
through manifests and records.
"""
