"""The rules at the door of `consent_model.World`, told a second time, independent of the product's code.

A handful of plain values and one method for each action, without bytes, signatures and journal. It knows the rules only
as a person would say them. `test_consent_walks` lets both worlds live the same life and compares them after each step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Reference", "Shown"]

WAITING = ("pending", "waiting for another owner")
OPEN = ("approved", "sending")
IN_VAIN = (*WAITING, "denied", "expired", "withdrawn", "opted out")
DOUBTED = ("unconfirmed", "set back")

Shown = tuple[object, ...]
"""The visible state of a world, and its memory: see `Reference.shown`."""


@dataclass
class Asked:
    """One request at this door."""

    state: str | None = None
    ours: tuple[int, ...] = ()
    """Which of the three segments matched."""
    first: str = ""
    """The owner's approval that waits for the other owner."""
    carried: int | None = None
    """The next part the uplink sends; None while it carries none."""
    parts: frozenset[int] = frozenset()
    """Which parts have left."""


@dataclass
class Reference:
    """`owners`: how many must approve."""

    owners: int
    asked: list[Asked]
    kept: list[int] = field(default_factory=lambda: [0, 1, 2])
    phase: int = 0
    jump: str = ""
    """A jump of the clock, "unconfirmed" or "set back" while no one vouches for it, then confirmed."""
    opted_out: bool = False
    trusted: bool = True
    """True while the first requester is trusted."""
    said: frozenset[str] = frozenset()
    """Statements that have acted, and messages with a used number: each acts once."""

    @classmethod
    def new(cls, requests: int, owners: int) -> Reference:
        return cls(owners, [Asked() for _ in range(requests)])

    def copy(self) -> Reference:
        each = [Asked(a.state, a.ours, a.first, a.carried, a.parts) for a in self.asked]
        return Reference(
            self.owners, each, list(self.kept), self.phase, self.jump, self.opted_out, self.trusted, self.said
        )

    def shown(self) -> Shown:
        """States, outbox objects, what waits for a second yes, what has left, what is kept, what was used up."""
        return (
            tuple(each.state for each in self.asked),
            tuple(each.state in OPEN for each in self.asked),
            tuple(bool(each.first) for each in self.asked),
            tuple(each.parts for each in self.asked),
            tuple(each.carried for each in self.asked),
            tuple(self.kept),
            self.phase,
            self.jump,
            self.opted_out,
            self.trusted,
            len(self.said),
        )

    def do(self, action: str) -> None:
        """Actions that end in `!` do nothing."""
        word, _, number = action.rpartition(" ")
        if action in _PLAIN:
            _PLAIN[action](self)
        elif word in _OF_ONE:
            _OF_ONE[word](self, int(number))
        elif not action.endswith("!"):
            raise AssertionError(f"the reference does not know '{action}'")

    # -- the requester's -----------------------------------------------------------------------------------------------

    def request(self, n: int) -> None:
        each = self.asked[n]
        if each.state is not None or f"request {n}" in self.said or (n == 0 and not self.trusted):
            return
        self.said |= {f"request {n}"}
        if self.phase > 0 and self.jump not in DOUBTED:
            return  # over, and its number is used
        each.ours = tuple(s for s in (n, n + 1) if s in self.kept)
        each.state = "opted out" if self.opted_out else "pending" if each.ours else "no match"

    def over_the_limit(self) -> None:
        """The first requester's.  Nothing comes of it, but its number is used."""
        if self.trusted:
            self.said |= {"over the limit"}

    def withdraw(self, n: int) -> None:
        each = self.asked[n]
        if each.state in (*WAITING, *OPEN):
            self.said |= {f"withdrawal {n}"}
            self._end(each, "stopped" if each.state == "sending" else "withdrawn")

    def receipt(self, n: int) -> None:
        if self.asked[n].state == "sending":
            self._end(self.asked[n], "sent")

    def refuse(self, n: int) -> None:
        if self.asked[n].state in OPEN:
            self._end(self.asked[n], "stopped")

    # -- the owners' ---------------------------------------------------------------------------------------------------

    def approve(self, n: int) -> None:
        self._yes(n, f"approval {n}", n)

    def other_approves(self) -> None:
        self._yes(0, "the other's approval", 1)

    def _yes(self, n: int, statement: str, segment: int) -> None:
        """An owner approves the one segment; where it takes two it waits, in the place of whatever waited."""
        each = self.asked[n]
        if each.state not in WAITING or statement in self.said or segment not in each.ours:
            return
        self.said |= {statement}
        if self.owners == 1:
            each.state = "approved"
        else:
            each.state, each.first = "waiting for another owner", statement

    def second(self, n: int) -> None:
        self._seconded(n, f"co-approval {n}", f"approval {n}")

    def first_seconds(self) -> None:
        self._seconded(0, "the first's co-approval", "the other's approval")

    def _seconded(self, n: int, statement: str, of: str) -> None:
        each = self.asked[n]
        if each.first == of and statement not in self.said:
            self.said |= {statement}
            each.state, each.first = "approved", ""

    def deny(self, n: int) -> None:
        if self.asked[n].state in WAITING:
            self.said |= {f"denial {n}"}
            self._end(self.asked[n], "denied")

    def revoke(self, n: int) -> None:
        each = self.asked[n]
        if each.state in OPEN:
            self.said |= {f"revocation {n}"}
            self._end(each, "stopped" if each.state == "sending" else "revoked")

    def opt_out(self) -> None:
        if not self.opted_out:
            self.said |= {"opt-out"}
            self.opted_out = True
            for each in self.asked:
                if each.state in WAITING:
                    self._end(each, "opted out")

    def distrust(self, n: int) -> None:
        """Ends the requester's open requests; later messages of it are ignored."""
        self.trusted, each = False, self.asked[n]
        if each.state in WAITING:
            self._end(each, "denied")
        if each.state in OPEN:
            self._end(each, "stopped" if each.state == "sending" else "revoked")

    # -- the world's ---------------------------------------------------------------------------------------------------

    def send(self, n: int) -> None:
        """Open approvals are taken up; then one part after the other leaves, until the end."""
        each = self.asked[n]
        if each.carried is None:
            if each.state in OPEN:
                each.state, each.carried = "sending", 0
        elif each.state != "sending":
            each.carried = None
        else:
            each.parts |= {each.carried}
            each.carried = 1 - each.carried

    def time(self) -> None:
        self.phase = min(self.phase + 1, 2)
        self._run_out()

    def jumps(self, which: str = "unconfirmed") -> None:
        """Until the clock is confirmed again, deadlines stand still."""
        if self.jump == "":
            self.jump = which

    def is_set_back(self) -> None:
        self.jumps("set back")

    def is_right_again(self) -> None:
        if self.jump in DOUBTED:
            self.jump = ""
            self._run_out()

    def stands(self) -> None:
        """A clock that was set back is believed in the end, too: then it is earlier by one end.  No end is undone."""
        if self.jump == "set back":
            self.jump, self.phase = "set back, confirmed", max(self.phase - 1, 0)
            self._run_out()
        self.is_confirmed()

    def is_confirmed(self) -> None:
        """After three days, or by an owner at once: then it is as late as the clock says, behind everything's end."""
        if self.jump == "unconfirmed":
            self.jump, self.phase = "confirmed", 2
            self._run_out()

    def stands_over_a_new_boot(self) -> None:
        if self.jump in DOUBTED:
            self.restart()
        self.stands()

    def asks_again(self) -> None:
        """About the same time, after it was asked in vain: over the limit, so nothing comes of it but a used number."""
        if self.trusted and self.asked[0].state in IN_VAIN:
            self.said |= {"again"}

    def _run_out(self) -> None:
        if self.jump in DOUBTED:
            return
        for each in self.asked:
            if each.state in WAITING and self.phase > 0:
                self._end(each, "expired")
            if each.state in OPEN and self.phase > 1:
                self._end(each, "stopped" if each.state == "sending" else "expired")

    def evict(self) -> None:
        held = {segment for each in self.asked if each.state in WAITING for segment in each.ours}
        gone = next((segment for segment in self.kept[:-1] if segment not in held), None)
        if gone is not None:
            self.kept.remove(gone)

    def restart(self) -> None:
        """Only deadlines that passed while the power was away take effect."""
        self._run_out()
        for each in self.asked:
            each.carried = None

    def _end(self, each: Asked, state: str) -> None:
        each.state, each.first = state, ""


_OF_ONE: dict[str, Callable[[Reference, int], None]] = {
    "request": Reference.request,
    "withdraw": Reference.withdraw,
    "receipt": Reference.receipt,
    "refuse": Reference.refuse,
    "approve": Reference.approve,
    "second": Reference.second,
    "deny": Reference.deny,
    "distrust": Reference.distrust,
    "revoke": Reference.revoke,
    "send": Reference.send,
}
_PLAIN: dict[str, Callable[[Reference], None]] = {
    "the other approves something else": Reference.other_approves,
    "the first seconds the other": Reference.first_seconds,
    "opt out": Reference.opt_out,
    "over the limit": Reference.over_the_limit,
    "time": Reference.time,
    "evict": Reference.evict,
    "restart": Reference.restart,
    "the clock jumps": Reference.jumps,
    "the clock is right again": Reference.is_right_again,
    "the clock is set back": Reference.is_set_back,
    "the jump stands": Reference.stands,
    "the jump stands over a new boot": Reference.stands_over_a_new_boot,
    "a new boot": Reference.restart,
    "asks about the same time again": Reference.asks_again,
    "an owner states the new time": Reference.is_confirmed,
}
