"""Models: backbones, the weights that training starts from, the head, the serving export, and how servers load it.

Imports `data` (pixels), `registry` (weights of a published version) and `freeze` (digests of weights).
"""
