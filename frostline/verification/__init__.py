"""Verification: check a freeze certificate, and a published version, from files alone.

Imports `model`, `freeze`, `registry` and `documents`.
"""
