"""The owners that root believes: pinned at the first sight, and followed from there by their signatures.

The custodian shows root all lists of owners, from the first on. Root keeps the hash of the newest that it has seen. A
later list counts only if an owner of the list before signed it (`wire.statements.open_chain`). So a custodian that is
taken over later can neither invent an owner nor bring back one who has left.
Source: docs/decisions/0085-back-by-an-owner-and-doorbells-without-one.md.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from agent.core.updates import PinnedOwners
from agent.errors import FormatError, UpdateError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.statements import MAX_ENROLMENTS, Enrolment, open_chain, read_statement

__all__ = ["MOST_OWNERS_BYTES", "OwnerPin"]

MOST_OWNERS_BYTES: Final = 16 * 1024 * 1024
_MOST_PIN_BYTES: Final = 4096


class OwnerPin:
    """`file` lies in a folder that only root writes."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def follow(self, shown: bytes) -> tuple[Enrolment, str]:
        """Returns the newest of the lists in `shown`, one envelope a line, after it has been pinned, and the SHA-256 of
        its payload.

        Raises `UpdateError` if they are other owners than the pinned ones, `FormatError` and `OpenError` if a list is
        not signed as it must be.
        """
        # Bounded, because a file of newlines would make millions of pieces.
        envelopes = shown.split(b"\n", MAX_ENROLMENTS)
        if len(envelopes) > MAX_ENROLMENTS:
            raise FormatError(f"More than {MAX_ENROLMENTS} lists of owners.")
        payloads = [read_statement(each).payload for each in envelopes]
        first = strictjson.decode(payloads[0], Enrolment, limit_bytes=MOST_OWNERS_BYTES)
        newest = open_chain(envelopes, first.device)
        hashes = [hashlib.sha256(each).hexdigest() for each in payloads]
        pinned = self._pinned()
        # Trust on first use: without a pin any owners count, and from then on only lists that follow theirs. A shorter
        # chain would bring an owner back who has left.
        if pinned is not None and (pinned.epoch > len(hashes) or hashes[pinned.epoch - 1] != pinned.newest):
            raise UpdateError(
                "The doorbell shows other owners than root knows.",
                remedy="If it was set up again, run on the doorbell: sudo doorward update forget-owners",
            )
        now = PinnedOwners(v=1, epoch=len(hashes), newest=hashes[-1])
        if now != pinned:
            files.write(self._file, strictjson.encode(now))
        return newest, hashes[-1]

    def forget(self) -> None:
        """Pins the owners that the doorbell shows next. Only a person with root may decide that."""
        with files.storage_errors(self._file):
            self._file.unlink(missing_ok=True)

    def _pinned(self) -> PinnedOwners | None:
        """Raises `FormatError` for a damaged file: taken for none, it would pin anyone."""
        data = files.read_if_there(self._file, _MOST_PIN_BYTES)
        return None if data is None else strictjson.decode(data, PinnedOwners, limit_bytes=_MOST_PIN_BYTES)
