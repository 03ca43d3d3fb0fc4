"""Trusted requesters: bundles of requesters, signed by roots that the owner picked.

- A new device starts with an empty list of roots, so it trusts no requester.
- For each root the newest version counts permanently. An older one, or another one of the same version, is refused,
  even after the root was removed and added again. An old copy therefore cannot undo a revocation. The memory is of the
  root's pair, not of its id: a forger of Ed25519 can have the id, and would lock the root out with a high version.
- Name, kind and regions of a requester come only from the bundle.
- One key belongs to one requester of one root. A key in two bundles resolves only under the root that the message
  names.

- A root is one key pair (`trust_keys`), or it has root files (`trust_package`). Then its bundles need a threshold of
  pairs and arrive in packages. Once a package was seen, the name key alone counts for nothing, and the newest root file
  of that package stays part of every later one. So keys that it retired sign nothing more.

A `TrustStore` is a value: each change returns a new one and a `TrustDiff` for the owner to read. Source: PROTOCOL.md,
"Trust bundle"; the anti-rollback rules of The Update Framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Final, TypeVar

import msgspec
from msgspec import Meta

from agent.errors import FormatError, RequestError
from agent.wire import envelope, strictjson, trust_package
from agent.wire.area import Area, Bounds, Point
from agent.wire.broker_directory import CellRange
from agent.wire.fields import (
    HybridRecipientText,
    KeyId,
    KeyText,
    Kind,
    RequesterId,
    Sequence,
    Sha256,
    UtcS,
    Version1,
    check_text,
    distinct,
)
from agent.wire.identities import PublicKey, parse_public_key
from agent.wire.limits import RequestLimits
from agent.wire.messages import MAX_NAME_CHARACTERS, payload_type
from agent.wire.strictjson import Message
from agent.wire.trust_keys import TrustKey
from agent.wire.trust_package import (
    MAX_SECTIONS,
    PACKAGE_LIMIT_BYTES,
    SignedParts,
    TrustPackage,
    is_package,
    open_parts,
)

__all__ = [
    "BUNDLE_ENVELOPE_LIMIT_BYTES",
    "BUNDLE_LIMIT_BYTES",
    "EntryLimits",
    "NamedSection",
    "OpenedBundle",
    "RequesterEntry",
    "RequesterKey",
    "SeenVersion",
    "TrustBundle",
    "TrustDiff",
    "TrustRegion",
    "TrustSection",
    "TrustStore",
    "TrustedRequester",
    "claimed_root",
    "diff",
    "of_cell",
    "open_alone",
    "with_sections",
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
    """Applies immediately and at any time, so that it also works before a device has set its clock."""

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
    """Tighter limits that a root sets for one requester. A limit that is absent or looser than the device's has no
    effect."""

    window_min_s: _Bound | None = None
    window_max_s: _Bound | None = None
    look_back_max_s: _Bound | None = None
    area_min_m2: _Bound | None = None
    area_max_m2: _Bound | None = None
    life_max_s: _Bound | None = None
    retention_max_days: _Bound | None = None
    requests_per_case: _Bound | None = None
    requests_per_requester_per_day: _Bound | None = None

    def applied_to(self, limits: RequestLimits) -> RequestLimits:
        """Returns the tighter of each limit."""
        return limits.tightened(**{name: getattr(self, name) for name in self.__struct_fields__})


class RequesterEntry(Message, frozen=True):
    """One requester as its root describes it."""

    id: RequesterId
    name: str
    """Name shown to the owner."""
    kind: Kind
    keys: Annotated[tuple[RequesterKey, ...], Meta(min_length=1, max_length=MAX_KEYS)]
    regions: Annotated[tuple[TrustRegion, ...], Meta(min_length=1, max_length=MAX_REGIONS)]
    limits: EntryLimits = EntryLimits()
    tips: HybridRecipientText | None = None
    """Recipient to which tips for this requester are sealed. None if it accepts no tips."""

    def __post_init__(self) -> None:
        check_text("requesters.name", self.name, MAX_NAME_CHARACTERS)


class NamedSection(Message, frozen=True):
    """Names a section by its SHA-256. A doorbell in one of `cells` needs it."""

    cells: CellRange
    sha256: Sha256


class TrustSection(Message, frozen=True):
    """Requesters of a part of the country. Unsigned: the signed bundle names the hash of its bytes."""

    v: Version1
    requesters: Annotated[tuple[RequesterEntry, ...], Meta(min_length=1, max_length=MAX_REQUESTERS)]


class TrustBundle(Message, frozen=True):
    """All requesters that one root vouches for, or those of the whole country and the names of sections with the
    others."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("trust-bundle")

    v: Version1
    root: KeyId
    """Key id of the root that signs: a bundle of one root cannot be passed off as another's."""
    version: Sequence
    issued_s: UtcS
    requesters: Annotated[tuple[RequesterEntry, ...], Meta(max_length=MAX_REQUESTERS)]
    directory_sha256: Sha256 | None = None
    """Hash of the root's broker directory (`broker_directory`), for requesters. A device ignores it."""
    sections: Annotated[tuple[NamedSection, ...], Meta(max_length=MAX_SECTIONS)] = ()
    """Where the other requesters are. Empty once `TrustStore.open` has joined both."""

    def __post_init__(self) -> None:
        distinct("requesters", tuple(requester.id for requester in self.requesters))
        # Names that differ in case only would look alike to an owner, so one requester could pose as another.
        distinct("requesters.name", tuple(requester.name.casefold() for requester in self.requesters))
        # A key of two requesters could choose for each message which of them it comes from.
        distinct("requesters.keys", tuple(key.key for requester in self.requesters for key in requester.keys))
        distinct("sections", tuple(section.sha256 for section in self.sections))


@dataclass(frozen=True, slots=True)
class TrustedRequester:
    """A verified requester, the key it used, and its permissions."""

    root: str
    id: str
    name: str
    kind: Kind
    key: PublicKey
    regions: tuple[Bounds, ...]
    limits: EntryLimits

    def may_ask_about(self, area: Area) -> bool:
        """Returns True if the whole area lies within one of the requester's regions."""
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
    """Changes of a new bundle, as requester ids in order, for the owner to read before it takes effect."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def diff(old: TrustBundle | None, new: TrustBundle | None) -> TrustDiff:
    """Returns the changes from `old` to `new`. None is a root without a bundle."""
    before = {entry.id: entry for entry in old.requesters} if old else {}
    after = {entry.id: entry for entry in new.requesters} if new else {}
    return TrustDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
    )


@dataclass(frozen=True, slots=True)
class SeenVersion:
    """The newest that was ever accepted for a root: version and SHA-256 of the bundle's payload, the versions of root
    file and timestamp, the last second of the package, and the SHA-256 of the root file's payload.

    0 and "" for a bundle that came without them. Such a bundle says nothing of root files, so any that the root's name
    key vouches for may follow.
    """

    version: int
    sha256: str
    root_version: int = 0
    timestamp: int = 0
    ends_s: int = 0
    root_sha256: str = ""


@dataclass(frozen=True, slots=True)
class OpenedBundle:
    """A verified bundle with the requesters of its sections, and the rest of its package if it came in one."""

    bundle: TrustBundle
    sha256: str
    parts: SignedParts | None
    has_sections: bool = False
    """True if the requesters depend on the cell."""
    lacks: bool = False
    """True if a section is missing that a doorbell in the cell needs."""

    @property
    def seen(self) -> SeenVersion:
        if self.parts is None:
            return SeenVersion(self.bundle.version, self.sha256)
        versions = (self.parts.root_file.version, self.parts.timestamp.version)
        return SeenVersion(self.bundle.version, self.sha256, *versions, self.parts.ends_s, self.parts.root_sha256s[-1])

    def has_root_files_of(self, seen: SeenVersion) -> bool:
        """Returns True if the root file that was the newest in `seen` is among the ones here, at its version."""
        if not seen.root_version:
            return True
        # Stolen keys of an earlier root file could otherwise sign another chain with higher versions.
        sha256s = self.parts.root_sha256s if self.parts is not None else ()
        # A slice, because it is empty, and so differs, if there are fewer root files here.
        return sha256s[seen.root_version - 1 : seen.root_version] == (seen.root_sha256,)

    def follows(self, before: OpenedBundle) -> bool:
        """Returns True if the root files of `before` are the first ones here. A bundle alone has none."""
        of_before = before.parts.root_sha256s if before.parts is not None else ()
        own = self.parts.root_sha256s if self.parts is not None else ()
        return own[: len(of_before)] == of_before

    def is_over(self, at_s: int | None) -> bool:
        """Returns True if the package is known to have ended. A bundle alone has no end."""
        return self.parts is not None and at_s is not None and not self.parts.is_fresh(at_s)


@dataclass(frozen=True, slots=True)
class TrustStore:
    """The owner's roots and the newest bundle of each, by the root's key id, and the newest version that was ever seen
    of each pair, by its text.

    A value in memory. The disk holds the roots, the newest versions and the signed envelopes. At start the store is
    rebuilt through `accept`, so that stored bundles are verified again.
    """

    roots: Mapping[str, TrustKey] = field(default_factory=dict)
    bundles: Mapping[str, TrustBundle] = field(default_factory=dict)
    newest: Mapping[str, SeenVersion] = field(default_factory=dict)
    cell: str | None = None
    """The doorbell's cell: requesters of sections count only if they may ask in it. None: they count everywhere."""
    _holders: Mapping[str, tuple[_KeyHolder, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # By key id, once per change: a flood of messages from unknown keys must cost only a look-up each.
        holders: dict[str, tuple[_KeyHolder, ...]] = {}
        for root_id, bundle in self.bundles.items():
            for holder in _holders_in(root_id, bundle):
                holders[holder.requester.key.id] = (*holders.get(holder.requester.key.id, ()), holder)
        object.__setattr__(self, "_holders", holders)

    def seen(self, root_id: str) -> SeenVersion | None:
        """Returns the newest that was ever seen of the chosen root with this id, None if there was nothing."""
        root = self.roots.get(root_id)
        return self.newest.get(root.text) if root is not None else None

    def with_root(self, root: TrustKey) -> TrustStore:
        """Raises `RequestError` if the root was chosen with another second key: a forger of the first one would make
        such a line, and owners compare ids."""
        if self.roots.get(root.id, root) != root:
            raise RequestError(
                "This root was chosen with another ML-DSA-44 key.",
                remedy="Compare the whole line with the holder of the root. If the line that you chose is false, take "
                "it out first.",
            )
        return replace(self, roots={**self.roots, root.id: root})

    def without_root(self, root_id: str) -> TrustStore:
        """Returns the store without the root and its requesters. The newest version of its bundles stays known."""
        return replace(self, roots=_without(self.roots, root_id), bundles=_without(self.bundles, root_id))

    def accept(self, data: bytes, at_s: int | None = None) -> tuple[TrustStore, TrustDiff]:
        """Returns the store with the bundle in the envelope or package `data`, and the changes it makes.

        Raises `OpenError` if no root of the owner signed it, `FormatError` if it is not a bundle and `RequestError` if
        an equal or newer version was seen before, or if it has ended at `at_s`. The newest itself is accepted again.
        """
        opened = self.open(data)
        self.require_newest(opened)
        # The freeze attack of TUF: a broker that repeats an old package for ever would hide a revocation.
        if opened.is_over(at_s):
            raise RequestError(
                "The timestamp of this trust package has ended, so a newer package may be held back.",
                remedy="Get the newest package from the root.",
            )
        return self.with_bundle(opened.bundle, opened.seen), diff(self.bundles.get(opened.bundle.root), opened.bundle)

    def with_bundle(self, bundle: TrustBundle, seen: SeenVersion) -> TrustStore:
        """Returns the store with a bundle that `open` verified below the root that is chosen, or with less than
        that."""
        newest = {**self.newest, self.roots[bundle.root].text: seen}
        return replace(self, bundles={**self.bundles, bundle.root: bundle}, newest=newest)

    def open(self, data: bytes) -> OpenedBundle:
        """Verifies an envelope or a package below the owner's roots. Raises as `accept` does, and looks at no
        version."""
        if is_package(data):
            kind = TrustBundle.PAYLOAD_TYPE
            parts = open_parts(data, self.roots, bundle_type=kind, bundle_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES)
            payload, signer = parts.bundle, parts.root_file.root
        else:
            parts, payload, signer = None, *open_alone(data, self.roots)
        bundle = strictjson.decode(payload, TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES)
        # Otherwise the key of one root could sign a list in the name of another root that the owner chose.
        if bundle.root != signer or (parts is not None and parts.timestamp.bundle_version != bundle.version):
            raise FormatError("This trust bundle names another root or version than what it came with.")
        joined, lacks = _joined(bundle, parts.sections if parts is not None else (), self.cell)
        return OpenedBundle(joined, hashlib.sha256(payload).hexdigest(), parts, bool(bundle.sections), lacks)

    def require_newest(self, opened: OpenedBundle) -> None:
        """Raises `RequestError` if the root has published something newer, as far as this store has seen, or if the
        newest root file that it has seen is another one here."""
        newest, this = self.seen(opened.bundle.root), opened.seen
        if newest is None:
            return
        is_same = (this.version, this.sha256) == (newest.version, newest.sha256)
        # The rollback attack of TUF: an older list would give a revoked key its rights back.
        if this.version <= newest.version and not is_same:
            raise RequestError(
                f"This trust bundle has version {this.version}; another of version {newest.version} was seen before.",
                remedy="Get the newest bundle from the root.",
            )
        # New root files may name new timestamp keys, which count from 1 again.
        if (this.root_version, this.timestamp) < (newest.root_version, newest.timestamp):
            raise RequestError(
                "This trust package has older root files or an older timestamp than one that was seen before.",
                remedy="Get the newest package from the root.",
            )
        if not opened.has_root_files_of(newest):
            raise RequestError(
                f"This trust package has another root file {newest.root_version} than one that was seen before.",
                remedy="Do not use it. Earlier keys of the root may be stolen. Ask the root in another way.",
            )

    def resolve(self, root_id: str, requester_id: str, key_id: str, at_s: int | None) -> TrustedRequester | None:
        """Returns the requester of that id and key under that root, if the key may be used at `at_s` (None: clock
        unknown)."""
        for requester in self._usable(key_id, at_s):
            if requester.root == root_id and requester.id == requester_id:
                return requester
        return None

    def keys(self, key_id: str, at_s: int | None) -> Mapping[str, PublicKey]:
        """Returns the key of that id if a requester may use it at `at_s`, as `envelope.verify` takes it."""
        return {requester.key.id: requester.key for requester in self._usable(key_id, at_s)}

    def _usable(self, key_id: str, at_s: int | None) -> Iterator[TrustedRequester]:
        for holder in self._holders.get(key_id, ()):
            if holder.validity.usable_at(at_s):
                yield holder.requester


def claimed_root(data: bytes) -> str:
    """Returns the root that a bundle or package claims to be of. Verifies *nothing*. Raises `FormatError`."""
    if is_package(data):
        return trust_package.claimed_root(data)
    claimed = envelope.read_several(data, TrustBundle.PAYLOAD_TYPE, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES)
    return next(iter(claimed.signatures))


def open_alone(data: bytes, roots: Mapping[str, TrustKey]) -> tuple[bytes, str]:
    """Returns the payload of a bundle alone, and the id of the root that signed it. Raises `FormatError` or
    `OpenError`."""
    claimed = envelope.read_several(data, TrustBundle.PAYLOAD_TYPE, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES)
    claimed.require(1, roots, {})
    if len(claimed.signatures) != 1:
        raise FormatError("A trust bundle alone has one signature.")
    return claimed.payload, next(iter(claimed.signatures))


def of_cell(bundle: TrustBundle, cell: str) -> TrustBundle:
    """Returns the bundle with the requesters that may ask in the cell."""
    here = CellRange(south_west=cell, north_east=cell)
    return msgspec.structs.replace(
        bundle,
        requesters=tuple(
            entry for entry in bundle.requesters if any(here.touches(region.bounds) for region in entry.regions)
        ),
    )


def with_sections(package: bytes, wanted: Callable[[CellRange], bool]) -> bytes:
    """Returns the package with those of its sections of which `wanted` takes the cells. Other bytes come back as they
    are. Raises `FormatError`."""
    if not is_package(package):
        return package
    parts = strictjson.decode(package, TrustPackage, limit_bytes=PACKAGE_LIMIT_BYTES)
    if not parts.sections:
        return package
    signed = envelope.read_several(
        parts.bundle.encode(), TrustBundle.PAYLOAD_TYPE, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES
    )
    bundle = strictjson.decode(signed.payload, TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES)
    names = {section.sha256 for section in bundle.sections if wanted(section.cells)}
    # The signatures hold, because the bundle names sections by their hash.
    kept = tuple(text for text in parts.sections if _sha256(text) in names)
    return strictjson.encode(msgspec.structs.replace(parts, sections=kept))


def _joined(head: TrustBundle, sections: tuple[str, ...], cell: str | None) -> tuple[TrustBundle, bool]:
    """Returns the bundle with the requesters of its sections that may ask in `cell`, and whether one is missing there.

    Raises `RequestError` for a section that the bundle does not name at that place.
    """
    given = dict.fromkeys(map(_sha256, sections))
    named = [section for section in head.sections if section.sha256 in given]
    # In the bundle's order and each once, so that a stranger cannot write the same package in another way.
    if [section.sha256 for section in named] != [_sha256(text) for text in sections]:
        raise RequestError(
            "The bundle of this trust package names other sections.", remedy="Get the newest package from the root."
        )
    others = [
        entry
        for text in sections
        for entry in strictjson.decode(text.encode(), TrustSection, limit_bytes=BUNDLE_LIMIT_BYTES).requesters
    ]
    whole = msgspec.structs.replace(head, requesters=(*head.requesters, *others), sections=())
    if cell is None or not head.sections:
        return whole, False
    lacks = any(section.cells.holds(cell) and section.sha256 not in given for section in head.sections)
    local = of_cell(msgspec.structs.replace(whole, requesters=tuple(others)), cell)
    return msgspec.structs.replace(whole, requesters=(*head.requesters, *local.requesters)), lacks


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _without(mapping: Mapping[str, V], key: str) -> dict[str, V]:
    return {name: value for name, value in mapping.items() if name != key}
