"""Compares two bundles of a root: what takes rights away takes effect at once, what gives rights waits for an owner.

`narrowed(old, new)` is what both allow. A doorbell uses it as soon as it hears `new`:

- A requester that only one of them lists may not ask. A requester with another kind may not ask either.
- A key counts while both list it, and is revoked if either revokes it. The common part of
  the regions counts, and the tighter one of each limit.
- A name changes what an owner reads, so the old one stays until an owner agrees.

`widenings(old, new)` names what `new` allows beyond `old`. If there is nothing, `new` itself is in force.

Pure. Source: PROTOCOL.md, "Trust package"; decision 48.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from agent.wire.trust import (
    MAX_REGIONS,
    EntryLimits,
    OpenedBundle,
    RequesterEntry,
    RequesterKey,
    TrustBundle,
    TrustRegion,
    TrustStore,
)

__all__ = ["Widening", "WideningKind", "narrowed", "open_agreed", "widenings"]

_LEAST: Final = ("window_min_s", "area_min_m2")
"""Limits that are tighter if they are higher."""


class WideningKind(enum.Enum):
    """A right that a requester gains when an owner agrees."""

    JOINED = "joined"
    KEY = "key"
    """A new key, a longer validity, or a key that is no longer revoked."""
    REGION = "region"
    LIMITS = "limits"
    KIND = "kind"
    NAME = "name"
    TIPS = "tips"


@dataclass(frozen=True, slots=True)
class Widening:
    """One thing that `requester` would gain."""

    requester: str
    kind: WideningKind


def open_agreed(store: TrustStore, package: bytes, agreed_in: str | None) -> OpenedBundle:
    """Opens the package of a root that an owner agreed to while the doorbell was in the cell `agreed_in`.

    A section can hold requesters of several cells, and the owner saw those of one. In another cell the agreement holds
    for the requesters of both. Raises as `TrustStore.open`.
    """
    opened = store.open(package)
    if not opened.has_sections or agreed_in == store.cell:
        return opened
    then = dataclasses.replace(store, cell=agreed_in).open(package)
    return dataclasses.replace(opened, bundle=narrowed(then.bundle, opened.bundle))


def widenings(old: TrustBundle | None, new: TrustBundle) -> tuple[Widening, ...]:
    """Returns what `new` allows and `old` does not, in the order of `new`."""
    before = _by_id(old)
    return tuple(each for entry in new.requesters for each in _widenings(before.get(entry.id), entry))


def narrowed(old: TrustBundle | None, new: TrustBundle) -> TrustBundle:
    """Returns the rights that both give. The version is that of `new`."""
    if not widenings(old, new):
        return new
    after = _by_id(new)
    kept = (_common(each, after[each.id]) for each in (old.requesters if old else ()) if each.id in after)
    return replace(new, requesters=tuple(each for each in kept if each is not None))


def _widenings(old: RequesterEntry | None, new: RequesterEntry) -> Iterator[Widening]:
    if old is None:
        yield Widening(new.id, WideningKind.JOINED)
        return
    keys = {key.key: key for key in old.keys}
    found = {
        # A revoked key gives no right, so it widens nothing, also if it was unknown before.
        WideningKind.KEY: not all(key.revoked or _is_within(key, keys.get(key.key)) for key in new.keys),
        WideningKind.REGION: not all(any(_encloses(o, n) for o in old.regions) for n in new.regions),
        WideningKind.LIMITS: _tighter(old.limits, new.limits) != new.limits,
        WideningKind.KIND: old.kind is not new.kind,
        WideningKind.NAME: old.name != new.name,
        WideningKind.TIPS: new.tips not in (None, old.tips),
    }
    yield from (Widening(new.id, kind) for kind, is_wider in found.items() if is_wider)


def _common(old: RequesterEntry, new: RequesterEntry) -> RequesterEntry | None:
    """Returns what both entries allow, or None if that is nothing."""
    regions = _common_regions(old.regions, new.regions)
    if old.kind is not new.kind or not regions:
        return None
    after = {key.key: key for key in new.keys}
    return replace(
        old,
        keys=tuple(_common_key(key, after.get(key.key)) for key in old.keys),
        regions=regions,
        limits=_tighter(old.limits, new.limits),
        tips=old.tips if old.tips == new.tips else None,
    )


def _common_key(old: RequesterKey, new: RequesterKey | None) -> RequesterKey:
    if new is None:
        # The newer list lacks the key, so its holder may no longer ask.
        return replace(old, revoked=True)
    from_s, until_s = max(old.from_s, new.from_s), min(old.until_s, new.until_s)
    if from_s > until_s:
        return replace(old, revoked=True)
    return replace(old, from_s=from_s, until_s=until_s, revoked=old.revoked or new.revoked)


def _is_within(new: RequesterKey, old: RequesterKey | None) -> bool:
    return old is not None and not old.revoked and old.from_s <= new.from_s and new.until_s <= old.until_s


def _common_regions(old: tuple[TrustRegion, ...], new: tuple[TrustRegion, ...]) -> tuple[TrustRegion, ...]:
    """Returns the common parts, without those inside another. If there are too many, the last ones are left out: fewer
    allow less."""
    found: list[TrustRegion] = []
    for part in (_overlap(o, n) for o in old for n in new):
        if part is not None and not any(_encloses(each, part) for each in found):
            found = [*(each for each in found if not _encloses(part, each)), part]
    return tuple(found[:MAX_REGIONS])


def _overlap(one: TrustRegion, other: TrustRegion) -> TrustRegion | None:
    south, north = max(one.south_west.lat, other.south_west.lat), min(one.north_east.lat, other.north_east.lat)
    west, east = max(one.south_west.lon, other.south_west.lon), min(one.north_east.lon, other.north_east.lon)
    if south >= north or west >= east:
        return None
    corner = one.south_west
    return TrustRegion(south_west=replace(corner, lat=south, lon=west), north_east=replace(corner, lat=north, lon=east))


def _encloses(outer: TrustRegion, inner: TrustRegion) -> bool:
    return outer.bounds.encloses(inner.bounds)


def _tighter(old: EntryLimits, new: EntryLimits) -> EntryLimits:
    found = {}
    for name in EntryLimits.__struct_fields__:
        given = [value for value in (getattr(old, name), getattr(new, name)) if value is not None]
        if given:
            found[name] = max(given) if name in _LEAST else min(given)
    return EntryLimits(**found)


def _by_id(bundle: TrustBundle | None) -> dict[str, RequesterEntry]:
    return {entry.id: entry for entry in bundle.requesters} if bundle else {}
