"""The last known state of each device, so that this machine notices if a device goes backwards.

For each device id: its key, the newest enrolment, the newest ledger checkpoint, the roots that *this owner* chose and
the newest bundle of each root. If a device shows less, it was rolled back, replaced or rewritten. `known_devices.json`
holds no secrets. Losing it loses these checks, but no key.

Several clients of one owner may change it at once, for example a timer's export and a command. Each change is relative
to what its client had read (`base`), so no client takes back the change of another.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from agent.core.ledger.checkpoint import MAX_NOTE_BYTES, Checkpoint, open_checkpoint
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.envelope import HybridKey
from agent.wire.fields import Base64Text, Count, DeviceKeyText, KeyId, Sequence, Sha256, TrustKeyText, Version1
from agent.wire.identities import MLDSA_KEY_CHARACTERS, MldsaPublicKey, PublicKey, parse_public_key
from agent.wire.statements import (
    MAX_ENROLMENTS,
    STATEMENT_ENVELOPE_LIMIT_BYTES,
    STATEMENT_LIMIT_BYTES,
    Enrolment,
    read_statement,
)
from agent.wire.strictjson import Message
from agent.wire.trust import SeenVersion, TrustStore
from agent.wire.trust_keys import parse_trust_key

__all__ = ["KnownDevice", "KnownDevices", "ReviewedOrder", "SeenBundle", "hash_of_order"]

_LIMIT_BYTES: Final = 64 * 1024 * 1024
_MOST_REVIEWED: Final = 256
"""The most requests of a device for which the numbers of the footage are remembered."""


class SeenBundle(Message, frozen=True):
    """The newest trust bundle there was of a root."""

    version: Sequence
    sha256: Sha256
    root_version: Count = 0
    timestamp: Count = 0
    root_sha256: Sha256 | None = None
    """Hash of the newest root file. None for a bundle that came without root files."""

    def __post_init__(self) -> None:
        if (self.root_version == 0) != (self.root_sha256 is None):
            raise FormatError("root_sha256: it belongs to a root file.")

    @property
    def plain(self) -> SeenVersion:
        return SeenVersion(
            self.version, self.sha256, self.root_version, self.timestamp, root_sha256=self.root_sha256 or ""
        )

    @property
    def order(self) -> tuple[int, int, int]:
        """Grows with each package of a root."""
        return self.root_version, self.version, self.timestamp

    @classmethod
    def of(cls, seen: SeenVersion) -> SeenBundle:
        return cls(
            version=seen.version,
            sha256=seen.sha256,
            root_version=seen.root_version,
            timestamp=seen.timestamp,
            root_sha256=seen.root_sha256 or None,
        )


class ReviewedOrder(Message, frozen=True):
    """The footage of a request as the last review numbered it."""

    request: Sha256
    order: Sha256
    """`hash_of_order` of the segments' ids."""


def _newest_of_each(before: dict[str, SeenBundle], now: dict[str, SeenBundle]) -> dict[str, SeenBundle]:
    # Another client may have seen a newer package meanwhile. The view of this machine never becomes older.
    older = {root for root, seen in now.items() if root in before and seen.order < before[root].order}
    return {**before, **{root: seen for root, seen in now.items() if root not in older}}


class KnownDevice(Message, frozen=True):
    """One device as it was when last seen."""

    key: DeviceKeyText
    mldsa: Annotated[Base64Text, Meta(max_length=MLDSA_KEY_CHARACTERS)]
    """Its ML-DSA-44 key in base64. The enrolments name its hash."""
    enrolments: Annotated[
        tuple[Annotated[str, Meta(max_length=STATEMENT_ENVELOPE_LIMIT_BYTES)], ...],
        Meta(min_length=1, max_length=MAX_ENROLMENTS),
    ]
    """Every list of owners there was, in its envelope, from epoch 1 on: verified when it was first seen."""
    checkpoint: Annotated[str, Meta(max_length=MAX_NOTE_BYTES)]
    time: Annotated[str, Meta(max_length=MAX_NOTE_BYTES)] = ""
    """The newest confirmed head of its log of beats. Empty if there is none yet."""
    roots: tuple[TrustKeyText, ...] = ()
    bundles: dict[TrustKeyText, SeenBundle] = msgspec.field(default_factory=dict)
    """The newest of each root that was ever chosen. By the whole pair: a forger of Ed25519 can have the id."""
    reviewed: Annotated[tuple[ReviewedOrder, ...], Meta(max_length=_MOST_REVIEWED)] = ()
    """The newest reviews on this machine, the newest last."""

    @property
    def device_key(self) -> PublicKey:
        return parse_public_key(self.key)

    @property
    def device_keys(self) -> HybridKey:
        return HybridKey(self.device_key, MldsaPublicKey.parse(self.mldsa))

    @property
    def enrolment_payload(self) -> bytes:
        """The payload of the list in force. The next list names its hash, and one of its approvers signs the next
        list."""
        return _payload(self.enrolments[-1])

    @property
    def enrolled(self) -> Enrolment:
        return _enrolment(self.enrolments[-1])

    @property
    def approvers_ever(self) -> dict[str, HybridKey]:
        """Both keys of every present or former owner, by key id. Settings of former owners stay in force."""
        return {name: key for each in self.enrolments for name, key in _enrolment(each).signers.items()}

    @property
    def enrolments_by_sha256(self) -> dict[str, Enrolment]:
        """Every list of owners there was, by the hash of its payload."""
        return {hashlib.sha256(_payload(each)).hexdigest(): _enrolment(each) for each in self.enrolments}

    def name_ever(self, key_id: str) -> str:
        """Returns the name of the key in the newest list that has it. Raises `KeyError` if the key was never an
        owner's."""
        lists = map(_enrolment, reversed(self.enrolments))
        listed = next((each for each in lists if key_id in each.approver_keys), None)
        if listed is None:
            raise KeyError(key_id)
        return listed.name_of(key_id)

    @property
    def ledger(self) -> Checkpoint:
        return open_checkpoint(self.checkpoint.encode(), self.device_keys)

    @property
    def trust(self) -> TrustStore:
        """The roots this owner chose, without their bundles. The device stores the bundles and this machine verifies
        them."""
        store = TrustStore(newest={root: seen.plain for root, seen in self.bundles.items()})
        for root in self.roots:
            store = store.with_root(parse_trust_key(root))
        return store

    def order_of(self, request_sha256: str) -> str | None:
        """Returns the order of the footage at the last review of a request, or None if there was none."""
        return next((each.order for each in self.reviewed if each.request == request_sha256), None)

    def with_trust(self, store: TrustStore) -> KnownDevice:
        return replace(self.with_bundles(store), roots=tuple(root.text for root in store.roots.values()))

    def with_bundles(self, store: TrustStore) -> KnownDevice:
        """Takes over the newest bundles in `store`, and leaves the roots."""
        return replace(self, bundles={root: SeenBundle.of(seen) for root, seen in store.newest.items()})


def hash_of_order(segments: Iterable[str]) -> str:
    """Returns the SHA-256 of these ids in this order."""
    return hashlib.sha256("\n".join(segments).encode()).hexdigest()


def _merged(before: KnownDevice, known: KnownDevice, base: KnownDevice | None) -> KnownDevice:
    """Returns `before` with the change from `base` to `known`. Its view of the device becomes no older."""
    if base is not None:
        # Differences, not values: the other client's change of the roots stays.
        gone = set(base.roots) - set(known.roots)
        stay = [each for each in before.roots if each not in gone]
        ids = {parse_trust_key(each).id for each in stay}  # of two pairs with one id, the first one stays
        new = [each for each in known.roots if each not in base.roots and parse_trust_key(each).id not in ids]
        known = replace(
            known,
            roots=(*stay, *new),
            time=before.time if known.time == base.time else known.time,
            reviewed=before.reviewed if known.reviewed == base.reviewed else known.reviewed,
        )
        if len(before.enrolments) > len(known.enrolments):
            known = replace(known, enrolments=before.enrolments)
    # A smaller checkpoint written over a larger one would let the device roll back between the two unnoticed.
    if before.ledger.size > known.ledger.size:
        known = replace(known, checkpoint=before.checkpoint)
    # A root file that is forgotten could be replaced by another one, signed with retired keys.
    return replace(known, bundles=_newest_of_each(before.bundles, known.bundles))


def _payload(text: str) -> bytes:
    return read_statement(text.encode()).payload


def _enrolment(text: str) -> Enrolment:
    return strictjson.decode(_payload(text), Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)


class _KnownDevicesFile(Message, frozen=True):
    v: Version1
    devices: dict[KeyId, KnownDevice] = msgspec.field(default_factory=dict)


class KnownDevices:
    """`known_devices.json`.  Safe with several of this owner's clients at once."""

    FILE: ClassVar[str] = "known_devices.json"

    def __init__(self, path: Path) -> None:
        self._path = path

    def devices(self) -> dict[str, KnownDevice]:
        """By device id.  Raises `ConfigurationError` when the file is damaged."""
        data = files.read_if_there(self._path, _LIMIT_BYTES)
        if data is None:
            return {}
        try:
            return strictjson.decode(data, _KnownDevicesFile, limit_bytes=_LIMIT_BYTES).devices
        except FormatError as error:
            raise ConfigurationError(
                f"{self._path}: {error.message}",
                remedy="Restore it from a backup. Without it this machine cannot detect a rolled-back device.",
            ) from error

    def device(self, device_id: str) -> KnownDevice | None:
        return self.devices().get(device_id)

    def remember(self, known: KnownDevice, base: KnownDevice | None = None) -> None:
        """Puts `known` in place of what was remembered of its device.

        `base`: what the caller read before its change. Only the difference from it is applied then, because another
        client of this owner may have changed something else meanwhile, for example removed a root.
        """
        # Read and written under one lock: two clients would otherwise each write what the other has not read.
        with self._alone():
            devices = self.devices()
            before = devices.get(known.device_key.id)
            if before is not None:
                known = _merged(before, known, base)
            data = strictjson.encode(_KnownDevicesFile(v=1, devices={**devices, known.device_key.id: known}))
            files.write(self._path, data, secret=True)

    def note_review(self, device_id: str, request_sha256: str, segments: Iterable[str]) -> None:
        """Remembers in which order the footage of a request was shown. Its numbers mean this order from now on."""
        known = self.device(device_id)
        if known is None:
            return
        shown = ReviewedOrder(request=request_sha256, order=hash_of_order(segments))
        if shown not in known.reviewed:
            others = tuple(each for each in known.reviewed if each.request != request_sha256)
            self.remember(replace(known, reviewed=(*others, shown)[-_MOST_REVIEWED:]), known)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        # A separate file: `files.write` replaces the other one, and a lock on it would stay with the old inode.
        lock = self._path.with_name(f".{self._path.name}.lock")
        with files.storage_errors(lock):
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)
