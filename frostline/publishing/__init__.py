"""What becomes of a model after the gate: it is pushed to the registry, or held.

May import the registry, verification, reporting and evaluation; loads TensorFlow only to prove a version.
"""
