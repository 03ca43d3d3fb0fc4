"""Every number of the motion detector, with its unit and its meaning.

An installer needs none of them: what to watch and how keenly is said per zone.  Times are seconds, rates are fractions
a second, lengths are cells of the analysed grid (about 80×60, so a cell is some 1.3 % of the picture's width), and
brightness is in *steps* of the logarithmic scale of `pyramid.py`: 255 steps from black to white, about 97 to a factor
e. The values were chosen on the shared clips named in `bench/motion`; they are coarse on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MotionSettings"]


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """The detector's parameters, grouped as the stages of `detector.py`."""

    # The scene without visitors.
    learning_s: float = 2.0
    """After a start nothing is reported for this long."""
    learning_absorb_s: float = 0.7
    """Time constant of the background while it is learned."""
    background_s: float = 5.0
    """Time constant with which the background follows what lies below the threshold."""
    covered_slowdown: float = 0.3
    """Share of that speed where something stands in front: a visitor must not become the scene."""
    scenery_after_s: float = 1.5
    """A cell that differs from the background but has stopped changing for this long is scenery: a parked car, a
    parcel."""
    scenery_absorb_s: float = 0.7
    """Time constant with which such scenery then becomes background."""
    illumination_s: float = 1.2
    """Time constant with which smooth changes of light (a cloud, the auto-exposure) become background."""

    # When a cell differs.
    smallest_step: float = 5.0
    """Least difference, in steps, that counts anywhere: about 5 % of contrast."""
    scene_noise_factor: float = 5.0
    """… and at least this many times the typical noise of the whole scene (night gain)."""
    cell_noise_factor: float = 4.0
    """… and this many times the cell's own usual difference (leaves, rain, a street in the corner)."""
    shared_noise_factor: float = 2.0
    """… less this many times the scene's noise: at night gain all cells are equally noisy, and that counts once."""
    edge_factor: float = 0.12
    """… plus this share of the local contrast, because edges jitter with compression, wind and focus."""
    noise_rise_per_s: float = 0.6
    """Relative growth of a cell's usual difference while it is exceeded."""
    noise_fall_per_s: float = 0.05
    """Relative decay otherwise.  Rise and fall balance where 8 % of frames exceed it: the 92 % quantile."""

    # When differing cells are a visitor.
    path_cells: int = 6
    """A track confirms once its path has reached this many cells of new ground in succession.  It gains at most one a
    frame, so a fast camera (above 10 frames a second) asks for more, up to 1.2 of it."""
    smallest_cells: int = 8
    """Anything smaller is a leaf or a bird: 8 cells are a person of 1/8 of the picture's height."""
    fastest_widths_per_s: float = 0.25
    """A path follows nothing faster than this many widths of the picture a second, beyond a thing's own length."""
    fresh_after_s: float = 2.0
    """Ground is new again after this long without anything on it: one car follows another. A camera below 10 frames a
    second waits for as many frames as one of 10."""
    path_fade_s: float = 0.9
    """A path loses one step in this long: a thing that does not advance is forgotten."""
    dwell_s: float = 0.3
    """Something real stays on a cell for this long; an insect or a snow flake does not."""
    clutter_rise_per_s: float = 0.3
    """Trees, rain and insects make paths, too. Growth of the scene's usual path, in confirming lengths, while a frame's
    longest path exceeds it; it falls at a twentieth of that, so it settles at the 95 % quantile."""
    confirmed_s: float = 0.3
    """A confirmation stands for this long, while its path lasts, before the regions are judged again."""
    refused_s: float = 0.2
    """A refusal stands for this long: judging costs ten times a quiet frame."""

    # When a visitor stands still.
    alive_s: float = 8.0
    """Several signs of life hold a person who stands for this long, and one for a fourth of it. A parcel gives none."""

    scene_age_s: float = 30.0
    """A visitor who comes so slowly that no path shows it is found by comparing with the scene this long ago."""

    # When the light changes.
    settle_s: float = 0.8
    """For how long no more of it must be seen before the scene is judged: at five frames a second four frames, in which
    the infrared lamp's noise is learned."""
    settle_absorb_s: float = 0.33
    """Time constant of the background meanwhile: the new light is learned by the time of judgement."""
    structure_lost_share: float = 0.3
    """Share of the picture that must lose its structure for a close person; a lamp leaves structure where it is."""
    gap_s: float = 2.0
    """A hole in the frames' times longer than this says nothing about who moved: the scene from before is kept."""
