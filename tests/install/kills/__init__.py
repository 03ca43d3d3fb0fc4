"""Kills of an update in a small system: what runs inside it (tests/install/quick_kills.py runs it)."""
