"""What is frozen: layer graph, policy, plan, phases and certificate; each builds on the ones before.

Imports the ground alone. Everything but `graph`, `flops` and `certificate` is pure Python on documents.
"""
