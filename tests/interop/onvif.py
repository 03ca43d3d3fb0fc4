"""`python -m tests.interop.onvif FOLDER` shows our films to ONVIF's own implementation. Writes ONVIF.md and onvif.json.

FOLDER is a checkout of github.com/onvif/media-signing-framework, beside this repository. It needs a C compiler and the
headers of OpenSSL 3 (libssl-dev), and takes about a minute. `python -m tests.interop.onvif FOLDER PROGRAM` also runs
its example program, which its README builds with GStreamer's headers. Without PROGRAM, the last results of it stay.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import random
import re
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
from tests import signing_camera
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


def camera_films_sha256() -> str:
    """The hash over the films of a camera that signs its stream (tests/signing_camera.py)."""
    return hashlib.sha256(b"".join(signing_camera.recorded_segments())).hexdigest()


def units_of_file(path: Path) -> Iterator[bytes]:
    """Each NAL unit of an MP4 as a player gets it."""
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            data, at = bytes(packet), 0
            while at < len(data):
                size = int.from_bytes(data[at : at + 4])
                yield data[at + 4 : at + 4 + size]
                at += 4 + size


def copy_as_matroska(film: Path, out: Path) -> None:
    """The same pictures in another container, not encoded again. It has no edit list."""
    with av.open(str(film)) as source, av.open(str(out), "w", format="matroska") as made:
        stream = source.streams.video[0]
        copied = made.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                made.mux(packet)


def program_says(program: Path, film: Path, codec: VideoCodec) -> str:
    """The words of the example program about a film in a file."""
    root = film.with_name("root.pem")
    root.write_bytes(ROOT)
    name = "h265" if codec is VideoCodec.HEVC else "h264"
    subprocess.run([program, "-c", name, "-C", root, film], cwd=film.parent, check=True, capture_output=True)
    text = (film.parent / "validation_results.txt").read_text(encoding="utf-8")
    counts = [re.findall(rf"Number of {word} frames *: (\d+)", text)[0] for word in ("validated", "received")]
    key, video = re.findall(r"^(PUBLIC KEY .*|VIDEO IS .*|NO COMPLETE .*)!$", text, re.MULTILINE)[:2]
    return f"{key}; {video}; {counts[0]} of {counts[1]} pictures".lower()


def films_of_program(program: Path) -> Iterator[tuple[str, str]]:
    """Each film as a segment and as it is exported, and each of these copied to Matroska."""
    with tempfile.TemporaryDirectory() as folder:
        file, copy = Path(folder) / "film.mp4", Path(folder) / "film.mkv"
        for codec in VideoCodec:
            for b_frames in (0, 2):
                segments = signed_film(codec, b_frames=b_frames).segments
                for name in ("segment 1 alone", "exported as one MP4"):
                    if name == "segment 1 alone":
                        file.write_bytes(segments[0])
                    else:
                        file.unlink()
                        join_mp4(segments, file)
                    copy_as_matroska(file, copy)
                    for path, kind in ((file, "MP4"), (copy, "Matroska copy")):
                        said = program_says(program, path, codec)
                        yield f"{codec.value}, {b_frames} B-frames: {name}, {kind}", said


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


def camera_films(validator: OnvifValidator) -> Iterator[tuple[str, str]]:
    """A stream that its camera signed, recorded from its third GOP on: by the root of its maker, and by ours."""
    segments = signing_camera.recorded_segments()
    codec, root = VideoCodec.H264, signing_camera.ROOT
    row = [unit for each in segments for unit in film_units(each)]
    yield "h264, signed by its camera: two segments in a row", words(validator.validate(row, codec, root))
    for number, segment in enumerate(segments, 1):
        said = words(validator.validate(film_units(segment), codec, root))
        yield f"h264, signed by its camera: segment {number} alone", said
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "film.mp4"
        join_mp4(segments, out)
        said = words(validator.validate(units_of_file(out), codec, root))
        yield "h264, signed by its camera: exported as one MP4", said
    yield "h264, signed by its camera: the doorbell's root", words(validator.validate(row, codec, ROOT))


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
    source, *programs = map(Path, arguments)
    before = json.loads(RESULT.read_text(encoding="utf-8"))["program"] if not programs else []
    commit = subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        validator = OnvifValidator(build(source, Path(folder) / "validator.so"))
        result: dict[str, Any] = {
            "validator": f"onvif/media-signing-framework {validator.version}",
            "commit": commit.stdout.strip(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "films_sha256": films_sha256(),
            "camera_films_sha256": camera_films_sha256(),
            "films": list(films(validator)),
            "camera_films": list(camera_films(validator)),
            "program": list(films_of_program(programs[0].resolve())) if programs else before,
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
        "The command builds its library from its source and calls it as it is. A camera that signs its stream sends",
        "the message of a GOP in front of the next keyframe, so the last GOP of its films stays open.",
        "",
        "| film | it says |",
        "|---|---|",
    )
    yield from (f"| {film} | `{said}` |" for film, said in [*result["films"], *result["camera_films"]])
    yield from (
        "",
        "Its example program splits a file by GStreamer (1.26.2, 2026-11-30, built with",
        "`-O2 -fno-strict-aliasing`; without the second option it finds no key in any film, its own examples",
        "included). It says of an MP4 with B-frames that it is invalid, or finds no key. The film is right: a copy",
        "of the same pictures to Matroska is valid, each picture. An MP4 with B-frames begins with an edit list,",
        "because its first picture is shown later than it is decoded. GStreamer's demuxer then begins the film at",
        "that time, its parser gives the units of the first picture the earlier time of decoding, and the sink of",
        "the program drops them (`GST_DEBUG=basesink:6`: *dropping buffer, out of clipping segment*). The",
        "certificate and the first slice are among them. Every MP4 with B-frames and an edit list, also of other",
        "makers, is dropped in this way. With the box `edts` of a segment renamed, the program finds it valid.",
        "",
        "| film | its example program says |",
        "|---|---|",
    )
    yield from (f"| {film} | `{said}` |" for film, said in result["program"])
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
