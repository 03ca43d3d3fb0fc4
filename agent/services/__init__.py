"""Loops that run the core against the ports; they decide nothing."""
