"""The freeze boundary: layer graph, policy, plan, phases and certificate; each builds on the ones before.

Imports the ground and `documents` only. All modules but `graph`, `flops` and `certificate` are pure Python.
"""
