"""Seals what an earlier version of this program kept of requests in plain, once, before anything else is decided.

- A batch is one transaction: a power cut leaves a request either as it was or sealed, and the next start goes on.
- When none is left, the journal is written anew without the old bytes.  What a card keeps of them in cells it has
  retired, no program can reach.
- No leaf of the ledger is touched: leaves never held a word of a request, and the hash by which they name one is the
  hash of what is inside the seal.

Source: docs/decisions/0014.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agent.core.case_marks import CaseMarks
from agent.core.requests import StoredRequest, Terms
from agent.ports import Journal
from agent.services.enrolment import Enrolments
from agent.services.inbox import KEPT_FROM_OTHERS
from agent.wire import strictjson
from agent.wire.envelope import read_unverified
from agent.wire.messages import FootageRequest

__all__ = ["SealingUp"]

_BATCH: Final = 32
_PLAIN: Final = b"{"
"""How an envelope begins; an age file begins otherwise."""


class SealingUp:
    """`do` is harmless to repeat, and does nothing where nothing was ever unsealed."""

    def __init__(self, journal: Journal, enrolments: Enrolments, marks: CaseMarks) -> None:
        self._journal = journal
        self._enrolments = enrolments
        self._marks = marks

    def do(self) -> None:
        """Raises `StorageError` when there is no room for it."""
        if not self._journal.has_unsealed():
            return
        while batch := self._journal.unsealed(_BATCH):
            with self._journal.transaction():
                for each in batch:
                    self._journal.take_over(self._sealed(each))
        for prefix in KEPT_FROM_OTHERS:
            with self._journal.transaction():
                for name, data in self._journal.named(prefix).items():
                    if data.startswith(_PLAIN):
                        self._journal.put(prefix + name, self._enrolments.seal(data))
        self._journal.forget_unsealed()

    def _sealed(self, unsealed: StoredRequest) -> StoredRequest:
        request = strictjson.decode(read_unverified(unsealed.sealed).payload, FootageRequest)
        return replace(
            unsealed,
            sealed=self._enrolments.seal(unsealed.sealed),
            audience=request.audience,
            case_mark=self._marks.of(request.audience, request.requester, request.case),
            kept=None if unsealed.state.ended else Terms.of(request),
            asked_s=(request.from_s, request.to_s),
        )
