"""Checks that the clock is synchronised. If it never was, matches are `possible` instead of `certain`."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.core.timebase import NS_PER_S, ClockQuality, ClockReading

__all__ = ["check_clock"]

_FIRST_YEAR = 2026
_REMEDY = "sudo timedatectl set-ntp true, and check that this machine reaches a time server."


def check_clock(moment: ClockReading) -> Iterator[Finding]:
    """Judge a reading of the clocks."""
    shown = datetime.datetime.fromtimestamp(moment.utc_ns / NS_PER_S, datetime.UTC)
    says = f"{shown:%Y-%m-%d %H:%M:%S} UTC"
    # No copy of this program ran before: the clock was never set, whatever it says of itself.
    if shown.year < _FIRST_YEAR:
        yield bad("clock", f"It shows {says}, which is impossible.", _REMEDY)
    elif moment.quality is ClockQuality.SYNCED:
        yield fine("clock", f"{says}, synchronised with a time source.")
    elif moment.quality is ClockQuality.HELD:
        yield poor("clock", f"{says}; it is not synchronised now.", _REMEDY)
    else:
        yield poor("clock", f"{says}; it was never synchronised.", _REMEDY)
