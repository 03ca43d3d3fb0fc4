"""Traces of hidden pixels in the visible ones of a recorded film, and an attack on them.  `python -m bench traces`.

A camera codes visible pixels with the help of hidden ones. Films of one scene are recorded, each with another picture
below the cover, and a ridge regression learns from three quarters of them to compute the hidden pixels of the others
from the visible ones around the cover. The table has the share of their variance that it explains, by the depth below
the cover. The control adds a twentieth of the hidden pixels to the visible ones, so an attack that finds nothing there
would prove nothing.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 208, 112
LEFT, TOP, RIGHT, BOTTOM = 64, 32, 128, 80
PICTURES, RING_PX = 3, 16
DEPTHS = (0, 1, 2, 4, 8, 16, 20)
RECORDER = {"preset": "ultrafast", "crf": "28", "x264-params": "bframes=0"}
CLIENT = {"preset": "veryfast", "tune": "zerolatency", "crf": "18"}
Pictures = list[npt.NDArray[np.uint8]]
Floats = npt.NDArray[np.floating[Any]]


def coded(pictures: Pictures, options: dict[str, str]) -> Pictures:
    """The pictures after an encoder and a decoder."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.options = Fraction(1, 10), Fraction(10), options
    decoder, frames = av.CodecContext.create("h264", "r"), []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        frames += [each for packet in encoder.encode(frame) for each in decoder.decode(av.Packet(bytes(packet)))]
    frames += [each for packet in encoder.encode(None) for each in decoder.decode(av.Packet(bytes(packet)))]
    frames += decoder.decode(None)
    return [np.array(each.to_ndarray(format="yuv420p"), np.uint8) for each in frames]


def around(pictures: Pictures) -> Floats:
    """The visible brightness near the cover, of all pictures."""
    ring = np.zeros((HEIGHT, WIDTH), bool)
    ring[TOP - RING_PX : BOTTOM + RING_PX, LEFT - RING_PX : RIGHT + RING_PX] = True
    ring[TOP:BOTTOM, LEFT:RIGHT] = False
    return np.concatenate([each[:HEIGHT][ring].astype(float) for each in pictures])


def explained(seen: Floats, hidden: Floats) -> list[float]:
    """The share of the hidden variance that the attack explains, by depth. The best strength of the ridge for each."""
    train = len(seen) * 3 // 4
    mean, target = seen[:train].mean(0), hidden[:train].mean(0)
    known, other = seen[:train] - mean, seen[train:] - mean
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in (BOTTOM - TOP, RIGHT - LEFT))
    depth = np.minimum(rows[:, None], columns[None, :]).ravel()
    best = [0.0] * len(DEPTHS)
    for strength in (1e2, 1e3, 1e4, 1e5, 1e6):
        weights = np.linalg.solve(known @ known.T + strength * np.eye(train), hidden[:train] - target)
        error = ((other @ known.T @ weights + target - hidden[train:]) ** 2).sum(0)
        share = 1 - error / ((hidden[train:] - hidden[train:].mean(0)) ** 2).sum(0)
        found = [float(share[depth == each].mean()) for each in DEPTHS]
        best = [max(pair) for pair in zip(best, found, strict=True)]
    return best


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    random = np.random.default_rng(0)
    street = np.sort(random.integers(60, 200, (HEIGHT * 3 // 2, WIDTH)), axis=1) + random.integers(-8, 9, (1, WIDTH))
    exact, lossy, hidden = [], [], []
    for _ in range(count):
        below = cv2.resize(random.integers(20, 236, (6, 8)).astype(np.uint8), (RIGHT - LEFT, BOTTOM - TOP))
        scene = street.astype(np.uint8)
        scene[TOP:BOTTOM, LEFT:RIGHT] = below
        recorded = coded([scene] * PICTURES, RECORDER)
        hidden.append(recorded[-1][TOP:BOTTOM, LEFT:RIGHT].astype(float).ravel())
        exact.append(around(recorded))
        for picture in recorded:
            picture[TOP:BOTTOM, LEFT:RIGHT] = 16
        lossy.append(around(coded(recorded, CLIENT)))
    below_all = np.array(hidden)
    control = np.array(exact)
    held = min(control.shape[1], below_all.shape[1])
    control[:, :held] = np.round(control[:, :held] + 0.05 * (below_all[:, :held] - 128))
    print(f"| {count} films | {' | '.join(f'{each} px' for each in DEPTHS)} |\n|---|{'---:|' * len(DEPTHS)}")
    for name, seen in (("exact", np.array(exact)), ("with loss", np.array(lossy)), ("control", control)):
        shares = explained(seen, below_all)
        print(f"| {name} | {' | '.join(f'{100 * each:.1f} %' for each in shares)} |")


if __name__ == "__main__":
    main()
