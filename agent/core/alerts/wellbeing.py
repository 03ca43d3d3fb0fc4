"""Notices lasting conditions that raise no event: a missing broker, clock, storage, recorder or page.

It reports each condition once after the condition has lasted long enough, and once after the condition is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from agent.core.timebase import BootNs

__all__ = ["HealthCondition", "HealthFacts", "HealthMonitor", "health_conditions"]


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """The doorbell's health. A field is None if the fact is unknown or the alert is switched off."""

    offline: bool | None = None
    clock_unknown: bool | None = None
    not_storing: bool | None = None
    no_recorder: bool | None = None
    """The recorder's process does not report, so it can tell no fault itself."""
    no_page: bool | None = None


@dataclass(frozen=True, slots=True)
class HealthCondition:
    """`begun` and `over` name the news. An empty `over` is not told. `after_ns` is the time that the condition must
    last first."""

    fact: str
    after_ns: int
    begun: str
    over: str


_MINUTE_NS: Final = 60 * 10**9


def health_conditions(offline_after_ns: int) -> tuple[HealthCondition, ...]:
    return (
        HealthCondition("offline", offline_after_ns, "offline", "online"),
        HealthCondition("clock_unknown", 10 * _MINUTE_NS, "clock", "clock back"),
        HealthCondition("not_storing", _MINUTE_NS, "storage", "storage back"),
        # A start after a power cut may look through the vault for a minute.
        HealthCondition("no_recorder", 2 * _MINUTE_NS, "recorder", "storage back"),
        # A router may take longer than the doorbell after a power cut.
        HealthCondition("no_page", 10 * _MINUTE_NS, "page", ""),
    )


@dataclass(slots=True)
class HealthMonitor:
    """`step` is called every few seconds."""

    watched: tuple[HealthCondition, ...]
    _since: dict[str, BootNs] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def step(self, facts: HealthFacts, now_ns: BootNs) -> tuple[str, ...]:
        """Names of news, for `kinds.alert_named`."""
        news = []
        for each in self.watched:
            lasts = getattr(facts, each.fact)
            if lasts:
                since_ns = self._since.setdefault(each.fact, now_ns)
                if each.fact not in self._told and now_ns - since_ns >= each.after_ns:
                    self._told.add(each.fact)
                    news.append(each.begun)
            # `False`, and not None: an unknown fact ends nothing.
            elif lasts is False:
                self._since.pop(each.fact, None)
                if each.fact in self._told:
                    self._told.remove(each.fact)
                    news += [each.over] if each.over else []
        return tuple(news)
