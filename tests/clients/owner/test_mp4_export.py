"""Clips as files, step by step: names, notes and order, with media that this test makes up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.owner import mp4_export
from agent.clients.owner.mp4_export import ClipFiles, ExportedClip, clips_of, export_clip, export_review, stem_of
from agent.clients.owner.segment_sources import ListedSegment
from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import ClockQuality
from agent.errors import FormatError, OpenError

START_MS = 1_700_000_000_000
STEM = "2023-11-14T22-13-20Z-eventone"


class Media:
    """In place of the process with limits: a video is its films and sounds in one line."""

    def __init__(self) -> None:
        self.refused: set[bytes] = set()
        self.apart = False
        """Several films do not go into one file."""
        self.stills: list[bytes] = []
        self.has_still = True

    def join(self, films: Sequence[Path], out: Path, sounds: Sequence[Path | None]) -> float:
        assert out.is_absolute()
        assert out.parent.stat().st_mode & 0o777 == 0o700, "nobody else may read it while it is made"
        assert {path.parent for path in films} == {out.parent}
        assert all(path.parent.name.startswith(".opening-") for path in films), (
            "and are not shown as files of its owner"
        )
        found = [path.read_bytes() for path in films]
        if self.apart and len(found) > 1:
            raise FormatError("The pictures differ.", remedy="Nothing to do.")
        if self.refused & set(found):
            raise FormatError("This is no video.", remedy="Nothing to do.")
        heard = [path.read_bytes() if path is not None else b"-" for path in sounds]
        out.write_bytes(b" ".join([*found, b"with", *heard]))
        return 2.0 * len(found)

    def still(self, film: Path) -> bytes:
        self.stills.append(film.read_bytes())
        if not self.has_still:
            raise FormatError("There is no picture.")
        return b"a picture of " + film.read_bytes()


def listed(number: int, *, poster: bool = False, sound: bool = True, event: str = "eventone-1") -> ListedSegment:
    start_ms = START_MS + number * 2000
    return ListedSegment(
        f"segment{number}", event, number, start_ms, start_ms + 2000, ClockQuality.SYNCED, 10, poster, True, sound
    )


class Source:
    """Segments with their names as bytes. `broken`: those that fail to open."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.cut: set[str] = set()
        self.asked: list[str] = []

    def _get(self, what: str) -> bytes:
        self.asked.append(what)
        if what in self.broken:
            raise OpenError(f"{what} does not open.", remedy="Look at it.")
        return what.encode()

    def open(self, segment: str, identities: Sequence[object]) -> Any:
        assert identities == ["identity"]
        media = self._get(segment)
        return SimpleNamespace(media=media, whole=segment not in self.cut, verified_bytes=77, context=None)

    def sound(self, segment: str, identities: Sequence[object]) -> bytes:
        assert identities == ["identity"]
        return self._get(f"sound-of-{segment}")

    def poster(self, segment: str, identities: Sequence[object]) -> Any:
        assert identities == ["identity"]
        return SimpleNamespace(image=self._get(f"poster-of-{segment}"))


class Export:
    """An export of `clip` into a folder that does not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.source, self.media = Source(), Media()
        self.opened = 0

    def _count(self) -> None:
        self.opened += 1

    def clip(self, *clip: ListedSegment, sound: bool = True) -> ExportedClip:
        source: Any = self.source
        identities: Any = ["identity"]
        media: Any = self.media
        return export_clip(source, identities, clip, self.out, self._count, sound=sound, media=media)

    def files(self) -> dict[str, bytes]:
        if not self.out.exists():
            return {}
        assert {path.stat().st_mode & 0o777 for path in self.out.iterdir()} <= {0o600}
        return {path.name: path.read_bytes() for path in sorted(self.out.iterdir())}


@pytest.fixture
def export(tmp_path: Path) -> Export:
    return Export(tmp_path)


def test_a_clip_is_a_film_with_its_sound_and_its_poster(export: Export) -> None:
    done = export.clip(listed(0), listed(1, poster=True), listed(2, poster=True, sound=False))
    assert export.files() == {
        f"{STEM}.jpg": b"poster-of-segment1",
        f"{STEM}.mp4": b"segment0 segment1 segment2 with sound-of-segment0 sound-of-segment1 -",
    }
    assert (done.event, done.start_ms, done.seconds, done.notes) == ("eventone-1", START_MS, 6.0, ())
    assert (done.video, done.still) == (export.out / f"{STEM}.mp4", export.out / f"{STEM}.jpg")
    assert [each.media for each in done.segments] == [b"segment0", b"segment1", b"segment2"]
    assert export.opened == 3
    assert export.media.stills == []
    assert export.out.stat().st_mode & 0o777 == 0o700


def test_a_film_is_made_where_only_its_owner_reads_also_in_a_folder_for_all(export: Export) -> None:
    export.out.mkdir(mode=0o755)
    export.clip(listed(0))
    assert list(export.files()) == [f"{STEM}.jpg", f"{STEM}.mp4"]
    assert export.out.stat().st_mode & 0o777 == 0o755


def test_a_clip_without_sound_fetches_none(export: Export) -> None:
    export.clip(listed(0), listed(1), sound=False)
    assert export.source.asked == ["segment0", "segment1"]
    assert export.files()[f"{STEM}.mp4"] == b"segment0 segment1 with - -"


def test_each_loss_has_its_note_and_costs_nothing_else(export: Export) -> None:
    export.source.broken = {"segment0", "sound-of-segment1", "poster-of-segment0"}
    export.source.cut = {"segment2"}
    done = export.clip(listed(0, poster=True), listed(1), listed(2, poster=True))
    assert done.notes == (
        "segment segment0 is left out: segment0 does not open. Look at it.",
        "the sound of segment segment1 is left out: sound-of-segment1 does not open. Look at it.",
        "segment segment2 has no end: verified to byte 77",
        "the poster is left out: poster-of-segment0 does not open. Look at it.",
    )
    assert export.files() == {
        f"{STEM}.jpg": b"a picture of segment1",
        f"{STEM}.mp4": b"segment1 segment2 with - sound-of-segment2",
    }
    assert export.opened == 3


def test_of_a_clip_that_does_not_open_nothing_is_made(export: Export) -> None:
    export.source.broken = {"segment0"}
    done = export.clip(listed(0, poster=True))
    assert done == ExportedClip(
        "eventone-1",
        START_MS,
        None,
        None,
        0.0,
        (),
        ("segment segment0 is left out: segment0 does not open. Look at it.",),
    )
    assert (export.files(), export.out.exists(), export.opened) == ({}, False, 1)


def test_a_film_without_a_picture_has_no_still(export: Export) -> None:
    export.media.has_still = False
    done = export.clip(listed(0))
    assert done.still is None
    assert list(export.files()) == [f"{STEM}.mp4"]


def test_segments_that_do_not_fit_together_are_numbered_parts_and_the_first_is_the_clips_video(export: Export) -> None:
    export.media.apart, export.media.refused = True, {b"segment0"}
    done = export.clip(listed(0), listed(1, sound=False), listed(2))
    assert done.notes == ("written segment by segment: The pictures differ.", "part 1 is left out: This is no video.")
    assert export.files() == {
        f"{STEM}-002.mp4": b"segment1 with -",
        f"{STEM}-003.mp4": b"segment2 with sound-of-segment2",
        f"{STEM}.jpg": b"a picture of segment0",
    }
    assert (done.video, done.seconds) == (export.out / f"{STEM}-002.mp4", 4.0)


def test_clips_are_grouped_by_event_in_the_order_of_their_first_segments() -> None:
    one, two, three = listed(0), listed(1, event="another"), listed(2)
    assert clips_of([one, two, three]) == ((one, three), (two,))
    assert stem_of([two, one]) == "2023-11-14T22-13-22Z-another"


class Review:
    """A review of which each file is its name."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.seen: dict[str, object] = {}

    def open(self, segment: str) -> Any:
        opened = self._source.open(segment, ["identity"])
        if segment in self.seen:
            opened.context = SimpleNamespace(seen=self.seen[segment])
        return opened

    def sound(self, segment: str) -> bytes:
        return self._source.sound(segment, ["identity"])

    def poster(self, clip: Any) -> bytes | None:
        if "poster" in self._source.broken:
            raise FormatError("The poster is damaged.", remedy="Look at it.")
        return b"poster" if clip.has_poster else None


def reviewed(export: Export, *, poster: bool = True, seen: dict[str, object] | None = None) -> ClipFiles:
    review: Any = Review(export.source)
    review.seen = seen or {}
    segments = tuple(SimpleNamespace(id=f"segment{number}", number=number + 4) for number in range(3))
    clip: Any = SimpleNamespace(number=2, segments=segments, has_poster=poster)
    media: Any = export.media
    done = export_review(review, clip, export.out, export._count, media=media)
    assert done.clip is clip
    return done


def test_a_clip_of_a_review_is_a_film_a_still_and_each_segment_by_its_number(export: Export) -> None:
    person = (ObjectLabel.PERSON,)
    done = reviewed(export, seen={"segment0": person, "segment1": None, "segment2": ()})
    assert export.files() == {
        "clip-2.jpg": b"poster",
        "clip-2.mp4": b"segment0 segment1 segment2 with sound-of-segment0 sound-of-segment1 sound-of-segment2",
        "segment-004.mp4": b"segment0 with sound-of-segment0",
        "segment-005.mp4": b"segment1 with sound-of-segment1",
        "segment-006.mp4": b"segment2 with sound-of-segment2",
    }
    assert done.segments == {number: export.out / f"segment-00{number}.mp4" for number in (4, 5, 6)}
    assert (done.video, done.still) == (export.out / "clip-2.mp4", export.out / "clip-2.jpg")
    assert (done.notes, done.seen, export.opened) == ((), {4: person, 6: ()}, 3)


def test_of_a_clip_of_a_review_each_loss_has_its_note(export: Export) -> None:
    export.source.broken = {"sound-of-segment2", "poster"}
    export.media.refused = {b"segment0"}
    done = reviewed(export)
    assert done.notes == (
        "segment 4 is left out: This is no video. Nothing to do.",
        "the sound of segment 6 is left out: sound-of-segment2 does not open. Look at it.",
        "the poster is left out: The poster is damaged. Look at it.",
    )
    assert list(done.segments) == [5, 6]
    assert export.files()["clip-2.jpg"] == b"a picture of segment1"
    assert export.opened == 3


def test_a_clip_of_a_review_in_parts_has_its_still_beside_the_first_part(export: Export) -> None:
    export.media.apart = True
    done = reviewed(export, poster=False)
    assert (done.video, done.still) == (export.out / "clip-2-001.mp4", export.out / "clip-2-001.jpg")
    assert done.notes == ("written segment by segment: The pictures differ.",)


def test_a_clip_of_a_review_that_does_not_open_has_no_files(export: Export) -> None:
    export.media.refused = {b"segment0", b"segment1", b"segment2"}
    done = reviewed(export)
    assert (done.video, done.still, done.segments, done.seen, export.files()) == (None, None, {}, {}, {})
    assert len(done.notes) == 3


def test_without_a_process_for_films_one_is_started_and_ended_for_the_clip(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    @contextmanager
    def process() -> Iterator[Media]:
        steps.append("begins")
        yield export.media
        steps.append("ends")

    monkeypatch.setattr(mp4_export, "ConfinedMedia", process)
    source: Any = export.source
    identities: Any = ["identity"]
    assert export_clip(source, identities, [listed(0)], export.out).seconds == 2.0
    assert steps == ["begins", "ends"]
    export.clip(listed(0))
    assert steps == ["begins", "ends"], "a process that was given is used and left open"
