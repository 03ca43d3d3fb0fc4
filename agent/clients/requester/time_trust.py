"""The witnesses and time-stampers that a requester trusts: files in its folder `time`.

time/witnesses.txt   verifier keys of witnesses (c2sp.org/tlog-cosignature), one a line
time/*.pem           certificates of authorities of time-stampers
"""

from __future__ import annotations

from typing import Final

from agent.clients.requester.notes import Notes
from agent.clients.time_confirmations import TimeTrust

__all__ = ["read_time_trust"]

_FOLDER: Final = "time"
_WITNESSES: Final = f"{_FOLDER}/witnesses.txt"
_TRUST_LIMIT_BYTES: Final = 256 * 1024


def read_time_trust(notes: Notes) -> TimeTrust:
    """Returns the trust of a requester: `time/witnesses.txt` and `time/*.pem` in its folder."""
    lines = notes.read(_WITNESSES, _TRUST_LIMIT_BYTES) or b""
    pems = [name for name in notes.names(_FOLDER) if name.endswith(".pem")]
    found = [notes.read(f"{_FOLDER}/{name}", _TRUST_LIMIT_BYTES) or b"" for name in pems]
    return TimeTrust.of(lines.decode("utf-8", "replace"), found)
