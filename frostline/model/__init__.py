"""Models: backbones, the weights that they start from, the head, the serving export, and how an export is loaded.

Imports `data` (pixels), `registry` (weights of a published version) and `freeze` (digests of weights).
"""
