"""Suggests covers for the faces of a clip, and for heads, plates and vehicles if asked. An owner corrects them.

Each film is decoded, and a picture at least each 100 ms is examined at several sizes, so that far and near faces are
found. Only places leave this process. It recognises no one, reads no plate and keeps no picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.clients.media.face_covers import Suggestion, at_most
from agent.clients.media.face_network import Face, FaceNetwork, overlap
from agent.clients.media.face_tracks import LEAST_SCORE, SAMPLE_MS, Box, FaceTracker
from agent.clients.media.object_network import FoundObjects, ObjectNetwork, head_of
from agent.clients.media.plate_cascade import PlateCascade
from agent.clients.media.redact import opened
from agent.core.timebase import NS_PER_MS, NS_PER_S
from agent.core.vault.redactions import RedactionKind
from agent.media.playable import pictures_of

__all__ = ["examine", "is_colourless_film", "suggest_covers"]

WIDEST_PX: Final = 1280
MOST_PX: Final = 1280 * 1800
"""A taller picture is examined at a smaller width, so that it has no more pixels."""
SIZES: Final = 3
"""A picture is examined at this width, or its own if it is smaller, at half of it, and so on: this many sizes. The
network's largest face has 300 pixels."""
WIDE_EACH: Final = 3
"""The widest size takes most of the time, so it is examined in each third picture. Patterns are followed between."""
PLATES_EACH: Final = 5
"""Number plates and objects are looked for in each fifth picture."""
SURE_FACE: Final = 0.8
"""By day, the head of a body needs no cover of its own if a face with this score is in it."""
LEAST_OF_HEAD: Final = 0.2
"""Least width of that face, as a share of the head's. For example, a smaller one may be on a shirt."""
COLOURLESS: Final = 4.0
"""A picture is by infrared if the channels of its pixels differ by less than this on average, of 255."""
HEAD_MARGIN: Final = 0.12
"""The network of objects places the upper side of a small body roughly. The tracker adds its tolerance, 0.08."""
VEHICLE_MARGIN: Final = 0.02
"""A plate is well within its vehicle. The tracker adds its tolerance, 0.08."""
SURE_HITS: Final = 2
"""A plate with this many hits is 50 % sure."""
DARK: Final = 70
BRIGHT: Final = 110
MOST_GAIN: Final = 4.0
"""A picture with a mean brightness below `DARK` is examined at `BRIGHT`, brightened by this factor at most."""
LUMA_PX: Final = 640
"""Patterns are followed in a copy of this width, or of the picture's own if it is smaller."""
_MOST_OVERLAP: Final = 0.45


def suggest_covers(
    films: Sequence[tuple[bytes, int]],
    *,
    plates: bool = False,
    people: Path | None = None,
    vehicles: Path | None = None,
) -> list[Suggestion]:
    """Returns covers of a clip, in ms of the clip. `films`: its segments, and the length of each by its record, in ms.

    `plates`: look for number plates, too. `people` and `vehicles`: cover the head of each body, or whole vehicles, too,
    with the network in this file. A plan takes what is returned: each film has at most `MOST_REDACTIONS`. Raises
    `FormatError` if a film fails to open, and `ConfigurationError` if the network is another one.
    """
    cv2.setNumThreads(1)  # the planes are small: threads would wait for each other
    network, tracker = FaceNetwork(), FaceTracker()
    cascade, plate_tracker = PlateCascade() if plates else None, FaceTracker(RedactionKind.PLATE)
    file = people or vehicles
    objects = ObjectNetwork(file) if file is not None else None
    # Each body and each vehicle counts alone.
    head_tracker = FaceTracker(RedactionKind.FACE, HEAD_MARGIN, sure_score=0.0)
    vehicle_tracker = FaceTracker(RedactionKind.AREA, VEHICLE_MARGIN, sure_score=0.0)
    begin_ms, count = 0, 0
    for media, length_ms in films:
        for at_ms, picture in _sampled(media):
            if at_ms <= length_ms:
                luma, faces = examine(network, picture, is_wide=count % WIDE_EACH == 0)
                tracker.add(begin_ms + at_ms, luma, faces)
                if cascade is not None:
                    found = plates_in(cascade, picture) if count % PLATES_EACH == 0 else []
                    plate_tracker.add(begin_ms + at_ms, luma, found)
                if objects is not None:
                    seen = objects.find(picture) if count % PLATES_EACH == 0 else FoundObjects()
                    head_tracker.add(
                        begin_ms + at_ms, luma, heads_in(picture, seen, faces) if people is not None else []
                    )
                    vehicle_tracker.add(begin_ms + at_ms, luma, seen.vehicles if vehicles is not None else [])
                count += 1
        begin_ms += length_ms
    ends_ms = list(itertools.accumulate(length_ms for _media, length_ms in films))
    trackers = (tracker, head_tracker, plate_tracker, vehicle_tracker)
    return at_most([cover for each in trackers for cover in each.finish(begin_ms)], ends_ms)


def heads_in(
    picture: NDArray[np.uint8], found: FoundObjects, faces: Sequence[tuple[float, Box]]
) -> list[tuple[float, Box]]:
    """Returns the places of the heads of the people that were found, with their scores, the surest first.

    By day, a body with a sure face where its own would be is left out: the cover of the face hides less. By infrared,
    each body counts.
    """
    height, width = picture.shape[:2]
    heads = [(score, head_of(body, width, height)) for score, body in found.people]
    if is_colourless(picture):
        return heads
    sure = [face for score, face in faces if score >= SURE_FACE]
    return [(score, head) for score, head in heads if not any(_is_face_of(face, head) for face in sure)]


def is_colourless(picture: NDArray[np.uint8]) -> bool:
    """True for a BGR picture that a camera without colour took, as cameras do by infrared."""
    some = picture[::8, ::8].astype(np.int16)
    return float((some.max(axis=2) - some.min(axis=2)).mean()) < COLOURLESS


def is_colourless_film(media: bytes) -> bool:
    """True if the first picture of a film is by infrared. Raises `FormatError` if the film fails to open."""
    with opened(media) as container:
        stream = pictures_of(container)
        stream.codec_context.thread_count = 1
        first = next(container.decode(stream), None)
        return first is not None and is_colourless(np.asarray(first.to_ndarray(format="bgr24"), np.uint8))


def _is_face_of(face: Box, head: Box) -> bool:
    """False for a face at the rim or at the lower end of `head`: it may be that of a person in front."""
    width, height = head[2] - head[0], head[3] - head[1]
    across = ((face[0] + face[2]) / 2 - head[0]) / width
    down = ((face[1] + face[3]) / 2 - head[1]) / height
    is_large = face[2] - face[0] >= LEAST_OF_HEAD * width
    return is_large and 0.25 <= across <= 0.75 and 0 <= down <= 0.6


def examine(
    network: FaceNetwork, picture: NDArray[np.uint8], *, is_wide: bool
) -> tuple[NDArray[np.uint8], list[tuple[float, Box]]]:
    """Returns the brightness of a BGR picture, and its faces with their scores, the surest first.

    `is_wide`: examine it at more than `LUMA_PX`, too.
    """
    height, width = picture.shape[:2]
    columns = min(LUMA_PX, widest_px(width, height))
    small = cv2.resize(picture, (columns, max(1, round(height * columns / width))), interpolation=cv2.INTER_AREA)
    luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
    brightness = float(luma.mean())
    copy = picture
    if brightness < DARK:
        copy = np.asarray(cv2.convertScaleAbs(picture, alpha=min(MOST_GAIN, BRIGHT / max(1.0, brightness))), np.uint8)
    found: list[Face] = []
    for halvings in range(SIZES):
        columns = max(1, widest_px(width, height) >> halvings)
        rows = max(1, round(height * columns / width))
        if columns < copy.shape[1]:
            copy = np.asarray(cv2.resize(copy, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        if columns > LUMA_PX and not is_wide:
            continue
        found += [
            Face(each.score, each.left / columns, each.top / rows, each.right / columns, each.bottom / rows)
            for each in network.find(copy, LEAST_SCORE)
        ]
    found.sort(key=lambda face: -face.score)
    kept: list[Face] = []
    for face in found:
        if all(overlap(face, other) <= _MOST_OVERLAP for other in kept):
            kept.append(face)
    return luma, [(face.score, (face.left, face.top, face.right, face.bottom)) for face in kept]


def widest_px(width: int, height: int) -> int:
    """Returns the greatest width, in pixels, at which a picture of this size is examined."""
    return max(1, min(WIDEST_PX, width, math.isqrt(MOST_PX * width // height)))


def plates_in(cascade: PlateCascade, picture: NDArray[np.uint8]) -> list[tuple[float, Box]]:
    """Returns the number plates of a BGR picture with their scores, the surest first."""
    height, width = picture.shape[:2]
    columns = widest_px(width, height)
    rows = max(1, round(height * columns / width))
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    return [
        (each.hits / (each.hits + SURE_HITS),
         (each.left / columns, each.top / rows, each.right / columns, each.bottom / rows))
        for each in cascade.find(np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8))
    ]  # fmt: skip


def _sampled(media: bytes) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yields the time in ms and the BGR pixels of the first picture, of one each `SAMPLE_MS`, and of the last."""
    with opened(media) as container:
        stream = pictures_of(container)
        stream.codec_context.thread_count = 1
        base = stream.time_base or Fraction(1)
        first_tick: int | None = None
        next_ms, left = 0, None
        for frame in container.decode(stream):
            first_tick = frame.pts or 0 if first_tick is None else first_tick
            at_ms = round(((frame.pts or 0) - first_tick) * base * NS_PER_S) // NS_PER_MS
            left = (at_ms, frame)
            if at_ms >= next_ms:
                yield at_ms, np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                next_ms, left = at_ms + SAMPLE_MS, None
        if left is not None:
            yield left[0], np.asarray(left[1].to_ndarray(format="bgr24"), np.uint8)
