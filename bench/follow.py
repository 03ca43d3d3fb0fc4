"""Covers that follow: labels that one drawn box covers, if it stays and if it follows.  `python -m bench follow`.

A box is drawn on one label, a tenth larger on each side. The others of the same face or plate count as covered if at
least 90 % of them is below the cover. Films and labels are those of `bench faces`, and pictures of cars those of `bench
plates`, below $FOOTAGE: a plate with what is around it is cut out and drawn into other films, so each picture has an
exact label. `python -m bench follow 2 10` composes two of each kind, from seed 10 on. "Not named" are labels that stay
uncovered where the owner is not told to look. The page's part runs in node on the same brightness, without decoding;
`--no-page` leaves it out.
"""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.clients.media import follow
from agent.clients.media.face_covers import Followed
from agent.core.vault.redactions import WHOLE, Place, Redaction, RedactionKind, covered_pixels, place_at
from bench.faces import WALLS, Box, Film, footage, labelled, read_pictures
from bench.plates import LABELLED
from bench.plates import labelled as cars_in
from tests.faces import film_of

ROOT: Final = Path(__file__).resolve().parents[1]
SEGMENT_S: Final = 5
LEAST_COVERED: Final = 0.9
LEAST_LABELS: Final = 5
DRAWN_LARGER: Final = 0.1
WIDTH, HEIGHT, PER_S, LENGTH = 960, 540, 15, 90
KINDS: Final = ("passes", "comes nearer", "far", "behind a post", "at night")
POST_PX: Final = 70
_AROUND: Final = 2.0
"""Widths of a plate that are cut out with it to each side."""
Picture = NDArray[np.uint8]


@dataclass
class Count:
    tracks: int = 0
    labels: int = 0
    still: int = 0
    followed: int = 0
    silent: int = 0
    unsure_s: float = 0.0
    area: float = 0.0
    film_s: float = 0.0
    cpu_s: float = 0.0
    decoding_s: float = 0.0

    def include(self, other: Count) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def row(self, name: str) -> str:
        share = [f"{each} ({each / max(1, self.labels):.1%})" for each in (self.still, self.followed)]
        film_s = max(0.1, self.film_s)
        return (
            f"| {name} | {self.tracks} | {self.labels} | {share[0]} | {share[1]} | {self.silent} |"
            f" {self.unsure_s / film_s:.0%} | {self.area / max(1, self.labels):.1f} |"
            f" {self.cpu_s / film_s:.3f} | {self.decoding_s / film_s:.3f} |"
        )


def measured(film: Film, labels: dict[int, Box], drawn: int) -> Count:
    """Draws a box on the label of one picture, and counts which of the other labels the cover hides."""
    height, width = film.pictures[0].shape[:2]
    pace = film.per_s * SEGMENT_S
    parts = [film.pictures[first : first + pace] for first in range(0, len(film.pictures), pace)]
    films = [(film_of(part, film.per_s), 1000 * len(part) // film.per_s) for part in parts]
    length_ms = sum(each for _media, each in films)
    hand = _drawn(labels[drawn], 1000 * drawn // film.per_s + 1, width, height)
    began = time.process_time()
    found = follow.follow_region(films, [hand], 0, length_ms)
    count = Count(tracks=1, cpu_s=time.process_time() - began, film_s=length_ms / 1000)
    began = time.process_time()
    for media, _length_ms in films:
        follow.pictures(media, follow.times(media))
    count.decoding_s = time.process_time() - began
    count.unsure_s = sum(until_ms - from_ms for from_ms, until_ms in found.unsure) / 1000
    for number, label in labels.items():
        if number == drawn:
            continue
        at_ms = 1000 * number // film.per_s
        count.labels += 1
        count.still += _hides((hand,), label, at_ms, (width, height), length_ms)[0]
        is_hidden, area = _hides(found.places, label, at_ms, (width, height), length_ms)
        count.followed += is_hidden
        count.silent += not is_hidden and not _is_named(found, at_ms)
        count.area += area
    return count


def _drawn(label: Box, at_ms: int, width: int, height: int) -> Place:
    across, down = ((label[side + 2] - label[side]) * DRAWN_LARGER for side in (0, 1))
    left, top = max(0.0, (label[0] - across) / width), max(0.0, (label[1] - down) / height)
    right, bottom = min(1.0, (label[2] + across) / width), min(1.0, (label[3] + down) / height)
    x, y = math.floor(left * WHOLE), math.floor(top * WHOLE)
    return Place(at_ms, x, y, max(1, math.floor(right * WHOLE) - x), max(1, math.floor(bottom * WHOLE) - y))


def _hides(
    places: Sequence[Place], label: Box, at_ms: int, size: tuple[int, int], length_ms: int
) -> tuple[bool, float]:
    """Whether the cover hides a label, and its area, in areas of the label."""
    cover = Redaction(RedactionKind.PLATE, 0, length_ms, tuple(places))
    left, top, right, bottom = covered_pixels(place_at(cover, at_ms), *size)
    x0, y0, x1, y1 = (max(0, round(side)) for side in label)
    both = max(0, min(right, x1) - max(left, x0)) * max(0, min(bottom, y1) - max(top, y0))
    whole = max(1, (x1 - x0) * (y1 - y0))
    return both >= LEAST_COVERED * whole, (right - left) * (bottom - top) / whole


def _is_named(found: Followed, at_ms: int) -> bool:
    return any(from_ms <= at_ms <= until_ms for from_ms, until_ms in found.unsure)


# -- the same face in labelled pictures --------------------------------------------------------------------------------


def tracks_in(film: Film) -> list[dict[int, Box]]:
    """The labels of each face: the nearest one in the next labelled picture, if it is within its own width."""
    tracks: list[dict[int, Box]] = []
    for number in sorted(film.faces):
        left = list(film.faces[number])
        for track in tracks:
            last = track[max(track)]
            near = [box for box in left if _apart(last, box) <= 1 + 0.3 * (number - max(track))]
            if near:
                box = min(near, key=lambda each: _apart(last, each))
                track[number] = box
                left.remove(box)
        tracks += [{number: box} for box in left]
    return [track for track in tracks if len(track) >= LEAST_LABELS]


def _apart(one: Box, other: Box) -> float:
    """Distance of the middles, in widths of the first box."""
    x, y = ((one[side] + one[side + 2] - other[side] - other[side + 2]) / 2 for side in (0, 1))
    return math.hypot(x, y) / max(1.0, one[2] - one[0])


# -- composed films of plates ------------------------------------------------------------------------------------------


def cars() -> list[tuple[Picture, Box]]:
    """Squares with a plate in the middle, and its box as shares of the square."""
    found = []
    for _name, repository, _commit, folder in LABELLED:
        root = Path(os.environ.get("FOOTAGE", ".cache/footage")) / repository.replace("/", "+") / folder
        for path, boxes in cars_in(root) if root.is_dir() else ():
            picture = np.asarray(cv2.imread(str(path)), np.uint8)
            for left, top, right, bottom in boxes:
                if right - left < 60:
                    continue
                side = round((1 + 2 * _AROUND) * (right - left))
                x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
                wide = cv2.copyMakeBorder(picture, side, side, side, side, cv2.BORDER_REPLICATE)
                square = np.ascontiguousarray(wide[y + side : y + 2 * side, x + side : x + 2 * side], np.uint8)
                found.append((square, ((left - x) / side, (top - y) / side, (right - x) / side, (bottom - y) / side)))
    return found


def composed(kind: str, car: tuple[Picture, Box], wall: Sequence[Picture], seed: int) -> tuple[Film, dict[int, Box]]:
    """A film in which a car drives through another film, and the label of its plate in each picture that shows it."""
    chance = np.random.default_rng(seed)
    square, box = car
    first, last = {"comes nearer": (28, 120), "far": (22, 26)}.get(kind, (60, 75))
    way, height = (1, -1)[seed % 2], chance.uniform(0.35, 0.65)
    pictures, labels = [], {}
    for number in range(LENGTH):
        share = number / (LENGTH - 1)
        plate = first + (last - first) * share**1.5
        x = WIDTH * (0.15 + 0.7 * (share if way > 0 else 1 - share))
        if kind == "comes nearer":
            x = WIDTH * (0.4 + 0.1 * way * share)
        y = HEIGHT * height + 4 * math.sin(number / 2) + (80 * share if kind == "comes nearer" else 0)
        canvas = np.asarray(cv2.resize(wall[number % len(wall)], (WIDTH, HEIGHT)), np.float32)
        label = _paste(canvas, square, box, (x, y), plate)
        is_shown = label[0] >= 0 and label[2] <= WIDTH and label[1] >= 0 and label[3] <= HEIGHT
        if kind == "behind a post":
            post = WIDTH // 2 - POST_PX // 2, WIDTH // 2 + POST_PX // 2
            canvas[:, post[0] : post[1]] = (70, 80, 85)
            hidden = max(0.0, min(post[1], label[2]) - max(post[0], label[0])) / (label[2] - label[0])
            is_shown = is_shown and hidden <= 0.5
        if kind == "at night":
            canvas = (255 * (canvas / 255) ** 1.6 * 0.35 + chance.normal(0, 8, canvas.shape)).astype(np.float32)
        pictures.append(np.clip(canvas, 0, 255).astype(np.uint8))
        if is_shown:
            labels[number] = label
    return Film(f"composed, {kind}, {seed}", pictures, PER_S, {}), labels


def _paste(canvas: NDArray[np.float32], square: Picture, box: Box, middle: tuple[float, float], plate: float) -> Box:
    side = plate / (box[2] - box[0])
    scale = side / square.shape[0]
    near = cv2.resize(square, (max(2, round(side)),) * 2, interpolation=cv2.INTER_AREA) if scale < 1 else square
    scale = side / near.shape[0]
    move = np.array([[scale, 0, middle[0] - side / 2], [0, scale, middle[1] - side / 2]])
    mask = np.zeros(near.shape[:2], np.float32)
    inset = round(0.08 * near.shape[0])
    mask[inset:-inset, inset:-inset] = 1
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(1.0, inset / 2)), np.float32)
    drawn = cv2.warpAffine(near.astype(np.float32), move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    weight = cv2.warpAffine(mask, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)[..., None]
    canvas *= 1 - weight
    canvas += drawn * weight
    left, top = middle[0] - side / 2, middle[1] - side / 2
    return left + box[0] * side, top + box[1] * side, left + box[2] * side, top + box[3] * side


# -- the page ----------------------------------------------------------------------------------------------------------


def on_the_page(film: Film, label: Box) -> str:
    """CPU of the page's program for a second of film, in node, on the same brightness. Decoding is not in it."""
    height, width = film.pictures[0].shape[:2]
    media = film_of(film.pictures, film.per_s)
    found = follow.pictures(media, follow.times(media))
    hand = _drawn(label, 0, width, height)
    job = {
        "job": "timed",
        "hand": [[hand.at_ms, hand.left, hand.top, hand.width, hand.height]],
        "length": 1000 * len(film.pictures) // film.per_s,
        "rows": found[0][1].shape[0],
        "columns": found[0][1].shape[1],
        "pictures": [[at_ms, base64.b64encode(luma.tobytes()).decode()] for at_ms, luma in found],
    }
    done = subprocess.run(
        ["node", str(ROOT / "tests" / "web" / "following.mjs")], input=json.dumps(job) + "\n", text=True,
        capture_output=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return f"{json.loads(done.stdout)['ms'] / job['length']:.3f}"


def main(arguments: list[str]) -> int:
    numbers = [int(each) for each in arguments if each.isdigit()]
    seeds, first = (*numbers, *(3, 0)[len(numbers) :])
    head = "| film | boxes | labels | still | followed | not named | unsure | labels' areas | CPU s/s | decoding |"
    print(head + "\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    faces = Count()
    for film in filter(None, map(labelled, footage())):
        own = Count()
        for track in tracks_in(film):
            own.include(measured(film, track, sorted(track)[len(track) // 2]))
        if own.tracks:
            print(own.row(film.name), flush=True)
            faces.include(own)
    print(faces.row("**faces, labelled by eye**"), flush=True)
    paths = [(ROOT.parent if each.startswith("shared/") else ROOT) / each for each in WALLS]
    walls = [wall for wall, _per_s in (read_pictures(each, LENGTH) for each in paths) if wall]
    plates, cut = Count(), cars()
    example: tuple[Film, Box] | None = None
    for kind in KINDS if walls and cut else ():
        own = Count()
        for seed in range(first, first + seeds):
            film, labels = composed(kind, cut[seed % len(cut)], walls[seed % len(walls)], seed)
            own.include(measured(film, labels, sorted(labels)[len(labels) // 4]))
            example = example or (film, labels[0])
        print(own.row(f"plates, composed, {kind}"), flush=True)
        plates.include(own)
    print(plates.row("**plates, composed**"))
    if example is not None and "--no-page" not in arguments:
        print(f"\nThe page's program in node, without decoding: {on_the_page(*example)} CPU s for a second of film.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
