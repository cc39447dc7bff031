"""The promotion gate: the evidence that it decides on, its checks, the decision, and the decision as a review.

Imports `evaluation` (statistics only), `freeze`, `data` and the ground; it works without TensorFlow.
"""
