"""Live view's rules on the page, run in node: where a viewer joins, what is shown, and how it catches up."""

from __future__ import annotations

import pytest

from tests.web.test_the_program import node

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    return node("live.mjs")


def test_a_viewer_who_joins_begins_at_the_last_keyframe(found: dict[str, object]) -> None:
    assert found["joins"] == [[3, 4], [0, 1], [0, 1], []]


def test_a_part_is_shown_if_everything_since_its_keyframe_has_come(found: dict[str, object]) -> None:
    assert found["inOrder"] == ["show"] * 4
    assert found["joinedLate"] == ["skip", "skip", "show", "show"]
    assert found["partLost"] == ["show", "skip", "skip", "show"]
    assert found["restarted"] == ["show", None, "skip", "show"]


def test_a_repeated_part_is_skipped_and_another_boot_begins_with_its_keyframe(found: dict[str, object]) -> None:
    assert found["repeated"] == ["show", "show", "skip", "skip", "show"]
    assert found["otherBoot"] == ["show", "skip", "show"]


def test_an_old_part_is_not_shown_as_live_if_the_doorbell_knows_the_time(found: dict[str, object]) -> None:
    assert found["old"] == ["old", "show"]
    assert found["doubtful"] == ["show"]


def test_a_picture_that_falls_behind_plays_faster_and_then_jumps(found: dict[str, object]) -> None:
    assert found["close"] == [9.7, 1]
    assert found["behind"] == [9.6, 1.1]
    assert found["lost"] == [9.825, 1.1]
    assert found["lostInShort"] == [10.825, 1.1]
    assert found["hole"] == [9.4, 1]
    assert found["nothing"] == [3, 1]
