"""Verification: proving a certificate, and a published version, again from files alone.

Imports `model`, `freeze` and `registry`.
"""
