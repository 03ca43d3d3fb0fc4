"""Decides which segments the rolling vault lets go: by bytes, by age, and to keep free space on the disk.

- Oldest first, in the manifest's order, so that a clock that was wrong changes nothing.
- Never a held one: an owner has to decide about it.  Never the newest: there is always something to look at.
- Age counts only between two dates that somebody vouched for.  A segment without a date goes when one that came after
  it is too old: then it is too.

Source: ARCHITECTURE, invariant 3; FORMAT.md, "Evict".
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from agent.core.timebase import NS_PER_MS, ClockQuality, Moment
from agent.core.vault.entries import VaultEntry
from agent.core.vault.records import EvictionReason
from agent.errors import ConfigurationError

__all__ = ["Decision", "Limits", "Usage", "decide"]

_MOST_UNDATED: Final = 4096
"""How far to look past segments without a date.  More of them in a row wait for the byte limit: this runs at every
segment, and a device that never learns the time must not read its whole index each time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`most_bytes`: of segments and posters.  `oldest_ms`: None keeps any age.  `free_bytes`: left free on the disk."""

    most_bytes: int
    oldest_ms: int | None = None
    free_bytes: int = 0

    def __post_init__(self) -> None:
        if self.most_bytes <= 0 or self.free_bytes < 0 or (self.oldest_ms is not None and self.oldest_ms <= 0):
            raise ConfigurationError(
                "A vault's limits are positive.", remedy="Correct the [vault] section of the configuration."
            )


@dataclass(frozen=True, slots=True)
class Usage:
    """What is stored and what is free now."""

    stored_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Decision:
    """`evict` in order, by reason; `short_bytes` is what holds keep us from freeing (0: all limits can be kept)."""

    evict: tuple[tuple[VaultEntry, EvictionReason], ...] = field(default=())
    short_bytes: int = 0


def decide(
    oldest_first: Iterable[VaultEntry], held: Container[str], limits: Limits, usage: Usage, now: Moment
) -> Decision:
    """What to evict.  `oldest_first` is read only as far as needed, so it may be a cursor over a million segments."""
    over_bytes = usage.stored_bytes - limits.most_bytes
    over_floor = limits.free_bytes - usage.free_bytes
    evict: list[tuple[VaultEntry, EvictionReason]] = []
    undated: list[VaultEntry] = []
    freed = 0
    for entry in _all_but_the_newest(oldest_first):
        age = _age(entry, limits, now)
        if freed >= max(over_bytes, over_floor) and (age is False or len(undated) == _MOST_UNDATED):
            break
        if entry.id in held:
            continue
        if freed < over_bytes:
            reason = EvictionReason.BYTES
        elif freed < over_floor:
            reason = EvictionReason.FLOOR
        elif age is None:
            undated.append(entry)
            continue
        else:
            reason = EvictionReason.AGE
            evict.extend((older, EvictionReason.AGE) for older in undated)
            freed += sum(older.stored_bytes for older in undated)
            undated.clear()
        evict.append((entry, reason))
        freed += entry.stored_bytes
    return Decision(tuple(evict), max(0, over_bytes - freed, over_floor - freed))


def _age(entry: VaultEntry, limits: Limits, now: Moment) -> bool | None:
    """Whether `entry` is too old; None when nobody can tell."""
    if limits.oldest_ms is None or now.quality is ClockQuality.UNKNOWN:
        return False
    if entry.quality is ClockQuality.UNKNOWN:
        return None
    return now.utc_ns // NS_PER_MS - entry.end_ms > limits.oldest_ms


def _all_but_the_newest(oldest_first: Iterable[VaultEntry]) -> Iterator[VaultEntry]:
    entries = iter(oldest_first)
    previous = next(entries, None)
    for entry in entries:
        if previous is not None:
            yield previous
        previous = entry
