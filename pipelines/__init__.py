"""The pipeline graph, its compiler and checks, and the ways to run it: here, or on a Kubeflow cluster."""
