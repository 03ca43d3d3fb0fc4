"""A stranger's media is opened by the formats that doorbells write, in a separate process, and with limits."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.media.confined import ConfinedMedia
from agent.core.media import Gop, StreamDescription
from agent.errors import FormatError, StorageError
from agent.media import playable
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.playable import check_film, check_sound, check_still
from agent.media.poster import poster, poster_of_media
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from tests.cameras import gops_of, play
from tests.hostile import HOSTILE_FILMS, HOSTILE_SOUNDS, HOSTILE_STILLS, picture_bomb
from tests.kept_decoder import fresh_decoders
from tests.sounds import track


@pytest.fixture(scope="module", autouse=True)
def own_process() -> Iterator[None]:
    with fresh_decoders():
        yield


@pytest.fixture(scope="module")
def gops() -> list[Gop]:
    return gops_of(play(ScriptedCamera([Visit(0.5)], duration_s=3, size_px=(320, 180)))[1])


@pytest.fixture(scope="module")
def film(gops: list[Gop]) -> bytes:
    writer = FragmentedMp4Writer(StreamDescription(320, 180, 10, 320, 176, False))
    return writer.begin(gops[0]) + b"".join(map(writer.add, gops[1:]))


@pytest.fixture(scope="module")
def media() -> Iterator[ConfinedMedia]:
    with ConfinedMedia() as made:
        yield made


def test_what_a_doorbell_records_opens(film: bytes, gops: list[Gop]) -> None:
    check_film(film)
    check_sound(track(2))
    check_still(poster(gops[:1]))


@pytest.mark.parametrize("name", HOSTILE_FILMS)
def test_a_film_that_is_none_does_not_open(film: bytes, name: str) -> None:
    with pytest.raises(FormatError):
        check_film(HOSTILE_FILMS[name](film))


@pytest.mark.parametrize("name", HOSTILE_SOUNDS)
def test_a_sound_that_is_none_does_not_open(film: bytes, name: str) -> None:
    with pytest.raises(FormatError):
        check_sound(HOSTILE_SOUNDS[name](film))


@pytest.mark.parametrize("name", HOSTILE_STILLS)
def test_a_still_that_is_none_does_not_open(name: str) -> None:
    with pytest.raises(FormatError):
        check_still(HOSTILE_STILLS[name])


def test_more_pixels_than_any_camera_has_are_not_decoded(
    film: bytes, gops: list[Gop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playable, "_MOST_PIXELS", 320 * 180 - 1)
    with pytest.raises(FormatError, match="320 by 180"):
        check_film(film)
    with pytest.raises(FormatError):
        check_still(poster(gops[:1]))


def test_no_decoder_sees_a_picture_that_claims_to_be_a_film() -> None:
    with pytest.raises(FormatError, match="No picture of this footage decodes"):
        poster_of_media(picture_bomb(64))


def test_in_a_process_of_its_own_the_same_opens_and_the_same_does_not(
    media: ConfinedMedia, film: bytes, gops: list[Gop]
) -> None:
    for content, good in (("segment", film), ("sound", track(2)), ("poster", poster(gops[:1]))):
        media.check(content, good)
        with pytest.raises(FormatError):
            media.check(content, b"garbage")
        media.check(content, good)


def test_films_are_joined_and_looked_at_there(media: ConfinedMedia, film: bytes, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(film)
    (tmp_path / "sound").write_bytes(track(3))
    seconds = media.join([tmp_path / "film"] * 2, tmp_path / "out.mp4", [tmp_path / "sound", None])
    assert seconds == pytest.approx(6, abs=0.2)
    assert (tmp_path / "out.mp4").stat().st_size > len(film)
    assert media.still(tmp_path / "film") == poster_of_media(film)
    (tmp_path / "film").write_bytes(b"garbage")
    with pytest.raises(FormatError, match="not a segment's video"):
        media.join([tmp_path / "film"], tmp_path / "out.mp4")
    with pytest.raises(FormatError):
        media.still(tmp_path / "film")


def test_a_disk_that_is_full_is_no_fault_of_the_film(media: ConfinedMedia, film: bytes, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(film)
    with pytest.raises(StorageError):
        media.join([tmp_path / "film"], tmp_path / "missing" / "out.mp4")


ECHO = """
import os, socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
link.sendall(b"+")
asked, handles, _, _ = socket.recv_fds(link, 1, 2)
data = os.pread(handles[1], 100, 0)
{reaction}
"""


@pytest.mark.parametrize(
    "reaction",
    [
        "os.abort()",
        "raise SystemExit(3)",
        "import time; time.sleep(600)",
        "link.sendall(b'?')",
        "os.pwrite(handles[0], b'[1,2' + bytes(9), 0); link.sendall(b'!')",
        "os.ftruncate(handles[0], 0); os.pwrite(handles[0], b'[]', 0); link.sendall(b'!')",
    ],
)
def test_a_process_that_dies_hangs_or_talks_nonsense_costs_the_one_thing_it_had(reaction: str) -> None:
    with ConfinedMedia([sys.executable, "-I", "-c", ECHO.format(reaction=reaction)], job_s=1) as broken:
        for _ in range(2):
            with pytest.raises(FormatError, match="failed, or took more time or memory"):
                broken.check("segment", b"a")


@pytest.mark.parametrize("script", ["raise SystemExit(1)", "import no_such_module"])
def test_a_process_that_does_not_start_is_no_fault_of_the_film(script: str) -> None:
    with ConfinedMedia([sys.executable, "-I", "-c", script]) as missing:
        for _ in range(2):
            with pytest.raises(StorageError, match="does not start"):
                missing.check("segment", b"a")


def test_the_process_has_limits_and_none_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORWARD_SECRET", "here")
    script = (
        "import json, os, resource, socket, sys\n"
        "from agent.clients.media.confined_worker import _allow, limit_process\n"
        "limit_process()\n"
        "link = socket.socket(fileno=int(sys.argv[1]))\n"
        "link.sendall(b'+')\n"
        "asked, handles, _, _ = socket.recv_fds(link, 1, 2)\n"
        "try: bytearray(2 << 30); said = 'took 2 GiB'\n"
        "except MemoryError: said = 'no memory'\n"
        "core, files = (resource.getrlimit(each)[1] for each in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE))\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "_allow(0, 0)\n"
        "cpu = resource.getrlimit(resource.RLIMIT_CPU)[0] - int(used.ru_utime + used.ru_stime)\n"
        "said = f'{said} {core} {files} {60 <= cpu <= 61}'\n"
        "answer = json.dumps({'reason': f\"{said} {os.environ.get('DOORWARD_SECRET')}\"}).encode()\n"
        "os.ftruncate(handles[0], 0); os.pwrite(handles[0], answer, 0); link.sendall(b'!')\n"
    )
    with (
        ConfinedMedia([sys.executable, "-I", "-c", script]) as asked,
        pytest.raises(FormatError, match="no memory 0 64 True None"),
    ):
        asked.check("segment", b"")


def test_a_bomb_of_a_picture_ends_no_other_file(media: ConfinedMedia, film: bytes) -> None:
    with pytest.raises(FormatError):
        media.check("segment", picture_bomb())
    media.check("segment", film)


def test_no_descriptor_is_left_open(film: bytes) -> None:
    gc.collect()  # what earlier tests dropped is closed now, and not while this one counts
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ConfinedMedia() as media:
        for _ in range(3):
            media.check("segment", film)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# -- rule by rule ------------------------------------------------------------------------------------------------------


def packet(size: int = 5, base: Fraction | None = Fraction(1, 1000), **ticks: int | None) -> Any:
    return SimpleNamespace(**{"size": size, "time_base": base, "pts": 0, "dts": 0, "duration": 0, **ticks})


@pytest.mark.parametrize("name", ["pts", "dts", "duration"])
def test_a_packet_lies_within_an_hour_and_a_minute_of_the_beginning(name: str) -> None:
    for ticks in (3_660_000, -3_660_000):
        playable._require_time(packet(**{name: ticks}))
    for ticks in (3_660_001, -3_660_001):
        with pytest.raises(FormatError, match="longer than a segment can"):
            playable._require_time(packet(**{name: ticks}))
        playable._require_time(packet(size=0, **{name: ticks}))
    playable._require_time(packet(base=None, **{name: 3660}))
    with pytest.raises(FormatError):
        playable._require_time(packet(base=None, **{name: 3661}))


def test_a_packet_with_data_has_a_time_of_presentation_and_may_lack_the_others() -> None:
    playable._require_time(packet(dts=None, duration=None))
    playable._require_time(packet(size=0, pts=None))
    with pytest.raises(FormatError, match="A packet has no time"):
        playable._require_time(packet(pts=None))


def container(**streams: Any) -> Any:
    return SimpleNamespace(streams=SimpleNamespace(**{"video": [], "audio": [], **streams}))


def stream(name: str | None = "h264", width: int = 8192, height: int = 4320, rate: int = 96_000) -> Any:
    context = None if name is None else SimpleNamespace(name=name, options={}, sample_rate=rate)
    return SimpleNamespace(codec_context=context, width=width, height=height)


def test_the_first_track_of_a_format_that_doorbells_record_is_taken_up_to_its_limits() -> None:
    for name in ("h264", "hevc"):
        first = stream(name)
        assert playable.pictures_of(container(video=[first, stream()])) is first
        assert first.codec_context.options == {"max_pixels": str(8192 * 4320)}
    for other in ([], [stream("gif")], [stream(None)], [stream("gif"), stream()]):
        with pytest.raises(FormatError, match="not a segment's video"):
            playable.pictures_of(container(video=other))
    for width, height in ((8193, 4320), (0, 4320), (8192, 0), (-1, 1)):
        with pytest.raises(FormatError) as refused:
            playable.pictures_of(container(video=[stream(width=width, height=height)]))
        assert str(refused.value) == f"Its pictures claim to be {width} by {height} pixels."
    heard = stream("aac")
    assert playable.sound_of(container(audio=[heard, stream("mp3")])) is heard
    for other in ([], [stream("mp3")], [stream(None)]):
        with pytest.raises(FormatError, match="not a segment's sound"):
            playable.sound_of(container(audio=other))
    for rate in (0, 96_001):
        with pytest.raises(FormatError, match="invalid sample rate"):
            playable.sound_of(container(audio=[stream("aac", rate=rate)]))
