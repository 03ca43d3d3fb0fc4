"""The delay between an approval and its first byte, on the boot clock.  A restart starts the delay again."""

from __future__ import annotations

from agent.core.timebase import NS_PER_S
from agent.ports import Clock

__all__ = ["DisclosureTimer"]


class DisclosureTimer:
    """Counts from the first time that it is asked about a disclosure."""

    def __init__(self, clock: Clock, delay_s: int) -> None:
        self._clock = clock
        self._delay_ns = delay_s * NS_PER_S
        self._ripe_ns: dict[str, int] = {}

    def is_over(self, disclosure: str) -> bool:
        now_ns = self._clock.now().boot_ns
        return now_ns >= self._ripe_ns.setdefault(disclosure, now_ns + self._delay_ns)

    def left_s(self, disclosure: str) -> int:
        """Returns whole seconds.  For an unknown disclosure, it returns the whole delay."""
        now_ns = self._clock.now().boot_ns
        return max(0, (self._ripe_ns.get(disclosure, now_ns + self._delay_ns) - now_ns) // NS_PER_S)

    def forget(self, disclosure: str) -> None:
        self._ripe_ns.pop(disclosure, None)
