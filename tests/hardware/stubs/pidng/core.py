"""Stands in for pidng."""

PICAM2DNG = object
