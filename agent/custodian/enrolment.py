"""The device's owners: accepts a signed enrolment, and applies it only after its keys have been seen to open.

Footage sealed to a lost key is lost, and the loss shows too late.  So the device seals 32 random bytes
to every *new* recipient, the recovery identity included.  The enrolment takes effect once all of them are returned,
each by the owner who can open it.  An enrolment with new owners waits at most one day.  An enrolment without new keys
waits at most ten minutes for its client, because a signed enrolment that was abandoned must lapse.  The device
records only after its first enrolment.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from agent.core.ledger.entries import EntryKind
from agent.core.timebase import NS_PER_S
from agent.core.vault.age.recipients import Recipient, parse_recipient
from agent.core.vault.age.sealing import make_header, seal_bytes
from agent.custodian.ledger_writer import Ledger, Transactions
from agent.custodian.verified_statements import NONCE_LIFE_S, Nonces
from agent.errors import RequestError
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Clock, Entropy, Journal
from agent.wire import strictjson
from agent.wire.identities import MldsaPublicKey, PublicKey
from agent.wire.statements import (
    STATEMENT_LIMIT_BYTES,
    Enrolment,
    open_enrolment,
    read_statement,
    require_one_line,
)

__all__ = ["INVITED_S", "RECOVERY", "Enrolments"]

RECOVERY: Final = "recovery"
INVITED_S: Final = 86_400
"""Seconds of the boot clock that an enrolment waits for new owners to open their tests."""
_TOKEN_BYTES: Final = 32
_SECRET_BYTES: Final = 16
_ENVELOPE: Final = "enrolment."
"""Precedes the epoch in four digits.  Every enrolment is kept, because each disclosure carries all of them."""

OwnersChanged = Callable[[tuple[Recipient, ...], int], None]


@dataclass(frozen=True, slots=True)
class _PendingEnrolment:
    envelope: bytes
    enrolment: Enrolment
    tokens: dict[str, bytes]
    tests: dict[str, bytes]
    lapses_ns: int
    """The time of the boot clock at which it lapses."""
    opened: set[str] = field(default_factory=set)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Returns the names of the tests that are still unopened."""
        return tuple(sorted(self.tokens.keys() - self.opened))

    def accepts(self, name: str, token: bytes) -> bool:
        """Returns True if `token` is the content of the test called `name`."""
        return name in self.tokens and hmac.compare_digest(self.tokens[name], token)


class Enrolments(ThreadOwned):
    """`changed(recipients, epoch)` is called if an enrolment takes effect: by `announce` for the stored one, later for
    new ones."""

    WRITTEN_BY: ClassVar = {
        **dict.fromkeys(("_pending", "_in_force", "envelopes", "current"), AttributeOwner.LOCK),
        "on_change": AttributeOwner.SET_UP,
    }

    def __init__(
        self,
        decisions: Transactions,
        journal: Journal,
        ledger: Ledger,
        entropy: Entropy,
        clock: Clock,
        device: PublicKey,
        device_mldsa: MldsaPublicKey,
        changed: OwnersChanged,
        nonces: Nonces,
        tell: Callable[[str, str], None] = lambda _kind, _text: None,
    ) -> None:
        """`tell(kind, text)` notifies the owners that the list of owners has changed."""
        self._decisions = decisions
        self.lock = threading.RLock()
        """Held while an enrolment is proposed or confirmed. Lock order: this, then the transaction's."""
        self._journal = journal
        self._ledger = ledger
        self._entropy = entropy
        self._clock = clock
        self._device = device
        self._device_mldsa = device_mldsa.sha256
        self._changed = changed
        self._nonces = nonces
        self._tell = tell
        self._pending: _PendingEnrolment | None = None
        self.envelopes: tuple[bytes, ...]
        """Every signed enrolment, from epoch 1 to the current one."""
        self.current: Enrolment | None
        self._in_force: tuple[Recipient, ...]
        with self.lock:
            self._load()
        self.on_change: Callable[[], None] = lambda: None
        """Called inside the transaction in which an enrolment takes effect, after it has."""

    @property
    def envelope(self) -> bytes | None:
        """Returns the current enrolment as it was signed."""
        return self.envelopes[-1] if self.envelopes else None

    @property
    def pending(self) -> bool:
        return self._proposed() is not None

    def announce(self) -> None:
        """Calls `changed` with the current enrolment, if there is one."""
        if self.current is not None:
            self._changed(self._in_force, self.current.epoch)

    def has_left(self, key_id: str) -> bool:
        """Returns True if the key belongs to no current owner."""
        return self.current is None or key_id not in self.current.approver_keys

    def owner_name(self, key_id: str) -> str | None:
        """Returns the name of the owner with this approval key, or None."""
        current = self.current
        if current is None or key_id not in current.approver_keys:
            return None
        return current.name_of(key_id)

    def note_use(self, key_id: str) -> None:
        """Tells the owners if the key that has just let a client in is the recovery kit's.

        A kit is for emergencies. A former owner with a copy of it would otherwise look at footage unseen.
        """
        if self.owner_name(key_id) == RECOVERY:
            self._tell("kit used", "The recovery kit was used to come in.")

    def seal(self, data: bytes) -> bytes:
        """Returns an age file around `data` for the current owners and the recovery identity.  The device cannot open
        it.

        Raises `ConfigurationError` while there is no owner.
        """
        secret, nonce = self._entropy.token(_SECRET_BYTES), self._entropy.token(_SECRET_BYTES)
        return seal_bytes(data, self._in_force, file_key=secret, nonce=nonce)

    def propose(self, data: bytes) -> tuple[int, dict[str, str]]:
        """Accepts a signed enrolment and makes its tests.  Returns (epoch, recipient by test name).

        Raises `OpenError` if no entitled key signed it, `FormatError` if it does not follow the newest one, and
        `ConfigurationError` if its recipients cannot be used together.
        """
        with self.lock:
            previous = None if self.envelope is None else _payload(self.envelope)
            enrolment = open_enrolment(data, previous)
            require_one_line(data)
            if enrolment.device != self._device.text:
                raise RequestError("This enrolment is for another device.", remedy="Ask this device for its key again.")
            if enrolment.device_mldsa != self._device_mldsa:
                # A wrong hash here would make requesters refuse all that this device ever sends.
                raise RequestError(
                    "This enrolment names another ML-DSA-44 key than this device has.",
                    remedy="Ask this device for its keys again.",
                )
            # Tried with a false key: age refuses to mix hybrid and other recipients, and nothing could be sealed later.
            make_header(bytes(_SECRET_BYTES), _recipients(enrolment))
            signed = read_statement(data)  # `open_enrolment` verified
            self._nonces.claim(enrolment.nonce, signed.key_id)
            # By key, not by name: an owner who is renamed has proven the key before.
            known = set(_named(self.current).values()) if self.current else set()
            new = {name: text for name, text in _named(enrolment).items() if text not in known}
            tokens = {name: self._entropy.token(_TOKEN_BYTES) for name in new}
            tests = {name: self._test(tokens[name], text) for name, text in new.items()}
            lapses_ns = self._clock.now().boot_ns + (INVITED_S if new else NONCE_LIFE_S) * NS_PER_S
            # One at a time. It was verified as the successor of the current list, so a second one must take its place.
            self._pending = _PendingEnrolment(data, enrolment, tokens, tests, lapses_ns)
            return enrolment.epoch, new

    def test(self, name: str) -> bytes:
        """Returns the age file that only the recipient called `name` can open."""
        pending = self._proposed()
        if pending is None or name not in pending.tests:
            raise RequestError("This enrolment has no such test.", remedy="Propose the enrolment again.")
        return pending.tests[name]

    def confirm(self, answers: dict[str, bytes]) -> tuple[int, tuple[str, ...]]:
        """Accepts the contents of opened tests.  Returns the proposed epoch, and the names of the unopened tests.

        The enrolment takes effect with the last test.  Raises `RequestError` for a wrong answer.
        """
        with self.lock:
            pending = self._proposed()
            if pending is None:
                raise RequestError("No enrolment is waiting.", remedy="Propose it first.")
            # All answers before any counts: one owner's wrong key must be seen before the list takes effect.
            wrong = [name for name, token in answers.items() if not pending.accepts(name, token)]
            if wrong:
                raise RequestError(
                    f"The test for {', '.join(sorted(wrong))} was not opened, so this enrolment does not take effect.",
                    remedy="Check that you have these keys, and enrol again.",
                )
            pending.opened.update(answers)
            if not pending.waiting:
                self._take_effect(pending)
            return pending.enrolment.epoch, pending.waiting

    def _proposed(self) -> _PendingEnrolment | None:
        """Returns the enrolment that waits for its tests, or None if it has lapsed."""
        pending = self._pending  # read once: `pending` is asked for without the lock while an owner proposes another
        return None if pending is None or self._clock.now().boot_ns > pending.lapses_ns else pending

    def _take_effect(self, pending: _PendingEnrolment) -> None:
        with self._decisions.one():
            # Memory is changed below, before the commit, so that `on_change` sees the new list. A failed commit loads
            # the old one.
            self._decisions.otherwise(self._load)
            self._decisions.after(self.announce)
            if self.current is not None:
                self._decisions.after(lambda: self._tell("owners", "The owners of this doorbell have changed."))
            # Four digits, so that the order of names is the order of epochs (`MAX_ENROLMENTS` is 256).
            self._journal.put(f"{_ENVELOPE}{pending.enrolment.epoch:04}", pending.envelope)
            self._ledger.write(
                EntryKind.RECIPIENTS_CHANGED,
                subject=hashlib.sha256(_payload(pending.envelope)).hexdigest(),
                version=pending.enrolment.epoch,
            )
            self.envelopes, self.current = (*self.envelopes, pending.envelope), pending.enrolment
            self._in_force = _recipients(pending.enrolment)
            self.on_change()
        self._pending = None

    def _load(self) -> None:
        """Loads the current enrolment from the journal, also after a transaction that failed."""
        kept = self._journal.named(_ENVELOPE)
        self.envelopes, self.current, self._in_force = tuple(kept[epoch] for epoch in sorted(kept)), None, ()
        if self.envelope is not None:
            self.current = strictjson.decode(_payload(self.envelope), Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
            self._in_force = _recipients(self.current)

    def _test(self, token: bytes, recipient: str) -> bytes:
        return seal_bytes(
            token,
            [parse_recipient(recipient)],
            file_key=self._entropy.token(_SECRET_BYTES),
            nonce=self._entropy.token(_SECRET_BYTES),
        )


def _payload(data: bytes) -> bytes:
    return read_statement(data).payload


def _named(enrolment: Enrolment) -> dict[str, str]:
    return {item.name: item.recipient for item in enrolment.recipients} | {RECOVERY: enrolment.recovery}


def _recipients(enrolment: Enrolment) -> tuple[Recipient, ...]:
    return tuple(parse_recipient(text) for text in _named(enrolment).values())
