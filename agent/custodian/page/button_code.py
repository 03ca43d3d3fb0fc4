"""The code of a long press: the doorbell makes a code for one browser, and seals it to the owners and the recovery kit.

The button is outside, so a stranger can hold it for as long as they like, and can call the page if they are in the
home's network. Both together give them a sealed file. It opens with an owner's key or the kit alone, and the code in it
is good for one browser, for a quarter of an hour, like a printed one. A browser that comes in this way still has no
rights of an owner: it has to prove a key or the kit, as every browser does.

A press while the code lives changes nothing. Otherwise a stranger could make the owner's code void by pressing again.
If the code was used, or a guesser has used up its tries, the next press makes another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from agent.core.timebase import seconds
from agent.custodian.enrolment import Enrolments
from agent.custodian.page.sessions import CODE_LIFE_S
from agent.errors import DoorwardError
from agent.ports import Clock

__all__ = ["CODE_PREFIX", "ButtonCode"]

CODE_PREFIX: Final = "doorward-button-code:"
"""The owner's page gives back nothing else that a doorbell lets it open: an altered doorbell could show other sealed
files in place of the code (agent/web/src/owner/button_code.js)."""
_TELL_EVERY_S: Final = 3600


class ButtonCode:
    """Safe to use from several threads."""

    def __init__(
        self,
        clock: Clock,
        make_code: Callable[[], str],
        is_alive: Callable[[], bool],
        enrolments: Enrolments,
        tell: Callable[[], None],
    ) -> None:
        """`make_code`, `is_alive`: of `Sessions`, for this kind of code. `tell`: alerts the owners, once an hour at
        most."""
        self._clock = clock
        self._make_code = make_code
        self._is_alive = is_alive
        self._enrolments = enrolments
        self._tell = tell
        self._lock = threading.Lock()
        self._sealed = b""
        self._until_ns = self._told_until_ns = 0
        self._log = structlog.get_logger("page")

    def held(self) -> bool:
        """Takes a long press. Returns True if a code can be fetched now: the doorbell's light shows it."""
        with self._lock:
            now_ns = self._clock.now().boot_ns
            # Without an owner there is no key to seal the code to.
            if self._enrolments.current is None:
                return False
            if now_ns < self._until_ns and self._is_alive():
                return True
            try:
                self._sealed = self._enrolments.seal(f"{CODE_PREFIX}{self._make_code()}".encode("ascii"))
            except DoorwardError as error:
                self._log.warning("button_code_failed", reason=error.message)
                return False
            # The boot clock, which no one on the network can set.
            self._until_ns = now_ns + seconds(CODE_LIFE_S)
            is_told = now_ns < self._told_until_ns
            if not is_told:
                self._told_until_ns = now_ns + seconds(_TELL_EVERY_S)
        self._log.info("button_code_made")
        if not is_told:
            # Outside of the lock, and only after a code exists: the alert says that one can be fetched.
            self._tell()
        return True

    def sealed(self) -> bytes | None:
        """Returns the sealed code, or None if the button was not held."""
        with self._lock:
            is_open = self._clock.now().boot_ns < self._until_ns and self._enrolments.current is not None
            is_open = is_open and self._is_alive()
            return self._sealed if is_open else None
