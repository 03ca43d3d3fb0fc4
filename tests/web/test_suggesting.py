"""Suggested covers on the page: the same faces and the same covers as at the command line, run in node."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.clients.media.face_covers import Suggestion, at_most
from agent.clients.media.face_network import FaceNetwork
from agent.clients.media.face_tracks import FaceTracker
from agent.clients.media.plate_cascade import PlateCascade
from agent.clients.media.suggest import widest_px
from agent.core.vault.redactions import Place, RedactionKind
from tests.faces import Seen, scene, with_plate
from tests.lengths import LONG
from tests.web.test_the_program import require_node

pytestmark = pytest.mark.interop

WIDTH, HEIGHT = 328, 200  # no multiple of the network's 32
LEAST = 0.2


def in_node(*jobs: dict[str, Any]) -> list[Any]:
    script = Path(__file__).with_name("suggesting.mjs")
    text = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run(
        [require_node(), str(script)], input=text, capture_output=True, text=True, check=True, timeout=120
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def as_text(data: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(data.tobytes()).decode()


def moments(seed: int) -> list[tuple[int, np.ndarray[Any, np.dtype[np.uint8]], list[tuple[float, Any]]]]:
    """A clip with faces that move, turn, come and go, some found and some missed, and some chance detections."""
    chance = random.Random(seed)
    paths = [
        (chance.randint(40, 280), chance.randint(40, 150), chance.randint(-6, 6), chance.randint(14, 60)) for _ in "abc"
    ]
    seen = [
        [
            Seen(x + pace * n, y, width, turned=(n // 7 + each) % 3 == 0)
            for each, (x, y, pace, width) in enumerate(paths)
        ]
        for n in range(30)
    ]
    found = []
    for number, (picture, faces) in enumerate(zip(scene(seen, WIDTH, HEIGHT), seen, strict=True)):
        boxes = [
            (chance.uniform(0.3, 0.95), tuple(side / (WIDTH, HEIGHT)[i % 2] for i, side in enumerate(each.box)))
            for each in faces
            if not each.turned and chance.random() < 0.7
        ]
        if chance.random() < 0.2:
            x, y = chance.random(), chance.random()
            boxes.append((0.35, (x, y, x + 0.1, y + 0.1)))
        boxes.sort(key=lambda each: -each[0])
        luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        # A film of the clip begins at the time of the last picture of the film before.
        found.append((100 * (number - (number > 15)), luma, boxes))
    return found


def test_a_film_of_a_clip_that_was_closed_joins_no_other_clips_search() -> None:
    """An owner closes the clip while a film of it is fetched, and asks for suggestions in another clip."""
    assert in_node({"job": "runs"}) == [[None, ["second", 2], None]]


def draft(each: Suggestion) -> dict[str, Any]:
    """A cover as the page writes it."""
    places = [[p.at_ms, p.left, p.top, p.width, p.height] for p in each.places]
    return {"kind": each.kind.value, "from_ms": each.from_ms, "until_ms": each.until_ms, "places": places}


def test_the_page_finds_the_same_plates_joins_the_same_covers_and_reads_the_same_sizes() -> None:
    wall, rough = scene([[]], WIDTH, HEIGHT)[0], np.random.default_rng(1).integers(0, 256, (90, 131), np.uint8)
    pictures = [
        cv2.cvtColor(with_plate(wall, (90, 80, 90 + size, 80 + size // 5)), cv2.COLOR_BGR2GRAY) for size in (70, 130)
    ]
    pictures.append(rough)
    chance = random.Random(5)
    covers = []
    for _ in range(40):
        begin, left, top = chance.randint(0, 2000), chance.randint(0, 9000), chance.randint(0, 9000)
        places = tuple(Place(at_ms, left, top, chance.randint(1, 900), 500) for at_ms in (begin, begin + 500))
        kind = chance.choice([RedactionKind.FACE, RedactionKind.PLATE])
        covers.append(Suggestion(begin, begin + chance.randint(500, 900), places, 1.0, kind))
    sizes = [(chance.randint(1, 5000), chance.randint(1, 9000)) for _ in range(200)]
    *plates, joined, widths = in_node(
        *(
            {"job": "plates", "luma": as_text(each), "rows": each.shape[0], "columns": each.shape[1]}
            for each in pictures
        ),
        {"job": "most", "covers": [draft(each) for each in covers], "most": 12},
        {"job": "widths", "sizes": sizes},
    )
    cascade = PlateCascade()
    for picture, answer in zip(pictures, plates, strict=True):
        ours = [[each.hits, each.left, each.top, each.right, each.bottom] for each in cascade.find(picture)]
        assert ours == [[each[name] for name in ("hits", "left", "top", "right", "bottom")] for each in answer]
    assert all(plates[:2])
    assert joined == [draft(each) for each in at_most(covers, [3000], most=12)]
    assert len(joined) == 12
    assert widths == [widest_px(*size) for size in sizes]


@pytest.mark.parametrize("moving", [pytest.param(6, marks=LONG), 1])
def test_the_page_finds_the_same_faces_and_makes_the_same_covers(moving: int) -> None:
    """`moving`: the number of clips in which faces move. One more has a crowd that stands."""
    network = FaceNetwork()
    pictures = [
        *scene([[Seen(60, 70, 24), Seen(140, 90, 60), Seen(260, 110, 80)], []], WIDTH, HEIGHT),
        np.random.default_rng(1).integers(0, 256, (65, 97, 3), np.uint8),
    ]
    grid = [(0.9, (n % 20 / 20, n // 20 / 10, n % 20 / 20 + 0.03, n // 20 / 10 + 0.05)) for n in range(200)]
    crowd: list[Any] = [(0, np.zeros((HEIGHT, WIDTH), np.uint8), grid)]
    clips = [*(moments(seed) for seed in range(moving)), crowd]
    answers = in_node(
        *(
            {
                "job": "faces",
                "rgba": as_text(cv2.cvtColor(each, cv2.COLOR_BGR2RGBA)),
                "width": each.shape[1],
                "height": each.shape[0],
                "least": LEAST,
            }
            for each in pictures
        ),
        *(
            {
                "job": "covers",
                "rows": HEIGHT,
                "columns": WIDTH,
                "length": 3000,
                "moments": [{"at": at, "luma": as_text(luma), "faces": faces} for at, luma, faces in clip],
            }
            for clip in clips
        ),
    )
    for picture, answer in zip(pictures, answers, strict=False):
        ours = [(each.score, each.left, each.top, each.right, each.bottom) for each in network.find(picture, LEAST)]
        theirs = [tuple(each[name] for name in ("score", "left", "top", "right", "bottom")) for each in answer]
        assert len(ours) == len(theirs)
        assert np.allclose(ours or 0, theirs or 0, atol=0.01)
    assert len(answers[0]) == 3
    covers = 0
    for clip, answer in zip(clips, answers[len(pictures) :], strict=True):
        tracker = FaceTracker()
        for at_ms, luma, faces in clip:
            tracker.add(at_ms, luma, faces)
        made = [draft(each) for each in tracker.finish(3000)]
        assert answer == made
        covers += len(made)
    assert covers >= 2 * moving
