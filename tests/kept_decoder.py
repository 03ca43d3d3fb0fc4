"""Keeps the process that opens footage from one test to the next (tests/conftest.py).

`ConfinedMedia` starts a process for each disclosure, so that one stranger's film cannot touch the next one's. A start
takes a tenth of a second of a processor, and a run of all tests started 900. A process that answered is handed to the
next test. After a fault of its own it ends as usual. Bytes that it found sound are not looked at again, because the
answer depends on them alone, and hundreds of tests receive the same films. tests/media/test_playable.py is about this
process and starts new ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

import pytest

from agent.clients.media import confined
from agent.clients.media.confined import ConfinedMedia
from agent.errors import FormatError

__all__ = ["fresh_decoders", "kept_decoders"]

_MOST: Final = 3
_PURE: Final = frozenset({"check", "check_redacted"})
"""Jobs that answer from the question and its bytes alone, and that write nothing."""
_Kept = tuple[subprocess.Popen[bytes], socket.socket]
_kept: dict[int, list[_Kept]] = {}
"""By process, because a child that a test forks must not talk to its parent's."""


@contextmanager
def kept_decoders() -> Iterator[None]:
    """Inside it, `ConfinedMedia` uses a kept process if there is one."""
    link, ask, end = ConfinedMedia._link, ConfinedMedia._ask, ConfinedMedia.__exit__
    opened: dict[tuple[str, bytes], dict[str, Any]] = {}
    spent = weakref.WeakSet[ConfinedMedia]()

    def kept_link(media: ConfinedMedia) -> socket.socket:
        kept = _kept.setdefault(os.getpid(), [])
        while media._socket is None and media._command is confined._WORKER and kept:
            process, ours = kept.pop()
            if process.poll() is None:
                media._process, media._socket = process, ours
            else:
                ours.close()
        return link(media)

    def noting_ask(media: ConfinedMedia, job: dict[str, Any], data: bytes = b"", more_s: float = 0.0) -> dict[str, Any]:
        asked = (json.dumps(job), hashlib.sha256(data).digest()) if job["job"] in _PURE else None
        ours = asked is not None and media._command is confined._WORKER
        if ours and asked in opened:
            return dict(opened[asked])
        try:
            answer = ask(media, job, data, more_s)
        except FormatError:
            raise  # it answered, and would take the next part of the same disclosure
        except BaseException:
            spent.add(media)
            raise
        if ours and asked is not None:
            opened[asked] = dict(answer)
        return answer

    def kept_end(
        media: ConfinedMedia, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = _kept.setdefault(os.getpid(), [])
        ours = media._command is confined._WORKER and media not in spent and len(kept) < _MOST
        if ours and media._process is not None and media._socket is not None:
            kept.append((media._process, media._socket))
            media._process = media._socket = None
        end(media, kind, error, trace)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfinedMedia, "_link", kept_link)
        patch.setattr(ConfinedMedia, "_ask", noting_ask)
        patch.setattr(ConfinedMedia, "__exit__", kept_end)
        try:
            yield
        finally:
            _end_all()


@contextmanager
def fresh_decoders() -> Iterator[None]:
    """Inside it, each `ConfinedMedia` starts its own process, as outside of tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, real in _REAL.items():
            patch.setattr(ConfinedMedia, name, real)
        yield


_REAL: Final = {name: getattr(ConfinedMedia, name) for name in ("_link", "_ask", "__exit__")}


def _end_all() -> None:
    for process, ours in _kept.pop(os.getpid(), []):
        ours.close()
        process.kill()
        process.wait()
