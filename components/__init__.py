"""The KFP contracts: a typed signature, a docstring, one lazy import and one call into `frostline`.

`pipelines.finetune` makes components of these functions; a pod imports them from its image.
"""
