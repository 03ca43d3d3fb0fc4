"""One answer for a viewer: verified first, film by film, and gone afterwards."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.clients.media.join import probe
from agent.clients.requester.checks import Grade
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.opened_answer import opened_answer
from agent.core.media import Gop
from agent.core.timebase import ClockQuality
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.wire.disclosures import PartKind
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, filmed
from tests.clients.requester.house import Changes, House, Stored
from tests.clients.requester.test_verification import lay_down
from tests.damage import with_another_end
from tests.sounds import heard_from_s, track


def test_a_viewer_gets_films_segments_and_stills_and_nothing_is_left(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    before = sorted(path for path in requester.folder.rglob("*"))
    (private := tmp_path / "private").mkdir()
    with opened_answer(requester, disclosure.id, private) as answer:
        first, second = answer.clips
        film = answer.film(first)
        assert answer.film(first) is film
        assert probe(film.path).seconds == pytest.approx(film.seconds)
        assert film.path.is_relative_to(private)
        assert (len(first.segments), len(second.segments)) == (2, 1)
        assert probe(answer.segment(second.segments[0])).seconds > 0
        assert answer.still(first).startswith(b"\xff\xd8")
        assert answer.still(second).startswith(b"\xff\xd8")
        assert answer.span_ms == (first.start_ms, second.end_ms)
        assert (answer.grade, first.quality, first.gaps_ms) == (Grade.SEGMENTS, ClockQuality.SYNCED, ())
    assert list(private.iterdir()) == []
    assert sorted(path for path in requester.folder.rglob("*")) == before, "no report, no bundle"


def test_by_default_the_media_stays_in_memory(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    with opened_answer(requester, disclosure.id) as answer:
        path = answer.film(answer.clips[0]).path
        assert path.is_relative_to("/dev/shm")
        assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()


def test_an_answer_that_fails_a_check_shows_no_picture_and_names_the_check(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    last = AnswerFolder(requester.folder, disclosure.id).path / f"{len(disclosure.parts) - 1}.age"
    last.write_bytes(with_another_end(last.read_bytes()))
    with opened_answer(requester, disclosure.id, tmp_path) as answer:
        assert (answer.clips, answer.grade, answer.span_ms) == ((), None, None)
        assert answer.verification.failed is not None


def test_a_clip_of_which_only_a_still_was_shared_has_no_film(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    disclosure = house.disclose(asked, [each for each in house.stored if each.kind is PartKind.POSTER])
    lay_down(requester, asked, disclosure)
    with opened_answer(requester, disclosure.id, tmp_path) as answer:
        assert answer.grade is Grade.POSTER
        with pytest.raises(FormatError, match="only a still"):
            answer.film(answer.clips[0])
        assert answer.still(answer.clips[0]).startswith(b"\xff\xd8")


def test_too_little_room_is_said_before_anything_is_opened(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    for private, remedy in ((None, "Name a private folder"), (tmp_path, "Free some space")):
        with (
            pytest.raises(StorageError, match="too little room") as raised,
            opened_answer(requester, disclosure.id, private),
        ):
            pass
        assert remedy in raised.value.remedy


def test_what_is_no_id_is_refused(requester: Requester) -> None:
    with pytest.raises(ConfigurationError, match="not the id"), opened_answer(requester, "../requests"):
        pass


# -- call by call ------------------------------------------------------------------------------------------------------


def films(house: House) -> list[Stored]:
    return [each for each in house.stored if each.kind is PartKind.SEGMENT]


def test_segments_and_stills_are_exactly_what_was_sealed(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    poster = next(each for each in house.stored if each.kind is PartKind.POSTER)
    disclosure = house.disclose(asked, [*films(house), poster])
    lay_down(requester, asked, disclosure)
    with opened_answer(requester, disclosure.id, tmp_path) as answer:
        segments = [segment for clip in answer.clips for segment in clip.segments]
        assert [answer.segment(each) for each in segments] == [each.content for each in films(house)]
        first, second = answer.clips
        assert answer.still(first) == poster.content
        assert answer.still(second).startswith(b"\xff\xd8")
        assert answer.still(second) != poster.content
        (folder,) = tmp_path.glob("doorward-*")
        assert {path.name for path in folder.iterdir()} == {f"{number}.part" for number in range(1, 5)}
        paths = [answer.film(clip).path for clip in answer.clips]
        assert paths == [folder / "clip-1.mp4", folder / "clip-2.mp4"]
    with pytest.raises(StorageError, match=re.escape(str(folder))):
        answer.segment(segments[0])
    with pytest.raises(StorageError, match=re.escape(str(folder))):
        answer.still(first)


def test_a_film_is_joined_with_the_sound_of_each_segment_that_has_one(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    house = House((NOW_S - 6000) * 1000)
    event = house.record(DESCRIPTION, gops[:2], poster=False)[0].record.record.event
    house.record(DESCRIPTION, gops[2:4], event=event, poster=False, sound=track(2, silent_s=0.5))
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    with opened_answer(requester, disclosure.id, tmp_path) as answer:
        (clip,) = answer.clips
        film = answer.film(clip)
        assert (film.seconds, probe(film.path).seconds) == (4.0, 4.0)
        (begins_s,) = heard_from_s(film.path)
        assert abs(begins_s - 2.5) < 0.01


def test_the_span_is_that_of_all_clips_whatever_their_order(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    house = House((NOW_S - 6000) * 1000)
    house.record(DESCRIPTION, gops[8:10], poster=False)
    house.start_ms -= 600_000  # the clock is set back
    house.record(DESCRIPTION, gops[0:2], poster=False)
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    with opened_answer(requester, disclosure.id, tmp_path) as answer:
        later, earlier = answer.clips
        assert later.start_ms > earlier.end_ms
        assert answer.span_ms == (earlier.start_ms, later.end_ms)


def test_a_film_that_does_not_open_is_not_written(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    broken = iter([False, True, False])
    house = filmed(gops, Changes(media=lambda film: b"\0\0\0\x08free" if next(broken) else film))
    disclosure = house.disclose(asked, films(house))
    lay_down(requester, asked, disclosure)
    with opened_answer(requester, disclosure.id, tmp_path) as answer:
        assert answer.verification.ok
        (folder,) = tmp_path.glob("doorward-*")
        assert {path.name for path in folder.iterdir()} == {"1.part", "3.part"}


def test_the_room_for_three_copies_is_asked_for_to_the_last_byte(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure = house.disclose(asked)
    size_bytes = lay_down(requester, asked, disclosure).parts_bytes()
    free_bytes = 3 * size_bytes
    asked_of: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked_of.append(path)
        return SimpleNamespace(free=free_bytes)

    monkeypatch.setattr("agent.clients.requester.opened_answer.shutil.disk_usage", usage)
    with opened_answer(requester, disclosure.id, tmp_path) as answer:
        assert answer.verification.ok
    free_bytes -= 1
    for private, room, remedy in (
        (tmp_path, tmp_path, "Free some space."),
        (None, Path("/dev/shm"), "Name a private folder on a disk with more room."),
    ):
        with pytest.raises(StorageError) as raised, opened_answer(requester, disclosure.id, private):
            pass
        assert raised.value.message == f"{room}: too little room to open {size_bytes} bytes."
        assert raised.value.remedy == remedy
    assert asked_of == [tmp_path, tmp_path, Path("/dev/shm")]


def test_a_clip_with_only_a_still_says_what_to_show_instead(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    disclosure = house.disclose(asked, [each for each in house.stored if each.kind is PartKind.POSTER])
    lay_down(requester, asked, disclosure)
    with opened_answer(requester, disclosure.id, tmp_path) as answer:
        with pytest.raises(FormatError) as raised:
            answer.film(answer.clips[0])
        assert raised.value.message == "Of this clip only a still was shared."
        assert raised.value.remedy == "Show the still."
        starts, ends = zip(*((clip.start_ms, clip.end_ms) for clip in answer.clips), strict=True)
        assert answer.span_ms == (min(starts), max(ends))


def test_a_private_folder_that_is_missing_is_named(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    with (
        pytest.raises(StorageError, match=re.escape(str(tmp_path / "nowhere"))),
        opened_answer(requester, disclosure.id, tmp_path / "nowhere"),
    ):
        pass
