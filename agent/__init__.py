"""Doorward: the doorbell camera that cannot see its own past."""
