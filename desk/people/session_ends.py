"""Ends of sessions: those of strangers soon, and the row of each ended one is removed.

A browser without an account gets a session when it begins to sign in, for example for the challenge of a passkey. So a
program that begins again and again leaves a row in the database each time.

with session_clock():
    serve()
"""

from __future__ import annotations

import datetime
from typing import Final

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.utils import timezone

from desk.periodic import PeriodicThread

__all__ = ["STRANGER_S", "end_soon", "forget_sessions", "session_clock"]

STRANGER_S: Final = 600
"""Seconds that a session without a person stays after its last change. Enough for a passkey or a second factor."""
_EVERY_S: Final = 300.0


def end_soon(session: SessionBase) -> None:
    """Lets the changed session of a stranger end in `STRANGER_S`. That of a guest link has its own end."""
    # An empty one is a session that has just ended: an end for it would make a new one.
    if session.modified and not session.is_empty() and "_session_expiry" not in session:
        session.set_expiry(STRANGER_S)


def forget_sessions(now: datetime.datetime) -> int:
    """Deletes the sessions that have ended. Returns their number."""
    return Session.objects.filter(expire_date__lt=now).delete()[0]


def session_clock(every_s: float = _EVERY_S) -> PeriodicThread:
    """Returns the thread that forgets sessions."""
    return PeriodicThread("session-clock", lambda: forget_sessions(timezone.now()), every_s=every_s)
