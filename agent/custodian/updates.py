"""Updates on offer, and the owner's choice: shown from root's verified state, passed to root as a wish.

Root decides what may be installed (`agent.updater`). The custodian decides only when: after an owner's signed
statement, or automatically for a security update if an owner's settings say so. A wish stays in the journal until the
version runs, so a power cut does not lose it. Source: docs/updates.md; docs/decisions/0052.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from agent.core.ledger.entries import EntryKind
from agent.core.updates import (
    MAX_STATE_BYTES,
    Offer,
    RefusedReversal,
    UpdateResult,
    UpdateState,
    UpdateTrouble,
    UpdateWish,
    numbers,
    rollout_delay_ms,
)
from agent.custodian.ledger_writer import Ledger, Transactions
from agent.custodian.owner_settings import OwnerSettings
from agent.errors import DoorwardError, RequestError
from agent.platform import files
from agent.ports import Journal, Notifier
from agent.wire import strictjson
from agent.wire.statements import UpdateChoice, UpdateReversal, read_statement
from agent.wire.strictjson import PreparedMeta

__all__ = ["UpdateFiles", "Updates"]

_WISH: Final = "update-wish"
_TOLD: Final = "update-told"
_SOON_S: Final = 15
"""A file for root is written a second time after this. systemd starts nothing for one that is written in the instant in
which root's step ends: after its last look, and before systemd watches the file again."""
_AGAIN_S: Final = 600
_REVERSAL_S: Final = 3600
"""Root takes an owner's way back for this long (`agent.updater.root_step`)."""
_INTERRUPTED_MS: Final = 30 * 60_000
"""An installation that began longer ago than this has been interrupted."""
_DAY_MS: Final = 86_400_000
_RETRY_MS: Final = _DAY_MS
"""Root has tried an automatic update this long ago, and nothing was wrong with its version: it is tried again."""
_NEWS_MS: Final = 7 * _DAY_MS
"""For this long a timestamp of the repository is good, so news that root verified longer ago would be refused."""


@dataclass(frozen=True, slots=True)
class UpdateFiles:
    """Root's state, and the file of the custodian's wish (systemd/tmpfiles.d)."""

    state: Path
    wish: Path
    previous: Path = Path("/opt/doorward/previous")
    """The installer's link to the version before. Root looks itself: here it only shows what may be asked for."""

    @property
    def owners(self) -> Path:
        """All lists of owners, one envelope a line, for root."""
        return self.wish.with_name("owners")

    @property
    def back(self) -> Path:
        """An owner's signed way back, for root."""
        return self.wish.with_name("back.dsse")


class _Told(msgspec.Struct, metaclass=PreparedMeta):
    """The news that owners were told, so that each is told once."""

    running: str = ""
    offer: str = ""
    outcome_ms: int = 0
    expired: bool = False
    since_ms: int = 0
    """The time since which this doorbell has looked for updates. It counts until root has verified news."""
    refused: str = ""
    """The way back that root refused last."""
    failed: str = ""
    """The version of the newest failure that they were told."""


def _is_withdrawn(state: UpdateState | None, offer: Offer) -> bool:
    """Returns whether this version was begun here and failed, or was taken back, as root remembers it."""
    if state is None:
        return False
    outcome = state.outcome
    is_the_last = outcome is not None and outcome.version == offer.version
    # A refused package was never begun, for example because the disk was full. It may be tried again.
    failed = outcome is not None and outcome.result is not UpdateResult.REFUSED
    return offer.version in state.withdrawn or (is_the_last and failed)


def _automatic_id(version: str, sha256: str, change: str | None) -> str:
    """Returns the id of an automatic wish. The same package has the same id until root has tried it, so root tries it
    once."""
    return hashlib.sha256(f"automatic {version} {sha256} {change}".encode()).hexdigest()[:32]


def _is_automatic(wish: UpdateWish) -> bool:
    """Returns whether no owner made this wish: an owner's has the nonce of a statement as its id."""
    return bool(wish.id == _automatic_id(wish.version, wish.sha256, wish.change))


def _is_stale(path: Path, after_s: int) -> bool:
    """Returns whether a file for root is missing, or was written this many seconds ago."""
    try:
        # A negative age comes from a clock that was set back. The file is then written again.
        return not 0 <= time.time() - path.stat().st_mtime < after_s
    except FileNotFoundError:
        return True


class Updates:
    """`running`: this program's version. `device`: its key id, which spreads automatic updates over hours."""

    def __init__(
        self,
        places: UpdateFiles,
        running: str,
        device: str,
        decisions: Transactions,
        journal: Journal,
        ledger: Ledger,
        settings: OwnerSettings,
        notifier: Notifier,
        trusted_ms: Callable[[], int | None],
        enrolments: Callable[[], tuple[bytes, ...]] = tuple,
    ) -> None:
        """`trusted_ms` returns the time in UTC, or None if the clock cannot be trusted. `enrolments` returns all signed
        lists of owners."""
        self._places = places
        self._running = running
        self._device = device
        self._decisions = decisions
        self._journal = journal
        self._ledger = ledger
        self._settings = settings
        self._notifier = notifier
        self._trusted_ms = trusted_ms
        self._enrolments = enrolments
        self._shown: tuple[bytes, ...] = ()
        self._reversal: tuple[bytes, str, float] | None = None
        """A signed way back, the change that it names, and when it came. A power cut forgets it: it counts an hour."""
        self._began_ms: int | None = None
        self._repeated: dict[Path, bytes] = {}
        """The content of each file for root that was written a second time. Until then root may have missed it."""
        self._log = structlog.get_logger("custodian")

    @property
    def state(self) -> UpdateState | None:
        """Returns what root wrote last. None if this doorbell has no updates, or runs another version by now."""
        try:
            data = files.read_if_there(self._places.state, MAX_STATE_BYTES)
            state = None if data is None else strictjson.decode(data, UpdateState, limit_bytes=MAX_STATE_BYTES)
        except DoorwardError:
            return None
        return state

    @property
    def offer(self) -> Offer | None:
        """Returns the package that an owner may choose."""
        return self._offer_of(self.state)

    def _offer_of(self, state: UpdateState | None) -> Offer | None:
        offer = None if state is None else state.offer
        # Root's file may be of before the last installation. An offer of the running version or an older one is none.
        return offer if offer is not None and numbers(offer.version) > numbers(self._running) else None

    def last_result(self) -> tuple[str, str] | None:
        """Returns the version of the newest installation, and its end as the installer hears it. None if there was
        none."""
        state = self.state
        if state is None or state.outcome is None:
            return None
        result: UpdateResult = state.outcome.result
        # To a fleet, a version that a person took back is one that did not run well: its waves stop (`wire.health`).
        told: UpdateResult = UpdateResult.ROLLED_BACK if result is UpdateResult.TAKEN_BACK else result
        return str(state.outcome.version), str(told.value)

    @property
    def wish(self) -> UpdateWish | None:
        data = self._journal.get(_WISH)
        return None if not data else strictjson.decode(data, UpdateWish)

    @property
    def automatic(self) -> bool:
        """Returns whether an owner chose that security updates are installed without asking."""
        settings = self._settings.current
        return settings is not None and settings.updates == "security"

    def show(self) -> dict[str, Any]:
        """Returns the answer to `update`."""
        state, wish = self.state, self.wish
        offer = self._offer_of(state)
        outcome = None if state is None else state.outcome
        is_the_last = (
            offer is not None and outcome is not None and outcome.version == offer.version
        )  # `outcome` says it
        return {
            "running": self._running,
            "looks": state is not None,
            "automatic": self.automatic,
            "checked_ms": None if state is None else state.checked_ms,
            "trouble": None if state is None or state.trouble is None else state.trouble.value,
            "offer": None
            if offer is None
            else {
                **msgspec.to_builtins(offer),
                "withdrawn": _is_withdrawn(state, offer) and not is_the_last,
            },
            "chosen": offer is not None and wish is not None and self._is_open(wish),
            "outcome": None if outcome is None else {"version": outcome.version, "result": outcome.result.value},
            "back": self._back(),
        }

    def _back(self) -> dict[str, Any] | None:
        """Returns the way back that an owner may sign, None if there is none.

        `refused`: only root may go. `ended`: why root did not carry out the newest one.
        """
        state = self.state
        try:
            before = self._places.previous.readlink().name.partition("-")[0]
            if state is None or state.change is None or not numbers(before) < numbers(self._running):
                return None
        except (OSError, ValueError):
            return None
        if state.owners is None:  # root has seen no owner yet
            return None
        refused = None
        if state.owners not in self._lists():
            refused = "owners"
        elif state.floor is not None and numbers(before) < numbers(state.floor):
            refused = "fault"
        ended = self._ended(state)
        chosen = ended is None and self._reversal is not None and self._reversal[1] == state.change
        reason = None if ended is None else ended.reason.value
        return {"version": before, "change": state.change, "refused": refused, "chosen": chosen, "ended": reason}

    def _ended(self, state: UpdateState) -> RefusedReversal | None:
        """Returns the newest way back if root refused it. A later one that root has not seen yet is no refused one."""
        refused: RefusedReversal | None = state.refused
        if refused is None or self._reversal is None:
            return refused
        data, change, _ = self._reversal
        is_later = change == state.change and refused.statement != hashlib.sha256(data).hexdigest()
        return None if is_later else refused

    def _lists(self) -> list[str]:
        """Returns the hashes of all lists of owners of this doorbell, the newest last."""
        return [hashlib.sha256(read_statement(each).payload).hexdigest() for each in self._enrolments()]

    def status(self) -> dict[str, Any]:
        """Returns the part of `doorward status`."""
        state, offer = self.state, self.offer
        return {
            "running": self._running,
            "offer": None if offer is None else offer.version,
            "security": offer is not None and offer.security,
            "trouble": None if state is None or state.trouble is None else state.trouble.value,
        }

    def accept(self, choice: UpdateChoice, fields: dict[str, str]) -> None:
        """Passes an owner's choice on, inside the caller's transaction. Raises `RequestError`."""
        state = self.state
        offer = self._offer_of(state)
        # The hash, too: owners chose these bytes, and root may show another package of the same version by now.
        if state is None or offer is None or (offer.version, offer.sha256) != (choice.version, choice.sha256):
            raise RequestError("This update is not on offer any more.", remedy="Look at the updates again.")
        self._ledger.write(EntryKind.UPDATE_CHOSEN, **fields)
        self._put(UpdateWish(v=1, id=choice.nonce, version=offer.version, sha256=offer.sha256, change=state.change))

    def reverse(self, reversal: UpdateReversal, data: bytes, fields: dict[str, str]) -> None:
        """Passes an owner's way back on to root, inside the caller's transaction. Raises `RequestError`."""
        back = self._back()
        if back is None or back["refused"] or (self._running, back["version"], back["change"]) != (
            reversal.version, reversal.before, reversal.change,
        ):  # fmt: skip
            raise RequestError("This version is not the one to go back to.", remedy="Look at the updates again.")
        now_ms = self._trusted_ms()
        if now_ms is None:
            raise RequestError(
                "The doorbell does not know the time.", remedy="Connect it to a time server, then try again."
            )
        if abs(now_ms - reversal.owner_time_ms) > _REVERSAL_S * 1000:
            # Root would refuse it, minutes later.
            raise RequestError(
                "The clocks of the doorbell and of this device differ by more than an hour.",
                remedy="Set them, then try again.",
            )
        self._ledger.write(EntryKind.UPDATE_REVERSED, **fields)
        # After the commit: root must not go back before the ledger says who wanted it.
        self._decisions.after(lambda: self._hand_over(data, reversal.change))

    def on_time(self) -> None:
        """Runs every few seconds: tells news once, chooses a security update if an owner wants that, keeps the wish."""
        # First: a wish for the version that runs now must not be written for root again.
        self._end_wish()
        self._hide_former_owners()
        if self.state is None:
            return
        self._show_owners()
        self._keep_reversal()
        self._tell()
        self._choose()
        wish = self.wish
        if wish is not None and self._is_open(wish):
            self._write(wish)

    def _choose(self) -> None:
        state, now_ms = self.state, self._trusted_ms()  # one state: root may withdraw the version meanwhile
        offer = self._offer_of(state)
        if state is None or offer is None or not offer.security or not self.automatic or now_ms is None:
            return
        released = datetime.datetime.fromisoformat(offer.released).replace(tzinfo=datetime.UTC)
        # Doorbells update at different hours of a day, so a bad version is noticed before it runs on all of them.
        if now_ms < int(released.timestamp() * 1000) + rollout_delay_ms(self._device, offer):
            return
        stands = self.wish
        if _is_withdrawn(state, offer) or (stands is not None and self._is_open(stands)):
            return
        outcome = state.outcome
        if outcome is not None and outcome.version == offer.version and 0 <= now_ms - outcome.at_ms < _RETRY_MS:
            return
        name = _automatic_id(offer.version, offer.sha256, state.change)
        with self._decisions.one():
            self._ledger.write(EntryKind.UPDATE_CHOSEN, reason="automatic")
            self._put(UpdateWish(v=1, id=name, version=offer.version, sha256=offer.sha256, change=state.change))

    def _end_wish(self) -> None:
        """Forgets a wish if its version or a newer one runs, if its version failed or was taken back since, or if it is
        automatic and an owner has ended automatic updates.

        A person with root may have installed it. Otherwise it would be carried out after all that, for example once the
        disk has room.
        """
        wish, state = self.wish, self.state
        if wish is None:
            return
        is_at_work = (
            state is not None and state.outcome is not None and state.outcome.result is UpdateResult.INTERRUPTED
        )
        is_barred = state is not None and state.bars(wish) and not is_at_work
        is_unwanted = _is_automatic(wish) and not self.automatic
        if numbers(wish.version) > numbers(self._running) and not is_barred and not is_unwanted:
            return
        try:
            # The file first. After the other order, a kill could leave a wish for root that the journal has forgotten.
            self._places.wish.unlink(missing_ok=True)
        except OSError as error:
            self._log.error("wish_not_removed", error=str(error))
        with self._decisions.one():
            self._journal.remove(_WISH)

    def _is_open(self, wish: UpdateWish) -> bool:
        """Returns whether root still has to carry this wish out."""
        state = self.state
        offer = self._offer_of(state)
        if state is None or offer is None or (offer.version, offer.sha256) != (wish.version, wish.sha256):
            return False
        # By the id: a second choice of the same version after a failure is another wish.
        is_done = state.outcome is not None and state.outcome.wish == wish.id
        return not is_done and not state.bars(wish)

    def _put(self, wish: UpdateWish) -> None:
        self._journal.put(_WISH, strictjson.encode(wish))
        self._decisions.after(lambda: self._write(wish))

    def _write(self, wish: UpdateWish) -> None:
        """Writes the wish for root, if it is missing. The folder is in memory, so it is empty after each boot.

        A wish that stands is written again after 15 s and then every ten minutes, so that it is tried again after a
        passing fault: root's step reads it once, and once more if it was written while the step ran.
        """
        data, path = strictjson.encode(wish), self._places.wish
        try:
            is_new = files.read_if_there(path, MAX_STATE_BYTES) != data
        except DoorwardError as error:
            self._log.error("wish_not_written", error=error.message, remedy=error.remedy)
            return
        if is_new:
            self._put_file(path, data)
        elif self._is_due(path, data):
            self._put_again(path, data)

    def _is_due(self, path: Path, data: bytes) -> bool:
        """Returns whether a file that root has not acted upon is to be written again."""
        return _is_stale(path, _AGAIN_S if self._repeated.get(path) == data else _SOON_S)

    def _put_again(self, path: Path, data: bytes) -> bool:
        self._repeated[path] = data
        with suppress(OSError):  # systemd starts nothing for a file in the place of one that was there
            path.unlink()
        return self._put_file(path, data)

    def _hand_over(self, data: bytes, change: str) -> None:
        self._reversal = (data, change, time.monotonic())
        self._show_owners()
        self._put_file(self._places.back, data)

    def _keep_reversal(self) -> None:
        """Writes a way back again as a wish, until root has carried it out or it has ended."""
        state = self.state
        if self._reversal is None or state is None:
            return
        data, change, since_s = self._reversal
        try:
            is_ended = change != state.change or self._ended(state) is not None
            if is_ended or time.monotonic() - since_s > _REVERSAL_S:
                self._reversal = None
                self._places.back.unlink(missing_ok=True)
            elif self._is_due(self._places.back, data):
                self._put_again(self._places.back, data)
        except OSError as error:
            self._log.error("way_back_not_kept", error=str(error))

    def _show_owners(self) -> None:
        """Shows root every list of owners once there is a new one. The folder is in memory: empty after a boot.

        They are written again as a wish is, until root believes the newest.
        """
        shown, path = self._enrolments(), self._places.owners
        data = b"\n".join(shown)
        if not shown:
            return
        if shown != self._shown:
            # Noted only if it was written, so that the next turn tries again.
            self._shown = shown if self._put_file(path, data) else ()
        elif self._is_due(path, data) and self._is_root_behind(path):
            self._shown = shown if self._put_again(path, data) else ()

    def _is_root_behind(self, path: Path) -> bool:
        """Returns whether root has not heard of the newest list. Root that believes other owners would refuse it."""
        believed = None if self.state is None else self.state.owners
        return not path.exists() or believed is None or believed in self._lists()[:-1]

    def _hide_former_owners(self) -> None:
        """After `doorward reset`, root must not believe the owners that this doorbell had before."""
        if self._enrolments():
            return
        try:
            self._places.owners.unlink(missing_ok=True)
        except OSError as error:
            self._log.error("former_owners_not_hidden", error=str(error))

    def _put_file(self, path: Path, data: bytes) -> bool:
        try:
            files.write(path, data)
        except DoorwardError as error:
            self._log.error("root_not_told", error=error.message, remedy=error.remedy)
            return False
        return True

    def _is_old(self, state: UpdateState, since_ms: int, now_ms: int | None) -> bool:
        """Returns whether the newest verified news is too old, for whatever reason no newer news came.

        An attacker who shows old news is refused. One who only keeps the server away, or has taken over the updater,
        must be noticed as well. A doorbell that was off has a day to look.
        """
        if state.trouble is UpdateTrouble.EXPIRED:
            return True
        if now_ms is None:
            return False
        if self._began_ms is None:
            self._began_ms = now_ms
        heard_ms = since_ms if state.checked_ms is None else state.checked_ms
        return now_ms - heard_ms > _NEWS_MS and now_ms - self._began_ms > _DAY_MS

    def _tell(self) -> None:
        """Tells owners what is new since they were last told."""
        state, now_ms = self.state, self._trusted_ms()
        offer = self._offer_of(state)
        stored = self._journal.get(_TOLD)
        told = _Told(running=self._running) if not stored else msgspec.json.decode(stored, type=_Told)
        outcome = None if state is None else state.outcome
        since_ms = told.since_ms or now_ms or 0
        expired = state is not None and self._is_old(state, since_ms, now_ms)
        news = []
        if told.running != self._running:
            news.append("updated")
        is_silent = offer is None or _is_withdrawn(state, offer) or (self.automatic and offer.security)
        if offer is not None and told.offer != offer.sha256 and not is_silent:
            news.append("security update" if offer.security else "update")
        ended = (
            outcome is not None
            and outcome.result not in (UpdateResult.INSTALLED, UpdateResult.TAKEN_BACK)
            and (
                outcome.result is not UpdateResult.INTERRUPTED
                or (now_ms is not None and now_ms > outcome.at_ms + _INTERRUPTED_MS)
            )
        )
        if outcome is not None and ended and told.outcome_ms != outcome.at_ms:
            # An automatic update is tried again each day, and told once.
            is_told = self.automatic and outcome.result is UpdateResult.REFUSED and told.failed == outcome.version
            news += [] if is_told else ["update failed"]
        refused = "" if state is None or state.refused is None else state.refused.statement
        if refused and told.refused != refused:
            news.append("no way back")
        if expired and not told.expired:
            news.append("update news old")
        now = _Told(
            running=self._running,
            offer=told.offer if offer is None else offer.sha256,
            outcome_ms=outcome.at_ms if outcome is not None and ended else told.outcome_ms,
            expired=expired,
            since_ms=since_ms,
            refused=refused or told.refused,
            failed=outcome.version if outcome is not None and ended else told.failed,
        )
        if now != told or not stored:
            with self._decisions.one():
                # Before the alerts leave: a power cut loses one alert, where the other order would repeat it at each
                # start.
                self._journal.put(_TOLD, msgspec.json.encode(now))
                for kind in news:
                    self._decisions.after(lambda kind=kind: self._notifier.notify(kind, _NEWS[kind]))  # type: ignore[misc]


_NEWS: Final = {
    "updated": "The doorbell runs a new version.",
    "update": "An update is on offer.",
    "security update": "A security update is on offer.",
    "update failed": "An update failed.",
    "no way back": "Root did not go back to the version before.",
    "update news old": "The news of updates is too old.",
}
"""For the log. Alerts have their own sentences (`core.alerts.kinds`)."""
