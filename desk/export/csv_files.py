"""Tables as CSV, which a spreadsheet opens without running anything in them.

A cell that begins like a formula gets an apostrophe in front, as OWASP advises ("CSV injection"): Excel and LibreOffice
would otherwise calculate it, and a formula can send the sheet's content to a stranger.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["neutral", "write_csv"]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
"""Beginnings of a formula, also in full-width form, which some spreadsheets fold. "|" and "%" start a DDE command."""
_BYTE_ORDER_MARK: Final = "\ufeff"


def neutral(value: object) -> str:
    """Returns the cell as text that no spreadsheet takes for a formula. A whole number stays a number."""
    if isinstance(value, int):
        return str(value)
    text = "" if value is None else str(value).replace("\0", "")
    return f"'{text}" if text.lstrip(" \u00a0\u200b\ufeff").startswith(_FORMULA) else text


def write_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Returns the table. It begins with a byte-order mark, without which Excel misreads accents."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(map(neutral, head))
    writer.writerows([neutral(cell) for cell in row] for row in rows)
    return (_BYTE_ORDER_MARK + out.getvalue()).encode("utf-8", "replace")
