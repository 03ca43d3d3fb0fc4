"""The shipped service worker, run in node: which alert replaces which, and an alert that comes late or again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.web.test_the_program import node

pytestmark = pytest.mark.interop

NOW_MS = int(datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def found() -> Any:
    return node("pushed.mjs")


def test_news_of_the_owners_stays_beside_what_comes_after_it(found: Any) -> None:
    """All alerts had one tag: a person who walked past took away that the owners had changed, and no ring was heard."""
    tags = {name: each["tag"] for name, each in found.items()}
    ring, moved = tags["a ring"], tags["movement"]
    changed, again, opened = (tags[name] for name in (
        "the owners changed", "the owners changed again", "the case was opened"))  # fmt: skip
    assert len({ring, moved, changed, opened, tags["several things"]}) == 5
    assert changed == again, "the same news, of a later time"
    assert found["a ring"]["renotify"] is True, "each ring is heard"
    assert all("renotify" not in each for name, each in found.items() if "ring" not in name)


def test_a_ring_that_is_delivered_late_or_again_is_not_shown_as_one_of_now(found: Any) -> None:
    """Push services keep an alert for a day. The visitor of last night was shown as one of the present minute."""
    ring = found["a ring"]
    assert (ring["page"], ring["answers"], ring["kept"], ring["timestamp"]) == (
        "/live", 2, NOW_MS - 60_000, NOW_MS - 60_000,
    )  # fmt: skip
    unknown = found["a ring without a time"]
    assert (unknown["page"], unknown["answers"], unknown["kept"], "timestamp" in unknown) == ("/live", 2, NOW_MS, False)
    for name, at_ms in (
        ("a ring of the night before", NOW_MS - 9 * 3_600_000),
        ("a ring of tomorrow", NOW_MS + 86_400_000),
    ):
        old = found[name]
        assert (old["page"], old["answers"], old["kept"], old["timestamp"]) == ("/timeline", 0, 0, at_ms)
    assert found["movement"]["kept"] == NOW_MS
