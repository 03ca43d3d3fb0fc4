"""The moments at which a doorbell asks others to confirm the time: a rule of the boot clock alone.

Neither the wall clock nor any event moves a beat, so its moment shows only when the device was started.

Source: LEDGER.md, "Time by others".
"""

from __future__ import annotations

from typing import Final

from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["FIRST_BEAT_S", "LEAD_S", "beat_number", "next_send_ns"]

FIRST_BEAT_S: Final = 900
"""Running time of the device before its first beat, in seconds: clock and network are ready by then."""
LEAD_S: Final = 60
"""A beat is made this many seconds before it is sent. A busy custodian therefore does not delay the sending."""


def beat_number(now_ns: BootNs, every_s: int) -> int:
    """Returns how many beats of this boot have begun to be made at `now_ns`. 0 before the first."""
    first_ns = (FIRST_BEAT_S - LEAD_S) * NS_PER_S
    return 0 if now_ns < first_ns else (now_ns - first_ns) // (every_s * NS_PER_S) + 1


def next_send_ns(now_ns: BootNs, every_s: int) -> BootNs:
    """Returns the boot time of the first sending that is later than `now_ns`."""
    first_ns, period_ns = FIRST_BEAT_S * NS_PER_S, every_s * NS_PER_S
    if now_ns < first_ns:
        return BootNs(first_ns)
    return BootNs(first_ns + ((now_ns - first_ns) // period_ns + 1) * period_ns)
