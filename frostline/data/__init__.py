"""Images before they meet a model: where they come from, how they are split, stored, varied and read in batches.

Imports the storage and the ground, and no other package. Stages see images through manifests and records alone.
"""
