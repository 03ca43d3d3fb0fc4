"""Certificates for a court, as templates by jurisdiction. A person reads, corrects and signs them. No legal advice.

The program fills in what it knows: files with hashes, the process, the owners' consent, the checks and their limits.
Names, qualification, places and signatures stay blank.

Sources: Federal Rules of Evidence 902(11), (13), (14) and 28 U.S.C. § 1746; Criminal Justice Act 1967 s. 9, Criminal
Procedure Rules 2020 r. 16.2; Wetboek van Strafvordering art. 344; Strafprozessordnung § 249, § 256, § 94.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.template.loader import render_to_string
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from agent import __version__
from agent.core.timebase import ClockQuality
from desk.export import words
from desk.export.case_content import CaseContent, ExportedAnswer

__all__ = ["JURISDICTIONS", "Jurisdiction", "render_certificate"]


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    """A form of certificate. `language` is the one of its text, whatever the reader's."""

    id: str
    language: str
    label: str | Promise


JURISDICTIONS: Final = (
    Jurisdiction("us-fre-902", "en", gettext_lazy("United States: certificate, FRE 902(13) and (14)")),
    Jurisdiction("uk-section-9", "en", gettext_lazy("England and Wales: witness statement, s. 9 and CrimPR 16")),
    Jurisdiction("nl-verklaring", "nl", gettext_lazy("Netherlands: statement (draft)")),
    Jurisdiction("de-erklaerung", "de", gettext_lazy("Germany: statement (draft)")),
)


def render_certificate(jurisdiction: Jurisdiction, content: CaseContent, *, now_s: int) -> str:
    """Returns one HTML page to print."""
    answers = [answer for answer in content.answers if answer.clips]
    with translation.override(jurisdiction.language):
        context = {
            "case": content.case,
            "organisation": content.case.organisation,
            "answers": [_answer(each) for each in answers],
            "files": [_file(each) for answer in answers for each in _items(answer)],
            "redacted": sum(bool(each.redactions) for answer in answers for each in _items(answer)),
            "recovered": sum(not each.witnessed for answer in answers for each in _items(answer)),
            "doubtful": any(
                each.item.record.quality is ClockQuality.UNKNOWN for answer in answers for each in _items(answer)
            ),
            "version": __version__,
            "now_ms": now_s * 1000,
            "language": jurisdiction.language,
        }
        return render_to_string(f"export/certificates/{jurisdiction.id}.html", context)


def _items(answer: ExportedAnswer) -> list[Any]:
    """Returns the files of the exported clips, in the order of their parts."""
    verified = answer.verification
    if verified is None:
        return []
    events = {clip.clip.event for clip in answer.clips}
    return [each for each in verified.items if each.item.record.event in events]


def _answer(answer: ExportedAnswer) -> dict[str, Any]:
    verification = answer.verification
    disclosed = verification.disclosed if verification else None
    if verification is None or disclosed is None or verification.request is None:
        return {}
    return {
        "disclosure": verification.disclosure,
        "door": answer.door,
        "request": verification.request,
        "from": words.utc_time(verification.request.from_s * 1000),
        "to": words.utc_time(verification.request.to_s * 1000),
        "device": disclosed.manifest.device,
        "approver": disclosed.approver,
        "co_approver": disclosed.co_approver or "",
        "approved": words.utc_time(disclosed.approval.owner_time_ms),
        "ledger": disclosed.manifest.ledger.index,
        "checks": len(verification.checks),
        "seen": words.utc_time(verification.door.seen_s * 1000) if verification.door.seen_s is not None else "",
    }


def _file(verified: Any) -> dict[str, Any]:
    item = verified.item
    return {
        "number": verified.number,
        "kind": item.part.kind.value,
        "from": words.utc_time(verified.span.start_ms),
        "to": words.utc_time(verified.span.end_ms),
        "clock": item.record.quality.value,
        "opened": verified.opened_sha256,
        "sealed": item.part.sha256,
        "record": item.captured.sha256,
        "unopened": bool(verified.unopened),
        "redacted": bool(verified.redactions),
    }
