"""The power goes on a real ext4: what was acknowledged survives, and at most two seconds of tail are lost.

Thirty cuts here; `python -m tests.crash.power.cuts --points 1000` does more, and RESULTS.md has the last
result.
"""

from __future__ import annotations

import os

import pytest

from bench.vault import wear
from tests.crash.power.cuts import cut_everywhere
from tests.crash.power.loop import why_not
from tests.lengths import LONG

POINTS = 1200 if os.environ.get("DOORWARD_THOROUGH") else 30

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_not()), reason=f"power cuts on a real ext4: {why_not()}"),
]


def test_no_promise_is_broken_by_a_power_cut_on_ext4() -> None:
    result = cut_everywhere(POINTS, seed=7)
    assert result.violations == []
    assert result.with_pending > POINTS // 5


@LONG
def test_a_card_is_sent_hardly_more_than_the_ciphertext() -> None:
    """Wear, counted below the file system: header, manifest, index and ext4's own journal are in it."""
    times, extra_bytes = wear(4, 20)
    assert 1 < times <= 1.05
    assert extra_bytes <= 80_000


def test_the_rig_notices_a_vault_that_never_syncs() -> None:
    result = cut_everywhere(12, seed=7, without=("sync", "sync_data", "sync_directory"))
    assert result.violations
