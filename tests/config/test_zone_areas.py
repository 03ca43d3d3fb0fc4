"""A zone must go around an area: there and back along the same lines is none, and a figure of eight has two."""

from __future__ import annotations

import pytest

from agent.config.settings import _area

Corners = tuple[tuple[float, float], ...]


@pytest.mark.parametrize(
    ("corners", "share"),
    [
        (((0, 0), (1, 0), (1, 1), (0, 1)), 1.0),
        (((0, 0), (1, 0), (0, 1), (1, 1)), 0.5),
        (((0, 0), (1, 1), (1, 0), (0, 1)), 0.5),
        (((0, 0), (1, 0), (1, 1), (1, 0)), 0.0),
        (((0, 0), (0.5, 1), (1, 0), (0.5, 1)), 0.0),
    ],
)
def test_the_area_is_what_the_outline_goes_around(corners: Corners, share: float) -> None:
    assert _area(corners) == pytest.approx(share)
