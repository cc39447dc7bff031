"""The pipeline graph, its compiler and checks, the ways to run it (locally or on a cluster), and the command line."""
