"""Covering a film: seconds for a minute of film, on the page and at the command line.  `python -m bench covers FILM`.

Both cover the same segment of five seconds and 15 pictures a second, in turns: the page in Chromium with WebCodecs, the
command line with libx264. Both also make an exact film, the page with an encoder in JavaScript. The last columns are
the values outside of the cover that differ from the recorded film. `--no-page` leaves out the page. The pictures are
those of a film, scaled: without an argument those of `.cache/vtest.avi`, which `make test` fetches. The page needs
Chromium and `npm ci` in tests/browser.
"""

from __future__ import annotations

import functools
import io
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

from agent.clients.media.redact import FilmComparison, compare_films, cover_film, require_covered, require_exact
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


Made = tuple[bytes, float, float]
"""A film, and the seconds to make and to check it."""


def at_command_line(captured: bytes, *, exact: bool = False) -> Made:
    begun = time.perf_counter()
    made = cover_film(captured, COVERS, LENGTH_S * 1000, exact=exact)
    if exact:
        require_exact(captured, made, COVERS)
    checking = time.perf_counter()
    require_covered(made, COVERS, exact=exact)
    return made, checking - begun, time.perf_counter() - checking


def figures(captured: bytes, own: Sequence[Made]) -> str:
    """The columns of one way to make the film, from all turns."""
    made = own[0][0]
    making = statistics.median(each[1] for each in own) * 60 / LENGTH_S
    checking = statistics.median(each[2] for each in own) * 60 / LENGTH_S
    found: FilmComparison = compare_films(captured, made, COVERS)
    likeness = f"{likeness_db(captured, made):.0f} dB" if found.changed else "same"
    changed = f"{100 * found.changed / found.values:.0f} % | {found.greatest}"
    return f"{making:.0f} s | {checking:.0f} s | {len(made) / len(captured):.2f} | {likeness} | {changed}"


def main() -> None:
    with_page = "--no-page" not in sys.argv
    names = [each for each in sys.argv[1:] if not each.startswith("--")]
    source = Path(names[0] if names else ".cache/vtest.avi")
    with ExitStack() as stack:
        ways: dict[str, Callable[[bytes], Made]] = {
            "command line": at_command_line,
            "command line, exact": functools.partial(at_command_line, exact=True),
        }
        if with_page:
            browser = stack.enter_context(page_modules(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
            on_page = functools.partial(covered_by_page, browser, redactions=COVERS, length_ms=LENGTH_S * 1000)
            ways |= {"page": on_page, "page, exact": functools.partial(on_page, exact=True)}
        print("| picture | by | a minute of film | to check it | size | likeness | values changed | at most |")
        print("|---|---|---:|---:|---:|---:|---:|---:|")
        for width, height in SIZES:
            captured = film(source, width, height)
            turns = [[make(captured) for make in ways.values()] for _ in range(TURNS)]
            for name, own in zip(ways, zip(*turns, strict=True), strict=True):
                print(f"| {width} × {height} | {name} | {figures(captured, own)} |", flush=True)


if __name__ == "__main__":
    main()
