"""Decides when something moves at the door: luma, time and zones in, motion samples out.

Read `detector.py` first: it is the algorithm. `parameters.py` has every number, `preparing.py` clears frames of rain
and noise, `background.py` has the scene without visitors, `tracking.py` tells a visitor from a branch, `lighting.py`
from light, `presence.py` holds one who stands, `lingering.py` finds one who comes slowly, `lens.py` watches the camera
itself, and `zones.py` says where to look. `agent.core.motion_accuracy` measures the answers.

`grids.py` is its memory, and `passes/` works on it: twice, in Python and in C, with the same answers.
"""
