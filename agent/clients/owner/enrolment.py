"""Enrols owners at a device, after a proof that they can open the footage it will seal.

The device seals a test to every new recipient, including the recovery identity. This machine opens the tests with the
identity in the owner's folder and with the recovery identity from its page. Only then does the list take effect. A
mistyped, lost or unprinted key shows at enrolment instead of in an emergency.

The first enrolment takes place beside the device and trusts its key on first use. Later sessions require the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from agent.clients.opening import open_bytes
from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import AgeIdentity, IdentityKind, OwnerCard, OwnerKeys
from agent.clients.owner.known_devices import KnownDevice
from agent.clients.owner.recovery_kit import RECOVERY_NAME, kit_approval, kit_name
from agent.clients.owner.sync import (
    DeviceChannel,
    ask_checkpoint,
    ask_device,
    ask_device_keys,
    ask_enrolment,
    ask_enrolments,
    ask_nonce,
    require_enrolled,
    sync,
)
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.ipc.control_operations import ConfirmEnrolment, GetDevice, GetEnrolmentTest, ProposeEnrolment
from agent.wire import strictjson
from agent.wire.identities import PublicKey, public_key_of
from agent.wire.statements import (
    STATEMENT_LIMIT_BYTES,
    Enrolment,
    NamedKey,
    NamedRecipient,
    open_chain,
    read_statement,
    sign_statement,
)

__all__ = ["EnrolmentResult", "enrol", "owners_to_replace", "recover", "replace_kit"]

_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """The state after an enrolment. `waiting` names the owners who must still open their test. Until then the old list
    is in force."""

    device: PublicKey
    epoch: int
    opened: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    approvals: int = 1
    """The number of owners who must approve before footage is shared."""
    recovery: str = ""
    """The recovery recipient in force; empty while the list waits."""


def enrol(
    link: DeviceChannel,
    keys: OwnerKeys,
    *,
    add: Sequence[OwnerCard] = (),
    remove: Sequence[str] = (),
    recovery_kit: Path | None = None,
    kit_decides: bool | None = None,
    approvals: Literal[1, 2] | None = None,
    clock: Clock = wall_ms,
) -> EnrolmentResult:
    """Enrols this owner, or changes the list of owners: `add` others by their cards, `remove` by name.

    `approvals`: the number of owners who must approve; None keeps the present number (1 at first). `kit_decides`:
    whether the recovery kit may replace lost keys; None keeps the present rule (no at first). An owner that another
    owner added opens their test by calling this function on their machine.

    Raises `ConfigurationError` for keys that do not fit together, `OpenError` if a test fails to open.
    """
    device = ask_device(link)
    if keys.memory.device(device.id) is not None:
        sync(link, keys)
    shown = ask_enrolment(link)
    before = None if shown is None else _first_seen(shown.encode(), device)
    # Not an owner yet, so no list of this machine could be signed: it can only answer another owner's invitation.
    if before is not None and keys.card.approver not in {approver.key for approver in before.approvers}:
        return _answer_invitation(link, keys, device, before, recovery_kit)
    wanted = _wanted(
        keys.card,
        before,
        shown,
        device,
        before.device_mldsa if before else ask_device_keys(link).mldsa.sha256,
        add=add,
        remove=remove,
        approvals=approvals,
        nonce=ask_nonce(link),
        now_ms=clock(),
    )
    # Check this before signing: an enrolment requires the recovery page.
    recovery = _recovery(keys, recovery_kit, wanted, before)
    if kit_decides is not None:
        kit = _kit_of(keys, recovery_kit, wanted.recovery) if kit_decides else None
        wanted = replace(wanted, approvers=_with_kit(wanted.approvers, kit))
    if before is not None and _same_owners(before, wanted):
        _remember(link, keys, device)
        return EnrolmentResult(device, before.epoch, (), approvals=before.approvals_needed, recovery=before.recovery)
    _require_one_kind(wanted)
    tests = _propose(link, keys.approval, wanted)
    # A device that seals to other keys than those it was given sends no test for these.
    if before is None and {keys.name, RECOVERY_NAME} - tests.keys():
        raise OpenError(
            "The device does not prove that it seals footage to your keys.", remedy="Do not use this device."
        )
    return _open_tests(link, keys, device, tests, recovery, proposed=wanted)


def replace_kit(
    link: DeviceChannel, keys: OwnerKeys, *, kit_decides: bool | None = None, clock: Clock = wall_ms
) -> EnrolmentResult:
    """Replaces the recovery kit. The new page is in the owner's folder before the new kit takes effect.

    Later footage is sealed to the new kit instead of the old one. The new kit can decide if `kit_decides`; None keeps
    the rule of the old kit. Raises the same errors as `enrol`.
    """
    met = sync(link, keys)
    before = met.known.enrolled
    if keys.new_kit_is(before.recovery):
        # An earlier run lost the device's answer, but its kit is in force. Another kit would overwrite its page.
        keys.adopt_kit()
        return EnrolmentResult(met.key, before.epoch, (), approvals=before.approvals_needed, recovery=before.recovery)
    identity = keys.make_kit()
    if kit_decides is None:
        kit_decides = RECOVERY_NAME in {each.name for each in before.approvers}
    wanted = replace(
        before,
        owner_time_ms=clock(),
        nonce=ask_nonce(link),
        epoch=before.epoch + 1,
        approvers=_with_kit(before.approvers, identity if kit_decides else None),
        recovery=str(identity.recipient()),
        previous=hashlib.sha256(met.known.enrolment_payload).hexdigest(),
    )
    tests = _propose(link, keys.approval, wanted)
    done = _open_tests(link, keys, met.key, tests, identity, proposed=wanted)
    keys.adopt_kit()
    return done


def owners_to_replace(link: DeviceChannel, kit: AgeIdentity) -> tuple[str, ...]:
    """The owners in force, if this kit can put new keys in place of theirs.

    Raises `ConfigurationError` when the kit is another one, or only opens.
    """
    return tuple(each.name for each in _recoverable(link, ask_device(link), kit)[1].recipients)


def recover(
    link: DeviceChannel, keys: OwnerKeys, kit: AgeIdentity, *, replaces: Sequence[str] = (), clock: Clock = wall_ms
) -> EnrolmentResult:
    """Put `keys`, made with `OwnerKeys.create(kit=...)`, in place of the lost keys of the owners named `replaces`.

    The recovery kit signs the next list of owners, so the device must list the kit as an approver.  Raises as
    `owners_to_replace` and `enrol` do.
    """
    device = ask_device(link)
    if keys.memory.device(device.id) is not None:
        sync(link, keys)
    shown, before = _recoverable(link, device, kit)
    if keys.card.approver in {each.key for each in before.approvers}:
        # An earlier run lost the device's answer, but its list took effect.
        now = _remember(link, keys, device)
        return EnrolmentResult(device, now.epoch, (), approvals=now.approvals_needed, recovery=now.recovery)
    owners = tuple(each for each in before.recipients if each.name not in replaces)
    wanted = _wanted(
        keys.card,
        before,
        shown,
        device,
        before.device_mldsa,
        add=(),
        remove=replaces,
        # With no other owner left, a list that wants two approvals could never share anything again.
        approvals=2 if before.approvals_needed == 2 and owners else 1,
        nonce=ask_nonce(link),
        now_ms=clock(),
    )
    _require_one_kind(wanted)
    tests = _propose(link, kit_approval(kit), wanted)
    return _open_tests(link, keys, device, tests, None, proposed=wanted)


def _recoverable(link: DeviceChannel, device: PublicKey, kit: AgeIdentity) -> tuple[str, Enrolment]:
    """The list in force, verified from the first one on, if this kit may sign the next."""
    enrolments = ask_enrolments(link)
    if not enrolments:
        raise ConfigurationError("This device has no owner yet.", remedy="Enrol it: doorward owner enrol.")
    before = open_chain([each.encode() for each in enrolments], device.text)
    _require_kit(kit, before.recovery)
    if public_key_of(kit_approval(kit)).text not in {each.key for each in before.approvers}:
        raise ConfigurationError(
            "This recovery kit opens footage, but the device does not let it replace keys.",
            remedy="Open the footage with it: doorward owner open --vault COPY --identity KIT --out FOLDER.  "
            "Another owner can add your new keys: doorward owner enrol --add.",
        )
    return enrolments[-1], before


def _propose(link: DeviceChannel, approval: Ed25519PrivateKey, wanted: Enrolment) -> dict[str, str]:
    """Signs and submits the next list of owners. Returns the device's tests for the new recipients."""
    signed = sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(wanted), approval)
    return {test.name: test.recipient for test in link.ask(ProposeEnrolment(signed.decode("ascii"))).tests}


def _answer_invitation(
    link: DeviceChannel, keys: OwnerKeys, device: PublicKey, before: Enrolment, kit: Path | None
) -> EnrolmentResult:
    """Open the test of an enrolment that another owner proposed. The recovery kit stays the one in force."""
    if not link.ask(GetDevice()).pending:
        raise ConfigurationError(
            f"The device {device.id} has owners already, and you are not one of them.",
            remedy=f"Give one of them your {OwnerCard.FILE}. They run: doorward owner enrol --add {OwnerCard.FILE}",
        )
    if kit is not None:
        _kit_of(keys, kit, before.recovery)
    return _open_tests(link, keys, device, {keys.name: keys.card.recipient}, None)


def _open_tests(
    link: DeviceChannel,
    keys: OwnerKeys,
    device: PublicKey,
    tests: dict[str, str],
    recovery: AgeIdentity | None,
    proposed: Enrolment | None = None,
) -> EnrolmentResult:
    """Open every test that can be opened here, hand in what was inside, remember what is in force afterwards."""
    identities = [identity for identity in (keys.identity, recovery) if identity is not None]
    # By recipient, not by name: the device names its tests, and could give another owner's test this owner's name.
    ours = {str(identity.recipient()): identity for identity in identities}
    tokens = {
        name: _token(link.fetch(GetEnrolmentTest(name))[1], ours[recipient], name)
        for name, recipient in sorted(tests.items())
        if recipient in ours
    }
    answer = link.ask(ConfirmEnrolment(tokens))
    if answer.waiting:
        return EnrolmentResult(device, answer.epoch, tuple(tokens), answer.waiting)
    now = _remember(link, keys, device, proposed)
    return EnrolmentResult(device, now.epoch, tuple(tokens), approvals=now.approvals_needed, recovery=now.recovery)


def _token(sealed: bytes, identity: AgeIdentity, name: str) -> str:
    try:
        token = open_bytes(sealed, [identity])
    except FormatError as error:
        raise OpenError(
            f"The device's test for '{name}' does not open with your key. Nothing was enrolled.",
            remedy="Check that the key belongs to this folder, and enrol again.",
        ) from error
    if len(token) != _TOKEN_BYTES:
        # Without this check the device could make this machine open any sealed file and return its content.
        raise OpenError(f"The device's test for '{name}' is not a test.", remedy="Do not use this device.")
    return token.hex()


def _wanted(
    card: OwnerCard,
    before: Enrolment | None,
    shown: str | None,
    device: PublicKey,
    device_mldsa: str,
    *,
    add: Sequence[OwnerCard],
    remove: Sequence[str],
    approvals: Literal[1, 2] | None,
    nonce: str,
    now_ms: int,
) -> Enrolment:
    """Returns the enrolment to propose: the earlier owners and the added ones, with this owner, without the removed
    ones."""
    recipients = {item.name: item.recipient for item in before.recipients} if before else {}
    approvers = {item.name: item for item in before.approvers} if before else {}
    # New keys may take the place of lost ones under the same name.
    if card.name in remove and recipients.get(card.name, card.recipient) == card.recipient:
        raise ConfigurationError("You cannot remove yourself.", remedy="Another owner can.")
    for name in remove:
        if name not in recipients:
            raise ConfigurationError(
                f"No owner of this device is called '{name}'.", remedy="List them: doorward owner status"
            )
        del recipients[name]
        approvers.pop(name, None)
    for each in (card, *add):
        if recipients.get(each.name, each.recipient) != each.recipient:
            raise ConfigurationError(
                f"Another owner of this device is called '{each.name}'.",
                remedy="Remove that one in the same step (--remove), or make keys with another name.",
            )
        recipients[each.name] = each.recipient
        approvers[each.name] = NamedKey(name=each.name, key=each.approver, mldsa=each.approver_mldsa)
    needed = approvals or (before.approvals_needed if before else 1)
    # Count recipients: a recovery kit that may decide is an approver, but it is not a second owner.
    if needed > len(recipients):
        raise ConfigurationError(
            "Two approvals need two owners, but there is only one.",
            remedy="Add the other owner in the same step (--add), or use --approvals 1.",
        )
    try:
        return Enrolment(
            v=1,
            device=device.text,
            owner_time_ms=now_ms,
            nonce=nonce,
            epoch=before.epoch + 1 if before else 1,
            recipients=tuple(NamedRecipient(name=name, recipient=text) for name, text in recipients.items()),
            approvers=tuple(approvers.values()),
            recovery=before.recovery if before else card.recovery,
            device_mldsa=device_mldsa,
            previous=None if shown is None else hashlib.sha256(_payload(shown.encode())).hexdigest(),
            approvals_needed=needed,
        )
    except FormatError as error:
        raise ConfigurationError(
            error.message, remedy="Give each owner a different name and different keys."
        ) from error


def _same_owners(before: Enrolment, wanted: Enrolment) -> bool:
    return (before.recipients, before.approvers, before.recovery, before.approvals_needed) == (
        wanted.recipients,
        wanted.approvers,
        wanted.recovery,
        wanted.approvals_needed,
    )


def _require_one_kind(wanted: Enrolment) -> None:
    texts = [*(item.recipient for item in wanted.recipients), wanted.recovery]
    if len({IdentityKind.of(parse_recipient(text)) for text in texts}) > 1:
        raise ConfigurationError(
            "These owners' keys are of two kinds. Footage sealed to both is only as safe as the weaker kind.",
            remedy="Make all keys of one kind: doorward owner keygen, all with --x25519 or all without.",
        )


def _recovery(keys: OwnerKeys, kit: Path | None, wanted: Enrolment, before: Enrolment | None) -> AgeIdentity | None:
    """The recovery identity when it is new to the device, and therefore tested."""
    known = before is not None and before.recovery == wanted.recovery
    if known and kit is None:
        return None
    identity = _kit_of(keys, kit, wanted.recovery)
    return None if known else identity


def _kit_of(keys: OwnerKeys, kit: Path | None, wanted: str) -> AgeIdentity:
    identity = keys.recovery(kit)
    _require_kit(identity, wanted)
    return identity


def _require_kit(identity: AgeIdentity, wanted: str) -> None:
    # A household may have several printed pages. An old one opens only what was recorded while it was in force.
    if str(identity.recipient()) != wanted:
        raise ConfigurationError(
            f"This recovery kit is {kit_name(str(identity.recipient()))}; the one of this device is "
            f"{kit_name(wanted)}.",
            remedy="Use the page with that name. To make another kit: doorward owner replace-kit.",
        )


def _with_kit(approvers: Sequence[NamedKey], kit: AgeIdentity | None) -> tuple[NamedKey, ...]:
    """Returns the approvers, with the kit as one of them if it may decide."""
    owners = tuple(each for each in approvers if each.name != RECOVERY_NAME)
    if kit is None:
        return owners
    return (*owners, NamedKey.of(RECOVERY_NAME, kit_approval(kit)))


def _first_seen(data: bytes, device: PublicKey) -> Enrolment:
    """Reads the enrolment that a device shows, signed by one of its approvers. `sync` checks the chain of
    enrolments."""
    enrolment = strictjson.decode(_payload(data), Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
    if enrolment.device != device.text:
        raise OpenError("The device shows the owners of another device.", remedy="Do not use this device.")
    return enrolment


def _remember(link: DeviceChannel, keys: OwnerKeys, device: PublicKey, proposed: Enrolment | None = None) -> Enrolment:
    """Stores the enrolment in force. For a known device this goes through `sync`, which only allows steps forwards."""
    shown = ask_enrolment(link)
    if shown is None:
        raise OpenError(
            "The device does not show the enrolment that it just accepted.", remedy="Do not use this device."
        )
    enrolment = _first_seen(shown.encode(), device)
    # If the device shows other owners than the signed ones, it has inserted an owner.
    if (proposed is not None and enrolment != proposed) or keys.card.recipient not in {
        item.recipient for item in enrolment.recipients
    }:
        raise OpenError("The device shows other owners than the ones just enrolled.", remedy="Do not use this device.")
    if keys.memory.device(device.id) is not None:
        sync(link, keys)
        return enrolment
    enrolments = ask_enrolments(link)
    open_chain([each.encode() for each in enrolments], device.text)
    if enrolments[-1] != shown:
        raise OpenError("The device shows two lists of its owners.", remedy="Do not use this device.")
    both = ask_device_keys(link)
    require_enrolled(both, enrolment)
    _, note = ask_checkpoint(link, None, both)
    keys.memory.remember(KnownDevice(key=device.text, mldsa=both.mldsa.text, enrolments=enrolments, checkpoint=note))
    return enrolment


def _payload(data: bytes) -> bytes:
    return read_statement(data).payload
