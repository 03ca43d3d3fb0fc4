"""The page of a fleet's state: one HTML file, read only, without scripts and without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from agent.cli.words import duration
from agent.clients.fleet.inventory import DoorState, FleetDoor

__all__ = ["age_of", "status_page"]

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer"><title>Doorbells</title><style>
body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;width:100%}caption{text-align:left;margin-bottom:1rem}
th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ccc;vertical-align:top}
tbody th,td[data-column=Version]{overflow-wrap:anywhere;min-width:5rem}.bad{background:#fde8e6}.poor{background:#fff4d6}
@media(max-width:60rem){table,caption,tbody,tr,td,tbody th{display:block}td{overflow-wrap:anywhere}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tbody tr{padding:.4rem 0;border-bottom:1px solid #ccc}td,tbody th{border:0;padding:.1rem .6rem}td:empty{display:none}
td::before{font-weight:600;content:attr(data-column) ": ";content:attr(data-column) ": " / ""}}
@media(prefers-color-scheme:dark){body{color:#eee;background:#181818}th,td,tbody tr{border-color:#444}
.bad{background:#4a1f1b}.poor{background:#453a12}}
</style></head><body><main><h1>Doorbells</h1>
"""
# The roles stay if a narrow screen shows each row as a block.
_COLUMNS = ("Name", "State", "What is wrong", "Heard", "Version", "Running", "Clock", "Wi-Fi", "Id")
_BAD = {DoorState.FAULT, DoorState.SILENT, DoorState.NEVER_HEARD, DoorState.AMBIGUOUS, DoorState.ANOTHER}


def status_page(rows: Sequence[FleetDoor], now_s: int) -> str:
    """Returns the page. `now_s`: UTC in seconds, of the look at the broker."""
    well = sum(row.state is DoorState.OK for row in rows)
    at = datetime.fromtimestamp(now_s, UTC)
    head = "".join(f'<th scope="col" role="columnheader">{each}</th>' for each in _COLUMNS)
    body = "".join(_row(row, now_s) for row in rows)
    return (
        f'{_HEAD}<table role="table"><caption>{well} of {len(rows)} are well. Looked at {at:%Y-%m-%d %H:%M} UTC. '
        "Footage, requests and decisions of owners are not in these reports.</caption>"
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{body}</tbody>'
        "</table></main></body></html>\n"
    )


def age_of(row: FleetDoor, now_s: int) -> str:
    """Returns how long ago the doorbell was heard, empty if never."""
    return "" if row.report is None else duration(max(0, now_s - row.report.at) * 1000)


def _row(row: FleetDoor, now_s: int) -> str:
    report = row.report
    cells = [row.state.value, ", ".join(row.faults), f"{age_of(row, now_s)} ago" if report else ""]
    if report is not None:
        wifi = "" if report.wifi_dbm is None else f"{report.wifi_dbm} dBm"
        cells += [report.version, duration(report.uptime * 1000), report.clock.value, wifi, row.device]
    cells += [""] * (len(_COLUMNS) - 1 - len(cells))
    kind = "" if row.state is DoorState.OK else ' class="bad"' if row.state in _BAD else ' class="poor"'
    inner = "".join(
        f'<td role="cell" data-column="{column}">{escape(each)}</td>'
        for column, each in zip(_COLUMNS[1:], cells, strict=True)
    )
    return f'<tr role="row"{kind}><th scope="row" role="rowheader" dir="auto">{escape(row.name)}</th>{inner}</tr>\n'
