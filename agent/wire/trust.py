"""Whom this door lets ask: bundles of requesters, signed by roots the owner picked and by nobody else.

- Out of the box there is no root, so nobody is trusted.
- Of each root the newest version counts, for ever: an older one, or another one of the same version, is refused, also
  after the root was removed and added again.  So a revocation cannot be undone by an old copy.
- A requester is what the bundle says it is: name, kind and regions come from here, never from a request.
- One key belongs to one requester of one root.  A key that two bundles claim resolves only under the root that the
  message names.

A `TrustStore` is a value: every change gives a new one, and what changed for the owner to see is a `TrustDiff`.
Source: PROTOCOL.md, "Trust bundle"; the anti-rollback rules of The Update Framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Final, TypeVar

from msgspec import Meta

from agent.errors import FormatError, RequestError
from agent.wire import envelope, strictjson, text
from agent.wire.area import Area, Bounds, Point
from agent.wire.fields import HybridRecipientText, KeyId, KeyText, Kind, RequesterId, Sequence, UtcS, Version1, distinct
from agent.wire.identities import PublicKey, parse_public_key
from agent.wire.limits import RequestLimits
from agent.wire.messages import MAX_NAME_CHARACTERS, payload_type
from agent.wire.strictjson import Message

__all__ = [
    "BUNDLE_ENVELOPE_LIMIT_BYTES",
    "BUNDLE_LIMIT_BYTES",
    "EntryLimits",
    "RequesterEntry",
    "RequesterKey",
    "SeenVersion",
    "TrustBundle",
    "TrustDiff",
    "TrustRegion",
    "TrustStore",
    "TrustedRequester",
    "diff",
]

BUNDLE_LIMIT_BYTES: Final = 1024 * 1024
BUNDLE_ENVELOPE_LIMIT_BYTES: Final = 1536 * 1024
MAX_REQUESTERS: Final = 1024
MAX_KEYS: Final = 8
MAX_REGIONS: Final = 32

V = TypeVar("V")


class RequesterKey(Message, frozen=True):
    """A signing key and when it may be used, both ends included."""

    key: KeyText
    from_s: UtcS
    until_s: UtcS
    revoked: bool = False
    """At once and whatever the time, so that it also holds on a device without a trusted clock."""

    def __post_init__(self) -> None:
        parse_public_key(self.key)
        if self.from_s > self.until_s:
            raise FormatError("until_s: the key's validity ends before it begins.")

    def usable_at(self, at_s: int | None) -> bool:
        return not self.revoked and (at_s is None or self.from_s <= at_s <= self.until_s)


class TrustRegion(Message, frozen=True):
    """A rectangle a requester is responsible for."""

    south_west: Point
    north_east: Point

    def __post_init__(self) -> None:
        if self.south_west.lat > self.north_east.lat or self.south_west.lon > self.north_east.lon:
            raise FormatError("regions: a corner is on the wrong side.", remedy="Give south-west, then north-east.")

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.south_west.lat, self.south_west.lon, self.north_east.lat, self.north_east.lon)


_Bound = Annotated[int, Meta(ge=0, le=2**40)]


class EntryLimits(Message, frozen=True):
    """Tighter limits a root lays on one requester.  What is absent, or looser than the device's, changes nothing."""

    window_min_s: _Bound | None = None
    window_max_s: _Bound | None = None
    look_back_max_s: _Bound | None = None
    area_min_m2: _Bound | None = None
    area_max_m2: _Bound | None = None
    life_max_s: _Bound | None = None
    requests_per_case: _Bound | None = None
    requests_per_requester_per_day: _Bound | None = None

    def applied_to(self, limits: RequestLimits) -> RequestLimits:
        """The tighter of each."""
        return limits.tightened(**{name: getattr(self, name) for name in self.__struct_fields__})


class RequesterEntry(Message, frozen=True):
    """One requester as its root describes it."""

    id: RequesterId
    name: str
    """What the owner reads."""
    kind: Kind
    keys: Annotated[tuple[RequesterKey, ...], Meta(min_length=1, max_length=MAX_KEYS)]
    regions: Annotated[tuple[TrustRegion, ...], Meta(min_length=1, max_length=MAX_REGIONS)]
    limits: EntryLimits = EntryLimits()
    tips: HybridRecipientText | None = None
    """What tips to this requester are sealed to; without it nobody can send one."""

    def __post_init__(self) -> None:
        text.check("requesters.name", self.name, MAX_NAME_CHARACTERS)


class TrustBundle(Message, frozen=True):
    """Everybody one root vouches for."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("trust-bundle")

    v: Version1
    root: KeyId
    """Key id of the root that signs: a bundle of one root cannot be passed off as another's."""
    version: Sequence
    issued_s: UtcS
    requesters: Annotated[tuple[RequesterEntry, ...], Meta(max_length=MAX_REQUESTERS)]

    def __post_init__(self) -> None:
        distinct("requesters", tuple(requester.id for requester in self.requesters))
        distinct("requesters.name", tuple(requester.name.casefold() for requester in self.requesters))
        distinct("requesters.keys", tuple(key.key for requester in self.requesters for key in requester.keys))


@dataclass(frozen=True, slots=True)
class TrustedRequester:
    """A requester, the key it used, and what it may ask for: the answer to "who is this, really?"."""

    root: str
    id: str
    name: str
    kind: Kind
    key: PublicKey
    regions: tuple[Bounds, ...]
    limits: EntryLimits

    def may_ask_about(self, area: Area) -> bool:
        """Whether the whole area lies within one of the requester's regions."""
        return any(region.encloses(area.bounds) for region in self.regions)


@dataclass(frozen=True, slots=True)
class _KeyHolder:
    requester: TrustedRequester
    validity: RequesterKey


def _holders_in(root_id: str, bundle: TrustBundle) -> Iterator[_KeyHolder]:
    for entry in bundle.requesters:
        regions = tuple(region.bounds for region in entry.regions)
        for key in entry.keys:
            public_key = parse_public_key(key.key)
            requester = TrustedRequester(root_id, entry.id, entry.name, entry.kind, public_key, regions, entry.limits)
            yield _KeyHolder(requester, key)


@dataclass(frozen=True, slots=True)
class TrustDiff:
    """What a new bundle changes, as requester ids in order: for the owner to read before it takes effect."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def diff(old: TrustBundle | None, new: TrustBundle | None) -> TrustDiff:
    """From `old` to `new`; None is a root without a bundle."""
    before = {entry.id: entry for entry in old.requesters} if old else {}
    after = {entry.id: entry for entry in new.requesters} if new else {}
    return TrustDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
    )


@dataclass(frozen=True, slots=True)
class SeenVersion:
    """The newest bundle there ever was of a root: its version and the SHA-256 of its payload."""

    version: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The owner's roots, the newest bundle of each, and the newest version ever seen of each, by the root's key id.

    A value in memory.  What is kept on disk are roots, newest versions and the envelopes as they were signed; a start
    rebuilds the store through `accept`, so that what was stored is verified again.
    """

    roots: Mapping[str, PublicKey] = field(default_factory=dict)
    bundles: Mapping[str, TrustBundle] = field(default_factory=dict)
    newest: Mapping[str, SeenVersion] = field(default_factory=dict)
    _holders: Mapping[str, tuple[_KeyHolder, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # By key id, once per change: a flood of messages from unknown keys must cost a look-up each, not a search.
        holders: dict[str, tuple[_KeyHolder, ...]] = {}
        for root_id, bundle in self.bundles.items():
            for holder in _holders_in(root_id, bundle):
                holders[holder.requester.key.id] = (*holders.get(holder.requester.key.id, ()), holder)
        object.__setattr__(self, "_holders", holders)

    def with_root(self, root: PublicKey) -> TrustStore:
        return replace(self, roots={**self.roots, root.id: root})

    def without_root(self, root_id: str) -> TrustStore:
        """Forgets the root and everybody it vouched for, but not how new its bundles were."""
        return replace(self, roots=_without(self.roots, root_id), bundles=_without(self.bundles, root_id))

    def accept(self, data: bytes) -> tuple[TrustStore, TrustDiff]:
        """The store with the bundle in the envelope `data`, and what that changes.

        Raises `OpenError` when no root of the owner signed it, `FormatError` when it is no bundle and `RequestError`
        when it is not newer than one already seen.  The newest one itself is accepted again.
        """
        opened = envelope.open_envelope(
            data, TrustBundle.PAYLOAD_TYPE, self.roots, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES
        )
        bundle = strictjson.decode(opened.payload, TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES)
        if bundle.root != opened.key_id:
            raise FormatError("This trust bundle names another root than the one that signed it.")
        present = self.bundles.get(bundle.root)
        newest = self.newest.get(bundle.root)
        this = SeenVersion(bundle.version, hashlib.sha256(opened.payload).hexdigest())
        if newest is not None and this != newest and this.version <= newest.version:
            raise RequestError(
                f"This trust bundle has version {this.version}; another of version {newest.version} was seen before.",
                remedy="Get the newest bundle from the root.",
            )
        grown = replace(
            self,
            bundles={**self.bundles, bundle.root: bundle},
            newest={**self.newest, bundle.root: this},
        )
        return grown, diff(present, bundle)

    def resolve(self, root_id: str, requester_id: str, key_id: str, at_s: int | None) -> TrustedRequester | None:
        """The requester of that id and key under that root, if the key may be used at `at_s` (None: clock unknown)."""
        for requester in self._usable(key_id, at_s):
            if requester.root == root_id and requester.id == requester_id:
                return requester
        return None

    def keys(self, key_id: str, at_s: int | None) -> Mapping[str, PublicKey]:
        """The key of that id if some requester may use it at `at_s`, as `envelope.verify` wants it."""
        return {requester.key.id: requester.key for requester in self._usable(key_id, at_s)}

    def _usable(self, key_id: str, at_s: int | None) -> Iterator[TrustedRequester]:
        for holder in self._holders.get(key_id, ()):
            if holder.validity.usable_at(at_s):
                yield holder.requester


def _without(mapping: Mapping[str, V], key: str) -> dict[str, V]:
    return {name: value for name, value in mapping.items() if name != key}
