"""The promotion gate: what it needs of the evidence, its checks, the decision and its review in words."""
