"""The report names exactly the shared items in words, the most first."""

from __future__ import annotations

import pytest

from agent.clients.requester.checks import Check, CheckKind, CheckOutcome
from agent.clients.requester.grades import ClipExistence, DisclosureGrades, grades_of
from agent.clients.requester.verification import Verification

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
