"""Own replies, run in node: sealed in the browser, with bounds, and read back as they were."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.test_the_program import node

pytestmark = pytest.mark.interop


def test_own_replies_are_kept_sealed_within_bounds_and_come_back_as_they_were() -> None:
    found: Any = node("own_replies.mjs")
    assert (found["none"], found["names"]) == ([], ["Leave it here", "Back soon"])
    assert (found["count"], found["same"]) == (4, True), "a second one of this name replaces the first"
    assert (found["isSealed"], found["extractable"]) == (True, False)
    assert found["longest"] is None
    assert found["refused"] == {
        "long": "talk.own.long",
        "silent": "talk.own.silent",
        "nameless": "talk.own.name-needed",
        "name": "talk.own.name-needed",
        "missing": "error.format",
    }
    assert found["swapped"] == "error.format", "a sound under another one's name is refused"
    assert (found["full"], found["most"], found["afterwards"]) == ("talk.own.full", 8, None)
    assert set(found["malformed"]) == {"error.format"}
