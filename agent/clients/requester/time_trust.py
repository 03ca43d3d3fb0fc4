"""The witnesses and time-stampers that a requester trusts: files in its folder `time`.

time/witnesses.txt   verifier keys of witnesses (c2sp.org/tlog-cosignature), one a line
time/*.pem           certificates of authorities of time-stampers
"""

from __future__ import annotations

from typing import Final

from agent.clients.requester.notes import Notes
from agent.clients.time_confirmations import TimeTrust

__all__ = ["read_time_trust", "trusted_witnesses", "write_time_trust"]

_FOLDER: Final = "time"
_WITNESSES: Final = f"{_FOLDER}/witnesses.txt"
_AUTHORITIES: Final = f"{_FOLDER}/authorities.pem"
_TRUST_LIMIT_BYTES: Final = 256 * 1024


def read_time_trust(notes: Notes) -> TimeTrust:
    """Returns the trust of a requester: `time/witnesses.txt` and `time/*.pem` in its folder."""
    lines = notes.read(_WITNESSES, _TRUST_LIMIT_BYTES) or b""
    pems = [name for name in notes.names(_FOLDER) if name.endswith(".pem")]
    found = [notes.read(f"{_FOLDER}/{name}", _TRUST_LIMIT_BYTES) or b"" for name in pems]
    return TimeTrust.of(lines.decode("utf-8", "replace"), found)


def trusted_witnesses(notes: Notes) -> str:
    """Returns `time/witnesses.txt` as it is. Empty without one."""
    return (notes.read(_WITNESSES, _TRUST_LIMIT_BYTES) or b"").decode("utf-8", "replace")


def write_time_trust(notes: Notes, witnesses: str, authorities: bytes | None = None) -> TimeTrust:
    """Stores verifier keys, one a line, and certificates in PEM, or leaves these as they are. Returns the new trust.

    Raises `ConfigurationError` if one of them cannot be read, and then stores nothing.
    """
    trust = TimeTrust.of(witnesses, [] if authorities is None else [authorities])
    notes.make_folder(_FOLDER)
    notes.write(_WITNESSES, "".join(f"{each.verifier_key}\n" for each in trust.witnesses).encode())
    if authorities is not None:
        notes.write(_AUTHORITIES, authorities)
    return read_time_trust(notes)
