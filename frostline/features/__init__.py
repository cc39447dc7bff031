"""Features of the frozen prefix: whether to keep them, how they are computed and stored, and that they are equivalent.

Imports `model`, `freeze` and `data`. Training reads features and never makes the decisions of this package.
"""
