"""The owner's settings on the device: the newest signed statement, as a whole.

A statement names the one it follows, so that two owners do not overwrite each other's changes unnoticed.  It is written
to the ledger before it takes effect.  It may only set what the configuration file leaves to owners, within the file's
limits.

Source: docs/security/promises.md, promise 7; docs/decisions/0011.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from agent.core.ledger.entries import EntryKind
from agent.custodian.ledger_writer import Ledger, Transactions
from agent.errors import RequestError
from agent.ports import Journal
from agent.wire import strictjson
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Settings, read_statement

__all__ = ["OwnerSettings", "ViolatedLimit"]

_NAME: Final = "settings"

ViolatedLimit = Callable[[Settings], tuple[str, str] | None]


class OwnerSettings:
    """`exceeded` returns (message, remedy) if the file does not allow the settings.  `changed` is called after each
    change."""

    def __init__(
        self,
        decisions: Transactions,
        journal: Journal,
        ledger: Ledger,
        exceeded: ViolatedLimit,
        tell: Callable[[str, str], None] = lambda _kind, _text: None,
    ) -> None:
        """`tell(kind, text)` notifies every owner of a change by one of them."""
        self._decisions = decisions
        self._journal = journal
        self._ledger = ledger
        self._exceeded = exceeded
        self._tell = tell
        self.changed: Callable[[], None] = lambda: None

    @property
    def envelope(self) -> bytes | None:
        """Returns the signed statement, or None if no owner has changed a setting."""
        return self._journal.get(_NAME)

    @property
    def payload(self) -> bytes:
        """Returns the statement's payload, or b"" if there is no statement."""
        data = self.envelope
        return b"" if data is None else read_statement(data).payload

    @property
    def current(self) -> Settings | None:
        payload = self.payload
        return strictjson.decode(payload, Settings, limit_bytes=STATEMENT_LIMIT_BYTES) if payload else None

    @property
    def sha256(self) -> str | None:
        """Returns the hash of the current payload.  The next statement must name it."""
        payload = self.payload
        return hashlib.sha256(payload).hexdigest() if payload else None

    def accept(self, settings: Settings, data: bytes, fields: dict[str, str]) -> None:
        """Applies new settings inside the caller's transaction.  Raises `RequestError`."""
        # Compare and swap: of two owners who change the same settings, the second is asked to look again.
        if settings.previous != self.sha256:
            raise RequestError("Another owner has changed the settings meanwhile.", remedy="Look at them again.")
        if refusal := self._exceeded(settings):
            raise RequestError(refusal[0], remedy=refusal[1])
        self._ledger.write(EntryKind.CONFIGURATION_CHANGED, **fields)
        self._journal.put(_NAME, data)
        self._decisions.after(self.changed)
        self._decisions.after(lambda: self._tell("settings", "An owner has changed the settings."))
