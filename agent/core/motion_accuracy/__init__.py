"""Measures a motion detector: reads the labels of a film, and compares detected events with them.

`doorward motion` and `bench/motion` use it. The detector (`agent.core.motion`) never imports it.
"""
