"""A few lines of a manifest for another place, with the second signature that covers each of them.

An excerpt has the chosen lines in the manifest's order. It continues behind each of them up to a line with a second
signature: other lines are left out, and stand there as hashes. To end a stretch, the excerpt also shows lines of the
kinds `boot`, `chapter` and `coverage`, because these are silent about footage. Newest lines that still wait for a
second signature get a **head**: at the export, the device signs the hash behind them with both keys.

- `ExcerptBuilder` takes the steps of a manifest and returns the lines of the excerpt.
- `read_excerpt` verifies an excerpt with the device's keys.
- `covers_of` tells by which second signature lines of a manifest are covered. It makes no excerpt and no signature.

Source: FORMAT.md, "Excerpts".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Final

import msgspec

from agent.core.ledger import merkle
from agent.core.vault.fields import Sha256, Size, UtcMs
from agent.core.vault.hash_chain import RecordTime, chain_hash_of_leaves, needs_second_signature, time_of
from agent.core.vault.manifest import (
    LONGEST_LINE_BYTES,
    ChainHead,
    ChainStep,
    RawLine,
    SignedRecord,
    Signer,
    follow,
    open_line,
)
from agent.core.vault.records import BootRecord, Carried, Chapter, CoverageRecord, RecoveredRecord, SegmentRecord
from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.envelope import pae
from agent.wire.identities import MldsaPublicKey, PublicKey

__all__ = [
    "HEAD_TYPE",
    "Cover",
    "ExcerptBuilder",
    "ExcerptFault",
    "ExcerptRecord",
    "ExcerptReport",
    "covers_of",
    "read_excerpt",
]

HEAD_TYPE: Final = "application/vnd.doorward.manifest-head+json"
_HASHES_IN_A_LINE: Final = 200
"""One line of left-out lines. 200 hashes are 13.4 kB, and a line may have 16 KiB."""
_MOST_IN_A_PATH: Final = 40

_Place = Annotated[int, msgspec.Meta(ge=0, lt=1 << _MOST_IN_A_PATH)]


class _Omitted(strictjson.Message, frozen=True, kw_only=True):
    omitted: Annotated[tuple[Sha256, ...], msgspec.Meta(min_length=1, max_length=_HASHES_IN_A_LINE)]


class _CarriedPlace(strictjson.Message, frozen=True, kw_only=True):
    index: _Place
    lines: _Place
    path: Annotated[tuple[Sha256, ...], msgspec.Meta(max_length=_MOST_IN_A_PATH)]


class _CarriedLine(strictjson.Message, frozen=True, kw_only=True):
    carried: _CarriedPlace


class _Head(strictjson.Message, frozen=True, kw_only=True):
    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    seq: Size
    prev: Sha256
    utc_ms: UtcMs


class _SignedHead(strictjson.Message, frozen=True, kw_only=True):
    head: str
    mldsa: str
    sig: str


class ExcerptBuilder:
    """Pass it every step of `manifest.follow`, which needs no keys, then call `finish`.

    `wanted`: the chosen lines, by the id of their segment. The results are lines without line feeds.
    """

    def __init__(self, wanted: Mapping[str, bytes]) -> None:
        self._wanted = wanted
        self._missing = set(wanted)
        self._omitted: list[bytes] = []
        """The leaf hashes of lines behind the newest chosen one, while it waits for a second signature."""
        self._waits = False
        self._next = ChainHead()
        self._tail: list[RawLine] | None = None
        """The newest line with a second signature and all lines behind it. None before it, and behind damage."""
        self._tail_starts = ChainHead()
        self._chapter: SignedRecord | None = None
        self._chapter_shown = False
        self._carried: list[bytes | None] = []
        """The leaf hashes of the carried lines until now. None for one that is unreadable. There can be thousands."""
        self._carried_chosen: list[tuple[int, SignedRecord]] = []

    def add(self, step: ChainStep) -> Sequence[bytes]:
        signed = step.signed
        if signed is None:
            return self._unreadable(step)
        self._keep(step, signed)
        if step.carried:
            if self._is_chosen(signed):
                self._carried_chosen.append((len(self._carried), signed))
            self._carried.append(merkle.leaf_hash(signed.line))
            return self._end_of_carried() if step.rests else ()
        if step.breaks:
            self._waits = False
        shown = self._in_chain(signed)
        if isinstance(signed.record, Chapter):
            self._chapter, self._chapter_shown = signed, bool(shown)
            self._carried, self._carried_chosen = [], []
        return shown

    def _unreadable(self, step: ChainStep) -> Sequence[bytes]:
        if step.carried:
            self._carried.append(None)
            self._tail = None
            return self._end_of_carried() if step.rests else ()
        # A last line that is still being written is sound. Damage shows at a line that has others behind it.
        if step.head.sequence != self._next.sequence:
            self._waits, self._tail = False, None
        return ()

    def _in_chain(self, signed: SignedRecord) -> Sequence[bytes]:
        chosen = self._is_chosen(signed)
        closes = self._waits and signed.mldsa is not None and _says_nothing_of_footage(signed)
        self._next = ChainHead(0, signed.sequence + 1, signed.chain_hash)
        if not (chosen or closes):
            if self._waits:
                self._omitted.append(merkle.leaf_hash(signed.line))
            return ()
        lines = [*self.left_out(), signed.line]
        self._waits = signed.mldsa is None
        if chosen:
            self._missing.discard(_id_of(signed))
        return lines

    @property
    def is_complete(self) -> bool:
        """True if each chosen line was found and none waits for a second signature: further steps add nothing."""
        return not (self._missing or self._waits)

    @property
    def reached(self) -> ChainHead:
        """The place behind the newest line of the chain. Its offset is 0."""
        return self._next

    def left_out(self) -> Iterable[bytes]:
        """Yields the hashes of the lines behind the newest chosen one, if it waits for a second signature."""
        hashes = [each.hex() for each in self._omitted] if self._waits else []
        self._omitted.clear()
        for at in range(0, len(hashes), _HASHES_IN_A_LINE):
            yield strictjson.encode(_Omitted(omitted=tuple(hashes[at : at + _HASHES_IN_A_LINE])))

    def _end_of_carried(self) -> Sequence[bytes]:
        """Returns the chosen ones of the carried lines, each with its path to the root in the chapter's record."""
        lines, carried, chosen = list[bytes](), self._carried, self._carried_chosen
        self._carried, self._carried_chosen = [], []
        if self._chapter is None or not chosen:
            return ()
        self._missing.difference_update(_id_of(one) for _, one in chosen)
        leaves = [leaf for leaf in carried if leaf is not None]
        if len(leaves) < len(carried):
            # Damage: the hash of an unreadable line is unknown, so no path leads to the root.
            return [one.line for _, one in chosen]
        root_of = cache(lambda start, end: merkle.root_of(leaves[start:end]))
        lines += () if self._chapter_shown else (self._chapter.line,)
        for at, one in chosen:
            path = tuple(each.hex() for each in merkle.inclusion_path(at, len(leaves), root_of))
            lines += (_carried_place(at, len(leaves), path), one.line)
        return lines

    def _is_chosen(self, signed: SignedRecord) -> bool:
        return self._wanted.get(_id_of(signed)) == signed.line

    def _keep(self, step: ChainStep, signed: SignedRecord) -> None:
        if signed.mldsa is not None and not step.carried:
            # A forger can put a copy of an old line with its second signature behind the chain, to go on from its time.
            is_copy = step.breaks and signed.sequence < self._next.sequence
            self._tail = None if is_copy else []
            self._tail_starts = ChainHead(step.offset, signed.sequence, signed.previous)
        if self._tail is not None:
            self._tail.append(RawLine(step.offset, signed.line, len(signed.line) + 1, True))

    def finish(
        self, utc_ms: int, key: PublicKey, mldsa: MldsaPublicKey, sign: Signer, second: Signer
    ) -> Sequence[bytes]:
        """Returns a head if the newest chosen line waits for a second signature.

        `utc_ms`: the time of the export. `sign`, `second`: sign by `key` and `mldsa`. A head vouches for the lines
        behind the newest second signature. So it is made only if they are sound, and left out otherwise: a head must
        not give a second signature to a forger's line.
        """
        if not self.may_get_a_head(key, mldsa):
            return ()
        lines = list(self.left_out())
        payload = strictjson.encode(_Head(seq=self._next.sequence, prev=self._next.previous, utc_ms=utc_ms))
        encoding = pae(HEAD_TYPE, payload)
        signed = _SignedHead(
            head=strictjson.encode_base64(payload),
            mldsa=strictjson.encode_base64(second(encoding)),
            sig=strictjson.encode_base64(sign(encoding)),
        )
        return [*lines, strictjson.encode(signed)]

    def may_get_a_head(self, key: PublicKey, mldsa: MldsaPublicKey) -> bool:
        """Returns True if the newest chosen line waits for a second signature, and no line from the newest one on that
        has it breaks a rule."""
        if not self._waits or self._tail is None:
            return False
        return not any(step.fault for step in follow(self._tail, self._tail_starts, key, mldsa))


def _id_of(signed: SignedRecord) -> str:
    """Returns the id of a segment's record, or "" for other lines."""
    record = signed.record
    return record.id if isinstance(record, SegmentRecord | RecoveredRecord) else ""


def _carried_place(index: int, lines: int, path: tuple[str, ...]) -> bytes:
    return strictjson.encode(_CarriedLine(carried=_CarriedPlace(index=index, lines=lines, path=path)))


def _says_nothing_of_footage(signed: SignedRecord) -> bool:
    return isinstance(signed.record, BootRecord | Chapter | CoverageRecord)


class Cover(enum.Enum):
    """The second signature that covers a record."""

    CAPTURE = "capture"
    """From the time of recording: it is on the line, or on a later line of the manifest."""
    EXPORT = "export"
    """Made when the excerpt was made."""
    NONE = "none"
    """There is none, so a forger of Ed25519 can have made the record."""


@dataclass(frozen=True, slots=True)
class ExcerptRecord:
    signed: SignedRecord
    cover: Cover


@dataclass(frozen=True, slots=True)
class ExcerptFault:
    """The fault of one line. `line` counts from 1."""

    line: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}"


@dataclass(slots=True)
class ExcerptReport:
    """`records`: those of segments that the device signed. `exported_ms`: the time in the head, if there is one."""

    records: list[ExcerptRecord] = field(default_factory=list)
    faults: list[ExcerptFault] = field(default_factory=list)
    exported_ms: int | None = None


def read_excerpt(lines: Iterable[bytes], key: PublicKey, mldsa: MldsaPublicKey) -> ExcerptReport:
    """Verifies an excerpt. `lines` are without line feeds. Every line that breaks a rule is a fault.

    A record has `Cover.NONE` if the excerpt lacks the second signature behind it, or the chain to it is broken.
    """
    reading = _ExcerptReading(key, mldsa)
    for line in lines:
        reading.read(line)
    reading.end()
    return reading.report


def covers_of(
    steps: Iterable[ChainStep], wanted: Mapping[str, bytes], key: PublicKey, mldsa: MldsaPublicKey
) -> dict[str, Cover]:
    """Returns the second signature that covers each of these lines, by the id of its segment.

    `steps`: those of `manifest.follow` without keys, from the beginning of a chapter that is not behind any of the
    lines. It stops as soon as it knows. `Cover.EXPORT` stands for a line among the newest ones, which have no fault: a
    signature by which the device vouches for it now covers it. The caller makes that signature.

    A line that lacks a second signature which it needs has `Cover.NONE`, although a later line may cover it: a forger
    of Ed25519 can have written it while the device was off, with any date. A reader of an excerpt cannot tell.
    """
    builder, reading = ExcerptBuilder(wanted), _ExcerptReading(key, mldsa)
    newest, refused = _NewestSecondSignature(mldsa), set[str]()
    for step in steps:
        if step.signed is not None and not step.carried:
            name = _id_of(step.signed)
            if wanted.get(name) == step.signed.line and newest.demands_one(step.signed):
                refused.add(name)
            newest.add(step.signed)
        for line in builder.add(step):
            reading.read(line)
        if builder.is_complete:
            break
    if builder.may_get_a_head(key, mldsa):
        for line in builder.left_out():
            reading.read(line)
        reading.vouch(builder.reached)
    reading.end()
    covers = dict.fromkeys(wanted, Cover.NONE)
    for one in reading.report.records:
        # A line can stand twice, in a chapter that goes and copied into the next one.
        if covers[_id_of(one.signed)] is Cover.NONE and _id_of(one.signed) not in refused:
            covers[_id_of(one.signed)] = one.cover
    return covers


class _NewestSecondSignature:
    """The newest line with a valid second signature. It is verified only when a line is compared with it."""

    def __init__(self, mldsa: MldsaPublicKey) -> None:
        self._mldsa = mldsa
        self._candidates: list[SignedRecord] = []
        self._time: RecordTime | None = None
        self._sequence = -1

    def add(self, signed: SignedRecord) -> None:
        if signed.mldsa is not None:
            self._candidates.append(signed)

    def demands_one(self, signed: SignedRecord) -> bool:
        """Returns True if the line lacks a second signature that it needs behind the lines that were added."""
        if signed.mldsa is not None:
            return False
        # By their numbers: a repeated line must not bring its hour back.
        for one in sorted(self._candidates, key=lambda each: each.sequence, reverse=True):
            if one.sequence > self._sequence and one.signed_twice_by(self._mldsa):
                self._time, self._sequence = time_of(one.record), one.sequence
                break
        self._candidates.clear()
        return needs_second_signature(signed.record, self._time)


class _ExcerptReading:
    def __init__(self, key: PublicKey, mldsa: MldsaPublicKey) -> None:
        self.report = ExcerptReport()
        self._key = key
        self._mldsa = mldsa
        self._number = 0
        self._waiting: list[SignedRecord] = []
        """Lines of the stretch that no second signature covers yet."""
        self._chain = ChainHead()
        """The number and the hash that the next line must name, if lines wait."""
        self._newest = -1
        """The number of the newest line of the chain."""
        self._carrier: Carried | None = None
        """The carried lines of the newest chapter that has a second signature."""
        self._place: _CarriedPlace | None = None
        self._ended = False

    def read(self, line: bytes) -> None:
        self._number += 1
        try:
            self._read(line)
        except (FormatError, OpenError) as error:
            self._covered(Cover.NONE)
            self._tell(error.message)

    def end(self) -> None:
        if self._waiting:
            self._tell("No second signature follows this line.")
        self._covered(Cover.NONE)

    def vouch(self, head: ChainHead) -> bool:
        """Returns True if the waiting lines and what is left out behind them lead to `head`. Then it covers them."""
        # Number and hash: a head of another place in the chain must not cover these lines.
        if (head.sequence, head.previous) != (self._chain.sequence, self._chain.previous):
            return False
        self._covered(Cover.EXPORT)
        return True

    def _tell(self, problem: str) -> None:
        self.report.faults.append(ExcerptFault(self._number, problem))

    def _covered(self, cover: Cover) -> None:
        self.report.records += (
            ExcerptRecord(one, cover)
            for one in self._waiting
            if isinstance(one.record, SegmentRecord | RecoveredRecord)
        )
        self._waiting.clear()

    def _read(self, line: bytes) -> None:
        place, self._place = self._place, None
        if self._ended:
            raise FormatError("Nothing may follow the head.")
        if place is not None:
            self._carried_line(line, place)
        elif line.startswith(b'{"omitted":'):
            self._omit(strictjson.decode(line, _Omitted, limit_bytes=LONGEST_LINE_BYTES))
        elif line.startswith(b'{"carried":'):
            self._place = strictjson.decode(line, _CarriedLine, limit_bytes=LONGEST_LINE_BYTES).carried
        elif line.startswith(b'{"head":'):
            self._head(strictjson.decode(line, _SignedHead, limit_bytes=LONGEST_LINE_BYTES))
        else:
            self._line(line)

    def _omit(self, found: _Omitted) -> None:
        if not self._waiting:
            raise FormatError("Lines are left out where no line waits for a second signature.")
        reached = chain_hash_of_leaves(self._chain.previous, map(bytes.fromhex, found.omitted))
        self._chain = ChainHead(0, self._chain.sequence + len(found.omitted), reached)

    def _own(self, line: bytes) -> SignedRecord:
        signed = open_line(line, self._key)
        record = signed.record
        # A forger of Ed25519 could name another key, and make each second signature with it.
        if isinstance(record, BootRecord | Chapter) and record.device_mldsa != self._mldsa.text:
            raise OpenError("The line names another ML-DSA-44 key than this device's.")
        return signed

    def _line(self, line: bytes) -> None:
        signed = self._own(line)
        if self._waiting and (signed.sequence, signed.previous) != (self._chain.sequence, self._chain.previous):
            self._covered(Cover.NONE)
            self._tell("The line does not follow the one before it.")
        elif signed.sequence <= self._newest:
            self._tell("The line stands in another order than in the manifest.")
        self._newest = max(self._newest, signed.sequence)
        self._chain = ChainHead(0, signed.sequence + 1, signed.chain_hash)
        self._waiting.append(signed)
        if self._is_signed_twice(signed):
            self._covered(Cover.CAPTURE)
            self._carrier = signed.record.carried if isinstance(signed.record, Chapter) else None

    def _is_signed_twice(self, signed: SignedRecord) -> bool:
        if signed.mldsa is not None and not signed.signed_twice_by(self._mldsa):
            raise OpenError("The second signature is not this device's.")
        return signed.mldsa is not None

    def _carried_line(self, line: bytes, place: _CarriedPlace) -> None:
        if self._waiting:
            raise FormatError("A carried line stands where a line waits for a second signature.")
        signed = self._own(line)
        self._waiting.append(signed)
        self._is_signed_twice(signed)
        if self._carrier is None:
            raise FormatError("A carried line stands behind no chapter that carries lines.")
        path, root = [bytes.fromhex(each) for each in place.path], bytes.fromhex(self._carrier.root)
        try:
            merkle.check_inclusion(merkle.leaf_hash(line), place.index, place.lines, root, path)
        except OpenError as error:
            raise OpenError("The chapter carries another line than this one.") from error
        self._covered(Cover.CAPTURE)

    def _head(self, found: _SignedHead) -> None:
        payload, mldsa, signature = (strictjson.decode_base64(each) for each in (found.head, found.mldsa, found.sig))
        encoding = pae(HEAD_TYPE, payload)
        # Both: a head by one key alone is worth no more than a line that is signed once.
        if not (self._key.verifies(signature, encoding) and self._mldsa.verifies(mldsa, encoding)):
            raise OpenError("The head lacks a valid signature of this device.")
        head = strictjson.decode(payload, _Head, limit_bytes=LONGEST_LINE_BYTES)
        if not self._waiting:
            raise FormatError("The head stands where no line waits for a second signature.")
        if not self.vouch(ChainHead(0, head.seq, head.prev)):
            raise FormatError("The head is of other lines.")
        self.report.exported_ms = head.utc_ms
        self._ended = True
