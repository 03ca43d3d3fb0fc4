"""The report names exactly the shared items in words, the most first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.requester.checks import Check, CheckKind, CheckOutcome, Grade
from agent.clients.requester.grades import ClipExistence, DisclosureGrades, grades_of
from agent.clients.requester.verification import Verification
from agent.wire.disclosures import PartKind

CLIP = ClipExistence(0, 1, 2, 0)


@pytest.mark.parametrize(
    ("grades", "lines"),
    [
        (DisclosureGrades(0, 0, 0, ()), ()),
        (DisclosureGrades(1, 1, 0, ()), ("1 segment of video in 1 clip",)),
        (
            DisclosureGrades(3, 2, 1, (CLIP,), unopened=1, sounds=1),
            (
                "3 segments of video in 2 clips",
                "the sound of 1 segment",
                "1 poster: a still picture of a clip, without its video",
                "1 file that cannot be opened",
                "that 1 clip exists, and when",
            ),
        ),
        (
            DisclosureGrades(0, 0, 2, (CLIP, CLIP), unopened=2, sounds=2),
            (
                "the sound of 2 segments",
                "2 posters: a still picture of a clip, without its video",
                "2 files that cannot be opened",
                "that 2 clips exist, and when",
            ),
        ),
    ],
)
def test_each_grade_has_its_line(grades: DisclosureGrades, lines: tuple[str, ...]) -> None:
    assert grades.lines == lines


def test_a_picture_shows_something_and_the_word_that_there_is_footage_does_not() -> None:
    assert DisclosureGrades(1, 1, 0, ()).shows_anything
    assert DisclosureGrades(0, 0, 1, ()).shows_anything
    assert not DisclosureGrades(0, 0, 0, (CLIP,), unopened=1, sounds=1).shows_anything


def test_a_verification_that_failed_has_no_grades() -> None:
    failed = Verification("d" * 32, (Check(CheckKind.ARRIVED, CheckOutcome.FAILED, "no"),))
    assert grades_of(failed) == DisclosureGrades(0, 0, 0, ())
    assert failed.failed is failed.checks[0]
    assert not failed.ok


def named(*shared: int) -> tuple[ClipExistence, ...]:
    """Clips of two segments that the owner named, of which these many came."""
    return tuple(ClipExistence(0, 1, 2, came) for came in shared)


@pytest.mark.parametrize(
    ("grades", "grade"),
    [
        (DisclosureGrades(4, 2, 0, named(2, 2)), Grade.ALL),
        (DisclosureGrades(3, 2, 2, named(2, 1)), Grade.SEGMENTS),
        (DisclosureGrades(4, 2, 0, named(2, 2), unopened=1), Grade.SEGMENTS),
        (DisclosureGrades(4, 2, 0, ()), Grade.SEGMENTS),
        (DisclosureGrades(0, 0, 1, named(0)), Grade.POSTER),
        (DisclosureGrades(0, 0, 0, named(0), sounds=1), Grade.EXISTENCE),
    ],
)
def test_all_was_shared_only_if_each_clip_that_the_owner_named_came_whole(
    grades: DisclosureGrades, grade: Grade
) -> None:
    assert grades.grade is grade


def test_a_segment_counts_for_the_clip_that_it_lies_in_and_clips_come_in_their_order() -> None:
    def item(kind: PartKind, start_ms: int, end_ms: int, event: str) -> Any:
        span = SimpleNamespace(start_ms=start_ms, end_ms=end_ms)
        return SimpleNamespace(
            item=SimpleNamespace(part=SimpleNamespace(kind=kind), record=SimpleNamespace(span=span, event=event))
        )

    segments = [
        item(PartKind.SEGMENT, *each) for each in ((100, 200, "a"), (200, 300, "a"), (99, 150, "b"), (250, 301, "c"))
    ]
    poster, sound = item(PartKind.POSTER, 400, 500, "a"), item(PartKind.SOUND, 400, 500, "a")
    clips = (SimpleNamespace(from_ms=400, to_ms=500, segments=3), SimpleNamespace(from_ms=100, to_ms=300, segments=2))
    verification: Any = SimpleNamespace(
        disclosed=SimpleNamespace(approval=SimpleNamespace(clips=clips)),
        items=[*segments, poster, sound], segments=segments, posters=[poster], sounds=[sound], unopened=[],
    )  # fmt: skip
    found = grades_of(verification)
    assert found == DisclosureGrades(
        4, 3, 1, (ClipExistence(100, 300, 2, 2), ClipExistence(400, 500, 3, 0)), unopened=0, sounds=1
    )
