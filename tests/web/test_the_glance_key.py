"""The glance key of a browser, run in node: it opens the picture of an alert while this is news, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.test_the_program import node

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def found() -> Any:
    return node("glance.mjs")


def test_the_picture_of_an_alert_is_shown_for_ten_minutes_also_if_the_clock_was_set_back(found: Any) -> None:
    """A phone with a clock that was ahead, and was then set right, showed the last visitor until that time came."""
    minutes = {each: found[each] for each in ("-1000", "-10.01", "-10", "-1", "0", "10", "10.01", "1000")}
    assert minutes == {
        "-1000": None, "-10.01": None, "-10": "a visitor", "-1": "a visitor",
        "0": "a visitor", "10": "a visitor", "10.01": None, "1000": None,
    }  # fmt: skip
    assert found["none"] is None


def test_a_picture_for_another_key_and_what_is_none_are_left_out(found: Any) -> None:
    assert found["opened"] == [True] + [False] * 7
