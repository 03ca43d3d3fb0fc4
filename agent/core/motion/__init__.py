"""Decides when something moves at the door: luma, time and zones in, motion samples out.

Read `detector.py` first: it is the algorithm.  `parameters.py` has every number, `background.py` what the scene looks
like when nobody is there, `clearing.py` what lies between it and the lens, `tracking.py` what tells a visitor from a
branch, `lighting.py` what tells one who fills the picture from a lamp, `presence.py` who stands still, `lens.py` what
is wrong with the camera itself, `zones.py` where to look, `scoring.py` how it is judged.

`grids.py` is its memory, and `passes/` what is done to it: twice, in Python and in C, with the same answers.
"""
