"""The manifest: one signed, chained line for everything the vault acknowledged, let go or did not have.

- A line is a JSON object of two strings, `payload` and `sig`; the signature is the device's over the payload's DSSE
  pre-authentication encoding.  Every line is signed, so a few can be shown to a requester without the others.
- The payload holds the line's number and the SHA-256 of the line before it: a line can neither be dropped nor moved
  unseen.  Only cutting off the newest ones stays possible, and that is what the ledger's checkpoints are against.
- A damaged line costs itself: reading goes on behind it, and says so.

Source: FORMAT.md, "Manifest"; DSSE protocol.md 1.0.2.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from agent.core.vault.records import Record
from agent.core.vault.spans import Sha256, Size
from agent.errors import FormatError, OpenError
from agent.wire import base64, strictjson
from agent.wire.envelope import pae
from agent.wire.identities import SIGNATURE_BYTES, PublicKey

__all__ = [
    "FIRST_PREVIOUS",
    "LONGEST_LINE_BYTES",
    "PAYLOAD_TYPE",
    "ChainStep",
    "Fault",
    "SignedRecord",
    "Signer",
    "Tip",
    "open_line",
    "parse_line",
    "read_chain",
    "records_about",
    "sign_record",
    "verify_chain",
]

PAYLOAD_TYPE: Final = "application/vnd.doorward.manifest-record+json"
FIRST_PREVIOUS: Final = "0" * 64
"""What the first line says of the line before it."""
LONGEST_LINE_BYTES: Final = 16 * 1024
_PAYLOAD_BEGINS: Final = b'"payload":"'
_SEGMENT_NAME: Final = re.compile(rb'"([a-z2-7]{26})"')

Signer = Callable[[bytes], bytes]
"""message → 64-byte Ed25519 signature by the device key, wherever that key lives."""


class _Payload(strictjson.Message, frozen=True, kw_only=True):
    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    seq: Size
    prev: Sha256
    record: Record


class _Line(strictjson.Message, frozen=True, kw_only=True):
    payload: str
    sig: str


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """One parsed line.  `line` is its bytes without the line feed: what is signed, hashed and shown to others."""

    sequence: int
    previous: str
    record: Record
    line: bytes
    payload: bytes
    signature: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.line).hexdigest()

    def signed_by(self, key: PublicKey) -> bool:
        return key.verifies(self.signature, pae(PAYLOAD_TYPE, self.payload))


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a manifest: where the next line goes, its number, and the hash it must name."""

    offset: int = 0
    sequence: int = 0
    previous: str = FIRST_PREVIOUS

    def after(self, signed: SignedRecord) -> Tip:
        return Tip(self.offset + len(signed.line) + 1, signed.sequence + 1, signed.sha256)


def sign_record(record: Record, tip: Tip, sign: Signer) -> SignedRecord:
    """The line that continues a manifest at `tip`."""
    payload = strictjson.encode(_Payload(seq=tip.sequence, prev=tip.previous, record=record))
    signature = sign(pae(PAYLOAD_TYPE, payload))
    line = strictjson.encode(_Line(payload=base64.encode(payload), sig=base64.encode(signature)))
    return SignedRecord(tip.sequence, tip.previous, record, line, payload, signature)


def parse_line(line: bytes) -> SignedRecord:
    """The line (without its line feed), its signature *not* checked.  Raises `FormatError`."""
    outer = strictjson.decode(line, _Line, limit_bytes=LONGEST_LINE_BYTES)
    payload, signature = base64.decode(outer.payload), base64.decode(outer.sig)
    if len(signature) != SIGNATURE_BYTES:
        raise FormatError(f"An Ed25519 signature has {SIGNATURE_BYTES} bytes, this one has {len(signature)}.")
    inner = strictjson.decode(payload, _Payload, limit_bytes=LONGEST_LINE_BYTES)
    return SignedRecord(inner.seq, inner.prev, inner.record, line, payload, signature)


def open_line(line: bytes, key: PublicKey) -> SignedRecord:
    """The line, once `key` has been seen to sign it.  Raises `FormatError`, or `OpenError` if another did."""
    signed = parse_line(line)
    if not signed.signed_by(key):
        raise OpenError("No trusted key signed this manifest record.")
    return signed


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one line; `line` counts from 1, as an editor does."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One line read: `signed` if it can be read, `fault` if it is not what it should be; a line may have both.

    `offset` is the byte at which it starts, `tip` the end of the manifest behind it.
    """

    offset: int
    signed: SignedRecord | None
    fault: Fault | None
    tip: Tip


def read_chain(lines: Iterable[bytes], tip: Tip = Tip(), key: PublicKey | None = None) -> Iterator[ChainStep]:
    """Every line of a manifest from `tip` on, as it lies in the file: with its line feed, the last perhaps without.

    Signatures are checked when a `key` is given.  A line without its line feed was never acknowledged: a step with a
    fault and no record, and `tip` stays before it.
    """
    for number, raw in enumerate(lines, start=1):
        offset = tip.offset
        if not raw.endswith(b"\n"):
            yield ChainStep(offset, None, Fault(number, "The line is cut off."), tip)
            return
        try:
            signed = parse_line(raw[:-1])
        except FormatError as error:
            tip = Tip(offset + len(raw), tip.sequence + 1, hashlib.sha256(raw[:-1]).hexdigest())
            yield ChainStep(offset, None, Fault(number, error.message), tip)
            continue
        problem = _problem(signed, tip, key)
        tip = tip.after(signed)
        yield ChainStep(offset, signed, Fault(number, problem) if problem else None, tip)


def records_about(lines: Iterable[bytes], segments: Collection[str]) -> Iterator[Record]:
    """What the lines say that name one of `segments`, in order.  No chain is checked, and no other line is parsed.

    A manifest of 200 000 lines takes a tenth of the time that parsing all of it does.
    """
    for raw in lines:
        begins = raw.find(_PAYLOAD_BEGINS) + len(_PAYLOAD_BEGINS)
        try:
            payload = binascii.a2b_base64(raw[begins : raw.find(b'"', begins)])
        except binascii.Error:
            continue
        if any(name.decode() in segments for name in _SEGMENT_NAME.findall(payload)):
            with suppress(FormatError):
                yield parse_line(raw.removesuffix(b"\n")).record


def verify_chain(lines: Iterable[bytes], key: PublicKey) -> tuple[Fault, ...]:
    """Everything wrong with a whole manifest: unreadable lines, broken links, signatures that are not `key`'s."""
    return tuple(step.fault for step in read_chain(lines, key=key) if step.fault)


def _problem(signed: SignedRecord, tip: Tip, key: PublicKey | None) -> str:
    if key is not None and not signed.signed_by(key):
        return "The signature is not this device's."
    if signed.previous != tip.previous:
        return "The line does not follow the one before it."
    if signed.sequence != tip.sequence:
        return f"The line is number {signed.sequence}, expected was {tip.sequence}."
    return ""
