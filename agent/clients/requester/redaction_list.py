"""Redactions of an answer, for reports and machines: when, where and which kind, as the owner signed them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agent.clients.requester.checks import Verification, VerifiedItem
from agent.core.vault.redactions import WHOLE, Place, Redaction, RedactionKind
from agent.wire import strictjson

__all__ = ["RedactionLine", "read_redactions", "redaction_documents", "redaction_lines", "redactions_as_sent"]

_MS_PER_S = 1000
_LIST_LIMIT_BYTES = 64 << 10
"""A context with its list has at most that many (FORMAT.md)."""
_NAMES = {
    RedactionKind.FACE: "a face",
    RedactionKind.PLATE: "a number plate",
    RedactionKind.AREA: "an area",
    RedactionKind.VOICE: "a voice (muted)",
}


@dataclass(frozen=True, slots=True)
class RedactionLine:
    """One redaction in words. `begin_ms`, `end_ms`: by the device's clock (UTC)."""

    part: int
    what: str
    begin_ms: int
    end_ms: int
    seconds: str
    where: str


def redaction_lines(verification: Verification) -> tuple[RedactionLine, ...]:
    """Returns all redactions of an answer, in its order."""
    return tuple(_line(item, each) for item in verification.redacted for each in item.redactions)


def redaction_documents(item: VerifiedItem) -> list[dict[str, Any]]:
    """Returns the list inside one redacted file, as it is. Empty for a file as it was captured."""
    return [json.loads(strictjson.encode(each)) for each in item.redactions]


def redactions_as_sent(item: VerifiedItem) -> bytes:
    """Returns the list inside one redacted file in the words of its context, so that a search in the file finds it."""
    return b"[%b]" % b",".join(strictjson.encode(each) for each in item.redactions)


def read_redactions(data: bytes) -> tuple[Redaction, ...]:
    """Returns the list in a file that `redactions_as_sent` wrote. Raises `FormatError`."""
    return strictjson.decode(b'{"redactions":%b}' % data, _SentList, limit_bytes=_LIST_LIMIT_BYTES).redactions


class _SentList(strictjson.Message, frozen=True):
    redactions: tuple[Redaction, ...]


def _line(item: VerifiedItem, redaction: Redaction) -> RedactionLine:
    start_ms = item.span.start_ms
    return RedactionLine(
        item.number,
        _NAMES[redaction.kind],
        start_ms + redaction.from_ms,
        start_ms + redaction.until_ms,
        f"{redaction.from_ms / _MS_PER_S:.1f} to {redaction.until_ms / _MS_PER_S:.1f} s",
        _where(redaction.places),
    )


def _where(places: tuple[Place, ...]) -> str:
    """Returns the first and the last place of a cover. Empty for a voice."""
    if not places:
        return ""
    shown = [places[0]] if len(places) == 1 else [places[0], places[-1]]
    return ", then ".join(_place(each) for each in shown)


def _place(place: Place) -> str:
    across = f"{_percent(place.left)}–{_percent(place.left + place.width)} % across"
    return f"{across}, {_percent(place.top)}–{_percent(place.top + place.height)} % down"


def _percent(share: int) -> int:
    return round(100 * share / WHOLE)
