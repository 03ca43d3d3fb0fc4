"""Root's own copy of a release: verified from the beginning, kept, and verified once more before it is installed.

    update/trusted/       what root believed last (python-tuf)
    update/repository/    the same under the names of a repository, and the package on offer
    update/state.json     what the owner and `doorward update` are told

Rules: every byte that root acts on lies in this folder, which only root writes. Bytes are read once from their source,
into a file without a name, and are verified there. So no other user can exchange them between the check and their use.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import msgspec

from agent.core.timebase import NS_PER_MS, ClockReading
from agent.core.updates import (
    MAX_STATE_BYTES,
    MOST_WITHDRAWN,
    Offer,
    RefusedReversal,
    ReversalRefusal,
    UpdateOutcome,
    UpdateResult,
    UpdateState,
    UpdateTrouble,
    mends,
    numbers,
)
from agent.errors import DoorwardError, FormatError, UpdateError
from agent.platform import files
from agent.updater.fetchers import BoundedFetcher, FolderFetcher, require_room
from agent.updater.fetching import trouble_of
from agent.updater.machine import Machine
from agent.updater.release_client import ReleaseClient, require_clock
from agent.wire import strictjson

__all__ = ["ROOM_TO_INSTALL", "ReleaseStore"]

ROOM_TO_INSTALL = 5
"""Bytes of disk for each byte of a package: its content, and the version's environment."""
_ROOM_FACTOR = ROOM_TO_INSTALL + 2
"""The same with two copies of the package."""


class ReleaseStore:
    """`root`: the bytes of the first trusted root.json."""

    def __init__(self, folder: Path, root: bytes, machine: Machine) -> None:
        self.folder = folder
        self._root = root
        self._machine = machine
        self._trusted = folder / "trusted"
        self._repository = folder / "repository"
        self._targets = self._repository / "targets"

    @property
    def state(self) -> UpdateState:
        """Returns what was written last. A damaged file counts as none: the next news and owners make it again."""
        empty = UpdateState(v=1, running=self._machine.running)
        data = files.read_if_there(self.folder / "state.json", MAX_STATE_BYTES)
        try:
            state = empty if data is None else strictjson.decode(data, UpdateState, limit_bytes=MAX_STATE_BYTES)
        except FormatError:
            return empty
        if state.running != self._machine.running:
            # Another version runs now, so the offer must be judged again.
            state = UpdateState(
                v=1,
                running=self._machine.running,
                outcome=state.outcome,
                floor=state.floor,
                withdrawn=state.withdrawn,
                owners=state.owners,
            )
            return self._settled(state)
        return state

    def settle(self) -> None:
        """Writes which version runs and how the newest installation ended, if a power cut kept root from it.

        Call it only while no installation and no way back is at work.
        """
        if files.read_if_there(self.folder / "state.json", MAX_STATE_BYTES) is None:
            return
        state = self.state
        settled = self._settled(state)
        reversal = None if state.outcome is None else state.outcome.reversal
        # A way back is recorded before it begins. After a power cut, the next boot may have come back to the version
        # that was to be left.
        if reversal is not None and state.outcome != settled.outcome:
            refused = RefusedReversal(reason=ReversalRefusal.FAILED, statement=reversal)
            settled = msgspec.structs.replace(settled, refused=refused)
        if state.change is None or settled != state:
            self._put(settled)

    def admit(self, source: BoundedFetcher, reading: ClockReading, *, by_hand: bool = False) -> Offer | None:
        """Verifies what `source` has, copies it, and writes the state. Returns the offer, or None.

        Raises the error that ended it, after its reason is in the state. An offer from before stays then.
        """
        before = self.state
        try:
            offer, floor = self._verify_and_copy(source, reading, by_hand=by_hand)
        except DoorwardError as error:
            self._write(before, before.offer, trouble_of(error), before.checked_ms)
            raise
        # It never sinks: a repository that forgets a vulnerability does not mend it.
        floor = max((each for each in (before.floor, floor) if each is not None), key=numbers, default=None)
        before = msgspec.structs.replace(before, floor=floor)
        if offer is not None and mends(offer.version, before.running, floor):
            offer = msgspec.structs.replace(offer, security=True)
        self._write(before, offer, None, reading.utc_ns // NS_PER_MS)
        return offer

    def report(self, trouble: UpdateTrouble) -> None:
        """Writes why the updater found nothing out."""
        before = self.state
        self._write(before, before.offer, trouble, before.checked_ms)

    def package(self, offer: Offer, reading: ClockReading, *, by_hand: bool = False) -> Path:
        """Returns the file to install, verified now, with all signatures and their ends. Raises `UpdateError`."""
        require_clock(reading, by_hand=by_hand)
        # Its only source is what this store believed before, and no other user can write there.
        client = ReleaseClient(FolderFetcher(self._repository, self.folder), self._trusted, self._root)
        client.refresh()
        found = client.newest(self._machine.running, self._machine.architecture, self._machine.debian)
        # `admit` also knows vulnerabilities that the releases of today no longer name.
        if found is None or msgspec.structs.replace(found[1], security=offer.security) != offer:
            raise UpdateError("Another version is on offer now.", remedy="Look again:  doorward update")
        file = self._targets / client.file_name(found[0])
        if not client.has(found[0], file):
            raise UpdateError("The stored package is damaged.", remedy="Fetch it again:  sudo doorward update check")
        return file

    def record(
        self,
        version: str,
        result: UpdateResult,
        wish: str,
        reading: ClockReading,
        *,
        withdrawn: tuple[str, ...] | None = None,
        reversal: str | None = None,
    ) -> None:
        """Writes how an installation ended, and draws the id that an owner's next way back must name.

        `withdrawn`: the list from before it began, for a result that says nothing of the version. `reversal`: SHA-256
        of the owner's statement that leads to a way back.
        """
        outcome = UpdateOutcome(
            version=version, result=result, at_ms=reading.utc_ns // NS_PER_MS, wish=wish, reversal=reversal
        )
        before = self.state
        offer = None if result is UpdateResult.INSTALLED else before.offer
        running = version if result is UpdateResult.INSTALLED else before.running
        if withdrawn is None:
            withdrawn = before.withdrawn
        if result is UpdateResult.INSTALLED:
            withdrawn = _without(withdrawn, version)
        elif result is not UpdateResult.REFUSED:
            withdrawn = _with(withdrawn, version)
        self._put(
            UpdateState(
                v=1,
                running=running,
                checked_ms=before.checked_ms,
                offer=offer,
                outcome=outcome,
                floor=before.floor,
                withdrawn=withdrawn,
                owners=before.owners,
            )
        )

    def know_owners(self, newest: str) -> None:
        """Writes which list of owners root believes, so that they are told if it is not theirs."""
        before = self.state
        if before.owners != newest:
            self._put(msgspec.structs.replace(before, owners=newest))

    def refuse(self, statement: bytes, reason: ReversalRefusal) -> None:
        """Writes why a way back was not carried out. The first reason stays if it is shown again."""
        before, sha256 = self.state, hashlib.sha256(statement).hexdigest()
        if before.refused is None or before.refused.statement != sha256:
            refused = RefusedReversal(reason=reason, statement=sha256)
            self._put(msgspec.structs.replace(before, refused=refused))

    def restore(self, before: UpdateState) -> None:
        """Writes the outcome of `before` again, because what was recorded after it did not happen."""
        now = self.state
        trouble = now.trouble or before.trouble
        self._put(msgspec.structs.replace(now, outcome=before.outcome, trouble=trouble, withdrawn=before.withdrawn))

    def undo(self, before: UpdateState) -> None:
        """Writes `before` again, because what was recorded after it has not begun. A wish that waits still counts."""
        self._put(before)

    def _verify_and_copy(
        self, source: BoundedFetcher, reading: ClockReading, *, by_hand: bool
    ) -> tuple[Offer | None, str | None]:
        """Returns the offer, and the lowest version without a known vulnerability."""
        require_clock(reading, by_hand=by_hand)
        for folder in (self._trusted, self._repository, self._targets):
            files.make_folder(folder)
        client = ReleaseClient(source, self._trusted, self._root)
        client.refresh()
        found = client.newest(self._machine.running, self._machine.architecture, self._machine.debian)
        wanted = None if found is None else client.file_name(found[0])
        # Before the download, which needs the room of the old package.
        for path in self._targets.iterdir():
            if path.name != wanted:
                path.unlink()
        client.write_metadata(self._repository / "metadata")
        floor = client.security_floor(self._machine.architecture)
        if found is None or wanted is None:
            return None, floor
        if not client.has(found[0], self._targets / wanted):
            require_room(self.folder, _ROOM_FACTOR * found[1].length)
            client.download(found[0], self._targets / wanted)
        return found[1], floor

    def _settled(self, state: UpdateState) -> UpdateState:
        """Returns `state` as the running version shows that its newest installation ended."""
        running, outcome, withdrawn = self._machine.running, state.outcome, state.withdrawn
        # An installation that a power cut interrupted after the switch has succeeded if its version runs. A version
        # that was taken back and runs came back: the one before it failed its trial.
        if outcome is not None and outcome.version == running:
            outcome = msgspec.structs.replace(outcome, result=UpdateResult.INSTALLED, reversal=None)
        elif (
            outcome is not None
            and outcome.result is UpdateResult.INSTALLED
            and numbers(outcome.version) > numbers(running)
        ):
            # A newer version that was recorded as installed was left: by a person with root, or because it failed its
            # trial.
            withdrawn = _with(withdrawn, outcome.version)
        return msgspec.structs.replace(state, outcome=outcome, withdrawn=_without(withdrawn, running))

    def _write(
        self, before: UpdateState, offer: Offer | None, trouble: UpdateTrouble | None, checked_ms: int | None
    ) -> None:
        self._put(
            msgspec.structs.replace(
                before, running=self._machine.running, checked_ms=checked_ms, trouble=trouble, offer=offer
            )
        )

    def _put(self, state: UpdateState) -> None:
        if state.change is None:
            # Random, so that an owner's way back fits only the state that its owner has seen.
            state = msgspec.structs.replace(state, change=secrets.token_hex(16))
        files.write(self.folder / "state.json", strictjson.encode(state))


def _with(versions: tuple[str, ...], version: str) -> tuple[str, ...]:
    """Returns the versions with this one at the end, without the oldest ones if there are too many."""
    return (*_without(versions, version), version)[-MOST_WITHDRAWN:]


def _without(versions: tuple[str, ...], version: str) -> tuple[str, ...]:
    return tuple(each for each in versions if each != version)
