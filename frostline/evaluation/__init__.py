"""Evaluation: how an exported model performs on test images, alone, against the champion, and in a server's loader.

Imports `model`, `data` and `registry`. Metrics, intervals and comparisons need NumPy and SciPy only: they work without
TensorFlow.
"""
