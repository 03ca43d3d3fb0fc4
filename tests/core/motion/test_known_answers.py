"""The same frames give the same answers on every machine: amd64 and arm64 (tried under qemu), whatever SIMD OpenCV has.

The frames are made of integers alone, so that they are the same everywhere to the last bit.  The answers are compared
as an owner would notice them: what moved when and where, on the grid.  Behind them, all that the detector remembers is
the same to the last bit, with the native passes and with the pure ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
import pytest

from agent.core.media import Luma, LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.passes import MakePasses
from agent.core.motion.passes.pure import PurePasses
from agent.core.timebase import BootNs, seconds
from agent.recorder import motion_kernel

FRAMES_SHA256 = "63dfedbdae96a46fc4892504bed1cf6a3986a0a0cc893922d5319b5fdd4004a7"
ANSWERS_SHA256 = "fe8795ed62b631c29c1dceed3a469d73e06b38accd7737c0858faed5bcd32c4b"
GRIDS_SHA256 = "54a05b808308eb7f8a131b13c0e842cfb5ad52ab4de475f3fd963d75092d1ff9"


def frames() -> Iterator[Luma]:
    """Twenty seconds: a blotchy wall, a striped figure that walks in, stands and leaves, a lamp, and noise."""
    y, x = np.mgrid[0:240, 0:320]
    wall = 90 + (x * x + 7 * y * y // 5 + 3 * x * y) // 97 % 50 + 20 * ((x // 40 + y // 30) % 2)
    noise = np.arange(240 * 320, dtype=np.uint64).reshape(240, 320)
    for number in range(200):
        noise = (noise * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)) & np.uint64(
            0xFFFFFFFFFFFFFFFF
        )
        picture = wall + (noise >> np.uint64(61)).astype(np.int64) - 3
        if 50 <= number < 150:
            left = 6 * min(number - 50, 25) - 30 if number < 120 else 120 + 6 * (number - 120)
            inside = (x >= left) & (x < left + 40 + number % 3) & (y >= 70) & (y < 210)
            picture = np.where(inside, np.where((y + number // 4) // 8 % 2, 40, 200), picture)
        if 165 <= number < 180:
            picture = picture * 5 // 4
        yield np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(params=["pure", "native"])
def make_passes(request: pytest.FixtureRequest) -> MakePasses:
    if request.param == "pure":
        return PurePasses
    kernel = motion_kernel.load()
    if not kernel.native:
        pytest.skip(f"no native passes here: {kernel.told}")
    return kernel.make_passes


def test_frames_made_of_integers_give_the_known_answers(make_passes: MakePasses) -> None:
    detector = Detector(240, 320, 10.0, make_passes=make_passes)
    seen, answers, remembered = hashlib.sha256(), [], hashlib.sha256()
    for number, luma in enumerate(frames()):
        seen.update(luma.tobytes())
        sample = detector.step(LumaFrame(luma, BootNs(seconds(number / 10))))
        box = sample.box and [round(edge, 4) for edge in sample.box]
        answers.append([sample.moving, sample.present, sample.state.value, box])
        for grid in vars(detector._grids).values():
            if isinstance(grid, np.ndarray):
                remembered.update(grid.tobytes())
    assert seen.hexdigest() == FRAMES_SHA256, "The frames themselves differ: this says nothing about the detector."
    moving = [number / 10 for number, answer in enumerate(answers) if answer[0]]
    assert moving
    assert 5 < moving[0] < 7
    assert hashlib.sha256(json.dumps(answers).encode()).hexdigest() == ANSWERS_SHA256, f"moving at {moving}"
    assert remembered.hexdigest() == GRIDS_SHA256
