"""Each change of an exported folder is noticed: a share of `python -m tests.cli.export_changes`."""

from __future__ import annotations

from tests.cli.export_changes import MANIPULATIONS, tried


def test_each_changed_bit_and_each_manipulation_is_noticed() -> None:
    found = list(tried(20, len(MANIPULATIONS), seed=2))
    assert len(found) == 20 + len(MANIPULATIONS)
    assert [name for name, said in found if not said] == []
