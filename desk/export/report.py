"""The report of a case: one HTML file without scripts or external resources, and the same as PDF.

Django escapes each foreign word. WeasyPrint gets a fetcher that refuses every address, so a report loads no file of
the desk and calls no stranger. Pictures are inside the file.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from django.template.loader import render_to_string
from django.utils import timezone, translation

from agent import __version__
from agent.clients.requester.checks import CheckOutcome
from agent.core.timebase import ClockQuality
from agent.core.vault.redactions import Redaction
from desk.asking.incidents import ONWARD, incident_name
from desk.cases.time_statements import time_view
from desk.custody.keys import desk_key
from desk.custody.models import Entry
from desk.export import words
from desk.export.case_content import CaseContent, ExportedAnswer, ExportedClip
from desk.reasons import in_words

__all__ = ["render_html", "render_pdf"]

_MOST_ENTRIES: Final = 2000
"""Custody entries in the printed report. The extract beside it has all."""


def render_html(
    content: CaseContent,
    *,
    language: str,
    now_s: int,
    made_by: str,
    entries: list[Entry] | None = None,
    checkpoint: str = "",
) -> str:
    """Returns the report. `entries`: the custody entries of the case, or None to leave them out."""
    with translation.override(language):
        clips = content.clips
        context = {
            "content": content,
            "case": content.case,
            "organisation": content.case.organisation,
            "language": language,
            "made_by": made_by,
            "now_ms": now_s * 1000,
            "zone": timezone.get_current_timezone_name(),
            "version": __version__,
            "requests": [_asked(each) for each in content.requests],
            "answers": [_answered(each) for each in content.answers],
            "clips": [_clip(each) for each in clips],
            "example": _example(clips) if content.whole else None,
            "clocks": [(name, words.CLOCKS[name]) for name in ClockQuality if name in _qualities(clips)],
            "seconds": sum(each.seconds for each in clips),
            "entries": entries[:_MOST_ENTRIES] if entries is not None else None,
            "left_out": max(0, len(entries or ()) - _MOST_ENTRIES),
            "checkpoint": checkpoint,
            "key": desk_key().text,
        }
        return render_to_string("export/report.html", context)


def render_pdf(html: str) -> bytes:
    """Returns the report as PDF. It takes about a second for ten pages."""
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    logging.getLogger("weasyprint").setLevel(logging.ERROR)  # it warns of each property that is for screens
    pictures_only = URLFetcher(allowed_protocols=frozenset({"data"}), allow_redirects=False)
    data: bytes = HTML(string=html, url_fetcher=pictures_only, base_url=None).write_pdf()
    return data


def _asked(each: Any) -> dict[str, Any]:
    request = each.request
    return {
        "id": each.request_id,
        "asked_by": each.asked_by,
        "approved_by": each.approved_by,
        "approved_at": each.approved_at,
        "published_at": each.published_at,
        "answers": each.answers,
        "sketch": each.sketch,
        "area": words.area_words(request.area) if request else "",
        "from_ms": request.from_s * 1000 if request else None,
        "to_ms": request.to_s * 1000 if request else None,
        "until_ms": request.not_after_s * 1000 if request else None,
        "incident": incident_name(request.incident.value) if request else "",
        "days": request.retention_days if request else None,
        "onward": [ONWARD[kind.value] for kind in request.onward.to] if request else [],
        "basis": request.onward.basis or "" if request else "",
        "description": request.description if request else "",
        "contact": request.contact if request else None,
    }


def _answered(each: ExportedAnswer) -> dict[str, Any]:
    verification = each.verification
    disclosed = verification.disclosed if verification else None
    failed = verification.failed if verification else None
    return {
        "row": each.row,
        "door": each.door,
        "state": each.row.get_state_display(),
        "reason": words.safe_words(in_words(failed.said if failed else each.row.reason)),
        "verdict": each.verdict,
        "ok": each.ok,
        "folder": each.folder,
        "clips": len(each.clips),
        "device_key": disclosed.manifest.device if disclosed else "",
        "approvers": [name for name in (disclosed.approver, disclosed.co_approver) if name] if disclosed else [],
        "approved_ms": disclosed.approval.owner_time_ms if disclosed else None,
        "ledger": disclosed.manifest.ledger.index if disclosed else None,
        "seen_ms": verification.door.seen_s * 1000 if verification and verification.door.seen_s else None,
        "receipt_days": verification.receipt.retention_days if verification and verification.receipt else None,
        "checks": _checks(each),
        "time": time_view(verification.time) if verification is not None and verification.ok else None,
    }


def _checks(each: ExportedAnswer) -> list[tuple[Any, CheckOutcome]]:
    return (
        [(words.CHECKS[check.kind], check.outcome) for check in each.verification.checks] if each.verification else []
    )


def _clip(each: ExportedClip) -> Mapping[str, Any]:
    clip = each.clip
    quality = words.clip_quality(clip)
    return {
        "label": each.label,
        "door": each.door,
        "from_ms": clip.start_ms,
        "to_ms": clip.end_ms,
        "seconds": each.seconds,
        "quality": quality.value if quality else "",
        "quality_words": words.CLOCKS[quality] if quality else "",
        "doubtful": quality is ClockQuality.UNKNOWN,
        "continuity": words.CONTINUITIES[clip.continuity] if clip.continuity else "",
        "sounds": sum(segment.sound is not None for segment in clip.segments),
        "picture": each.picture,
        "film": each.film,
        "problem": words.safe_words(in_words(each.opened.problem)),
        "files": [_file(segment.number, segment.verified) for segment in clip.segments]
        + [_file(segment.number, segment.sound) for segment in clip.segments if segment.sound]
        + ([_file(0, clip.poster)] if clip.poster else []),
    }


def _example(clips: list[ExportedClip]) -> dict[str, Any] | None:
    """Returns one sealed file of the export with what opens it, for the commands at the end of the report."""
    for clip in clips:
        for segment in clip.segments:
            verified = segment.verified
            return {
                "bundle": f"{clip.answer.folder}/bundle",
                "part": f"{clip.answer.folder}/bundle/parts/{verified.number}.age",
                "key": f"keys/{clip.answer.row.request_id}.identity",
                "bytes": verified.opened_bytes,
                "opened": verified.opened_sha256,
            }
    return None


def _file(number: int, verified: Any) -> dict[str, Any]:
    item = verified.item
    return {
        "number": number,
        "kind": item.part.kind.value,
        "from_ms": verified.span.start_ms,
        "to_ms": verified.span.end_ms,
        "clock": item.record.quality.value,
        "opened": verified.opened_sha256,
        "sealed": item.part.sha256,
        "record": item.captured.sha256,
        "witnessed": verified.witnessed,
        "redactions": [_redaction(each) for each in verified.redactions],
    }


def _redaction(redaction: Redaction) -> dict[str, Any]:
    return {
        "kind": words.REDACTIONS[redaction.kind],
        "seconds": f"{redaction.from_ms / 1000:.1f}–{redaction.until_ms / 1000:.1f} s",
    }


def _qualities(clips: list[ExportedClip]) -> set[ClockQuality | None]:
    return {words.clip_quality(each.clip) for each in clips}
