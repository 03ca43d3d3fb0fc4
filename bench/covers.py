"""Covering a film: seconds for a minute of film, on the page and at the command line.  `python -m bench covers FILM`.

Both cover the same segment of five seconds and 15 pictures a second, in turns: the page in Chromium with WebCodecs, the
command line with libx264. The pictures are those of a film, scaled: without an argument those of `.cache/vtest.avi`,
which `make test` fetches. Needs Chromium and `npm ci` in tests/browser.
"""

from __future__ import annotations

import io
import itertools
import statistics
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

from agent.clients.media.redact import cover_film, require_covered
from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.core.vault.redactions import Place, Redaction, RedactionKind
from agent.media.fmp4 import FragmentedMp4Writer
from tests.browser.page_modules import covered_by_page, page_modules

PER_S, LENGTH_S, TURNS = 15, 5, 3
SIZES = ((1280, 720), (1920, 1080))
COVERS = [
    Redaction(
        kind=RedactionKind.FACE,
        from_ms=0,
        until_ms=3000,
        places=(Place(0, 1000, 2000, 1500, 3000), Place(3000, 6000, 2000, 1500, 3000)),
    )
]
Luma = npt.NDArray[np.uint8]


def gops_of(source: Path, width: int, height: int) -> list[Gop]:
    """GOPs of a second as a camera sends them, of the first pictures of `source`."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, PER_S), Fraction(PER_S)
    options = "keyint=infinite:scenecut=0:bframes=0:repeat-headers=1:annexb=1"
    codec.options = {"preset": "ultrafast", "forced-idr": "1", "crf": "23", "x264-params": options}
    packets = []
    with av.open(str(source), "r") as container:
        for number, picture in enumerate(itertools.islice(container.decode(video=0), PER_S * LENGTH_S)):
            frame = picture.reformat(width, height, "yuv420p")
            frame.pts, frame.time_base = number, codec.time_base
            frame.pict_type = PictureType.I if number % PER_S == 0 else PictureType.NONE
            packets += codec.encode(frame)
    packets += codec.encode(None)
    made = [
        EncodedPacket(bytes(each), each.is_keyframe, BootNs((each.pts or 0) * NS_PER_S // PER_S)) for each in packets
    ]
    return [
        Gop(tuple(made[first : first + PER_S]), BootNs((first + PER_S) * NS_PER_S // PER_S))
        for first in range(0, len(made), PER_S)
    ]


def film(source: Path, width: int, height: int) -> bytes:
    """A segment as the recorder stores it."""
    writer = FragmentedMp4Writer(StreamDescription(width, height, PER_S, width, height, live=False))
    gops = gops_of(source, width, height)
    return writer.begin(gops[0]) + b"".join(map(writer.add, gops[1:]))


def luma_in(media: bytes) -> list[Luma]:
    with av.open(io.BytesIO(media), "r") as container:
        # As it is coded: a conversion to grey depends on what the film says of its colours.
        coded = (np.asarray(each.to_ndarray(format="yuv420p"), np.uint8) for each in container.decode(video=0))
        return [each[: len(each) * 2 // 3] for each in coded]


def likeness_db(captured: bytes, made: bytes) -> float:
    """PSNR of the luma after the covers have ended, dB."""
    after = 3 * PER_S + 1
    error = [
        np.mean((one.astype(float) - two.astype(float)) ** 2)
        for one, two in zip(luma_in(captured)[after:], luma_in(made)[after:], strict=True)
    ]
    return float(10 * np.log10(255**2 / np.mean(error)))


def at_command_line(captured: bytes) -> tuple[bytes, float, float]:
    begun = time.perf_counter()
    made = cover_film(captured, COVERS, LENGTH_S * 1000)
    checking = time.perf_counter()
    require_covered(made, COVERS)
    return made, checking - begun, time.perf_counter() - checking


def main() -> None:
    source = Path(sys.argv[1] if len(sys.argv) > 1 else ".cache/vtest.avi")
    with tempfile.TemporaryDirectory() as folder, page_modules(Path(folder)) as browser:
        print("| picture | by | a minute of film | to check it | size | likeness |\n|---|---|---:|---:|---:|---:|")
        for width, height in SIZES:
            captured = film(source, width, height)
            turns = [
                (covered_by_page(browser, captured, COVERS, LENGTH_S * 1000), at_command_line(captured))
                for _ in range(TURNS)
            ]
            for name, own in zip(("page", "command line"), zip(*turns, strict=True), strict=True):
                making, checking = (statistics.median(each[n] for each in own) * 60 / LENGTH_S for n in (1, 2))
                size = len(own[0][0]) / len(captured)
                likeness = likeness_db(captured, own[0][0])
                figures = f"{making:.0f} s | {checking:.0f} s | {size:.2f} | {likeness:.0f} dB"
                print(f"| {width} × {height} | {name} | {figures} |")


if __name__ == "__main__":
    main()
