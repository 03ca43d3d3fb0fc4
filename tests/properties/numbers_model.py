"""The world of `consent_model` with the numbers that the doorbell gives out for its owners' statements (decision 0020).

Two owners sign statements with contradicting effects. The channel to the doorbell may hold a statement back,
deliver it twice, or deliver it after a later one. This world keeps its own account of the numbers that count, and
compares both directions: a number that does not count is ignored, and a number that counts has one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.custodian.verified_statements import NONCE_LIFE_S, Nonces
from agent.wire.identities import public_key_of
from agent.wire.statements import OptIn, OptOut, Scope
from tests.custodians import APPROVER, signed, stated
from tests.properties.consent_model import SECOND, Broken, World

__all__ = ["NumbersWorld"]

_MAKES: dict[str, tuple[type[OptOut | OptIn], Any]] = {
    "anna's opt-out": (OptOut, APPROVER),
    "anna's opt-in": (OptIn, APPROVER),
    "bo's opt-out": (OptOut, SECOND),
}


@dataclass(frozen=True)
class Held:
    """A statement between an owner's client and the doorbell."""

    data: bytes
    signer: str
    order: int
    """Rank of its number among all that were given."""
    process: int
    """Which start of the custodian gave its number."""
    given_ns: int
    jump: str
    """The wall clock at that time: an age by that clock would differ now."""


class NumbersWorld(World):
    def __init__(self) -> None:
        super().__init__(1, owners=2)
        # The door leaves numbers out unless it is told otherwise, and this world enrols its owners before it asks.
        vars(self._nonces).pop("claim")
        self.process = self.order = 0
        self.held: dict[str, Held] = {}
        self.newest: dict[str, int] = {}
        """The order of the newest number that was used since the start, by signer."""
        keep = ("the clock is set back", "the clock is right again")
        self.actions = {name: self.actions[name] for name in keep}
        for name in _MAKES:
            self.actions[f"sign {name}"] = lambda name=name: self._sign(name)
            self.actions[f"deliver {name}"] = lambda name=name: self._deliver(name)
        self.actions |= {
            "ten minutes": lambda: self._wait(NONCE_LIFE_S),
            "one more second": self._one_more_second,
            "restart": self.restart,
            "a new boot": self.reboot,
        }

    @property
    def _nonces(self) -> Nonces:
        return self.door.custodian.custodian_state.nonces

    def _sign(self, name: str) -> None:
        kind, by = _MAKES[name]
        self.order += 1
        statement = kind(**{**stated(), "nonce": self._nonces.give()}, scope=Scope.ALL)
        signer = public_key_of(by).id
        self.held[name] = Held(
            signed(statement, by), signer, self.order, self.process, self.door.clock.boot_ns, self.jump
        )

    def _counts(self, held: Held) -> bool:
        return (
            held.process == self.process
            and self._age_s(held) <= NONCE_LIFE_S
            and held.order > self.newest.get(held.signer, 0)
        )

    def _deliver(self, name: str) -> None:
        if (held := self.held.get(name)) is None:
            return
        counts = self._counts(held)
        acted = self._take(held.data) is not None
        if counts:
            self.newest[held.signer] = held.order
        if acted and not counts:
            raise Broken("a statement acted by a number that did not count any more")
        if counts and not acted:
            raise Broken("a statement was refused although its number counted")

    def _age_s(self, held: Held) -> int:
        return (self.door.clock.boot_ns - held.given_ns) // 10**9

    def _wait(self, duration_s: int) -> None:
        self.door.clock.advance(duration_s)
        self._keep_up()

    def _one_more_second(self) -> None:
        """Only where it makes a difference, because there are many seconds."""
        live = [held for held in self.held.values() if held.process == self.process]
        if any(self._age_s(held) == NONCE_LIFE_S for held in live):
            self._wait(1)

    def restart(self) -> None:
        super().restart()
        # As a new process: `restart` of the world keeps the objects, and nonces live in memory only.
        made: Callable[..., Nonces] = Nonces
        vars(self._nonces).update(vars(made(self.door.clock, self.door.entropy)))
        self.process += 1
        self.newest.clear()

    def take_more(self) -> Any:
        nonces = self._nonces
        memory = (nonces._key, nonces._last, dict(nonces._claimed))
        return memory, self.process, self.order, dict(self.held), dict(self.newest)

    def put_more(self, more: Any) -> None:
        (key, last, claimed), self.process, self.order, held, newest = more
        vars(self._nonces).update(_key=key, _last=last, _claimed=dict(claimed))
        self.held, self.newest = dict(held), dict(newest)

    def pulse(self) -> Any:
        return super().pulse(), self.process, self.order, dict(self.newest)

    def key(self) -> Any:
        """Numbers by their order, not by their value: with the same order, the same happens."""
        live = {name: held for name, held in self.held.items() if held.process == self.process}
        orders = sorted({*(held.order for held in live.values()), *self.newest.values()})
        each = [
            (
                name in self.held,
                hashlib.sha256(self.held[name].data).hexdigest() in self.obeyed if name in self.held else False,
                (orders.index(live[name].order), min(self._age_s(live[name]), NONCE_LIFE_S + 1), live[name].jump)
                if name in live
                else None,
            )
            for name in _MAKES
        ]
        newest = sorted((signer, orders.index(order)) for signer, order in self.newest.items())
        return (*each, tuple(newest), self.journal.opt_outs(), self.jump)
