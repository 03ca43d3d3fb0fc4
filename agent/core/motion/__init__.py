"""Decides when something moves at the door: luma, time and zones in, motion samples out.

Read `detector.py` first: it is the algorithm.  `settings.py` has every number, `background.py` what the scene looks
like when nobody is there, `tracking.py` what tells a visitor from a branch, `lighting.py` what tells one from a lamp,
`zones.py` where to look, `scoring.py` how it is judged.
"""
