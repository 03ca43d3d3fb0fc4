"""Stands in for pidng."""

Picamera2Camera = object
