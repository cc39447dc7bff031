"""Verification: checking a certificate, and a published version, from files alone.

Imports `model`, `freeze` and `registry`.
"""
