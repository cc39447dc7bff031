"""Runs on a cluster: how it is reached, what is started and scheduled there, and what is told of it."""
