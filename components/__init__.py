"""The KFP contracts: a typed signature, a docstring, one lazy import and one call into `frostline`."""
