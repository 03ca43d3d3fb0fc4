"""The manifest: one signed, chained line for everything the vault acknowledged, evicted or could not record.

- A line is a JSON object of two strings, `payload` and `sig`. The signature is the device's over the payload's DSSE
  pre-authentication encoding. Every line is signed, so that a few can be shown to a requester alone.
- The payload holds the line's number and one hash of all lines before it (`hash_chain`), so a dropped or moved line
  shows. Cutting off the newest lines shows only for segments that a statement in the ledger names.
- If a line is damaged, only that line is lost: the reader reports it and continues. An endless line takes bounded
  memory.
- Some lines have a second signature, `mldsa`, which covers the lines before it (`core.vault.hash_chain`).
- The lines are in chapters, one file each. Every chapter but the first begins with a signed `chapter` record. Lines
  kept from a deleted chapter stand directly after that record (`carried`), and the record has the root of their Merkle
  tree.

Source: FORMAT.md, "Manifest"; DSSE protocol.md 1.0.2.
"""

from __future__ import annotations

import binascii
import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from agent.core.ledger import merkle
from agent.core.vault.fields import Sha256, Size
from agent.core.vault.hash_chain import FIRST, RecordTime, chain_hash, needs_second_signature, time_of
from agent.core.vault.records import BootRecord, Carried, Chapter, Record
from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.envelope import pae
from agent.wire.identities import MLDSA_SIGNATURE_BYTES, SIGNATURE_BYTES, MldsaPublicKey, PublicKey

__all__ = [
    "LONGEST_LINE_BYTES",
    "MOST_CHAPTERS",
    "PAYLOAD_TYPE",
    "ChainFault",
    "ChainHead",
    "ChainStep",
    "LineSigner",
    "RawLine",
    "SecondSigner",
    "SignedRecord",
    "Signer",
    "carried_of",
    "chapter_name",
    "chapter_number",
    "chapter_of",
    "chapter_start",
    "follow",
    "loose_payload",
    "missing_chapters",
    "oldest_stated",
    "open_line",
    "parse_line",
    "read_chain",
    "records_about",
    "sign_record",
    "split_lines",
    "verify_chain",
]

PAYLOAD_TYPE: Final = "application/vnd.doorward.manifest-record+json"
LONGEST_LINE_BYTES: Final = 16 * 1024
MOST_CHAPTERS: Final = 1 << 20
"""Chapters in the life of a vault: 4 TiB of lines at the usual size of a chapter."""
_OFFSET_BITS: Final = 32
_FILE_NAME: Final = re.compile(r"manifest\.(0|[1-9][0-9]{0,6})")
_MOST_MISSING: Final = 64
_NOT_OURS: Final = "The signature is not this device's."
_SECOND_NOT_OURS: Final = "The second signature is not this device's."
_PAYLOAD_BEGINS: Final = b'"payload":"'
_SEGMENT_NAME: Final = re.compile(rb'"([a-z2-7]{26})"')

Signer = Callable[[bytes], bytes]
"""Signs a message: returns the 64-byte Ed25519 signature by the device key, which may be in another process."""


@dataclass(frozen=True, slots=True)
class SecondSigner:
    """The device's ML-DSA-44 key in base64. `sign` returns its signature, which may be made in another process."""

    key: str
    sign: Signer


class _SignedPayload(strictjson.Message, frozen=True, kw_only=True):
    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    seq: Size
    prev: Sha256
    record: Record


class _SignedLine(strictjson.Message, frozen=True, kw_only=True):
    mldsa: str | None = None
    payload: str
    sig: str


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """One parsed line. `line` is its bytes without the line feed, which are signed, hashed and shown to others."""

    sequence: int
    previous: str
    record: Record
    line: bytes
    payload: bytes
    signature: bytes
    mldsa: bytes | None = None
    """The second signature, if the line has one."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.line).hexdigest()

    @property
    def chain_hash(self) -> str:
        """The hash behind this line, which the next line names."""
        return chain_hash(self.previous, self.line)

    def signed_by(self, key: PublicKey) -> bool:
        return key.verifies(self.signature, pae(PAYLOAD_TYPE, self.payload))

    def signed_twice_by(self, key: MldsaPublicKey) -> bool:
        """Returns True if the line has a second signature and `key` made it."""
        return self.mldsa is not None and key.verifies(self.mldsa, pae(PAYLOAD_TYPE, self.payload))


def chapter_start(chapter: int) -> int:
    """Returns the position of the first byte of a chapter.

    A position in a manifest is one integer: the chapter's number in the upper bits, and the offset in its file in the
    lower 32.
    """
    return chapter << _OFFSET_BITS


def chapter_of(position: int) -> int:
    """Returns the number of the chapter that contains `position`."""
    return position >> _OFFSET_BITS


def chapter_name(chapter: int) -> str:
    """Returns the name of a chapter's file."""
    return f"manifest.{chapter}"


def chapter_number(name: str) -> int | None:
    """Returns the number of the chapter in a file of this name, or None for other files."""
    found = _FILE_NAME.fullmatch(name)
    number = int(found[1]) if found else MOST_CHAPTERS
    return number if number < MOST_CHAPTERS else None


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line as it is in a chapter's file.

    `position` is its first byte. `size` counts its line feed, `data` is without it. `whole`: it has its line feed. If a
    line is too long, `data` holds only the beginning: one byte more than a line may have.
    """

    position: int
    data: bytes
    size: int
    whole: bool

    @property
    def end(self) -> int:
        return self.position + self.size


def split_lines(chunks: Iterable[bytes], position: int = 0) -> Iterator[RawLine]:
    """Yields the lines of one file from `position` on, in bounded memory for lines of any length."""
    begun, size = bytearray(), 0
    for chunk in chunks:
        start = 0
        while (feed := chunk.find(b"\n", start)) >= 0:
            # One byte beyond the limit shows that a line is too long. A damaged file without line feeds then costs no
            # memory.
            begun += chunk[start : min(feed, start + LONGEST_LINE_BYTES + 1)]
            size += feed + 1 - start
            yield RawLine(position, bytes(begun[: LONGEST_LINE_BYTES + 1]), size, True)
            position += size
            begun.clear()
            size, start = 0, feed + 1
        rest = len(chunk) - start
        if len(begun) <= LONGEST_LINE_BYTES:
            begun += chunk[start : start + LONGEST_LINE_BYTES + 1]
        size += rest
    if size:
        yield RawLine(position, bytes(begun[: LONGEST_LINE_BYTES + 1]), size, False)


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The end of a manifest: the position of the next line, its number, and the hash that it must name."""

    offset: int = 0
    sequence: int = 0
    previous: str = FIRST

    def after(self, signed: SignedRecord) -> ChainHead:
        return ChainHead(self.offset + len(signed.line) + 1, signed.sequence + 1, signed.chain_hash)


def sign_record(record: Record, tip: ChainHead, sign: Signer, second: Signer | None = None) -> SignedRecord:
    """Returns the line that continues a manifest at `tip`. `second` makes its second signature, if it needs one."""
    payload = strictjson.encode(_SignedPayload(seq=tip.sequence, prev=tip.previous, record=record))
    # DSSE signs the type as well, so no record passes for another document of the same key.
    encoding = pae(PAYLOAD_TYPE, payload)
    signature, mldsa = sign(encoding), second(encoding) if second is not None else None
    outer = _SignedLine(
        payload=strictjson.encode_base64(payload),
        sig=strictjson.encode_base64(signature),
        mldsa=strictjson.encode_base64(mldsa) if mldsa is not None else None,
    )
    return SignedRecord(tip.sequence, tip.previous, record, strictjson.encode(outer), payload, signature, mldsa)


class LineSigner:
    """Signs the lines of a manifest in their order, and those twice that need it (`core.vault.hash_chain`).

    `newest` is the time of the newest line with a second signature. Set it to None if another line may stand at the end
    of the manifest than that of the last `wrote`: the next line then gets a second signature.
    """

    def __init__(self, sign: Signer, second: Signer, newest: RecordTime | None = None) -> None:
        """`sign` makes the signature of each line, `second` the second one."""
        self._sign = sign
        self._second = second
        self.newest = newest

    def sign(self, record: Record, tip: ChainHead) -> SignedRecord:
        """Returns the line that continues the manifest at `tip`. Call `wrote` if it is written."""
        is_twice = needs_second_signature(record, self.newest)
        return sign_record(record, tip, self._sign, self._second if is_twice else None)

    def wrote(self, signed: SignedRecord) -> None:
        if signed.mldsa is not None:
            self.newest = time_of(signed.record)


def parse_line(line: bytes) -> SignedRecord:
    """Parses a line (without its line feed) and leaves its signatures unchecked. Raises `FormatError`."""
    outer = strictjson.decode(line, _SignedLine, limit_bytes=LONGEST_LINE_BYTES)
    payload, signature = strictjson.decode_base64(outer.payload), strictjson.decode_base64(outer.sig)
    if len(signature) != SIGNATURE_BYTES:
        raise FormatError(f"An Ed25519 signature has {SIGNATURE_BYTES} bytes. This one has {len(signature)}.")
    mldsa = strictjson.decode_base64(outer.mldsa) if outer.mldsa is not None else None
    if mldsa is not None and len(mldsa) != MLDSA_SIGNATURE_BYTES:
        raise FormatError(f"An ML-DSA-44 signature has {MLDSA_SIGNATURE_BYTES} bytes. This one has {len(mldsa)}.")
    inner = strictjson.decode(payload, _SignedPayload, limit_bytes=LONGEST_LINE_BYTES)
    return SignedRecord(inner.seq, inner.prev, inner.record, line, payload, signature, mldsa)


def open_line(line: bytes, key: PublicKey) -> SignedRecord:
    """Parses a line and checks that `key` signed it. Raises `FormatError`, or `OpenError` if another key did.

    Its second signature, if it has one, is unchecked: it says something only about a whole manifest."""
    signed = parse_line(line)
    if not signed.signed_by(key):
        raise OpenError("No trusted key signed this manifest record.")
    return signed


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The fault of one line. `line` counts from 1, as an editor does, or from the start of reading in the chapter.

    `line` is 0 if the number is unknown. `offset` is the byte in the chapter's file at which the line starts.
    """

    line: int
    problem: str
    chapter: int = 0
    offset: int = 0

    @property
    def place(self) -> str:
        """For example "manifest.0, line 3, byte 812"."""
        number = f"line {self.line}, " if self.line else ""
        return f"{chapter_name(self.chapter)}, {number}byte {self.offset}"

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One line that was read. `signed` is set if it is readable, `fault` if it breaks a rule. A line may have both.

    `offset` is the position at which it starts, `head` the end of the manifest after it. `carried`: a copy of a line of
    a deleted chapter, with its old number and outside the chain. `rests`: reading can continue from `tip` later. It is
    False while more carried lines follow.

    The following are about signatures, and say something only if keys were given. `ours`: the device's key signed the
    line. `covers`: the line has a valid second signature. `refused`: it lacks the one that it needs, or another key
    made it. `breaks`: what stands before it is another line than the one that it names, or the carried lines up to
    this one are not those that their chapter names. `core.vault.signed_once` says which lines are covered.
    """

    offset: int
    signed: SignedRecord | None
    fault: ChainFault | None
    head: ChainHead
    carried: bool = False
    rests: bool = True
    ours: bool = True
    covers: bool = False
    refused: bool = False
    breaks: bool = False


def read_chain(
    lines: Iterable[bytes],
    tip: ChainHead = ChainHead(),
    key: PublicKey | None = None,
    mldsa: MldsaPublicKey | None = None,
) -> Iterator[ChainStep]:
    """Does the same as `follow` for the lines of one file as stored: with line feeds, the last perhaps without."""
    return follow(_placed(lines, tip.offset), tip, key, mldsa)


def _placed(lines: Iterable[bytes], position: int) -> Iterator[RawLine]:
    for raw in lines:
        yield RawLine(position, raw.removesuffix(b"\n"), len(raw), raw.endswith(b"\n"))
        position += len(raw)


def follow(
    lines: Iterable[RawLine],
    tip: ChainHead = ChainHead(),
    key: PublicKey | None = None,
    mldsa: MldsaPublicKey | None = None,
) -> Iterator[ChainStep]:
    """Yields every line of a manifest from `tip` on, chapter after chapter.

    If `key` is given, signatures are checked, and second signatures with `mldsa`. If `mldsa` is None, the key is taken
    from the first line that names one and that `key` signed. A forger of Ed25519 may have named it. Second signatures
    need a whole manifest: behind a `tip`, each line needs one until the first that has it.

    `ChainHead()` stands for the beginning of the first chapter in `lines`: its `chapter` record is then trusted about
    everything before it. A line without its line feed was never acknowledged. It yields a step with only a fault, and
    `tip` stays before it.
    """
    reading = _Reading(tip, key, mldsa)
    for raw in lines:
        yield reading.step(raw)


class _Reading:
    """The state of reading a manifest: the chapter, the last line, the carried lines still to come, and the newest
    second signature."""

    def __init__(self, tip: ChainHead, key: PublicKey | None, mldsa: MldsaPublicKey | None) -> None:
        self._tip = tip
        self._key = key
        self._mldsa = mldsa
        self._newest: RecordTime | None = None
        self._newest_sequence = -1
        self._chapter: int | None = None if tip == ChainHead() else chapter_of(tip.offset)
        self._line = 0
        self._carried: Carried | None = None
        self._left = 0
        self._tree = merkle.Frontier()

    def step(self, raw: RawLine) -> ChainStep:
        before, chapter = self._chapter, chapter_of(raw.position)
        self._line = self._line + 1 if chapter == before else 1
        self._chapter = chapter
        # A chapter that ends early must not claim the next chapter's lines as its carried ones.
        if chapter != before:
            self._carried, self._left = None, 0
        if not raw.whole:
            return self._told(raw, None, "The line is cut off.")
        try:
            signed = parse_line(raw.data)
        except FormatError as error:
            return self._unreadable(raw, _too_long(raw) or error.message)
        # The key of the second signatures is taken only from a line of the device's.
        ours = self._key is None or signed.signed_by(self._key)
        if self._left > 0:
            return self._carry(raw, signed, ours=ours)
        first = raw.position == chapter_start(chapter)
        record = signed.record
        if first and before is None and isinstance(record, Chapter):
            # Reading starts here: the chapters before are deleted, so there is no earlier line to compare with.
            self._tip = ChainHead(raw.position, signed.sequence, signed.previous)
        broken = _does_not_follow(signed, self._tip) or _misplaced(record, chapter, first=first)
        if before is not None and chapter > before + 1:
            broken = f"The chapters {before + 1} to {chapter - 1} are missing."
        elif not ours:
            broken = _NOT_OURS
        covers, second = self._second_signature(signed) if ours else (False, "")
        self._tip = ChainHead(raw.end, signed.sequence + 1, signed.chain_hash)
        if first and isinstance(record, Chapter) and record.carried is not None:
            self._carried, self._left, self._tree = record.carried, record.carried.size, merkle.Frontier()
            # The line after the carried ones names the hash of this record, so they stay outside the chain.
            self._tip = ChainHead(raw.end + self._left, self._tip.sequence, self._tip.previous)
        # Only a line from further on in the device's chain is newer: a repeated one must not bring its hour back.
        if covers and signed.sequence > self._newest_sequence:
            self._newest, self._newest_sequence = time_of(record), signed.sequence
        return self._told(
            raw, signed, broken or second, ours=ours, covers=covers, refused=bool(second), breaks=bool(broken)
        )

    def _second_signature(self, signed: SignedRecord) -> tuple[bool, str]:
        """Returns if the line has a valid second signature, and the fault of the one that it needs or has."""
        if self._key is None:
            return False, ""
        record = signed.record
        if isinstance(record, BootRecord | Chapter):
            if self._mldsa is None:
                self._mldsa = MldsaPublicKey.parse(record.device_mldsa)
            if record.device_mldsa != self._mldsa.text:
                return False, "The line names another ML-DSA-44 key than this device's."
        if signed.mldsa is None:
            needed = needs_second_signature(record, self._newest)
            return False, "The line lacks the second signature, by ML-DSA-44." if needed else ""
        is_twice = self._is_signed_twice(signed)
        return is_twice, "" if is_twice else _SECOND_NOT_OURS

    def _is_signed_twice(self, signed: SignedRecord) -> bool:
        return self._key is not None and self._mldsa is not None and signed.signed_twice_by(self._mldsa)

    def _unreadable(self, raw: RawLine, problem: str) -> ChainStep:
        if self._left > 0:
            differ = self._count(raw)
            return self._told(raw, None, differ or problem, carried=True, breaks=bool(differ))
        # An intact next line still names the original hash, so the fault shows there as well.
        self._tip = ChainHead(raw.end, self._tip.sequence + 1, chain_hash(self._tip.previous, raw.data))
        return self._told(raw, None, problem)

    def _carry(self, raw: RawLine, signed: SignedRecord, *, ours: bool) -> ChainStep:
        covers = ours and self._is_signed_twice(signed)
        forged = ours and self._key is not None and signed.mldsa is not None and not covers
        differ = self._count(raw)
        problem = ("" if ours else _NOT_OURS) or (_SECOND_NOT_OURS if forged else "") or differ
        return self._told(
            raw, signed, problem, carried=True, ours=ours, covers=covers, refused=forged, breaks=bool(differ)
        )

    def _count(self, raw: RawLine) -> str:
        """Counts one more carried line. After the last one, returns the problem with them, or ""."""
        self._left -= raw.size
        self._tree = self._tree.append(merkle.leaf_hash(raw.data))
        if self._left > 0 or self._carried is None:
            return ""
        same = self._left == 0 and self._tree.root.hex() == self._carried.root
        return "" if same else "The carried lines differ from those that the chapter's first line names."

    def _told(
        self, raw: RawLine, signed: SignedRecord | None, problem: str, *, carried: bool = False, ours: bool = True,
        covers: bool = False, refused: bool = False, breaks: bool = False,
    ) -> ChainStep:  # fmt: skip
        chapter = chapter_of(raw.position)
        fault = ChainFault(self._line, problem, chapter, raw.position - chapter_start(chapter)) if problem else None
        rests = self._left <= 0
        return ChainStep(raw.position, signed, fault, self._tip, carried, rests, ours, covers, refused, breaks)


def oldest_stated(chapter: int, line: bytes) -> int | None:
    """Returns the oldest chapter that is needed, as `line`, the first of `chapter`, says. None if it is unreadable.

    Ask the newest chapter first. Older chapters that are still there were deleted, and came back with a power cut or by
    hand.
    """
    try:
        record = parse_line(line).record
    except FormatError:
        return None
    return record.oldest if isinstance(record, Chapter) and record.number == chapter else None


def missing_chapters(oldest: int, there: Collection[int]) -> tuple[ChainFault, ...]:
    """Returns a fault for each needed chapter that is missing, for the first few of them."""
    needed = range(oldest, max(there, default=oldest))
    missing = (ChainFault(0, "The chapter is missing.", number) for number in needed if number not in there)
    return tuple(itertools.islice(missing, _MOST_MISSING))


def carried_of(record: Record) -> int:
    """Returns the number of bytes of carried lines after the line of `record`."""
    return record.carried.size if isinstance(record, Chapter) and record.carried is not None else 0


def _too_long(raw: RawLine) -> str:
    if len(raw.data) <= LONGEST_LINE_BYTES:
        return ""
    return f"The line has {raw.size} bytes. At most {LONGEST_LINE_BYTES} are allowed."


def _misplaced(record: Record, chapter: int, *, first: bool) -> str:
    """Checks that exactly the first line of each chapter but `manifest.0` is a `chapter` record with the chapter's
    number."""
    begins = isinstance(record, Chapter)
    if begins and not first:
        return "A `chapter` record is in the middle of a chapter."
    if first and chapter and not begins:
        return "The chapter does not begin with a `chapter` record."
    if isinstance(record, Chapter) and record.number != chapter:
        return f"This is the `chapter` record of chapter {record.number}."
    return ""


def records_about(lines: Iterable[bytes], segments: Collection[str]) -> Iterator[Record]:
    """Yields the records that name one of `segments`, in order. The chain stays unchecked."""
    for raw in lines:
        payload = loose_payload(raw)
        # The search spares the strict parser, and with it nine tenths of the time: a manifest may have 200 000 lines.
        if any(name.decode() in segments for name in _SEGMENT_NAME.findall(payload)):
            with suppress(FormatError):
                yield parse_line(raw.removesuffix(b"\n")).record


def loose_payload(line: bytes) -> bytes:
    """Returns the payload of a line, quickly and unchecked, or b"" if it has none."""
    begins = line.find(_PAYLOAD_BEGINS) + len(_PAYLOAD_BEGINS)
    try:
        return binascii.a2b_base64(line[begins : line.find(b'"', begins)])
    except binascii.Error:
        return b""


def verify_chain(lines: Iterable[bytes], key: PublicKey, mldsa: MldsaPublicKey | None = None) -> tuple[ChainFault, ...]:
    """Returns all faults of a whole manifest: unreadable lines, broken links, signatures of other keys, and missing
    second signatures."""
    return tuple(step.fault for step in read_chain(lines, key=key, mldsa=mldsa) if step.fault)


def _does_not_follow(signed: SignedRecord, tip: ChainHead) -> str:
    if signed.previous != tip.previous:
        return "The line does not follow the one before it."
    if signed.sequence != tip.sequence:
        return f"The line is number {signed.sequence}, expected was {tip.sequence}."
    return ""
