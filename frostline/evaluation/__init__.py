"""Evaluation: what an exported model does on test images, alone, against the champion, and as a server runs it.

Imports `model`, `data` and `registry`. Metrics, intervals and comparisons are NumPy alone; they
start without TensorFlow.
"""
