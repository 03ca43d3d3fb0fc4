"""Confirmations of an answer's time by others, in words: each cosignature and time stamp, what it shows, and why one
does not count or is missing. Also takes the owner's later proof of time into the organisation's folder.

Source: LEDGER.md, "Time by others".
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.utils import formats
from django.utils.translation import gettext as _

from agent.clients.requester.identity import Requester
from agent.clients.requester.time_trust import read_time_trust
from agent.clients.requester.verification import examine
from agent.clients.time_confirmations import NOT_OF_THIS_LEDGER, TimeFindings, TimeSide, TimeStatement, find_time
from agent.core.ledger.checkpoint import open_checkpoint
from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.fields import clean_text
from agent.wire.time_proofs import TIME_OPENING_LIMIT_BYTES, TimeOpening
from desk.cases.models import Answer, Case
from desk.custody.log import record
from desk.people.models import Person
from desk.reasons import in_words

__all__ = ["SideView", "StatementView", "TimeView", "confirmed_times", "row_summary", "take_owner_proof", "time_view"]


@dataclass(frozen=True, slots=True)
class StatementView:
    """One cosignature or time stamp. `problem`: why it does not count, or how late it is. Empty if all is well."""

    by: str
    kind: str
    at: str
    counts: bool
    is_late: bool
    problem: str

    @property
    def state(self) -> str:
        return _("counts") if self.counts else _("does not count")


@dataclass(frozen=True, slots=True)
class SideView:
    """The statements that came one way. `meaning`: what those that count show, or empty. `missing`: why there
    are none, or empty."""

    title: str
    meaning: str
    statements: tuple[StatementView, ...]
    missing: str


@dataclass(frozen=True, slots=True)
class TimeView:
    """`summary`: what is proven. `doubts`: contradictions between the statements and the owner's clock."""

    summary: tuple[str, ...]
    sides: tuple[SideView, ...]
    doubts: tuple[str, ...]


def time_view(findings: TimeFindings) -> TimeView:
    """Returns the findings of a verification that is `ok`, in the reader's language."""
    told = {each.problem for each in findings.statements}
    return TimeView(
        _summary(findings.from_s, findings.until_s, stated=findings.stated),
        tuple(_side(side, findings) for side in TimeSide),
        tuple(in_words(each) for each in findings.doubts if each not in told),
    )


def _summary(from_s: int | None, until_s: int | None, *, stated: bool = True) -> tuple[str, ...]:
    """Returns what the confirmations prove together, the earlier time first."""
    if from_s is None and until_s is None:
        first = _("No confirmation counts.") if stated else _("No one else confirmed a time.")
        return (first, _("Every date is by the clock of the doorbell or of its owner."))
    found = []
    if from_s is not None:
        found.append(_("The doorbell signed this answer after %(time)s.") % {"time": _utc(from_s)})
    if until_s is not None:
        words = _("The owner's approval, and each file that it names, existed before %(time)s.")
        found.append(words % {"time": _utc(until_s)})
    return tuple(found)


def confirmed_times(findings: TimeFindings) -> dict[str, int]:
    """Returns the confirmed times for the row of an answer, UTC s. Empty if none counts."""
    found = {"from_s": findings.from_s, "until_s": findings.until_s}
    return {name: at_s for name, at_s in found.items() if at_s is not None}


def row_summary(row: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the same for `Answer.confirmed`. Nothing if no confirmation counts."""
    return _summary(row.get("from_s"), row.get("until_s")) if row else ()


def take_owner_proof(requester: Requester, answer: Answer, by: Person, data: bytes) -> None:
    """Stores the owner's proof of time for an answer, beside those that are stored.

    None is replaced: an authority that the organisation enters later may confirm an earlier time in it. Raises
    `FormatError` if it is no such proof or surely says less than the stored ones, and `OpenError` if it is not of
    this answer.
    """
    verification = examine(requester, answer.disclosure_id)
    if verification.disclosed is None:
        raise OpenError("This answer does not verify any more.")
    manifest, approval = verification.disclosed.manifest, verification.disclosed.approval
    opening = strictjson.decode(data, TimeOpening, limit_bytes=TIME_OPENING_LIMIT_BYTES)
    ledger = open_checkpoint(manifest.ledger.checkpoint.encode(), manifest.device_keys)
    trust = read_time_trust(requester.notes)

    def with_openings(*openings: TimeOpening) -> TimeFindings:
        return find_time(manifest.device_keys, ledger, approval.owner_time_ms, trust, manifest.time, openings)

    found = with_openings(opening)
    if NOT_OF_THIS_LEDGER in found.doubts:
        raise OpenError(NOT_OF_THIS_LEDGER)
    known_s, later_s = verification.time.until_s, found.until_s
    all_count = all(each.counts for each in found.statements if each.side is TimeSide.BEFORE)
    if known_s is not None and later_s is not None and later_s > known_s and all_count:
        raise FormatError("The file that is kept already confirms an earlier time.")
    with transaction.atomic():
        Case.objects.select_for_update(no_key=True).get(pk=answer.case_id)  # before its answer, as a deletion does
        answer = (
            Answer.objects.select_for_update(of=("self",), no_key=True)
            .select_related("case__organisation")
            .get(pk=answer.pk)
        )
        if answer.state != "complete":
            raise FormatError("The footage of this answer is gone.")
        kept = requester.answer(answer.disclosure_id)
        answer.confirmed = confirmed_times(with_openings(*kept.time_openings(), opening))
        answer.save(update_fields=("confirmed",))
        record(
            answer.case.organisation, by, "answer.time-confirmed", f"answer {answer.disclosure_id}",
            case=answer.case.number, **answer.confirmed,
        )  # fmt: skip
        kept.add_time_opening(data)


def _side(side: TimeSide, findings: TimeFindings) -> SideView:
    statements = tuple(_statement(each) for each in findings.statements if each.side is side)
    if side is TimeSide.AFTER:
        title = _("Came with the answer")
        meaning = _("The doorbell held these when it signed the answer. So the answer is younger than they are.")
        missing = _("Missing. The doorbell asks no witness, or none had answered it.")
    else:
        title = _("From the owner, later")
        meaning = _("These cover the approval in the doorbell's ledger. So the approval is older than they are.")
        missing = _("Missing. The owner can make this file after the next confirmation and send it to you.")
    some_count = any(each.counts for each in statements)
    return SideView(title, meaning if some_count else "", statements, "" if statements else missing)


def _statement(each: TimeStatement) -> StatementView:
    problem = in_words(each.problem)
    if each.is_late:
        problem = (
            _("Late: by the owner's clock the approval came more than a day after this confirmation.")
            if each.side is TimeSide.AFTER
            else _("Late: by the owner's clock the approval came more than a day before this confirmation.")
        )
    return StatementView(
        clean_text(each.by) or "–",
        _("time stamp (RFC 3161)") if each.is_stamp else _("cosignature of a witness"),
        _utc(each.at_s) if each.at_s is not None else "–",
        each.counts,
        each.is_late,
        problem,
    )


def _utc(at_s: int) -> str:
    at = datetime.datetime.fromtimestamp(at_s, datetime.UTC)
    return f"{formats.date_format(at, 'j M Y')}, {at:%H:%M:%S} UTC"
