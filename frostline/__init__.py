"""Frostline: fine-tuning with a freeze boundary that is planned, proven and gated. One module a pipeline stage.

Nothing is imported here: steps that need no TensorFlow start in a tenth of a second.
"""
