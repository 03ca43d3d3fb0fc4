"""Begins every session with a device: checks that it is the known device and that it has only gone forwards.

- Its key identifies the device. `enrolment` handles the first session. Any other key at the socket is refused.
- Its owners come from the newest known enrolment, or from a later one. Each later enrolment is signed by an owner of
  the one before.
- Its ledger is the known one, or that one grown (RFC 6962 consistency), under a checkpoint that the device signed.

New facts are stored at once. If anything went backwards, `OpenError` names the old and the new state.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from msgspec.structs import replace

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.known_devices import KnownDevice
from agent.core.ledger.checkpoint import Checkpoint, check_progress, open_checkpoint
from agent.errors import ConfigurationError, FormatError, NetworkError, OpenError, RequestError, StorageError
from agent.ipc.control_operations import GetCheckpoint, GetDevice, GetEnrolment, GetNonce, ListEnrolments
from agent.ipc.rpc import Request
from agent.wire import strictjson
from agent.wire.envelope import HybridKey
from agent.wire.identities import MldsaPublicKey, PublicKey, parse_public_key
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Enrolment, open_enrolment, read_statement

__all__ = [
    "DeviceChannel",
    "SyncedDevice",
    "ask_checkpoint",
    "ask_device",
    "ask_device_keys",
    "ask_enrolment",
    "ask_enrolments",
    "ask_nonce",
    "require_enrolled",
    "sync",
    "sync_after",
]

AnswerT = TypeVar("AnswerT")

_EVIDENCE = (
    "Stop here. Share nothing, and keep this machine's known_devices.json as evidence.  The device was replaced, set "
    "back or tampered with.  If you restored it yourself from a backup, make it a new "
    "device (doorward init) and enrol that."
)


@runtime_checkable
class DeviceChannel(Protocol):
    """The interface of `DeviceLink`, which tests imitate. mypy knows the answer of each request."""

    def ask(self, request: Request[AnswerT], *, body: bytes = b"") -> AnswerT: ...

    def fetch(self, request: Request[AnswerT], *, body: bytes = b"") -> tuple[AnswerT, bytes]: ...


@dataclass(frozen=True, slots=True)
class SyncedDevice:
    """A device that is what it was, or that grown.  `grown` counts ledger entries new to this machine."""

    known: KnownDevice
    ledger_grown: int

    @property
    def key(self) -> PublicKey:
        return self.known.device_key


def sync(link: DeviceChannel, keys: OwnerKeys) -> SyncedDevice:
    """Compares the device at the other end with its last known state and returns it.

    Raises `ConfigurationError` for an unknown device, `OpenError` if it went backwards.
    """
    device = ask_device_keys(link)
    key = device.ed25519
    known = keys.memory.device(key.id)
    if known is None:
        raise ConfigurationError(
            f"This machine has never met the device {key.id}.",
            remedy="If it is yours: doorward owner enrol.  If you expected another, this is not the device you know.",
        )
    # Owners first: they vouch for the second key, with which the head of the ledger must be signed.
    enrolments = _check_enrolment_chain(link, known)
    require_enrolled(device, known.enrolled)
    ledger, note = ask_checkpoint(link, known.ledger, device)
    grown = replace(known, enrolments=enrolments, checkpoint=note)
    # Only if it has grown: a disk that takes no write must not matter for a mere look.
    if (ledger.size, enrolments) != (known.ledger.size, known.enrolments):
        # A full disk keeps no owner from a no or a revocation. The next look compares with the state before.
        with suppress(StorageError):
            keys.memory.remember(grown, known)
    return SyncedDevice(grown, ledger.size - known.ledger.size)


def sync_after(link: DeviceChannel, keys: OwnerKeys) -> None:
    """Remembers what a statement has changed that the device has just taken.

    The statement counts. A connection that is lost now must not look to its owner as if it did not. The next `sync`
    catches up. Raises `OpenError` if the device went backwards.
    """
    with suppress(NetworkError):
        sync(link, keys)


def ask_device(link: DeviceChannel) -> PublicKey:
    """Returns the key that the device claims. Its signatures prove the claim."""
    return parse_public_key(link.ask(GetDevice()).device)


def ask_device_keys(link: DeviceChannel) -> HybridKey:
    """Returns both keys that the device claims. `require_enrolled` compares the second one with what owners signed."""
    answer = link.ask(GetDevice())
    return HybridKey(parse_public_key(answer.device), MldsaPublicKey.parse(answer.device_mldsa))


def require_enrolled(device: HybridKey, enrolment: Enrolment) -> None:
    """Raises `OpenError` unless the list of owners names the second key of `device`."""
    if device.mldsa.sha256 != enrolment.device_mldsa:
        raise OpenError(
            f"The device {device.id} shows another ML-DSA-44 key than the one that its owners signed.",
            remedy=_EVIDENCE,
        )


def ask_enrolment(link: DeviceChannel) -> str | None:
    """Returns the envelope of the newest enrolment in force; None before the first."""
    return link.ask(GetEnrolment()).envelope


def ask_enrolments(link: DeviceChannel, after: int = 0) -> tuple[str, ...]:
    """Returns the unverified envelopes of every enrolment after epoch `after`."""
    _, lines = link.fetch(ListEnrolments(after))
    try:
        return tuple(lines.decode("ascii").split("\n")) if lines else ()
    except UnicodeDecodeError as error:
        raise FormatError("The device's list of enrolments is not a text.") from error


def ask_nonce(link: DeviceChannel) -> str:
    """Returns the nonce for the next statement, which must follow soon."""
    return link.ask(GetNonce()).nonce


def ask_checkpoint(link: DeviceChannel, old: Checkpoint | None, device: HybridKey) -> tuple[Checkpoint, str]:
    """The device's newest checkpoint, which continues `old`, and the note it stands in."""
    old_size = old.size if old else 0
    try:
        answer = link.ask(GetCheckpoint(old_size))
    except RequestError:
        # A shorter ledger has no consistency proof. Ask for its head alone, to report how much is missing.
        answer = link.ask(GetCheckpoint(0))
    new = open_checkpoint(answer.checkpoint.encode(), device)
    if old is not None:
        check_progress(old, new, _hashes(answer.proof))
    return new, answer.checkpoint


def _check_enrolment_chain(link: DeviceChannel, known: KnownDevice) -> tuple[str, ...]:
    """The envelopes of every enrolment up to the one in force: those remembered, and those that follow them."""
    before = known.enrolled
    shown = ask_enrolment(link)
    if shown is None:
        raise OpenError(
            f"The device {before.device_key.id} shows no owner, but it had owners in epoch {before.epoch}.",
            remedy=_EVIDENCE,
        )
    if _payload(shown.encode()) == known.enrolment_payload:
        return known.enrolments
    new = ask_enrolments(link, after=before.epoch)
    claimed = strictjson.decode(_payload(shown.encode()), Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
    # Both answers must end in one list. Otherwise the device shows different owners to different questions.
    if not new or new[-1] != shown:
        raise _chain_broken(before, claimed)
    previous = known.enrolment_payload
    for each in new:
        try:
            # Each list is signed by an owner of the one before, so a device alone can add no owner.
            open_enrolment(each.encode(), previous)
        except FormatError as error:
            raise _chain_broken(before, claimed) from error
        previous = _payload(each.encode())
    return (*known.enrolments, *new)


def _chain_broken(before: Enrolment, claimed: Enrolment) -> OpenError:
    return OpenError(
        f"The device {before.device_key.id} shows owners of epoch {claimed.epoch} that do not follow from epoch "
        f"{before.epoch}, which this machine remembers.",
        remedy=_EVIDENCE,
    )


def _payload(data: bytes) -> bytes:
    return read_statement(data).payload


def _hashes(proof: Sequence[str]) -> list[bytes]:
    try:
        return [bytes.fromhex(step) for step in proof]
    except ValueError as error:
        raise FormatError("The device's consistency proof for its ledger is malformed.") from error
