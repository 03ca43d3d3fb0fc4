"""A root's publication: its keys, its bundle and a timestamp, in one package that is taken or refused as a whole.

    name key ──signs once──▶ root file 1 ──▶ root file 2 ──▶ …    each signed by the threshold before and its own
                                               │
                     threshold of its keys ────┴──▶ bundle        timestamp key ──▶ timestamp: names both

- A root's *name key* is what owners choose. A root with root files uses it once, for root file 1, and forgets it.
- The timestamp names the hashes of both others, so parts of two packages never make a third.
- Each key is a pair (`trust_keys`), and a signature by one half of it is refused.
- One key of several counts for nothing: neither a bundle nor a root file is accepted below the threshold.
- A reader remembers the newest root file by its hash. Keys of earlier root files sign no other one for it (`trust`).

Source: The Update Framework, version 1.0.33 (root, targets and timestamp roles); PROTOCOL.md, "Trust package".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from agent.errors import FormatError, OpenError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.fields import KeyId, Sha256, TrustKeyText, UtcS, Version1, distinct
from agent.wire.fields import Sequence as Number
from agent.wire.messages import payload_type
from agent.wire.strictjson import Message
from agent.wire.trust_keys import TrustKey, parse_trust_key

__all__ = [
    "DIRECTORY_SLOTS",
    "MAX_CHUNK_BYTES",
    "MAX_DIRECTORY_CHUNK_BYTES",
    "MAX_ROOT_FILES",
    "MAX_SECTIONS",
    "MAX_TIMESTAMP_LIFE_S",
    "PACKAGE_LIMIT_BYTES",
    "PUBLISHED_LIMIT_BYTES",
    "TRUST_SLOTS",
    "PackageIndex",
    "PackagePiece",
    "PublishedChunk",
    "RootFile",
    "SignedParts",
    "TrustPackage",
    "TrustTimestamp",
    "claimed_root",
    "index_of",
    "is_package",
    "open_parts",
    "read_chunk",
    "read_index",
    "split_directory",
    "split_package",
]

PACKAGE_LIMIT_BYTES: Final = 2048 * 1024
"""A package in a file: a bundle of 1.5 MiB in its envelope, and the rest."""
TRUST_SLOTS: Final = 12
"""Slots that all roots of a broker share. A package of `PUBLISHED_LIMIT_BYTES` has at most ten pieces."""
MAX_CHUNK_BYTES: Final = 15 * 1024
"""With topic and frame below the 16 KiB of an inbound MQTT packet."""
PUBLISHED_LIMIT_BYTES: Final = 120 * 1024
DIRECTORY_SLOTS: Final = 9
MAX_DIRECTORY_CHUNK_BYTES: Final = 120 * 1024
"""A broker directory of 1 MiB in nine slots. Requesters read them, and doorbells do not."""
MAX_ROOT_FILES: Final = 16
MAX_SECTIONS: Final = 128
"""Sections of a list. All their names together have about 22 KiB of a package."""
MAX_ROOT_KEYS: Final = 8
MAX_TIMESTAMP_KEYS: Final = 4
ROOT_ENVELOPE_LIMIT_BYTES: Final = 96 * 1024
"""A root file with 17 signatures of 5 kB in base64."""
MAX_TIMESTAMP_LIFE_S: Final = 31 * 86_400
_ROOT_LIMIT_BYTES: Final = 4 * 1024
_BEGINS: Final = b'{"bundle":'
_KEYS: Final = (b'"roots":[', b'"sections":[', b'"timestamp":')
"""Keys of a package in its bytes. No string in it has such bytes, because quotes are escaped there."""
_CHUNK: Final = re.compile(rb"([0-9a-f]{64}) ([1-9][0-9]?)")
_INDEX: Final = re.compile(rb"([0-9a-f]{64})\n((?:[0-9a-f]{64} [1-9][0-9]{0,4}\n)+)")


class RootFile(Message, frozen=True):
    """The key pairs of a root: `threshold` of `keys` sign bundles and the next root file, one of `timestamp_keys` signs
    timestamps."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("trust-root")

    v: Version1
    root: KeyId
    """Id of the name key: it stays the same whatever keys follow."""
    version: Number
    issued_s: UtcS
    expires_s: UtcS
    keys: Annotated[tuple[TrustKeyText, ...], Meta(min_length=1, max_length=MAX_ROOT_KEYS)]
    threshold: Annotated[int, Meta(ge=1, le=MAX_ROOT_KEYS)]
    timestamp_keys: Annotated[tuple[TrustKeyText, ...], Meta(min_length=1, max_length=MAX_TIMESTAMP_KEYS)]

    def __post_init__(self) -> None:
        pairs = [parse_trust_key(text) for text in (*self.keys, *self.timestamp_keys)]
        # A key that is online all day must not be one of those that list requesters. Neither half of a pair may be in
        # another pair, because one person would count twice then.
        distinct("keys", tuple(pair.ed25519 for pair in pairs))
        distinct("keys", tuple(pair.mldsa_sha256 for pair in pairs))
        if self.threshold > len(self.keys):
            raise FormatError("threshold: more than there are keys.", remedy="Lower it, or add keys.")
        if self.issued_s >= self.expires_s:
            raise FormatError("expires_s: it ends before it begins.")

    @property
    def signers(self) -> dict[str, TrustKey]:
        return _by_id(self.keys)

    @property
    def timestamp_signers(self) -> dict[str, TrustKey]:
        return _by_id(self.timestamp_keys)


class TrustTimestamp(Message, frozen=True):
    """Says which root file and bundle are the newest, until `expires_s`."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("trust-timestamp")

    v: Version1
    root: KeyId
    version: Number
    issued_s: UtcS
    expires_s: UtcS
    root_version: Number
    root_sha256: Sha256
    bundle_version: Number
    bundle_sha256: Sha256

    def __post_init__(self) -> None:
        if not self.issued_s < self.expires_s <= self.issued_s + MAX_TIMESTAMP_LIFE_S:
            raise FormatError("expires_s: not within 31 days of issued_s.")


class TrustPackage(Message, frozen=True):
    """The envelopes of one publication. Unsigned itself: the timestamp binds them."""

    v: Version1
    roots: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_ROOT_FILES)]
    """Root files from version 1 on."""
    bundle: str
    timestamp: str
    sections: Annotated[tuple[str, ...], Meta(max_length=MAX_SECTIONS)] = ()
    """Sections that the bundle names by their hash: all of them in a file, and those of its cells on a broker."""


@dataclass(frozen=True, slots=True)
class SignedParts:
    """A package of which every signature was verified. `bundle` is the payload, not yet read."""

    root_file: RootFile
    bundle: bytes
    timestamp: TrustTimestamp
    root_sha256s: tuple[str, ...]
    """SHA-256 of the payload of each root file, from version 1 to that of `root_file`."""
    sections: tuple[str, ...] = ()
    """Not yet compared with the hashes in the bundle."""
    keys_since: RootFile | None = None
    """The root file that changed the keys or the threshold last, None if none did. A new one may only last longer."""

    @property
    def ends_s(self) -> int:
        """The last second of timestamp and root file."""
        return min(self.timestamp.expires_s, self.root_file.expires_s)

    def is_fresh(self, at_s: int | None) -> bool:
        """Returns True if the package is known not to have ended. Without a clock nothing is known."""
        return at_s is not None and at_s <= self.ends_s


def is_package(data: bytes) -> bool:
    """Returns True for a package, False for anything else, such as a bundle's own envelope."""
    return data.startswith(_BEGINS)


def open_parts(data: bytes, name_keys: Mapping[str, TrustKey], *, bundle_type: str, bundle_bytes: int) -> SignedParts:
    """Verifies a package below one of `name_keys` (by key id), from the name key down to the timestamp.

    Raises `FormatError` for a malformed package, `OpenError` for a missing signature, and `RequestError` if the
    timestamp names another root file or bundle.
    """
    package = strictjson.decode(data, TrustPackage, limit_bytes=PACKAGE_LIMIT_BYTES)
    root_file, root_sha256s, keys_since = _open_root_files([each.encode() for each in package.roots], name_keys)
    bundle = envelope.read_several(package.bundle.encode(), bundle_type, limit_bytes=bundle_bytes)
    bundle.require(root_file.threshold, root_file.signers, {})
    stamped = envelope.read_several(
        package.timestamp.encode(), TrustTimestamp.PAYLOAD_TYPE, limit_bytes=ROOT_ENVELOPE_LIMIT_BYTES
    )
    # One key is enough: a timestamp lists no requester, so a stolen online key gives no right to anyone.
    stamped.require(1, root_file.timestamp_signers, {})
    timestamp = strictjson.decode(stamped.payload, TrustTimestamp, limit_bytes=_ROOT_LIMIT_BYTES)
    named = (timestamp.root, timestamp.root_version, timestamp.root_sha256, timestamp.bundle_sha256)
    if named != (root_file.root, root_file.version, root_sha256s[-1], hashlib.sha256(bundle.payload).hexdigest()):
        raise RequestError(
            "The timestamp of this trust package names another root file or bundle.",
            remedy="Get the newest package from the root.",
        )
    return SignedParts(root_file, bundle.payload, timestamp, root_sha256s, package.sections, keys_since)


def claimed_root(data: bytes) -> str:
    """Returns the root that a package claims to be of. Verifies *nothing*. Raises `FormatError`."""
    package = strictjson.decode(data, TrustPackage, limit_bytes=PACKAGE_LIMIT_BYTES)
    first = envelope.read_several(
        package.roots[0].encode(), RootFile.PAYLOAD_TYPE, limit_bytes=ROOT_ENVELOPE_LIMIT_BYTES
    )
    return strictjson.decode(first.payload, RootFile, limit_bytes=_ROOT_LIMIT_BYTES).root


@dataclass(frozen=True, slots=True)
class PublishedChunk:
    """A piece of a package or of a broker directory, as it is published: with the SHA-256 of the whole and the number
    of its pieces."""

    sha256: str
    count: int
    piece: bytes

    def to_bytes(self) -> bytes:
        return f"{self.sha256} {self.count}\n".encode() + self.piece


@dataclass(frozen=True, slots=True)
class PackagePiece:
    """One piece, as the index names it."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """SHA-256 of a published package, and its pieces by slot. Unsigned, as they are: it says only what to read."""

    sha256: str
    pieces: tuple[PackagePiece, ...]


def split_package(data: bytes) -> list[bytes]:
    """Returns the chunks in which a package is published, one for each slot.

    Each begins with a line: the SHA-256 of the package and the number of chunks. Raises `FormatError` for a package
    that is too long for the broker.
    """
    return _chunks(data, _pieces(data))


def index_of(data: bytes) -> bytes:
    """Returns the index of a package, which is published beside its chunks. Raises as `split_package` does."""
    lines = [_sha256(data), *(f"{_sha256(piece)} {len(piece)}" for piece in _pieces(data))]
    return "".join(f"{line}\n" for line in lines).encode()


def read_index(data: bytes) -> PackageIndex:
    """Raises `FormatError` unless the bytes have the form of an index."""
    form = _INDEX.fullmatch(data)
    lines = [line.split() for line in form[2].decode().splitlines()] if form is not None else []
    if form is None or len(lines) > TRUST_SLOTS or any(int(size) > MAX_CHUNK_BYTES for _, size in lines):
        raise FormatError("This is no index of a trust package.")
    return PackageIndex(form[1].decode(), tuple(PackagePiece(sha256, int(size)) for sha256, size in lines))


def read_chunk(data: bytes) -> PublishedChunk:
    """Raises `FormatError` unless the bytes begin with the line of a chunk."""
    head, _, piece = data.partition(b"\n")
    form = _CHUNK.fullmatch(head)
    if form is None or not piece:
        raise FormatError("This is no chunk of a trust package.")
    return PublishedChunk(form[1].decode(), int(form[2]), piece)


def _pieces(data: bytes) -> list[bytes]:
    """Cuts a package so that its root files begin a piece, and what follows them another one."""
    if len(data) > PUBLISHED_LIMIT_BYTES:
        raise FormatError(
            f"This trust package has {len(data)} bytes, {PUBLISHED_LIMIT_BYTES} can be published.",
            remedy="Let this broker serve fewer cells, list fewer requesters, or share them among several roots. "
            "If the root has had many sets of keys, found a new root.",
        )
    found = [data.find(key) for key in _KEYS]
    roots, sections, timestamp = (at if at > 0 else len(data) for at in found)
    # So a change of the list leaves the pieces of the root files as they are.
    runs = pairwise(sorted({0, roots, min(sections, timestamp), len(data)}))
    return [piece for start, end in runs for piece in _equal(data[start:end], MAX_CHUNK_BYTES)]


def split_directory(data: bytes) -> list[bytes]:
    """Returns the chunks in which a broker directory is published, in the same form. Raises `FormatError`."""
    if not 0 < len(data) <= DIRECTORY_SLOTS * MAX_DIRECTORY_CHUNK_BYTES:
        raise FormatError(f"A broker directory of {len(data)} bytes cannot be published.")
    return _chunks(data, _equal(data, MAX_DIRECTORY_CHUNK_BYTES))


def _equal(data: bytes, most_bytes: int) -> list[bytes]:
    return [data[start : start + most_bytes] for start in range(0, len(data), most_bytes)]


def _chunks(data: bytes, pieces: Sequence[bytes]) -> list[bytes]:
    return [PublishedChunk(_sha256(data), len(pieces), piece).to_bytes() for piece in pieces]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _open_root_files(
    data: Sequence[bytes], name_keys: Mapping[str, TrustKey]
) -> tuple[RootFile, tuple[str, ...], RootFile | None]:
    """Returns the newest root file, the SHA-256 of the payload of each, and the one that changed the keys last."""
    before: RootFile | None = None
    keys_since: RootFile | None = None
    sha256s: list[str] = []
    for each in data:
        claimed = envelope.read_several(each, RootFile.PAYLOAD_TYPE, limit_bytes=ROOT_ENVELOPE_LIMIT_BYTES)
        root_file = strictjson.decode(claimed.payload, RootFile, limit_bytes=_ROOT_LIMIT_BYTES)
        name = name_keys.get(root_file.root)
        if name is None:
            raise OpenError(envelope.NOT_SIGNED)
        if before is None:
            # The name key vouches for the first file only. It may be one of its keys, too.
            old, least = {name.id: name}, 1
        else:
            old, least = before.signers, before.threshold
        # Without a gap, because each root file is verified with the keys of the one before.
        if root_file.version != (before.version if before else 0) + 1 or (before and before.root != root_file.root):
            raise FormatError("roots: the versions count from 1, for one root.")
        # TUF §5.3.4: a threshold of the new keys and one of the keys before must both have signed.
        claimed.require(root_file.threshold, root_file.signers, old)
        claimed.require(least, old, root_file.signers)
        if before and (set(before.keys), before.threshold) != (set(root_file.keys), root_file.threshold):
            keys_since = root_file
        before = root_file
        sha256s.append(hashlib.sha256(claimed.payload).hexdigest())
    assert before is not None  # noqa: S101 — a package has a root file
    return before, tuple(sha256s), keys_since


def _by_id(texts: Sequence[str]) -> dict[str, TrustKey]:
    keys = [parse_trust_key(text) for text in texts]
    return {key.id: key for key in keys}
