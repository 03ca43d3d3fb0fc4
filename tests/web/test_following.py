"""Covers that follow on the page: the same places as at the command line, run in node, and nothing of it in a plan."""

from __future__ import annotations

import base64
import json
import math
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.clients.media.region_tracks import halved
from tests.clients.media.test_follow import HEIGHT, STEP_MS, WIDTH, Luma, around, followed, place, plate_at, seen
from tests.lengths import LONG
from tests.web.test_the_program import require_node

pytestmark = pytest.mark.interop


def in_node(*jobs: dict[str, Any]) -> list[Any]:
    script = Path(__file__).with_name("following.mjs")
    text = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run(
        [require_node(), str(script)], input=text, capture_output=True, text=True, check=True, timeout=120
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def as_text(luma: Luma) -> str:
    return base64.b64encode(luma.tobytes()).decode()


def job(pictures: Sequence[Luma], hand: Sequence[Any], films: int) -> dict[str, Any]:
    length = len(pictures) // films
    parts = [pictures[first : first + length] for first in range(0, length * films, length)]
    return {
        "job": "follow",
        "hand": [[each.at_ms, each.left, each.top, each.width, each.height] for each in hand],
        "until": length * films * STEP_MS,
        "lengths": [length * STEP_MS] * films,
        "films": [[[n * STEP_MS, as_text(each)] for n, each in enumerate(part)] for part in parts],
        "rows": HEIGHT,
        "columns": WIDTH,
    }


def clips(count: int) -> list[tuple[list[Luma], list[Any], int]]:
    """Pictures, drawn places, and the number of films: a plate that passes, one behind a post, in noise, corrected."""
    straight = [plate_at(20 + 8 * n, 90 + 6 * math.sin(n / 3), 1 + n / 60) for n in range(30)]
    noise = np.random.default_rng(1).normal(0, 9, (30, HEIGHT, WIDTH))
    noisy = [np.clip(one + other, 0, 255).astype(np.uint8) for one, other in zip(seen(straight), noise, strict=True)]
    hands = [place(1100, around(straight[11])), place(2300, around(straight[23]))]
    tiny = place(1100, (straight[11][0] + 4, straight[11][1] + 2, straight[11][0] + 12, straight[11][1] + 9))
    return [
        (seen(straight, post=(130, 170)), hands[:1], 3),
        (noisy, hands, 1),
        (seen(straight), hands, 2),
        (noisy, [tiny], 1),
        ([np.full((HEIGHT, WIDTH), 7, np.uint8)] * 6, [place(200, (10, 20, 90, 60))], 1),
    ][:count]


@pytest.mark.parametrize("count", [pytest.param(5, marks=LONG), 2])
def test_the_page_follows_to_the_same_places(count: int) -> None:
    """To the last digit: all is counted in whole numbers until each likeness, which is one division."""
    odd = np.random.default_rng(2).integers(0, 256, (7, 9), np.uint8)
    half, *answers = in_node(
        {"job": "half", "luma": as_text(odd), "rows": 7, "columns": 9},
        *(job(pictures, hand, films) for pictures, hand, films in clips(count)),
    )
    assert half == {"data": halved(odd).ravel().tolist(), "rows": 3, "columns": 4}
    for (pictures, hand, films), answer in zip(clips(count), answers, strict=True):
        found = followed(pictures, *hand, films=films)
        places = [[each.at_ms, each.left, each.top, each.width, each.height] for each in found.places]
        assert answer["places"] == places
        assert answer["unsure"] == [list(each) for each in found.unsure]
        assert len(places) > 1
    assert answers[0]["unsure"], "the post hides it"


def test_a_followed_cover_keeps_what_its_owner_set_and_a_plan_has_only_where_and_when() -> None:
    """Each place can be corrected, and the next search begins at the owner's places alone."""
    (found,) = in_node({"job": "drafts", "length": 5000})
    drawn, fixed = [1000, 4000, 3000, 1000, 500], [1600, 5000, 3000, 1000, 500]
    assert found["followed"]["hand"] == [drawn]
    assert found["unsure"] == [False, True, True, False]
    assert found["corrected"]["hand"] == [drawn, fixed]
    assert [each[0] for each in found["corrected"]["places"]] == [0, 1000, 1600, 2000]
    assert (found["again"]["hand"], found["again"]["unsure"]) == ([drawn, fixed], [])
    assert found["forgotten"]["hand"] == [drawn]
    assert found["kept"] == found["followed"], "the last place of an owner stays"
    assert (found["shorter"]["hand"], found["shorter"]["unsure"]) == ([fixed], [[1500, 2000]])
    assert [each[0] for each in found["empty"]["hand"]] == [1200]
    assert found["plan"] == [{
        "kind": "face", "from_ms": 0, "until_ms": 5000,
        "places": [[0, 3000, 3000, 1000, 500], drawn, [2000, 6000, 3000, 2000, 900], [5000, 6000, 3000, 2000, 900]],
    }]  # fmt: skip
