"""A browser's memory of a doorbell, changed by several tabs, in node (rules as `KnownDevices.remember`)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.test_the_program import node

pytestmark = pytest.mark.interop


def test_what_a_browser_has_seen_of_a_doorbell_never_becomes_older_and_no_tab_undoes_the_change_of_another() -> None:
    answer: Any = node("known.mjs")
    grown, overtaken, older, newer, other_root_file, next_root_file, together = answer["found"]
    assert (grown["enrolments"], grown["checkpoint"].split("\n")[1]) == (["one", "two"], "10")
    assert overtaken == grown, "a slower tab saw less"
    assert {root: _order(seen) for root, seen in older["bundles"].items()} == {"a": (2, 10, 5), "b": (0, 1, 0)}
    assert [_order(each["bundles"]["a"]) for each in (newer, other_root_file, next_root_file)] == [
        (2, 10, 6),
        (2, 10, 6),
        (3, 1, 1),
    ]
    assert set(together["roots"]) == {"b", "c"}
    assert (together["enrolments"], together["checkpoint"].split("\n")[1]) == (["one", "two", "three"], "12")
    assert {root: _order(seen) for root, seen in together["bundles"].items()} == {"a": (3, 1, 1), "b": (0, 2, 0)}
    assert answer["forgotten"] is None, "a doorbell that another tab forgot stays forgotten"


def _order(seen: dict[str, Any]) -> tuple[int, int, int]:
    return seen["root_version"], seen["version"], seen["timestamp"]
