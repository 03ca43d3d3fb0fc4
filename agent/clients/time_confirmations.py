"""Checks what others confirmed about the time: cosignatures of witnesses, and RFC 3161 time stamps.

A confirmation counts if its signer is one that the reader trusts: a witness by its verifier key, a time-stamper by the
certificate of its authority. Everything else is told as a doubt and changes no verdict: a time-stamper could otherwise
spoil evidence with a bad stamp. A time stamp is read by `rfc3161-client`, which a doorbell lacks.

Source: LEDGER.md, "Time by others".
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509

from agent.core.ledger.checkpoint import Checkpoint, check_same_head, open_time_checkpoint
from agent.core.ledger.cosignature import find_cosignatures
from agent.core.ledger.time_log import require_opens
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError
from agent.wire.envelope import HybridKey
from agent.wire.time_proofs import TimeOpening, TimeProof, TimeStamp
from agent.wire.witness_keys import Witness, parse_witness

__all__ = [
    "NOT_OF_THIS_LEDGER",
    "Confirmation",
    "TimeFindings",
    "TimeSide",
    "TimeStatement",
    "TimeTrust",
    "confirmations",
    "find_time",
    "time_document",
]

_CLOCKS_DIFFER_S: Final = 600
_MS_PER_S: Final = 1000
_LATE_S: Final = 25 * 3600
"""Beats are at most 24 hours apart (`[witness] every_hours`), so a confirmation in time is nearer to the approval."""
NOT_OF_THIS_LEDGER: Final = "The confirmation of time from the owner is not of this ledger."
_STRANGER: Final = "You do not trust this witness."


@dataclass(frozen=True, slots=True)
class TimeTrust:
    """Those who may confirm a time. `roots`: certificates of authorities of time-stampers."""

    witnesses: tuple[Witness, ...] = ()
    roots: tuple[x509.Certificate, ...] = ()

    @staticmethod
    def of(witnesses: str, certificates: Sequence[bytes]) -> TimeTrust:
        """Reads verifier keys, one a line, and certificates in PEM. Raises `ConfigurationError`."""
        try:
            keys = tuple(parse_witness(line.strip()) for line in witnesses.splitlines() if line.strip())
            roots = tuple(each for data in certificates for each in x509.load_pem_x509_certificates(data))
        except (FormatError, ValueError) as error:
            raise ConfigurationError(
                f"Those whom you trust for times cannot be read: {error}",
                remedy="Write one verifier key a line, and certificates as PEM files.",
            ) from error
        return TimeTrust(keys, roots)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """`by` says that the head of the log of beats existed at `at_s` (UTC s)."""

    by: str
    at_s: int


class TimeSide(enum.Enum):
    """Where a statement came from, and so what it shows."""

    AFTER = "after"
    """From the answer: the doorbell signed the answer later."""
    BEFORE = "before"
    """From the owner's file: the approval is older."""


@dataclass(frozen=True, slots=True)
class TimeStatement:
    """One cosignature or time stamp. `at_s` (UTC s) is None, and `problem` says why, if it does not count.

    `is_late`: it counts, and leaves more than a day open by the owner's clock: an AFTER is more than a day older than
    the approval, a BEFORE more than a day younger. A time on the wrong side of the approval is a doubt instead.
    """

    side: TimeSide
    by: str
    is_stamp: bool
    at_s: int | None
    problem: str = ""
    is_late: bool = False

    @property
    def counts(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class TimeFindings:
    """Statements of others about the time of an answer.

    `after`: the answer is younger than these. `before`: the approval is older than these.
    `doubts`: sentences about confirmations that do not count. `stated`: True if any statement came along.
    `statements`: each cosignature and stamp that came, for a page.
    """

    after: tuple[Confirmation, ...] = ()
    before: tuple[Confirmation, ...] = ()
    doubts: tuple[str, ...] = ()
    stated: bool = False
    statements: tuple[TimeStatement, ...] = ()

    @property
    def from_s(self) -> int | None:
        """Returns the latest confirmed time that the answer is younger than, UTC s."""
        return max((each.at_s for each in self.after), default=None)

    @property
    def until_s(self) -> int | None:
        """Returns the earliest confirmed time that the approval is older than, UTC s."""
        return min((each.at_s for each in self.before), default=None)

    @property
    def said(self) -> str:
        """Returns one to three sentences for a report."""
        names = " and ".join(sorted({each.by for each in (*self.after, *self.before)}))
        match self.from_s, self.until_s:
            case None, None if self.stated:
                found = "No one whom you trust confirmed the time."
            case None, None:
                found = "No witness: the dates are those of the device and its owners."
            case int(since), None:
                found = f"The answer was made after {_utc(since)}, confirmed by {names}. No one confirmed an end."
            case None, until:
                found = f"The approval existed before {_utc(until or 0)}, confirmed by {names}."
            case since, until:
                found = f"The time was confirmed by {names} between {_utc(since or 0)} and {_utc(until or 0)}."
        return " ".join((found, *self.doubts))


def time_document(found: TimeFindings) -> dict[str, Any]:
    """Returns the findings for `--json` and for `bundle.json`."""
    return {
        "from_s": found.from_s,
        "until_s": found.until_s,
        "by": sorted({each.by for each in (*found.after, *found.before)}),
        "said": found.said,
    }


def confirmations(
    proof: TimeProof, device: HybridKey, trust: TimeTrust
) -> tuple[Checkpoint, tuple[Confirmation, ...], tuple[str, ...]]:
    """Returns the confirmed head of the device's log of beats, the confirmations that count, and doubts.

    Raises `OpenError` if the head is not signed by the device, and `FormatError` if it is none.
    """
    checkpoint = open_time_checkpoint(proof.checkpoint.encode(), device)
    found = tuple(_statements(TimeSide.AFTER, proof, checkpoint, trust))
    return checkpoint, _counted(found), _doubted(found)


def find_time(
    device: HybridKey,
    ledger: Checkpoint,
    owner_time_ms: int,
    trust: TimeTrust,
    proof: TimeProof | None = None,
    openings: Sequence[TimeOpening] = (),
) -> TimeFindings:
    """Returns what others say about an answer. Its approval is the last entry of `ledger`.

    `proof`: from part 0. `openings`: from the owner, made later. Raises `OpenError` if the device signed two different
    ledgers or logs of beats of one size.
    """
    statements: list[TimeStatement] = []
    doubts: list[str] = []
    heads = []
    if proof is not None:
        try:
            head = open_time_checkpoint(proof.checkpoint.encode(), device)
        except DoorwardError:
            doubts.append("The confirmation of time in this answer is not of this doorbell.")
            statements += _refused(TimeSide.AFTER, proof, doubts[-1])
        else:
            heads.append(head)
            found = tuple(_statements(TimeSide.AFTER, proof, head, trust))
            statements += found
            doubts += _doubted(found)
    for opening in openings:
        try:
            head = open_time_checkpoint(opening.proof.checkpoint.encode(), device)
            committed = require_opens(opening, head, ledger, device.ed25519)
        except DoorwardError:
            doubts.append(NOT_OF_THIS_LEDGER)
            statements += _refused(TimeSide.BEFORE, opening.proof, doubts[-1])
        else:
            heads.append(head)
            check_same_head(ledger, committed)
            found = tuple(_statements(TimeSide.BEFORE, opening.proof, head, trust))
            statements += found
            doubts += _doubted(found)
    for one, other in itertools.combinations(heads, 2):
        check_same_head(one, other)
    owner_s = owner_time_ms // _MS_PER_S
    # Two files of an owner may hold the same statement.
    dated = tuple(dict.fromkeys(replace(each, is_late=_is_late(each, owner_s)) for each in statements))
    after, before = (tuple(each for each in dated if each.side is side) for side in TimeSide)
    stated = proof is not None or bool(openings)
    findings = TimeFindings(_counted(after), _counted(before), tuple(dict.fromkeys(doubts)), stated, dated)
    return replace(findings, doubts=(*findings.doubts, *_disagreements(findings, owner_time_ms)))


def _statements(side: TimeSide, proof: TimeProof, head: Checkpoint, trust: TimeTrust) -> Iterator[TimeStatement]:
    """Yields each cosignature and stamp of a proof. The device signed the proof's `head`."""
    for line in proof.cosignatures.splitlines(keepends=True):
        name = _name_in(line)
        try:
            known = find_cosignatures(head.text, line, trust.witnesses)
        except DoorwardError as error:
            yield TimeStatement(side, name, False, None, error.message)
            continue
        if known:
            yield TimeStatement(side, name, False, known[0].time_s)
        else:
            yield TimeStatement(side, name, False, None, _STRANGER)
    for stamp in proof.stamps:
        try:
            yield TimeStatement(side, stamp.name, True, _stamped(stamp, proof.checkpoint.encode(), trust.roots).at_s)
        except DoorwardError as error:
            yield TimeStatement(side, stamp.name, True, None, error.message)


def _refused(side: TimeSide, proof: TimeProof, problem: str) -> list[TimeStatement]:
    """Returns the statements of a proof that is not of this doorbell or ledger."""
    lines = proof.cosignatures.splitlines()
    return [
        *(TimeStatement(side, _name_in(line), False, None, problem) for line in lines),
        *(TimeStatement(side, stamp.name, True, None, problem) for stamp in proof.stamps),
    ]


def _name_in(line: str) -> str:
    """Returns the name in a signature line, "— name signature". Verifies nothing."""
    parts = line.split(" ")
    return parts[1] if len(parts) == 3 else ""


def _counted(statements: Sequence[TimeStatement]) -> tuple[Confirmation, ...]:
    return tuple(Confirmation(each.by, each.at_s) for each in statements if each.counts and each.at_s is not None)


def _doubted(statements: Sequence[TimeStatement]) -> tuple[str, ...]:
    """Returns the problems, except that a witness is unknown: anyone may ask others than a reader trusts."""
    return tuple(each.problem for each in statements if each.problem and each.problem != _STRANGER)


def _is_late(statement: TimeStatement, owner_s: int) -> bool:
    if statement.at_s is None:
        return False
    later_s = owner_s - statement.at_s
    return (later_s if statement.side is TimeSide.AFTER else -later_s) > _LATE_S


def _disagreements(found: TimeFindings, owner_time_ms: int) -> Iterator[str]:
    owner_s, since, until = owner_time_ms // _MS_PER_S, found.from_s, found.until_s
    if since is not None and until is not None and since > until:
        yield "The two contradict each other."
    if (since is not None and owner_s < since - _CLOCKS_DIFFER_S) or (
        until is not None and owner_s > until + _CLOCKS_DIFFER_S
    ):
        yield f"The owner's own clock said {_utc(owner_s)}."


def _stamped(stamp: TimeStamp, stamped: bytes, roots: Sequence[x509.Certificate]) -> Confirmation:
    """Returns the time of a stamp on `stamped`. Raises `OpenError` if it does not count, in words for a report."""
    if not roots:
        raise OpenError(f"The stamp “{stamp.name}” was not checked: you trust no authority of time-stampers.")
    try:
        from asn1crypto import tsp  # noqa: F401 — both are installed, or neither is used
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response
    except ImportError as error:
        raise OpenError(
            f"The stamp “{stamp.name}” was not checked: the package rfc3161-client is not installed. "
            "'openssl ts -verify' checks it."
        ) from error
    verifier = VerifierBuilder(roots=list(roots)).build()
    try:
        response = decode_timestamp_response(_in_order(stamp.der))
        at_s = int(response.tst_info.gen_time.timestamp())
    except Exception as error:  # the two libraries raise many kinds for a stranger's bytes
        raise OpenError(f"The stamp “{stamp.name}” cannot be read as one.") from error
    try:
        verifier.verify_message(response, stamped)
    except VerificationError as error:
        if "Mismatch" in str(error):
            raise OpenError(f"The stamp “{stamp.name}” is not of this ledger.") from error
        raise OpenError(f"The stamp “{stamp.name}” is not by a time-stamper that you trust.") from error
    except Exception as error:
        raise OpenError(f"The stamp “{stamp.name}” cannot be read as one.") from error
    return Confirmation(stamp.name, at_s)


def _in_order(der: bytes) -> bytes:
    """Returns the answer with its certificates in the order of DER.

    `openssl ts` writes them in the order of its configuration, and the strict reader refuses that. No signature covers
    the order.
    """
    from asn1crypto.tsp import TimeStampResp

    answer = TimeStampResp.load(der, strict=True)
    signed = answer["time_stamp_token"]["content"]
    in_order = sorted(signed["certificates"], key=lambda each: bytes(each.dump()))
    if in_order == list(signed["certificates"]):
        return der
    signed["certificates"] = in_order
    return bytes(answer.dump())


def _utc(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
