"""Certificate for a court, unsigned: the statements that FRE 902(13) and (14) ask a qualified person to certify.

The program fills in what it knows: the files with their hashes, the process that made them, the approvers, the checks
and their limits. Names, qualification and signature stay blank, because a person must read and confirm it. It is only a
template, as its head says, and no legal advice.

Source: Federal Rules of Evidence 902(11), (13), (14); 28 U.S.C. § 1746.
"""

from __future__ import annotations

from typing import Any

from agent import __version__
from agent.clients.requester.templates import template
from agent.clients.requester.verification import Verification, VerifiedItem
from agent.core.timebase import ClockQuality, utc_date

__all__ = ["render_certificate"]


def render_certificate(verification: Verification, *, now_s: int) -> str | None:
    """Returns one HTML page to print. None if a check failed or the answer holds no file."""
    if not verification.ok or verification.disclosed is None or not verification.items:
        return None
    return template("certificate.html").render(
        verification=verification,
        request=verification.request,
        disclosed=verification.disclosed,
        manifest=verification.disclosed.manifest,
        files=[_file(each) for each in verification.items],
        recovered=sum(not each.witnessed for each in verification.items),
        redacted=len(verification.redacted),
        doubtful=any(each.item.record.quality is ClockQuality.UNKNOWN for each in verification.items),
        utc=_utc,
        version=__version__,
        now_s=now_s,
    )


def _file(each: VerifiedItem) -> dict[str, Any]:
    span = each.span
    return {
        "number": each.number,
        "kind": each.item.part.kind.value,
        "start_ms": span.start_ms,
        "end_ms": span.end_ms,
        "clock": f"clock {each.item.record.quality.value}",
        "opened_sha256": each.opened_sha256,
        "part_sha256": each.item.part.sha256,
        "record_sha256": each.item.captured.sha256,
        "unopened": each.unopened,
        "redacted": bool(each.redactions),
    }


def _utc(at_ms: int) -> str:
    return f"{utc_date(at_ms):%Y-%m-%d %H:%M:%S} UTC"
