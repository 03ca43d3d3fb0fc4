"""Draws the transparency summary: one SVG, and one page with the SVG and the numbers. Both are self-contained.

Each requester is a row of three bars: asked, matched, answered. The length of a bar is the count.
"""

from __future__ import annotations

import datetime
from html import escape
from typing import Final

from agent.clients.owner.transparency import RequesterStatistics, TransparencyReport

__all__ = ["draw", "page"]

_WIDTH: Final = 720
_LABEL: Final = 190
_ROW: Final = 74
_TOP: Final = 56
_BARS: Final = (("asked", "asked", "#24507a"), ("matched", "matched", "#8a5a00"), ("approved", "shared", "#1c6b45"))
_COLUMNS: Final = (
    ("asked", "asked"),
    ("blocked", "blocked"),
    ("no_match", "no match"),
    ("matched", "matched"),
    ("approved", "shared"),
    ("denied", "denied"),
    ("expired", "expired"),
    ("opted_out", "opted out"),
    ("sent", "received"),
    ("deleted", "deleted since"),
    ("tips", "tips from you"),
    ("bytes_sent", "bytes sent"),
)


def draw(found: TransparencyReport) -> str:
    """The SVG."""
    rows = found.askings or (RequesterStatistics("no requests yet"),)
    most = max((each.asked for each in rows), default=0) or 1
    height = _TOP + _ROW * len(rows) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Requests by requester">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fffefb"/>',
        f'<text x="16" y="26" font-size="16" font-weight="600" fill="#1d2126">{escape(_title(found))}</text>',
    ]
    for number, each in enumerate(rows):
        top = _TOP + number * _ROW
        parts.append(f'<text x="16" y="{top + 34}" fill="#1d2126">{escape(each.requester)}</text>')
        for place, (name, said, colour) in enumerate(_BARS):
            count = getattr(each, name)
            y, width = top + 8 + place * 19, round((_WIDTH - _LABEL - 130) * count / most)
            parts.append(f'<rect x="{_LABEL}" y="{y}" width="{max(width, 2)}" height="14" rx="2" fill="{colour}"/>')
            parts.append(f'<text x="{_LABEL + max(width, 2) + 8}" y="{y + 11}" fill="#5b636d">{count} {said}</text>')
    return "\n".join([*parts, "</svg>", ""])


def page(found: TransparencyReport) -> str:
    """The HTML page."""
    rows = (*found.askings, found.total) if len(found.askings) > 1 else found.askings
    head = "".join(f"<th>{said}</th>" for _, said in _COLUMNS)
    body = "".join(
        f"<tr><td>{escape(each.requester)}</td>"
        + "".join(f"<td>{getattr(each, name):,}</td>" for name, _ in _COLUMNS)
        + "</tr>"
        for each in rows
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(_title(found))}</title><style>"
        "body{margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1d2126;background:#fffefb}"
        "body{font:16px/1.5 system-ui,sans-serif}tr>:first-child{text-align:left !important}"
        "svg{max-width:100%;height:auto}div{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;width:100%}"
        "th,td{text-align:right;padding:.4rem .6rem;border-bottom:1px solid #dedad1}"
        "</style></head><body>"
        f"<h1>{escape(_title(found))}</h1>\n{draw(found)}\n"
        f"<div><table><thead><tr><th>requester</th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
        "<p>Counted from the doorbell's ledger after every entry was verified. "
        "Bytes count each disclosure that had begun to leave in full.</p></body></html>\n"
    )


def _title(found: TransparencyReport) -> str:
    if found.from_ms is None or found.to_ms is None:
        return "Requests to this doorbell"
    return f"Requests to this doorbell, {_day(found.from_ms)} to {_day(found.to_ms)}"


def _day(utc_ms: int) -> str:
    at = datetime.datetime.fromtimestamp(utc_ms / 1000, datetime.UTC)
    return f"{at.day} {at:%B %Y}"
