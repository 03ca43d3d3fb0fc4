"""One answer for a viewer: verified first, film by film, and gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clients.media.join import probe
from agent.clients.requester.checks import Grade
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.opened_answer import opened_answer
from agent.core.timebase import ClockQuality
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.wire.disclosures import PartKind
from tests.clients.requester.house import House
from tests.clients.requester.test_verification import lay_down
from tests.damage import with_another_end


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
