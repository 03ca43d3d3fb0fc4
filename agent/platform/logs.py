"""Writes structured log lines, and keeps out everything that a log must not have.

An event is a past-tense name with fields, `log.info("segment_acknowledged", segment=…, bytes=…)`, on one line: JSON for
machines, plain text for a terminal.

Kept out, for every caller (`redact`):
- bytes and arrays: only their size is written;
- keys and passphrases, whether by the field's name or by the look of the text;
- requesters' words, cameras' positions and owners' addresses, by the field's name;
- objects of any kind: their `repr` may hold all of these, so only the class is written;
- the messages of foreign exceptions, which quote their input.  Their class and place are written instead.
Long text is cut: everything worth logging is short.

A lasting trouble is written rarely: while the very same warning comes more often than every `_LASTS_S`, it is written
every `_QUIET_S`, with the number of repeats. If the log cannot be written (it may lie on the full disk), only the line
is lost.
"""

from __future__ import annotations

import contextlib
import datetime
import enum
import json
import logging
import math
import os
import re
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import structlog

from agent.config.settings import LogConfig, LogFormat
from agent.errors import DoorwardError

__all__ = ["redact", "set_up"]

_WITHHELD = "<withheld>"
_LONGEST = 200
_DEEPEST = 4
_MOST_ITEMS = 50
_LASTS_S = 60.0
_QUIET_S = 600.0
_MOST_REMEMBERED = 128

_SECRET_FIELDS = frozenset(
    {"key", "keys", "private_key", "file_key", "secret", "secrets", "seed", "identity", "identities", "passphrase"}
    | {"password", "pin", "token", "nonce", "envelope", "payload", "message", "body", "text", "description"}
    | {"incident", "case", "contact", "street", "email", "reply", "header", "topic"}
    | {"area", "corners", "position", "latitude", "longitude"}
    | {"plaintext", "luma", "frame", "packet", "poster", "media", "data"}
)
"""Fields with values that are never written. `key_id` has another name, and a request's id is public."""

_SECRET_TEXT = re.compile(
    r"AGE-SECRET-KEY-[0-9A-Z-]+|age1[0-9a-z]{20,}|ed25519:[\w-]{20,}(?:\+mldsa44:[\w-]{20,})?|dwt_[\w-]{20,}"
    r"|-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|$)",
    re.IGNORECASE | re.DOTALL,
)

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that would move the cursor of a terminal, or turn the order of its letters round."""

_OURS = Path(__file__).resolve().parents[2]


def set_up(log: LogConfig, stream: TextIO | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Configure structlog and the standard library's logging for this process.  `stream` is standard error if None.

    `monotonic`: seconds.
    """
    out = stream or sys.stderr
    as_json = log.format is LogFormat.JSON or (log.format is LogFormat.AUTO and not out.isatty())
    structlog.configure(
        processors=[redact, _RepeatFilter(monotonic), _stamp, _as_json if as_json else _as_line],
        wrapper_class=structlog.make_filtering_bound_logger(log.level.value),
        logger_factory=_LineWriter.factory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)


class _LineWriter:
    """Writes whole lines, one at a time, whichever threads they come from."""

    def __init__(self, out: TextIO, lock: threading.Lock, name: str) -> None:
        self._out, self._lock, self.name = out, lock, name

    @classmethod
    def factory(cls, out: TextIO) -> Any:
        lock = threading.Lock()
        return lambda name="doorward", *_: cls(out, lock, str(name))

    def _write(self, line: str) -> None:
        # The log may be on the disk that is full. Only the line is lost.
        with self._lock, contextlib.suppress(OSError):
            self._out.write(line + "\n")
            self._out.flush()

    debug = info = warning = error = critical = exception = msg = _write


class _Forward(logging.Handler):
    """Warnings of libraries, through the same rules.  Their text is theirs, so only its beginning is trusted."""

    def emit(self, record: logging.LogRecord) -> None:
        level = logging.getLevelName(record.levelno).lower()
        log = structlog.get_logger(record.name)
        getattr(log, level, log.warning)(
            "library warned", template=str(record.msg), place=f"{record.module}:{record.lineno}"
        )


# --- Processors


def _stamp(writer: Any, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Time, level and who, in front."""
    now = datetime.datetime.now(datetime.UTC)
    head = {"at": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z", "level": level}
    return {**head, "part": getattr(writer, "name", "doorward"), "event": event.pop("event", ""), **event}


class _RepeatFilter:
    """Leaves out a warning that came a moment ago, to the letter; counts it, and says so when it is due again."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, float, int]] = OrderedDict()
        """When it was written and when it came last, and how often it was left out between."""

    def __call__(self, writer: Any, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if level not in ("warning", "error"):
            return event
        what, now_s = f"{getattr(writer, 'name', '')} {level} {sorted(event.items())}", self._monotonic()
        with self._lock:
            written_s, came_s, left_out = self._known.pop(what, (-math.inf, -math.inf, 0))
            lasts = now_s - came_s < _LASTS_S and now_s - written_s < _QUIET_S
            self._known[what] = (written_s, now_s, left_out + 1) if lasts else (now_s, now_s, 0)
            if len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        if lasts:
            raise structlog.DropEvent
        return {**event, "repeated": left_out} if left_out else event


def redact(_writer: object, _level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The event with everything taken out that the module docstring names."""
    fault = _current_fault(event.pop("exc_info", None))
    clean: dict[str, Any] = {str(name): _clean(value, str(name)) for name, value in event.items()}
    return clean | ({"fault": _fault(fault)} if fault else {})


def _current_fault(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return next((one for one in given if isinstance(one, BaseException)), None)
    return sys.exc_info()[1] if given else None


def _clean(value: object, name: str = "", depth: int = 0) -> Any:
    if name.lower() in _SECRET_FIELDS and value is not None:
        return _WITHHELD
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, enum.Enum):
        return _clean(value.value, depth=depth)
    if isinstance(value, str | Path):
        return _clean_text(str(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, BaseException):
        return _fault(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {_clean_text(str(key)): _clean(one, str(key), depth + 1) for key, one in [*value.items()][:_MOST_ITEMS]}
    if depth < _DEEPEST and isinstance(value, Sequence | set | frozenset):
        return [_clean(one, depth=depth + 1) for one in [*value][:_MOST_ITEMS]]
    # An object's `repr` may hold keys, pictures or a requester's words.
    return f"<{type(value).__name__}>"


def _clean_text(text: str) -> str:
    text = _SECRET_TEXT.sub(_WITHHELD, text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _fault(error: BaseException) -> str:
    """Our own errors say what they were written to say; of others, what happened and where."""
    if isinstance(error, DoorwardError):
        return _clean_text(f"{type(error).__name__}: {error}")
    # The message of a foreign exception quotes its input, and so may hold a secret. errno has a fixed text.
    words = f": {os.strerror(error.errno)}" if isinstance(error, OSError) and error.errno else ""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{_short(frame.filename)}:{frame.lineno}" for frame in frames[-3:]]
    return f"{type(error).__name__}{words}" + (f" at {' > '.join(places)}" if places else "")


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(_OURS)) if path.is_relative_to(_OURS) else path.name


# --- Renderers


def _as_json(_writer: object, _level: str, event: MutableMapping[str, Any]) -> str:
    line = json.dumps(event, ensure_ascii=False, allow_nan=True)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)  # they are within strings only


def _as_line(_writer: object, _level: str, event: MutableMapping[str, Any]) -> str:
    """`12:03:04.117 warning  recorder    camera lost  fault=…`, with control characters made visible."""
    head = f"{event.pop('at')[11:23]} {event.pop('level'):8} {event.pop('part'):11} {event.pop('event')}"
    fields = "  ".join(f"{name}={_quoted(value)}" for name, value in event.items())
    # A text from outside could move the cursor of root's terminal, or turn the order of its letters round.
    return _UNSEEN.sub(_escaped, f"{head}  {fields}".rstrip())


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) and " " in text else text
