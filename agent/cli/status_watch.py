"""`doorward status --watch`: a live view of the figures of `[metrics]`, until Ctrl-C.

It redraws once a second without scrolling; a constant number stays in place. The same dictionary feeds this view and
Prometheus, so they always agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.cli.language import in_words
from agent.core.metrics import Metric, metrics_of
from agent.errors import DoorwardError

__all__ = ["screen", "watch"]

_EVERY_S: Final = 1.0
_GOOD: Final = {"recording": "green", "watching": "green", "privacy": "yellow", "connected": "green", "off": "dim"}
_SIZES: Final = ("B", "kB", "MB", "GB", "TB")


def watch(ask: Callable[[], Mapping[str, Any]], console: Console | None = None, most: int | None = None) -> None:
    """Draw until interrupted, or `most` times.  A device that goes away is shown as away, and waited for."""
    console = console or Console()
    drawn, last = 0, Text("…")
    with Live(last, console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while most is None or drawn < most:
            try:
                live.update(screen(ask()), refresh=True)
            except DoorwardError as error:
                live.update(Text(f"{error.message}  {error.remedy}", style="red"), refresh=True)
            drawn += 1
            if most is None or drawn < most:
                time.sleep(_EVERY_S)


def screen(status: Mapping[str, Any]) -> Group:
    recorder, link = status["recorder"], status["link"]
    head = Text.assemble(
        (f"{status['device']}  ", "bold"),
        (str(recorder["state"]), _GOOD.get(str(recorder["state"]), "red")),
        (f"  {recorder['detail']}" if recorder["detail"] else "", "dim"),
        "   link ",
        (str(link["link"]), _GOOD.get(str(link["link"]), "red")),
        "   clock ",
        (str(status["clock"]), "green" if status["clock"] != "unknown" else "red"),
    )
    table = Table.grid(padding=(0, 3))
    table.add_column(justify="right", style="bold")
    table.add_column(justify="right", min_width=12)
    table.add_column(style="dim")
    for figure in metrics_of(status):
        if figure.kind == "histogram":
            table.add_row("disk", _mean(figure), "until it has something, on average")
        elif figure.samples and not figure.samples[0][0]:
            table.add_row(_label(figure.name), _shown(figure.name, figure.samples[0][1]), figure.words)
    channels = (status.get("alerts") or {}).get("channels") or {}
    for name, each in channels.items():
        state = each["fault"] or f"{each['delivered']} delivered"
        table.add_row(name, f"{each['waiting']} waiting", state)
    return Group(head, Text(""), table, Text(in_words("\nCtrl-C ends this view; the doorbell continues."), style="dim"))


def _label(name: str) -> str:
    return name.removesuffix("_total").replace("_bytes", "").replace("_seconds", "").replace("_", " ")


def _shown(name: str, value: float) -> str:
    if "bytes" in name:
        size = 0
        while value >= 1000 and size < len(_SIZES) - 1:
            value, size = value / 1000, size + 1
        return f"{value:.{0 if size == 0 else 1}f} {_SIZES[size]}"
    if name == "motion_seconds_per_frame":
        return f"{value * 1e3:.2f} ms"
    if "seconds" in name:
        return f"{value:.0f} s"
    return f"{value:g}"


def _mean(figure: Metric) -> str:
    found = dict(figure.samples)
    return f"{1e3 * found['_sum'] / found['_count']:.1f} ms" if found["_count"] else "–"
