"""Packs the cascade of number plates from its package: `python scripts/pack_plate_cascade.py WHEEL OUT`.

WHEEL is opencv-python-headless 4.12.0.88 for x86-64 Linux from PyPI (Apache-2.0); its hash is checked. OUT is
`agent/web/static/plates.json`: for each stage the least sum, and its decisions as threshold, value below it, value from
it on, whether the rectangles are tilted, and rectangles as left, top, width, height and weight. Nothing of the package
is run.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

WHEEL_SHA256 = "236c8df54a90f4d02076e6f9c1cc763d794542e886c576a6fee46ec8ff75a7a9"
FILE = "cv2/data/haarcascade_russian_plate_number.xml"
_ROUNDING = 1e-5
"""OpenCV subtracts it from each least sum."""


def packed(wheel: Path) -> bytes:
    """Returns the bytes of `plates.json`. Raises `ValueError` if the wheel is another one."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise ValueError(f"{wheel} is not the wheel that was pinned")
    with zipfile.ZipFile(wheel) as archive:
        return converted(archive.read(FILE))


def converted(data: bytes) -> bytes:
    """Returns a cascade of decisions with one threshold each, from OpenCV's XML."""
    (cascade,) = ElementTree.fromstring(data)  # noqa: S314, its wheel's hash was checked
    features = [
        (
            int(_text(feature, "tilted")),
            [
                [*map(int, (words := (rect.text or "").split())[:4]), float(words[4])]
                for rect in feature.iterfind("rects/_")
            ],
        )
        for feature in cascade.iterfind("features/_")
    ]
    stages = []
    for stage in cascade.iterfind("stages/_"):
        decisions = []
        for weak in stage.iterfind("weakClassifiers/_"):
            _left, _right, feature, threshold = _text(weak, "internalNodes").split()
            low, high = map(float, _text(weak, "leafValues").split())
            decisions.append([float(threshold), low, high, *features[int(feature)]])
        stages.append([float(_text(stage, "stageThreshold")) - _ROUNDING, decisions])
    return json.dumps(stages, separators=(",", ":")).encode()


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(name) or ""


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(packed(Path(sys.argv[1])))
