"""`python -m tests.interop.onvif FOLDER` shows our films to ONVIF's own implementation. Writes ONVIF.md and onvif.json.

FOLDER is a checkout of github.com/onvif/media-signing-framework, beside this repository. It needs a C compiler and the
headers of OpenSSL 3 (libssl-dev), and takes about a minute.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av

from agent.clients.media.join import join_mp4
from agent.core.media import VideoCodec
from agent.media.capture_signature import is_slice
from agent.media.fmp4 import film_units
from agent.media.onvif_sei import is_media_sei
from agent.wire.capture_certificate import root_certificate
from agent.wire.identities import public_key_of
from tests.capture_films import ROOT, STRANGER, STRANGER_KEY, VECTORS, messages_that_count, signed_film, verified
from tests.interop.onvif_validator import CRASHED, OnvifResult, OnvifValidator, build
from tests.media.test_capture_signature import MANIPULATIONS, manipulated

HERE = Path(__file__).parent
RESULT = HERE / "onvif.json"
FLIPS = 150


def films_sha256() -> str:
    """One hash over the films in tests/vectors/capture."""
    files = sorted([*VECTORS.glob("*.mp4"), VECTORS / "root.pem"])
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def units_of_file(path: Path) -> Iterator[bytes]:
    """Each NAL unit of an MP4 as a player gets it."""
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            data, at = bytes(packet), 0
            while at < len(data):
                size = int.from_bytes(data[at : at + 4])
                yield data[at + 4 : at + 4 + size]
                at += 4 + size


def words(result: OnvifResult) -> str:
    pictures = f"{result.validated_frames} of {result.received_frames} pictures"
    return f"{result.authenticity}; key {result.provenance}; {pictures}"


def films(validator: OnvifValidator) -> Iterator[tuple[str, str]]:
    for codec in VideoCodec:
        for b_frames in (0, 2):
            film = signed_film(codec, b_frames=b_frames)
            name = f"{codec.value}, {b_frames} B-frames"
            yield f"{name}: three segments in a row", words(validator.validate(film.units, codec, ROOT))
            for number, segment in enumerate(film.segments, 1):
                yield f"{name}: segment {number} alone", words(validator.validate(film_units(segment), codec, ROOT))
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "film.mp4"
                join_mp4(film.segments, out)
                yield f"{name}: exported as one MP4", words(validator.validate(units_of_file(out), codec, ROOT))
    film = signed_film()
    plain = [unit for unit in film.units if not is_media_sei(unit, film.codec)]
    yield "h264: without the messages", words(validator.validate(plain, film.codec, ROOT))
    other = root_certificate(public_key_of(STRANGER_KEY), STRANGER.certificate())
    yield "h264: another doorbell's root", words(validator.validate(film.units, film.codec, other))


def changes(validator: OnvifValidator) -> Iterator[tuple[str, str, str, str]]:
    """Each structural manipulation: the codec, its name, and what ours and theirs say."""
    for codec in VideoCodec:
        for name in MANIPULATIONS:
            units = manipulated(name, codec)
            ours, theirs = verified(units, codec), validator.validate(units, codec, ROOT)
            said = ", ".join(sorted({each.fault.value for each in ours.findings})) or f"{ours.unsigned} slices unsigned"
            yield codec.value, name, said, words(theirs)


def flips(validator: OnvifValidator, codec: VideoCodec, *, messages: bool) -> tuple[int, int, int, int]:
    """Single bits changed in slices, or in messages: how many, how many ours and theirs noticed, and how often its
    process crashed."""
    film, chance = signed_film(codec), random.Random(1)
    places = messages_that_count(film.units, codec)
    if not messages:
        places = [at for at, unit in enumerate(film.units) if is_slice(unit, codec)]
    ours = theirs = crashes = 0
    for at in chance.choices(places, k=FLIPS):
        units, changed = list(film.units), bytearray(film.units[at])
        bit = chance.randrange(8 * (len(changed) - (4 if messages else 0)))
        changed[bit // 8] ^= 1 << bit % 8
        units[at] = bytes(changed)
        ours += not verified(units, codec).is_whole
        result = validator.validate(units, codec, ROOT)
        theirs += not result.is_ok
        crashes += result == CRASHED
    return FLIPS, ours, theirs, crashes


def main(arguments: Sequence[str]) -> int:
    (source,) = map(Path, arguments)
    commit = subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        validator = OnvifValidator(build(source, Path(folder) / "validator.so"))
        result: dict[str, Any] = {
            "validator": f"onvif/media-signing-framework {validator.version}",
            "commit": commit.stdout.strip(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "films_sha256": films_sha256(),
            "films": list(films(validator)),
            "changes": list(changes(validator)),
            "flips": {
                f"{codec.value}, {'messages' if messages else 'slices'}": flips(validator, codec, messages=messages)
                for codec in VideoCodec
                for messages in (False, True)
            },
        }
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (HERE / "ONVIF.md").write_text("\n".join(lines(result)) + "\n", encoding="utf-8")
    return 0


def lines(result: dict[str, Any]) -> Iterator[str]:
    """ONVIF.md."""
    yield from (
        "# Our films in ONVIF's own implementation of Media Signing",
        "",
        f"{result['validator']}, commit `{result['commit']}`, {result['date']},",
        "over the films in `tests/vectors/capture`. To repeat it, with a checkout of that repository beside this one:",
        "",
        "```sh",
        "python -m tests.interop.onvif ../media-signing-framework",
        "```",
        "",
        "The command builds its library from its source and calls it as it is. Its example program splits a file",
        "by GStreamer. Built with `-O0` and run once on 2026-11-28 with GStreamer 1.26.2, it found the exported",
        "films and the segments without B-frames valid (H.264 and H.265, each picture). It calls those with",
        "B-frames invalid: it reports one picture less than they have in H.264, and finds no key in a segment of",
        "H.265. The cause is not examined. With `-O2` the program finds no key in any film, its own examples",
        "included.",
        "",
        "| film | it says |",
        "|---|---|",
    )
    yield from (f"| {film} | `{said}` |" for film, said in result["films"])
    yield from (
        "",
        "Each manipulation, in the check of `agent/media/capture_signature.py` and in ONVIF's:",
        "",
        "| codec | manipulation | ours | ONVIF's |",
        "|---|---|---|---|",
    )
    yield from (f"| {codec} | {change} | `{ours}` | `{theirs}` |" for codec, change, ours, theirs in result["changes"])
    yield from (
        "",
        "Single bits, drawn at random:",
        "",
        "| changed in | bits | noticed by ours | by ONVIF's | its process crashed |",
        "|---|---:|---:|---:|---:|",
    )
    yield from (f"| {name} | {' | '.join(map(str, row))} |" for name, row in result["flips"].items())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
