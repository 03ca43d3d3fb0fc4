"""The floor, which decides who may talk: the first owner holds it until a pause of `FLOOR_S` seconds.

The custodian's `TalkBuffer` has one and asks it for each `talk_begin` and `talk_send`. Pure: times come in
as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FLOOR_S", "Floor"]

FLOOR_S: Final = 3.0


@dataclass(slots=True)
class Floor:
    """`holder` is the name that another owner is told."""

    session: str = ""
    holder: str = ""
    _heard_s: float = float("-inf")

    def taken(self, now_s: float) -> str | None:
        """Returns who talks; None if the floor is free."""
        return self.holder if self.session and now_s - self._heard_s < FLOOR_S else None

    def take(self, session: str, holder: str, now_s: float) -> bool:
        """Gives the floor to a session. Returns False if another one holds it."""
        if self.session != session and self.taken(now_s) is not None:
            return False
        self.session, self.holder, self._heard_s = session, holder, now_s
        return True

    def hear(self, session: str, now_s: float) -> bool:
        """Extends the floor of a session that talks. Returns False if it has none."""
        if not session or self.session != session:
            return False
        self._heard_s = now_s
        return True

    def release(self, session: str) -> None:
        if self.session == session:
            self.session = self.holder = ""
