"""Set-up by the camera: takes the QR code that the recorder read, and lets the browser in that made it.

The recorder of a doorbell without an owner reads the code and sends its text. The custodian parses it and leaves it in
`setup/code` for a command of root, `doorward join-network`, because no process of the doorbell may change the network.
That command answers in `network/outcome`. Both folders are in memory (/run/doorward):

setup/code     the text of the QR code, with the Wi-Fi password; root removes it when it has read it
setup/taken    the same code without network and password, so that a restarted custodian still knows its secret
setup/began    the code that counted last, and since when on the boot clock: a custodian that is restarted gives it no
               second quarter of an hour
setup/state    how far the set-up is, for the board's own light (firmware_bridge/board_light.py)
setup/owned    asks root to refuse every later code, because the doorbell has an owner
network/outcome   of root: the id of a code and what became of it
network/card-outcome   of root: why the code on the memory card did not join, for the board's light
network/card   of root: a code from the memory card, without network and password. It lets one browser in, also with an
               owner, as a printed code does: a person with the card has the doorbell

While a code is being tried, and until its browser has had a quarter of an hour, other codes are ignored. A code counts
once. With an owner all of them are ignored (docs/security/limits.md).
"""

from __future__ import annotations

import contextlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from agent.core.setup_code import CODE_LIFE_S, SetupCode, parse_setup_code
from agent.core.setup_state import LONGEST_TEXT, SetupState
from agent.core.timebase import NS_PER_S
from agent.errors import FormatError, StorageError
from agent.platform import files
from agent.ports import Clock

__all__ = ["CameraSetup"]

_JOIN_S: Final = 180
"""Root has this many seconds to join. `doorward join-network` waits 60 s for the Wi-Fi."""
_MOST_TAKEN: Final = 256
_MOST_OUTCOME_BYTES: Final = 128


class CameraSetup:
    """Safe to use from several threads. `runtime`: the folder above `setup` and `network`, usually /run/doorward."""

    def __init__(self, runtime: Path, clock: Clock, has_owner: Callable[[], bool]) -> None:
        self._wish = runtime / "setup" / "code"
        self._kept = runtime / "setup" / "taken"
        self._began = runtime / "setup" / "began"
        self._owned = runtime / "setup" / "owned"
        self._shown = runtime / "setup" / "state"
        self._outcome = runtime / "network" / "outcome"
        self._card = runtime / "network" / "card"
        self._card_outcome = runtime / "network" / "card-outcome"
        self._card_used = runtime / "setup" / "card-used"
        self._clock = clock
        self._has_owner = has_owner
        self._log = structlog.get_logger("set-up")
        self._lock = threading.Lock()
        self._state = SetupState.WAITING
        self._since_s = self._boot_s()
        """When the state began, on the boot clock."""
        self._code: SetupCode | None = None
        self._is_used = False
        self._is_cards = False
        """The code came with the memory card."""
        self._taken: set[str] = set()
        """Ids of the codes that were read since the start: an old code counts no second time."""
        self._before = ""
        """The id of the code that counted before this process started."""
        self._told_root = False
        self._card_told: tuple[str, SetupState] | None = None
        """The failure of the card that the light shows."""
        self._resume()

    def take(self, text: str) -> SetupState:
        """Takes the text of a QR code; an empty text only asks. Returns how far the set-up is."""
        with self._lock:
            state = self._now()
            if not text or not state.reads:
                return state
            try:
                code = parse_setup_code(text)
            except FormatError as error:
                self._log.debug("code_not_taken", reason=error.message)
                return state
            # A person may still hold the phone to the camera, or film a code that was thrown away.
            if code.id in self._taken or code.id == self._before or len(self._taken) >= _MOST_TAKEN:
                return state
            return self._try(code, text)

    def on_time(self) -> None:
        """Follows what root does. Every few seconds. With an owner it asks root, once, to refuse later codes."""
        with self._lock:
            if self._now() is not SetupState.OFF or self._told_root:
                return
            try:
                self._kept.unlink(missing_ok=True)
                self._wish.unlink(missing_ok=True)
                files.write(self._owned, b"owned\n")
            except (OSError, StorageError) as error:
                self._log.warning("owner_not_marked", reason=str(error))
            else:
                self._told_root = True

    def lets_in(self, typed: str) -> bool | None:
        """Compares what a browser typed. True uses the code up. None: there is no code that could be guessed."""
        with self._lock:
            if self._now() is not SetupState.JOINED or self._code is None or self._is_used:
                return None
            # In constant time, so that the time of an answer tells a guesser no first digits.
            if not hmac.compare_digest(typed.encode(), self._code.pairing_code.encode()):
                return False
            self._is_used = True
            with contextlib.suppress(OSError, StorageError):
                self._kept.unlink(missing_ok=True)
                # A custodian that is restarted would take root's file of the card again.
                files.write(self._card_used, self._code.id.encode("ascii"))
            return True

    def proof(self, authority: bytes) -> bytes | None:
        """Shows the phone that made the code that `authority` is this doorbell's. None: no code is in use."""
        with self._lock:
            joined = self._now() is SetupState.JOINED and self._code is not None
            return self._code.proof(authority) if joined and self._code is not None else None

    def _now(self) -> SetupState:
        """The state, after what root answered and what time has ended."""
        self._look_at_card()
        if self._has_owner() and not self._is_cards:
            self._code = None
            return SetupState.OFF
        self._look_at_failed_card()
        if self._state is SetupState.JOINING:
            self._look_at_outcome()
        # By the boot clock: joining a network is what sets the wall clock, and the code would end at that moment.
        if self._state is SetupState.JOINED and self._age_s() > CODE_LIFE_S:
            self._code = None
            self._is_cards = False
            self._enter(SetupState.WAITING)
            return SetupState.OFF if self._has_owner() else self._state
        return self._state

    def _look_at_card(self) -> None:
        try:
            code = parse_setup_code(self._card.read_bytes()[:LONGEST_TEXT].decode("ascii"))
        except (OSError, UnicodeDecodeError, FormatError):
            return
        if code.id in self._taken or self._was_used(code):
            return
        self._taken.add(code.id)
        self._code, self._is_used, self._is_cards = code, False, True
        self._let_in_from_now()

    def _look_at_failed_card(self) -> None:
        """Shows a failure of the card while the camera looks for a code. A QR code that is tried later counts more."""
        found = self._read_outcome(self._card_outcome)
        if found is None or found == self._card_told or not self._state.reads or not found[1].reads:
            return
        self._card_told = found
        self._enter(found[1])

    def _was_used(self, code: SetupCode) -> bool:
        with contextlib.suppress(OSError):
            return self._card_used.read_bytes() == code.id.encode("ascii")
        return False

    def _look_at_outcome(self) -> None:
        assert self._code is not None  # noqa: S101 — a state of joining has one
        found = self._read_outcome(self._outcome)
        if found is not None and found[0] == self._code.id:
            if found[1] is SetupState.JOINED:
                self._let_in_from_now()
            else:
                self._enter(found[1])
        # Root's command may have been killed. The light must say so, and the next code must be read.
        elif self._age_s() > _JOIN_S:
            self._enter(SetupState.FAILED)

    def _let_in_from_now(self) -> None:
        """Begins the time in which the code counts, or goes on with it if the custodian was restarted meanwhile."""
        assert self._code is not None  # noqa: S101 — only a code that has joined lets a browser in
        self._enter(SetupState.JOINED)
        began = self._read_began()
        if began is not None and began[0] == self._code.id:
            # The time of the first start counts, so a custodian that is made to restart gives a guesser no more time.
            self._since_s = began[1]
            return
        try:
            files.write(self._began, f"{self._code.id} {self._since_s}\n".encode("ascii"))
        except StorageError as error:
            self._log.error("code_not_noted", reason=error.message)

    def _read_began(self) -> tuple[str, int] | None:
        try:
            name, since_s = self._began.read_bytes()[:_MOST_OUTCOME_BYTES].decode("ascii").split()
            return name, int(since_s)
        except (OSError, ValueError):
            return None

    def _read_outcome(self, path: Path) -> tuple[str, SetupState] | None:
        try:
            words = path.read_bytes()[:_MOST_OUTCOME_BYTES].decode("ascii").split()
            return words[0], SetupState(words[1])
        except (OSError, ValueError, IndexError):
            return None

    def _try(self, code: SetupCode, text: str) -> SetupState:
        try:
            # Before the wish: root may act at once, join, and restart this process under the doorbell's new name.
            files.write(self._kept, replace(code, ssid="", password="").text().encode(), secret=True)
            files.write(self._wish, text.encode("ascii"), secret=True)
        except StorageError as error:
            self._log.error("code_not_passed_on", reason=error.message)
            self._enter(SetupState.FAILED)
            return self._state
        self._taken.add(code.id)
        self._code, self._is_used, self._is_cards = code, False, False
        self._enter(SetupState.JOINING)
        self._log.info("code_taken", code=code.id, wifi=bool(code.ssid))
        return self._state

    def _resume(self) -> None:
        """A custodian that was restarted, for example under its new name, goes on with the code that was read."""
        began = self._read_began()
        if began is not None:
            self._before = began[0]
        try:
            code = parse_setup_code(self._kept.read_bytes().decode("ascii"))
        except (OSError, ValueError, FormatError):
            return
        self._code = code
        self._taken.add(code.id)
        self._enter(SetupState.JOINING)

    def _enter(self, state: SetupState) -> None:
        self._log.info("set_up", state=state.value)
        self._state, self._since_s = state, self._boot_s()
        with contextlib.suppress(OSError, StorageError):  # only a light
            files.write(self._shown, f"{state.value}\n".encode("ascii"))

    def _age_s(self) -> int:
        return self._boot_s() - self._since_s

    def _boot_s(self) -> int:
        return self._clock.now().boot_ns // NS_PER_S
