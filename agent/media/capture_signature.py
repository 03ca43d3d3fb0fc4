"""ONVIF Media Signing of whole GOPs: hashes them into a chain of messages, and verifies such a chain.

The message of a GOP stands behind its last picture, so each fragment of a film carries its own signature: a segment, a
film that ends after any segment, and one that a power failure cut short are signed to their last whole GOP. In the
order of NAL units that is the specification's "SIPPPP SIPPPP": a message stands in front of the next keyframe.

- The keyframe's first slice is hashed alone. Each other slice is hashed with it: SHA-256(hash of the keyframe, hash of
  the slice). Parameter sets, delimiters and other messages are not hashed.
- Each message holds the first hash of the GOP before, and its number is one higher. So a GOP that is left out, moved or
  repeated shows.
- The single hashes are listed if that keeps the message below 1 % of its GOP. Without them a changed GOP is noticed as
  well, but not which picture of it.

Source: ONVIF Media Signing Specification 25.12; docs/decisions/0065.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from agent.core.media import VideoCodec
from agent.errors import FormatError
from agent.media.annexb import nal_type
from agent.media.onvif_sei import (
    HASH_BYTES,
    GopStatement,
    MediaSei,
    is_media_sei,
    parse_sei,
)

__all__ = [
    "CaptureFault",
    "CaptureFinding",
    "CaptureReport",
    "SigningChain",
    "is_slice",
    "next_statement",
    "onvif_time",
    "verify_capture",
]

_NO_HASH: Final = bytes(HASH_BYTES)
_FIRST: Final = 1
_PICTURES: Final = {VideoCodec.H264: range(1, 6), VideoCodec.HEVC: range(32)}
_INTRA: Final = {VideoCodec.H264: range(5, 6), VideoCodec.HEVC: range(16, 24)}
"""NAL unit types that begin a GOP: IDR in H.264, and IDR, BLA or CRA in HEVC."""
_HEADER_BYTES: Final = {VideoCodec.H264: 1, VideoCodec.HEVC: 2}
_FIRST_SLICE: Final = 0x80
"""first_mb_in_slice is 0, or first_slice_segment_in_pic_flag is set."""
_LISTED_SHARE: Final = 100
"""Hashes are listed in a GOP of at least this many times the bytes of the whole message."""
_UNLISTED_BYTES: Final = 200
"""Size of a message without its hashes, rounded up."""
_EPOCH_US: Final = 11_644_473_600 * 10**6
"""From 1601 to 1970."""
_MOST_FAULTS: Final = 64
_MOST_UNITS: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class SigningChain:
    """The state between two messages. `counter`: of the next one. `linked`: the first hash of the GOP signed last.

    `anchor`: the hash of the newest keyframe, for the later parts of its GOP.
    """

    counter: int = _FIRST
    linked: bytes = _NO_HASH
    anchor: bytes = _NO_HASH


def onvif_time(utc_us: int) -> int:
    """Converts UTC in µs since 1970 to 100 ns since 1601."""
    return (utc_us + _EPOCH_US) * 10


def is_slice(unit: bytes, codec: VideoCodec) -> bool:
    """Returns whether a NAL unit holds picture data."""
    return nal_type(unit, codec) in _PICTURES[codec]


def next_statement(
    chain: SigningChain, units: Iterable[bytes], codec: VideoCodec, times: tuple[int, int], *, ends: bool
) -> tuple[GopStatement, SigningChain]:
    """Returns what to sign of a GOP, or of a part of one, and the chain after it.

    `units`: all of its NAL units in their order, without start codes. `times`: `onvif_time` of its first picture and of
    the next GOP's first picture, or zeros. `ends`: it ends its GOP. Raises `FormatError` for an empty GOP,
    or a GOP begins without a keyframe that decodes alone.
    """
    units = list(units)
    hashes, anchor = _hashes(units, codec, chain.anchor)
    # `units` has two bytes in the message, and every hash needs the one of a keyframe before it.
    if not 0 < len(hashes) <= _MOST_UNITS or anchor == _NO_HASH:
        raise FormatError("This GOP does not begin with an IDR picture, so it cannot be signed.")
    size = sum(map(len, units))
    statement = GopStatement(
        not ends,
        *times,
        chain.counter & 0xFFFF_FFFF,
        len(hashes),
        hashlib.sha256(b"".join(hashes)).digest(),
        chain.linked,
        tuple(hashes) if size >= _LISTED_SHARE * (_UNLISTED_BYTES + HASH_BYTES * len(hashes)) else (),
    )
    return statement, SigningChain(chain.counter + 1, hashes[0], anchor)


def _hashes(units: Iterable[bytes], codec: VideoCodec, anchor: bytes) -> tuple[list[bytes], bytes]:
    """Returns the hash of each slice, and the keyframe's hash, which later slices are hashed with."""
    found = []
    header = _HEADER_BYTES[codec]
    for unit in units:
        if not is_slice(unit, codec):
            continue
        digest = hashlib.sha256(unit).digest()
        begins = nal_type(unit, codec) in _INTRA[codec] and len(unit) > header and unit[header] & _FIRST_SLICE
        if begins:
            anchor = digest
        # With its keyframe's hash, a slice proves nothing behind another keyframe.
        found.append(digest if begins else hashlib.sha256(anchor + digest).digest())
    return found, anchor


class CaptureFault(enum.Enum):
    """Why a GOP is not proven. The values are words for a report."""

    CHANGED = "a picture was changed, removed or added"
    MISSING = "a GOP in front of it is missing"
    REPEATED = "it stands in the wrong place, or twice"
    SIGNATURE = "its signature is not by this doorbell's key"
    UNSIGNED = "it has no signature"
    MALFORMED = "its message is malformed"
    NO_KEY = "no certificate of a key stands in front of it"


@dataclass(frozen=True, slots=True)
class CaptureFinding:
    """One fault. `gop` counts from 1 in the film."""

    gop: int
    fault: CaptureFault


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """The proof that the messages of a film give.

    `messages`: their number, 0 for a film without capture signatures. `signed`: GOPs, and parts of long ones, proven
    whole and in place. `unsigned`: slices behind the last message. `start` and `end`: `onvif_time` of the proven GOPs,
    0 for an unknown time. `chain`: the certificates in PEM, None if none is trusted.
    """

    messages: int
    signed: int
    unsigned: int
    findings: tuple[CaptureFinding, ...]
    start: int
    end: int
    chain: bytes | None

    @property
    def is_whole(self) -> bool:
        """Every picture of the film is proven."""
        return bool(self.signed) and not self.findings and not self.unsigned


Verifies = Callable[[bytes, bytes], bool]
"""Returns whether this is the signature (second) of a message (first)."""
OpenChain = Callable[[bytes], Verifies | None]
"""Returns the check of a chain's key, None if the chain is untrusted."""


def verify_capture(units: Iterable[bytes], codec: VideoCodec, open_chain: OpenChain) -> CaptureReport:
    """Verifies a film. `units`: all its NAL units in their order, without start codes.

    Pictures of a film are either proven, or named: as a finding, or as `unsigned` at its end.
    """
    reader = _FilmReader(codec, open_chain)
    for unit in units:
        if is_media_sei(unit, codec):
            reader.message(unit)
        elif is_slice(unit, codec):
            reader.slice(unit)
    return reader.report()


@dataclass
class _FilmReader:
    codec: VideoCodec
    open_chain: OpenChain
    anchor: bytes = _NO_HASH
    pending: list[bytes] = field(default_factory=list)
    """Hashes of slices that no message has covered yet."""
    before: tuple[GopStatement, bytes | None] | None = None
    """The statement before, and the first hash of its GOP, None if that GOP has a fault."""
    verifies: Verifies | None = None
    chain: bytes | None = None
    messages: int = 0
    gop: int = 1
    """The number of the GOP that is read."""
    signed: int = 0
    start: int = 0
    end: int = 0
    findings: list[CaptureFinding] = field(default_factory=list)

    def slice(self, unit: bytes) -> None:
        hashes, anchor = _hashes((unit,), self.codec, self.anchor)
        if anchor != self.anchor and self.pending:  # a keyframe begins, and the GOP before it had no message
            self._fault(CaptureFault.UNSIGNED)
            self._end_gop()
        self.anchor = anchor
        self.pending += hashes

    def message(self, unit: bytes) -> None:
        self.messages += 1
        try:
            sei = parse_sei(unit, self.codec)
        except FormatError:
            self._fault(CaptureFault.MALFORMED)
            return
        if sei.statement is None:
            self._certificate(sei)
        else:
            self._statement(sei, sei.statement)

    def report(self) -> CaptureReport:
        findings = tuple(self.findings[:_MOST_FAULTS]) if self.messages else ()
        return CaptureReport(self.messages, self.signed, len(self.pending), findings, self.start, self.end, self.chain)

    def _certificate(self, sei: MediaSei) -> None:
        verifies = self.open_chain(sei.chain) if sei.chain is not None and not sei.foreign_hash else None
        if verifies is None or sei.signature is None or not verifies(sei.document, sei.signature):
            self._fault(CaptureFault.SIGNATURE)
            return
        self.verifies, self.chain = verifies, sei.chain

    def _statement(self, sei: MediaSei, statement: GopStatement) -> None:
        fault = self._fault_of(sei, statement)
        if fault is None and self.before is not None:
            fault = _fault_of_place(statement, *self.before)
        # A message that proves nothing vouches for no GOP, so the next one is not compared with its hash.
        self.before = (statement, self.pending[0] if fault is None else None)
        if fault is not None:
            self._fault(fault)
        else:
            self.signed += 1
            self.start = statement.start if self.signed == 1 else self.start
            self.end = statement.end
        self._end_gop()

    def _fault_of(self, sei: MediaSei, statement: GopStatement) -> CaptureFault | None:
        if self.verifies is None:
            return CaptureFault.NO_KEY
        if sei.signature is None or not self.verifies(sei.document, sei.signature):
            return CaptureFault.SIGNATURE
        gop_hash = hashlib.sha256(b"".join(self.pending)).digest()
        if not self.pending or len(self.pending) != statement.units or gop_hash != statement.gop_hash:
            return CaptureFault.CHANGED
        return None

    def _end_gop(self) -> None:
        self.pending = []
        self.gop += 1

    def _fault(self, fault: CaptureFault) -> None:
        self.findings.append(CaptureFinding(self.gop, fault))


def _fault_of_place(statement: GopStatement, before: GopStatement, first: bytes | None) -> CaptureFault | None:
    """`first`: the first hash of the GOP before, if it is proven."""
    # Modulo 2³², because the counter wraps.
    step = statement.counter - before.counter & 0xFFFF_FFFF
    if step != 1:
        return CaptureFault.MISSING if 1 < step < 1 << 31 else CaptureFault.REPEATED
    return CaptureFault.CHANGED if first not in (None, statement.linked) else None
