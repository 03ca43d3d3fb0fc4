"""Suggested covers of number plates: how many labelled plates they hide, and what they cover in vain.

Pictures with labels are looked for below $FOOTAGE (repository, commit, folder; none is in this project), as for `bench
faces`. `python -m bench plates 4 2` takes each fourth, from the third on. A plate is covered if the covers of its
picture alone hide at least 90 % of its label. A film is easier: a plate that is found once is followed for two seconds.
If `models/` has the object network, the same is told of covers over plates and whole vehicles (`--vehicles`).
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.clients.media.face_tracks import FaceTracker
from agent.clients.media.object_network import ObjectNetwork
from agent.clients.media.plate_cascade import PlateCascade
from agent.clients.media.suggest import VEHICLE_MARGIN, plates_in, widest_px
from agent.core.vault.redactions import PixelBox, Redaction, RedactionKind, covered_pixels, place_at

LEAST_COVERED: Final = 0.9
NETWORK: Final = Path(__file__).resolve().parents[1] / "models" / "objects.onnx"
LABELLED: Final = (
    ("European cars, near", "openalpr/benchmarks", "9790ed20d475be1e940a7e2a3f492a97c2ebed9b", "endtoend/eu"),
    ("American cars, near", "openalpr/benchmarks", "9790ed20d475be1e940a7e2a3f492a97c2ebed9b", "endtoend/us"),
    (
        "from a moving car",
        "RobertLucian/license-plate-dataset",
        "f00f309e4564e7f386fd7641569d861e2910d65f",
        "dataset/valid",
    ),
)
WIDTHS_PX: Final = (0, 60, 120, math.inf)
"""Classes of plates by their width in the examined picture. The cascade's smallest plate has 60 pixels."""
Box = tuple[float, float, float, float]
Pixels = NDArray[np.uint8]
_SIDES: Final = re.compile(
    r"<xmin>([\d.]+)</xmin>\s*<ymin>([\d.]+)</ymin>\s*<xmax>([\d.]+)</xmax>\s*<ymax>([\d.]+)</ymax>"
)


def labelled(folder: Path) -> Iterator[tuple[Path, list[Box]]]:
    """Yields pictures and the boxes of their plates."""
    for text in sorted([*folder.glob("*.txt"), *folder.glob("annots/*.xml")]):
        if text.suffix == ".xml":
            sides = [tuple(map(float, found)) for found in _SIDES.findall(text.read_text())]
            boxes: list[Box] = [(left, top, right, bottom) for left, top, right, bottom in sides]
            yield next((folder / "images").glob(f"{text.stem}.*")), boxes
        else:
            rows = [line.split("\t")[1:5] for line in text.read_text().splitlines() if line]
            numbers = [[float(each) for each in row] for row in rows]
            picture = next(each for each in sorted(folder.glob(f"{text.stem}.*")) if each != text)
            yield picture, [(x, y, x + width, y + height) for x, y, width, height in numbers]


def covers_of(picture: Pixels, found: Sequence[tuple[float, Box]], tracker: FaceTracker) -> Iterator[PixelBox]:
    """Yields the covers of what was found in a single picture."""
    height, width = picture.shape[:2]
    tracker.add(0, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8), found)
    for cover in tracker.finish(100):
        redaction = Redaction(cover.kind, cover.from_ms, cover.until_ms, cover.places)
        yield covered_pixels(place_at(redaction, 0), width, height)


def is_covered(label: NDArray[np.bool_]) -> bool:
    return bool(label.size) and float(label.mean()) >= LEAST_COVERED


def main(arguments: list[str]) -> int:
    each, first = (*map(int, arguments), *(1, 0)[len(arguments) :])
    cascade = PlateCascade()
    network = ObjectNetwork(NETWORK) if NETWORK.is_file() else None
    print(
        "| pictures | count | labels | covered | below 60 px | 60 to 120 | above | in vain | of the picture | CPU s |"
        " with vehicles | of the picture | CPU s |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, repository, _commit, folder in LABELLED:
        root = Path(os.environ.get("FOOTAGE", ".cache/footage")) / repository.replace("/", "+") / folder
        found = list(labelled(root))[first::each]
        if not found:
            print(f"(not there: {root})")
            continue
        classes = [[0, 0] for _ in WIDTHS_PX[1:]]
        vain, share, took = 0, 0.0, 0.0
        both, both_share, both_took = 0, 0.0, 0.0
        for path, boxes in found:
            picture = np.asarray(cv2.imread(str(path)), np.uint8)
            height, width = picture.shape[:2]
            began = time.process_time()
            found_plates = plates_in(cascade, picture)
            took += time.process_time() - began
            hidden = np.zeros((height, width), bool)
            for left, top, right, bottom in covers_of(picture, found_plates, FaceTracker(RedactionKind.PLATE)):
                hidden[top:bottom, left:right] = True
                vain += not any(box[0] < right and left < box[2] and box[1] < bottom and top < box[3] for box in boxes)
            share += float(hidden.mean())
            whole = hidden.copy()
            if network is not None:
                began = time.process_time()
                vehicles = network.find(picture).vehicles
                both_took += time.process_time() - began
                tracker = FaceTracker(RedactionKind.AREA, VEHICLE_MARGIN, sure_score=0.0)
                for left, top, right, bottom in covers_of(picture, vehicles, tracker):
                    whole[top:bottom, left:right] = True
                both_share += float(whole.mean())
            for box in boxes:
                size = (box[2] - box[0]) * widest_px(width, height) / width
                number = sum(size >= least for least in WIDTHS_PX[1:-1])
                left, top, right, bottom = (max(0, round(side)) for side in box)
                classes[number][0] += is_covered(hidden[top:bottom, left:right])
                classes[number][1] += 1
                both += is_covered(whole[top:bottom, left:right])
        covered, count = (sum(one[side] for one in classes) for side in (0, 1))
        widths = " | ".join(f"{one} of {all_}" for one, all_ in classes)
        print(
            f"| {name} | {len(found)} | {count} | {covered} ({covered / max(1, count):.1%}) | {widths} | {vain} |"
            f" {share / len(found):.1%} | {took / len(found):.2f} |"
            f" {both} ({both / max(1, count):.1%}) | {both_share / len(found):.1%} |"
            f" {(took + both_took) / len(found):.2f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
