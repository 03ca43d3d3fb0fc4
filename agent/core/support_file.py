"""Content of a support file: the state of a doorbell, for people who help from elsewhere.

Everything is left out that is not known to be harmless. A log line passes as the name of a technical event with
numbers. Events of visitors, owners, requests and answers have no place. A setting passes as a number, a switch or a
word of the program's own list. A finding of the doctor keeps its words, and loses quotes, addresses, names and tokens.
For example, `link_down` with its fault passes, and `transfer_begins`, which tells that footage was shared, does not.

Pure. Source: docs/fleet.md, "A support file".
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Final

from agent import errors
from agent.core.bus import LinkFault

__all__ = ["foreign_words", "log_line", "plain_finding", "settings_lines", "unit_lines"]

_GONE: Final = "‹left out›"
_EVENTS: Final = frozenset({
    "analysis_failed", "bridge_away", "bridge_connected", "bridge_ended", "bridge_gone_before", "bridge_refused",
    "camera_does_not_turn", "camera_hangs", "camera_memory_short", "camera_not_read", "clip_failed",
    "clock_confirmed", "clock_trust_unreadable", "custodian_away", "custodian_not_heard", "damage_found",
    "disk_refused", "footage_lost", "frames_not_delivered", "gap_not_recorded", "home_refused_us",
    "index_is_made_again", "index_is_whole", "index_not_copied", "keyframes_too_rare", "lens", "link_down",
    "link_failed", "metrics_failed", "microphone_hangs", "microphone_lost", "name_not_announced",
    "no_control_socket", "object_detection_failed", "object_detection_paused", "object_detection_ready",
    "other_files_fill_the_disk", "page_cannot_accept", "page_failed", "page_not_reachable", "page_served",
    "picture_not_encoded", "relay_down", "relay_refuses", "relay_up", "scrub_failed", "segments_not_evicted",
    "speaker_lost", "speaker_not_closed", "stuck", "subscription_refused", "throttle_level_changed", "time_not_kept",
    "time_zone_unknown", "vault_not_read", "vault_not_started", "waiting_for_owner",
})  # fmt: skip
"""Events of the equipment, the disk, the clock and the network."""
_LEVELS: Final = frozenset({"debug", "info", "warning", "error", "critical"})
_NUMBERS: Final = re.compile(r"(\w+_(s|ms|bytes|px|fps)|repeated|level|frames|count|code|errno|lost)")
_FAULTS: Final = frozenset(each.value for each in LinkFault)
_UNIT: Final = re.compile(r"doorward[a-z-]*\.(service|target|timer|path)")
_SYSTEMD: Final = re.compile(
    r"(Starting|Started|Stopping|Stopped|Finished|Failed to start)\b"
    r"|[\w.@-]+: (Main process exited, code=\w+, status=\d+(/\w+)?|Failed with result '[\w-]+'"
    r"|Scheduled restart job, restart counter is at \d+|Watchdog timeout \(limit \w+\)!"
    r"|A process of this unit has been killed by the OOM killer)"
)
_FRAME: Final = re.compile(r'File "[^"\n]*?((?:agent|firmware_bridge)/[\w/]+\.py)", line (\d+)')
_ERROR: Final = re.compile(r"^(?:[\w.]+\.)?(\w+)(?::|$)", re.MULTILINE)
_ERRORS: Final = frozenset(errors.__all__) | {
    "AssertionError", "AttributeError", "BrokenPipeError", "ConnectionError", "ConnectionResetError",
    "FileNotFoundError", "IndexError", "KeyError", "MemoryError", "NotImplementedError", "OSError", "PermissionError",
    "RuntimeError", "TimeoutError", "TypeError", "UnicodeDecodeError", "ValueError", "ZeroDivisionError",
}  # fmt: skip
_PROPERTY: Final = re.compile(r"[A-Z]\w+=[\w :.+-]{0,60}", re.ASCII)
_SHORTEST_TEXT: Final = 2
_SHORTEST_WORD: Final = 4
_WORD: Final = re.compile(r"[^\W\d][\w-]*")
_LITERAL: Final = re.compile(r'"((?:[^"\\\n]|\\.)+)"|\'([^\'\n]+)\'')
_PATTERNS: Final = (
    re.compile(r"-----BEGIN.*", re.DOTALL),
    re.compile(r"(?<=['\"‘“])[^'\"‘’“”\n]+(?=['\"’”])"),
    re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+"),
    re.compile(r"\S+@\S+"),
    re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b(:\d+)?"),
    re.compile(r"[0-9A-Fa-f:]*::[0-9A-Fa-f:.]*|\b([0-9A-Fa-f]{1,4}:){3,}[0-9A-Fa-f]{1,4}\b"),
    re.compile(r"-?\d{1,3}\.\d{3,}"),
    re.compile(r"(?<![\w/.-])(?!/)[A-Za-z0-9_+/=-]{24,}"),
    re.compile(
        r"\b[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.(?!(?:pem|key|toml|service|target|timer|sock|py)\b)[A-Za-z]{2,}\b(:\d+)?"
    ),
    # A device has one step behind /dev; more of them hold serial numbers (/dev/v4l/by-id), or are files in memory.
    re.compile(
        r"(?<![\w/])/(?!(?:etc/doorward|opt/doorward|run/doorward|usr|var/lib/doorward)(?:/|\b)|dev/[\w-]+(?![\w./-]))[\w./-]+"
    ),
)


def log_line(entry: Mapping[str, Any]) -> str | None:
    """Returns the line for one entry of systemd's journal (`journalctl -o json`), None if it has no place."""
    unit = str(entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or "")
    message, at = entry.get("MESSAGE"), str(entry.get("__REALTIME_TIMESTAMP", ""))
    if not _UNIT.fullmatch(unit) or not isinstance(message, str) or not re.fullmatch(r"\d{1,17}", at, re.ASCII):
        return None
    words = _systemd(message) if entry.get("SYSLOG_IDENTIFIER") == "systemd" else _event(message) or _trace(message)
    if words is None:
        return None
    moment = datetime.datetime.fromtimestamp(int(at) / 1e6, datetime.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} {unit.partition('.')[0]} {words}"


def _systemd(message: str) -> str | None:
    found = _SYSTEMD.match(message)
    return None if found is None else found[1] or found[2]


def _event(message: str) -> str | None:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or {type(event.get("event")), type(event.get("level"))} != {str}:
        return None
    if event["event"] not in _EVENTS or event["level"] not in _LEVELS:
        return None
    fields: dict[str, Any] = {
        key: each for key, each in event.items() if _NUMBERS.fullmatch(key) and isinstance(each, int | float)
    }
    fault = event.get("fault")
    if isinstance(fault, str):
        # Only the class of the error: its message may quote a name or an address.
        known = fault if fault in _FAULTS else fault.partition(":")[0].partition(" ")[0]
        fields |= {"fault": known} if known in _FAULTS | _ERRORS else {}
    return " ".join([event["level"], event["event"], *(f"{key}={each}" for key, each in fields.items())])


def _trace(message: str) -> str | None:
    """The places of a stack trace that are ours, and the class of its error."""
    places = [f"{path}:{line}" for path, line in _FRAME.findall(message)]
    names = [name for name in _ERROR.findall(message) if name in _ERRORS]
    return " ".join(["trace", *names[-1:], *places]) if places or (names and message.startswith("Traceback")) else None


def unit_lines(shown: str) -> Iterator[str]:
    """Yields the lines of `systemctl show` that hold a state, a number or a time."""
    for block in shown.split("\n\n"):
        lines = [line for line in block.splitlines() if _PROPERTY.fullmatch(line)]
        if lines:
            yield "  ".join(lines)


def settings_lines(tables: Mapping[str, Any], keys: Set[str], words: Set[str], above: str = "") -> Iterator[str]:
    """Yields each known key of a configuration with its number, its switch, or a word of the program's own.

    `keys`: all keys that exist. `words`: all words that a key may choose from. Positions and outlines have no value.
    """
    for key, value in tables.items():
        if key not in keys:
            continue
        name = f"{above}{key}"
        if key in ("position", "corners"):
            yield f"{name} = {_GONE}"
        elif isinstance(value, Mapping):
            yield f"[{name}]"
            yield from settings_lines(value, keys, words, f"{name}.")
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            for number, each in enumerate(value, 1):
                yield f"[[{name}]] {number}"
                yield from settings_lines(each, keys, words, f"{name}.")
        else:
            yield f"{name} = {_shown(value, words)}"


def _shown(value: Any, words: Set[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_shown(each, words) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) or value in words else _GONE


def foreign_words(text: str, known: Set[str]) -> list[str]:
    """Returns the texts and words of a configuration that are not the program's own, the longest first.

    It needs no correct file. `known`: keys, and words that a key may choose from.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = {each for pair in _LITERAL.findall("\n".join(lines)) for each in pair if len(each) >= _SHORTEST_TEXT}
    found |= {each for line in lines for each in _WORD.findall(line) if len(each) >= _SHORTEST_WORD}
    return sorted(found - known - {"true", "false"}, key=lambda each: (-len(each), each))


def plain_finding(text: str, words: Iterable[str]) -> str:
    """Returns a finding of the doctor without `words`, quotes, addresses, places, foreign paths and long tokens."""
    for word in words:
        text = text.replace(word, _GONE)
    for pattern in _PATTERNS:
        text = pattern.sub(_GONE, text)
    return text
