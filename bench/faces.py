"""Suggested covers: labelled faces that they cover, and what they cover in vain.  `python -m bench faces`.

Films of `faces_footage.json` (repository, commit, path, and boxes of the faces in some pictures; none is in this
project) are looked for below $FOOTAGE, as for `bench labels`. The composed films show heads of those films over other
films, with an exact label in each picture. `python -m bench faces 3 100` makes three of each kind, from seed 100 on. A
face is covered if the covers hide at least 90 % of its label. "Half seen" counts the faces that other heads hide by
half at most. Each film is encoded as a recorder does, and the suggestions are those of `doorward owner suggest`.

Heads without bodies are in most composed films. Two kinds have whole people, and the labelled films are also drawn as
an infrared lamp shows them. `python -m bench faces 3 400 people` adds covers of heads (`--people`) by the network in
`models/`. `python -m bench faces 3 400 people infrared` leaves out the films by day, and `composed` the labelled ones.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.clients.media.face_covers import Suggestion
from agent.clients.media.suggest import suggest_covers
from agent.core.vault.redactions import PixelBox, Redaction, RedactionKind, covered_pixels, place_at
from tests.faces import film_of

ROOT: Final = Path(__file__).resolve().parents[1]
NETWORK: Final = ROOT / "models" / "objects.onnx"
FOOTAGE: Final = ROOT / "bench" / "faces_footage.json"
LEAST_COVERED: Final = 0.9
SMALL_PX: Final = 10
"""Narrower faces are counted apart: the network's smallest face has about this width."""
MOST_PICTURES: Final = 420
Picture = NDArray[np.uint8]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Film:
    name: str
    pictures: list[Picture]
    per_s: int
    faces: dict[int, list[Box]]
    seen: dict[int, list[bool]] | None = None
    """True for each face of which at least half is seen. None: all are."""


@dataclass
class Count:
    films: int = 0
    labels: int = 0
    covered: int = 0
    seen: int = 0
    seen_covered: int = 0
    small: int = 0
    small_covered: int = 0
    covers: int = 0
    vain: int = 0
    share: float = 0.0
    pictures: int = 0
    cpu_s: float = 0.0
    film_s: float = 0.0

    def add(self, film: Film, people: Path | None = None) -> list[str]:
        """Counts a film, and returns the faces that stay uncovered. `people`: the network that finds bodies."""
        height, width = film.pictures[0].shape[:2]
        length_ms = 1000 * len(film.pictures) // film.per_s
        began = time.process_time()
        covers = suggest_covers([(film_of(film.pictures, film.per_s), length_ms)], people=people)
        self.cpu_s += time.process_time() - began
        self.film_s += length_ms / 1000
        touched: set[int] = set()
        missed = []
        for number, faces in film.faces.items():
            at_ms = 1000 * number // film.per_s
            boxes = dict(_covers_at(covers, at_ms, width, height))
            hidden = np.zeros((height, width), bool)
            for left, top, right, bottom in boxes.values():
                hidden[top:bottom, left:right] = True
            self.pictures += 1
            self.share += float(hidden.mean())
            for face, is_seen in zip(faces, film.seen[number] if film.seen else [True] * len(faces), strict=True):
                left, top, right, bottom = (max(0, round(side)) for side in face)
                label = hidden[top:bottom, left:right]
                is_covered = bool(label.size) and float(label.mean()) >= LEAST_COVERED
                if face[2] - face[0] < SMALL_PX:
                    self.small, self.small_covered = self.small + 1, self.small_covered + is_covered
                else:
                    self.labels, self.covered = self.labels + 1, self.covered + is_covered
                    self.seen, self.seen_covered = self.seen + is_seen, self.seen_covered + (is_seen and is_covered)
                if not is_covered:
                    hidden_face = "" if is_seen else ", more than half hidden"
                    missed.append(f"{film.name}, picture {number}, {[round(side) for side in face]}{hidden_face}")
                touched |= {each for each, box in boxes.items() if _touches(box, face)}
        self.films += 1
        self.covers += len(covers)
        self.vain += len(covers) - len(touched)
        return missed

    def include(self, other: Count) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def row(self, name: str) -> str:
        share = f"{self.covered} ({self.covered / max(1, self.labels):.2%})"
        seen = f"{self.seen_covered} of {self.seen} ({self.seen_covered / max(1, self.seen):.2%})"
        small = f"{self.small_covered} of {self.small}"
        return (
            f"| {name} | {self.films} | {self.labels} | {share} | {seen} | {small} | {self.covers} |"
            f" {self.vain} | {self.share / max(1, self.pictures):.1%} | {self.cpu_s / self.film_s:.1f} |"
        )


def _covers_at(covers: Sequence[Suggestion], at_ms: int, width: int, height: int) -> Iterator[tuple[int, PixelBox]]:
    for number, each in enumerate(covers):
        if each.from_ms <= at_ms + 1 and at_ms <= each.until_ms:
            cover = Redaction(RedactionKind.FACE, each.from_ms, each.until_ms, each.places)
            yield number, covered_pixels(place_at(cover, max(at_ms, each.from_ms)), width, height)


def _touches(box: PixelBox, face: Box) -> bool:
    return box[0] < face[2] and box[2] > face[0] and box[1] < face[3] and box[3] > face[1]


# -- films with labels -------------------------------------------------------------------------------------------------


def footage() -> list[dict[str, Any]]:
    recipes: list[dict[str, Any]] = json.loads(FOOTAGE.read_text())
    return recipes


def _path(recipe: dict[str, Any]) -> Path:
    if "file" in recipe:
        file = str(recipe["file"])
        return (ROOT.parent if file.startswith("shared/") else ROOT) / file
    folder = Path(os.environ.get("FOOTAGE", ".cache/footage")) / str(recipe["repository"]).replace("/", "+")
    return folder / str(recipe["path"])


def read_pictures(path: Path, most: int, first: int = 0) -> tuple[list[Picture], int]:
    reader = cv2.VideoCapture(str(path))
    for _ in range(first):
        reader.grab()
    found: list[Picture] = []
    while len(found) < most:
        is_read, picture = reader.read()
        if not is_read:
            break
        height, width = picture.shape[:2]
        found.append(np.ascontiguousarray(picture[: height // 2 * 2, : width // 2 * 2], np.uint8))
    return found, max(1, round(reader.get(cv2.CAP_PROP_FPS)))


def labelled(recipe: dict[str, Any]) -> Film | None:
    path = _path(recipe)
    first = int(recipe.get("first", 0))  # the picture where the looked at part begins
    faces = {int(number) - first: [tuple(box) for box in boxes] for number, boxes in recipe["faces"].items()}
    pictures, per_s = read_pictures(path, min(MOST_PICTURES, max(faces) + 60), first) if path.is_file() else ([], 1)
    if not pictures:
        print(f"(not there: {path})")
        return None
    return Film(
        recipe.get("name", path.name), pictures, per_s, {n: boxes for n, boxes in faces.items() if n < len(pictures)}
    )


# -- composed films ----------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, PER_S, LENGTH = 960, 540, 15, 45
PEOPLE, PEOPLE_INFRARED = "people", "people by infrared"
PEOPLE_WIDTHS_PX: Final = (40, 24, 24, 16, 16)
"""A picture has room for most of a body whose face has 40 pixels."""
WIDTHS_PX: Final = (200, 140, 80, 40, 24, 16)
"""In the order in which they are drawn: a small head is in front."""
KINDS: Final = ("plain", "turned", "at night", "blurred", "fast", "crossing", "infrared", PEOPLE, PEOPLE_INFRARED)
HEADS: Final = (
    ("preview/face-demographics-walking-and-pause.gif", 21),
    ("preview/head-pose-face-detection-female-and-male.gif", 1),
    ("preview/head-pose-face-detection-male.gif", 1),
)
PROFILES: Final = (
    ("preview/head-pose-face-detection-female.gif", 1),
    ("preview/head-pose-face-detection-female.gif", 3),
)
BODIES: Final = (
    ("preview/face-demographics-walking.gif", 2),
    ("people_movement.mp4", 13),
    ("people_movement.mp4", 181),
)
"""People who are seen from head to foot."""
WALLS: Final = (".cache/vtest.avi", "shared/clips/suburb.mp4", "shared/clips/office.mp4", "shared/clips/intelcar.mp4")
_WALL_LIGHT, _NEAR_LIGHT = 0.5, 2.2
"""Light of an infrared lamp beside the camera, to daylight: on the wall, and at most on a near face."""
_NOISE: Final = 8.0
"""Standard deviation of the noise of a camera in the dark, of 255."""
_HEAD: Final = 2.0
"""A head is cut out as a square of twice the face's height."""
_BODY: Final = 10.0
"""The same of a person: a face has 18 cm from forehead to chin, and a person 170 cm."""
_ABOVE: Final = 0.5
_SHOULDERS: Final = 3.0
"""In heights of the face: what is cut out above the face of a person, and how wide it is below."""


def _heads(
    films: dict[str, Film], wanted: Sequence[tuple[str, int]], *, whole: bool = False
) -> list[tuple[Picture, Box]]:
    """Squares with a head in them, and the face's box as shares of the square. `whole`: with a person."""
    found = []
    for path, number in wanted:
        film = films.get(Path(path).name)
        if film is None:
            continue
        for left, top, right, bottom in film.faces.get(number, []):
            side = round((_BODY if whole else _HEAD) * (bottom - top))
            x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
            if whole:
                y = round(top - _ABOVE * (bottom - top))
            bordered = cv2.copyMakeBorder(film.pictures[number], side, side, side, side, cv2.BORDER_REPLICATE)
            head = np.ascontiguousarray(bordered[y + side : y + 2 * side, x + side : x + 2 * side], np.uint8)
            found.append((head, ((left - x) / side, (top - y) / side, (right - x) / side, (bottom - y) / side)))
    return found


def composed(kind: str, heads: Sequence[tuple[Picture, Box]], wall: Sequence[Picture], seed: int) -> Film:
    """A film with a face of each width that moves, each in its own band of the picture."""
    chance = np.random.default_rng(seed)
    pictures: list[Picture] = []
    faces: dict[int, list[Box]] = {}
    seen: dict[int, list[bool]] = {}
    has_bodies, has_lamp = kind in (PEOPLE, PEOPLE_INFRARED), kind in ("infrared", PEOPLE_INFRARED)
    widths_px = PEOPLE_WIDTHS_PX if has_bodies else WIDTHS_PX
    starts = [(chance.uniform(0.1, 0.9), chance.uniform(0.25, 0.75), chance.uniform(-1, 1)) for _ in widths_px]
    chosen = [heads[int(chance.integers(len(heads)))] for _ in widths_px]
    cone = _lamp_cone(WIDTH, HEIGHT)
    for number in range(LENGTH):
        canvas = np.asarray(cv2.resize(wall[number % len(wall)], (WIDTH, HEIGHT)), np.float32)
        if has_lamp:
            canvas = _by_lamp(canvas, _WALL_LIGHT)
        labels: list[Box] = []
        heads_drawn: list[tuple[Box, NDArray[np.bool_]]] = []
        for each, width in enumerate(widths_px):
            head, box = chosen[each]
            side = max(4, round(width / (box[2] - box[0])))
            x0, y0, way = starts[each]
            pace = (5.0 if kind == "fast" or has_bodies else 1.2) * width / PER_S * way
            # To and fro, so that no face leaves the picture.
            x = (WIDTH - width) * abs((x0 + pace * number / WIDTH) % 2 - 1)
            if kind == "crossing":
                x = -2 * width + (WIDTH + 3 * width) * (number / LENGTH if way > 0 else 1 - number / LENGTH)
            y = HEIGHT * y0 + 0.15 * width * math.sin(number / 3)
            if has_bodies:
                y += side * (0.5 - (box[1] + box[3]) / 2)  # the face is at the top of what is cut out
            angle = 25 * math.sin(number / 8) if kind == "turned" else 0
            label, shape = _paste(canvas, head, box, (x + width / 2, y), side, angle, kind)
            # A face behind another one counts only if half of it is seen.
            if not has_bodies:
                labels = [other for other in labels if _shown(other, label) > 0.5]
            heads_drawn.append((label, shape))
            if kind != "crossing" or label[2] - label[0] > 0.5 * width:
                labels.append(label)
        if kind == "at night":
            noise = chance.normal(0, 8, canvas.shape)
            canvas = (255 * (canvas / 255) ** 1.6 * 0.35 + noise).astype(np.float32)
        if has_lamp:
            canvas = (canvas * cone + chance.normal(0, _NOISE, (HEIGHT, WIDTH, 1))).astype(np.float32)
        pictures.append(np.clip(canvas, 0, 255).astype(np.uint8))
        if has_bodies:
            labels = [label for label in labels if _half_seen(label, heads_drawn)]
        faces[number] = labels
        seen[number] = [_half_seen(label, heads_drawn) for label in labels]
    return Film(f"composed, {kind}, {seed}", pictures, PER_S, faces, seen)


def _paste(
    canvas: NDArray[np.float32],
    head: Picture,
    box: Box,
    middle: tuple[float, float],
    side: int,
    angle: float,
    kind: str,
) -> tuple[Box, NDArray[np.bool_]]:
    """Draws the head into the canvas, with soft rims. Returns its face's label, and where it hides other heads."""
    # A camera averages what falls on a pixel: `warpAffine` alone would leave pixels out.
    head = np.asarray(
        cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA if side < len(head) else cv2.INTER_CUBIC), np.uint8
    )
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1)
    turn[:, 2] += np.array(middle) - np.array([head.shape[1] / 2, head.shape[0] / 2])
    mask = np.zeros(head.shape[:2], np.float32)
    half = head.shape[0] // 2
    if kind in (PEOPLE, PEOPLE_INFRARED):
        _draw_person(mask, box)
    else:
        cv2.ellipse(mask, (half, half), (round(half * 0.72), round(half * 0.92)), 0, 0, 360, 1.0, -1)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), half / 16), np.float32)
    source = head.astype(np.float32)
    if kind == "blurred":
        length = max(2, round(0.22 * (box[2] - box[0]) * head.shape[0]))
        source = np.asarray(cv2.blur(source, (length, 1)), np.float32)
    if kind in ("infrared", PEOPLE_INFRARED):
        # Light falls off with the square of the distance: a near face is too bright, a far one as dark as its wall.
        source = _by_lamp(source, min(_NEAR_LIGHT, 0.6 + side * (box[2] - box[0]) / 100))
    size = (canvas.shape[1], canvas.shape[0])
    drawn = cv2.warpAffine(source, turn, size)
    weight = cv2.warpAffine(mask, turn, size)[..., None]
    canvas *= 1 - weight
    canvas += drawn * weight
    x, y = (box[0] + box[2]) / 2 * head.shape[1], (box[1] + box[3]) / 2 * head.shape[0]
    face_x, face_y = turn @ np.array([x, y, 1.0])
    across, down = (box[2] - box[0]) * side / 2, (box[3] - box[1]) * side / 2
    label = (
        max(0.0, face_x - across), max(0.0, face_y - down),
        min(float(size[0]), face_x + across), min(float(size[1]), face_y + down),
    )  # fmt: skip
    return label, weight[..., 0] > 0.5


def _draw_person(mask: NDArray[np.float32], box: Box) -> None:
    """Fills a mask with a head and what is below it, with soft rims. `box`: the face, as shares of the mask."""
    side = mask.shape[0]
    face = (box[3] - box[1]) * side
    middle, chin = round((box[0] + box[2]) / 2 * side), round(box[3] * side)
    across = round(_SHOULDERS / 2 * face)
    brow = middle, round((box[1] + box[3]) / 2 * side)
    cv2.ellipse(mask, brow, (round(0.72 * face), round(0.92 * face)), 0, 0, 360, 1.0, -1)
    cv2.ellipse(mask, (middle, round(chin + 0.6 * face)), (across, round(0.6 * face)), 0, 180, 360, 1.0, -1)
    cv2.rectangle(mask, (middle - across, round(chin + 0.6 * face)), (middle + across, side), 1.0, -1)
    mask[:] = np.asarray(cv2.GaussianBlur(mask, (0, 0), face / 16), np.float32)


def _lamp_cone(width: int, height: int) -> NDArray[np.float64]:
    """The light of a lamp beside the camera, which falls off to the rims: rows, columns, 1."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(np.exp(-(rows**2 + columns**2) / 1.5)[..., None], np.float64)


def by_infrared(film: Film, seed: int) -> Film:
    """The film as an infrared lamp beside the camera would show it: a near face is too bright, what is far is dark."""
    chance = np.random.default_rng(seed)
    height, width = film.pictures[0].shape[:2]
    cone = _lamp_cone(width, height)
    pictures = []
    for number, picture in enumerate(film.pictures):
        light = np.full((height, width), _WALL_LIGHT, np.float32)
        for left, top, right, bottom in _nearest(film.faces, number):
            near = min(_NEAR_LIGHT, 0.6 + (right - left) / 100)
            middle, reach = round((left + right) / 2), round(_SHOULDERS / 2 * (bottom - top))
            rows = slice(max(0, round(top - (bottom - top) / 2)), height)
            columns = slice(max(0, middle - reach), max(0, middle + reach))
            light[rows, columns] = np.maximum(light[rows, columns], near)
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), width / 100), np.float32)[..., None]
        lit = _by_lamp(picture.astype(np.float32), 1.0) * light * cone + chance.normal(0, _NOISE, (height, width, 1))
        pictures.append(np.clip(lit, 0, 255).astype(np.uint8))
    return Film(f"{film.name}, by infrared", pictures, film.per_s, film.faces)


def _nearest(faces: dict[int, list[Box]], number: int) -> list[Box]:
    """The labels of the labelled picture that is nearest in time."""
    return faces[min(faces, key=lambda each: abs(each - number))]


def _by_lamp(picture: NDArray[np.float32], light: float) -> NDArray[np.float32]:
    """The picture in grey, mostly from its red, which is nearest to infrared: skin is pale, and lips are faint."""
    grey = picture @ np.array([0.1, 0.2, 0.7], np.float32)
    return np.asarray(np.repeat(np.clip(grey * light, 0, 255)[..., None], 3, axis=2), np.float32)


def _half_seen(label: Box, drawn: Sequence[tuple[Box, NDArray[np.bool_]]]) -> bool:
    """Whether the heads that were drawn after this one leave half of its face."""
    number = next(number for number, (other, _shape) in enumerate(drawn) if other is label)
    left, top, right, bottom = (round(side) for side in label)
    hidden = np.zeros((bottom - top, right - left), bool)
    for _label, shape in drawn[number + 1 :]:
        hidden |= shape[top:bottom, left:right]
    return bool(hidden.size) and float(hidden.mean()) <= 0.5


def _shown(face: Box, front: Box) -> float:
    """The share of a face that another one in front of it leaves."""
    width = max(0.0, min(face[2], front[2]) - max(face[0], front[0]))
    height = max(0.0, min(face[3], front[3]) - max(face[1], front[1]))
    return 1 - width * height / max(1e-6, (face[2] - face[0]) * (face[3] - face[1]))


def main(arguments: list[str]) -> int:
    numbers = [int(each) for each in arguments if each.isdigit()]
    seeds, first = (*numbers, *(3, 0)[len(numbers) :])
    networks: list[tuple[str, Path | None]] = [("", None)]
    if "people" in arguments:
        networks.append((", with --people", NETWORK))
    only_infrared = "infrared" in arguments
    found = [(recipe, labelled(recipe)) for recipe in footage()]
    films = {film.name: film for _recipe, film in found if film}
    print("| film | films | labels | covered | half seen | below 10 px | covers | in vain | of the picture | CPU s/s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    missed: list[str] = []
    at_night = {recipe["name"] for recipe in footage() if recipe.get("night")}
    by_day = [film for film in films.values() if film.name not in at_night]
    groups = [("labelled by eye, at night", [film for film in films.values() if film.name in at_night], False)]
    if not only_infrared:
        groups.insert(0, ("labelled by eye", by_day, False))
    if len(networks) > 1:
        groups.append(("labelled by eye, drawn as by infrared", by_day, True))
    for words, group, is_drawn in () if "composed" in arguments else groups:
        sums = {name: Count() for name, _network in networks}
        for number, recorded in enumerate(group):
            film = by_infrared(recorded, number) if is_drawn else recorded
            for name, network in networks:
                own = Count()
                missed += [f"{each}{name}" for each in own.add(film, network)]
                print(own.row(f"{film.name}{name}"), flush=True)
                sums[name].include(own)
        for name, whole in sums.items():
            if whole.films:
                print(whole.row(f"**{words}{name}**"), flush=True)
    walls = [read_pictures((ROOT.parent if path.startswith("shared/") else ROOT) / path, LENGTH)[0] for path in WALLS]
    walls = [wall for wall in walls if wall]
    all_kinds = {name: Count() for name, _network in networks}
    for kind in KINDS:
        if only_infrared and "infrared" not in kind:
            continue
        if kind in (PEOPLE, PEOPLE_INFRARED):
            heads = _heads(films, BODIES, whole=True)
        else:
            heads = _heads(films, PROFILES if kind == "turned" else ()) + _heads(films, HEADS)
        for name, network in networks:
            own = Count()
            for seed in range(first, first + seeds) if heads and walls else ():
                film = composed(kind, heads, walls[seed % len(walls)], seed)
                missed += [f"{each}{name}" for each in own.add(film, network)]
            if own.films:
                print(own.row(f"composed, {kind}{name}"), flush=True)
                all_kinds[name].include(own)
    for name, whole in all_kinds.items():
        if whole.films:
            print(whole.row(f"**composed{name}**"))
    print("\nNot covered:\n" + "\n".join(missed) if missed else "\nEach is covered.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
