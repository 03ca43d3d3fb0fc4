"""Makes a device an owner's, and ends only when it is proven that the owner can open what the device will seal.

The device seals a test to every recipient that is new, the recovery identity included.  This machine opens them with
the identity in the owner's folder and with the recovery identity from its page; only then does the list take effect.
A key that was mistyped, lost or never printed shows itself here and not in the week it is needed.

The device is taken on trust once, at the first enrolment, which happens beside it; from then on it is known by its key.
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
    ask_enrolment,
    ask_enrolments,
    ask_nonce,
    field,
    sync,
)
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.identities import PublicKey, public_key_of
from agent.wire.statements import (
    STATEMENT_ENVELOPE_LIMIT_BYTES,
    STATEMENT_LIMIT_BYTES,
    Enrolment,
    NamedKey,
    NamedRecipient,
    open_chain,
)

__all__ = ["EnrolmentResult", "enrol", "owners_to_replace", "recover", "replace_kit"]

_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """How it stands.  `waiting` names those whose test only they can open: until then the list before is in force."""

    device: PublicKey
    epoch: int
    opened: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    approvals: int = 1
    """How many owners it takes to share something."""
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
    """Enrol this owner, or change who the owners are: `add` others by their cards, `remove` by name.

    `approvals`: how many owners it takes to share something; None leaves it as it is, which is one at first.
    `kit_decides`: whether the recovery kit may put new keys in place of lost ones; None leaves it, at first it may not.
    An owner whom another has added answers their own test by calling this on their own machine.
    Raises `ConfigurationError` for keys that do not go together, `OpenError` when a test does not open.
    """
    device = ask_device(link)
    if keys.memory.device(device.id) is not None:
        sync(link, keys)
    shown = ask_enrolment(link)
    before = None if shown is None else _first_seen(shown.encode(), device)
    if before is not None and keys.card.approver not in {approver.key for approver in before.approvers}:
        return _answer_invitation(link, keys, device, recovery_kit)
    wanted = _wanted(
        keys.card,
        before,
        shown,
        device,
        add=add,
        remove=remove,
        approvals=approvals,
        nonce=ask_nonce(link),
        now_ms=clock(),
    )
    # Before anything is signed: without the recovery page in hand there is nothing to enrol.
    recovery = _recovery(keys, recovery_kit, wanted, before)
    if kit_decides is not None:
        kit = _kit_of(keys, recovery_kit, wanted.recovery) if kit_decides else None
        wanted = replace(wanted, approvers=_with_kit(wanted.approvers, kit))
    if before is not None and _same_owners(before, wanted):
        _remember(link, keys, device)
        return EnrolmentResult(device, before.epoch, (), approvals=before.approvals_needed, recovery=before.recovery)
    _require_one_kind(wanted)
    tests = _propose(link, keys.approval, wanted)
    if before is None and {keys.name, RECOVERY_NAME} - tests.keys():
        raise OpenError("The device does not prove that it seals to your keys.", remedy="Do not use this device.")
    return _open_tests(link, keys, device, tests, recovery, proposed=wanted)


def replace_kit(
    link: DeviceChannel, keys: OwnerKeys, *, kit_decides: bool | None = None, clock: Clock = wall_ms
) -> EnrolmentResult:
    """Put another recovery kit in place of the one in force: its page is in the owner's folder before it counts.

    What is recorded from then on is sealed to the new kit, and not to the old one.  The new kit can decide if
    `kit_decides`; if that is None, it can when the old one could.  Raises as `enrol` does.
    """
    met = sync(link, keys)
    before = met.known.enrolled
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
        # The answer to an earlier run was lost; its list is in force.
        now = _remember(link, keys, device)
        return EnrolmentResult(device, now.epoch, (), approvals=now.approvals_needed, recovery=now.recovery)
    owners = tuple(each for each in before.recipients if each.name not in replaces)
    wanted = _wanted(
        keys.card,
        before,
        shown,
        device,
        add=(),
        remove=replaces,
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
            "This recovery kit opens footage, but it cannot put new keys in place: the device does not list it so.",
            remedy="Open the footage with it: doorward owner open --vault COPY --identity KIT --out FOLDER.  "
            "Another owner can add your new keys: doorward owner enrol --add.",
        )
    return enrolments[-1], before


def _propose(link: DeviceChannel, approval: Ed25519PrivateKey, wanted: Enrolment) -> dict[str, str]:
    """Sign the next list of owners and hand it in; the device's tests of what is new in it."""
    signed = envelope.sign(Enrolment.PAYLOAD_TYPE, strictjson.encode(wanted), approval)
    return _named_tests(link.ask("enrol", envelope=signed.decode("ascii")).get("tests"))


def _answer_invitation(link: DeviceChannel, keys: OwnerKeys, device: PublicKey, kit: Path | None) -> EnrolmentResult:
    """Open the test of an enrolment that another owner proposed."""
    if link.ask("device").get("pending") is not True:
        raise ConfigurationError(
            f"The device {device.id} has owners already, and you are not one of them.",
            remedy=f"Ask one of them: doorward owner enrol --add {OwnerCard.FILE} (give them yours).",
        )
    recovery = keys.recovery(kit) if kit else None
    return _open_tests(link, keys, device, {keys.name: keys.card.recipient}, recovery)


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
    ours = {str(identity.recipient()): identity for identity in identities}
    tokens = {
        name: _token(link.fetch("enrol_test", name=name)[1], ours[recipient], name)
        for name, recipient in sorted(tests.items())
        if recipient in ours
    }
    answer = link.ask("enrol_confirm", tokens=tokens)
    waiting = answer.get("waiting")
    if isinstance(waiting, list) and waiting:
        return EnrolmentResult(device, field(answer, "epoch", int), tuple(tokens), tuple(map(str, waiting)))
    now = _remember(link, keys, device, proposed)
    return EnrolmentResult(device, now.epoch, tuple(tokens), approvals=now.approvals_needed, recovery=now.recovery)


def _token(sealed: bytes, identity: AgeIdentity, name: str) -> str:
    try:
        token = open_bytes(sealed, [identity])
    except FormatError as error:
        raise OpenError(
            f"The device's test for '{name}' does not open with the key you have; nothing was enrolled.",
            remedy="Check that the key is the one this folder names, and enrol again.",
        ) from error
    if len(token) != _TOKEN_BYTES:
        # Anything else would make this machine open, and hand back, whatever the device wants opened.
        raise OpenError(f"The device's test for '{name}' is not a test.", remedy="Do not use this device.")
    return token.hex()


def _wanted(
    card: OwnerCard,
    before: Enrolment | None,
    shown: str | None,
    device: PublicKey,
    *,
    add: Sequence[OwnerCard],
    remove: Sequence[str],
    approvals: Literal[1, 2] | None,
    nonce: str,
    now_ms: int,
) -> Enrolment:
    """The enrolment to propose: the owners of before, without those removed, with this one and those added."""
    recipients = {item.name: item.recipient for item in before.recipients} if before else {}
    approvers = {item.name: item.key for item in before.approvers} if before else {}
    # New keys may take the place of lost ones under the same name.
    if card.name in remove and recipients.get(card.name, card.recipient) == card.recipient:
        raise ConfigurationError("You cannot remove yourself.", remedy="Another owner can.")
    for name in remove:
        if name not in recipients:
            raise ConfigurationError(
                f"No owner of this device is called '{name}'.", remedy="Who they are: doorward owner status"
            )
        del recipients[name]
        approvers.pop(name, None)
    for each in (card, *add):
        if recipients.get(each.name, each.recipient) != each.recipient:
            raise ConfigurationError(
                f"Another owner of this device is called '{each.name}'.",
                remedy="Remove that one in the same step (--remove), or make keys with another name.",
            )
        recipients[each.name], approvers[each.name] = each.recipient, each.approver
    needed = approvals or (before.approvals_needed if before else 1)
    # Recipients are counted: a recovery kit that may decide is an approver, and no second owner.
    if needed > len(recipients):
        raise ConfigurationError(
            "It cannot take two owners to share: there is only one.",
            remedy="Add the other in the same step (--add), or say --approvals 1.",
        )
    try:
        return Enrolment(
            v=1,
            device=device.text,
            owner_time_ms=now_ms,
            nonce=nonce,
            epoch=before.epoch + 1 if before else 1,
            recipients=tuple(NamedRecipient(name=name, recipient=text) for name, text in recipients.items()),
            approvers=tuple(NamedKey(name=name, key=text) for name, text in approvers.items()),
            recovery=before.recovery if before else card.recovery,
            previous=None if shown is None else hashlib.sha256(_payload(shown.encode())).hexdigest(),
            approvals_needed=needed,
        )
    except FormatError as error:
        raise ConfigurationError(error.message, remedy="Each owner has a name and keys of their own.") from error


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
            "These owners' keys are of two kinds; footage sealed to both would be as weak as the weaker.",
            remedy="Make them all alike: doorward owner keygen, all with --x25519 or all without.",
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
    if str(identity.recipient()) != wanted:
        raise ConfigurationError(
            f"This recovery kit is {kit_name(str(identity.recipient()))}; the one of this device is "
            f"{kit_name(wanted)}.",
            remedy="Take the page that says so.  To have another kit: doorward owner replace-kit.",
        )


def _with_kit(approvers: Sequence[NamedKey], kit: AgeIdentity | None) -> tuple[NamedKey, ...]:
    """The approvers, and the kit as one of them or not at all."""
    owners = tuple(each for each in approvers if each.name != RECOVERY_NAME)
    if kit is None:
        return owners
    return (*owners, NamedKey(name=RECOVERY_NAME, key=public_key_of(kit_approval(kit)).text))


def _first_seen(data: bytes, device: PublicKey) -> Enrolment:
    """The enrolment a device shows, signed by one of its own approvers.  Whether it follows is `meet`'s question."""
    enrolment = strictjson.decode(_payload(data), Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
    if enrolment.device != device.text:
        raise OpenError("The device shows the owners of another device.", remedy="Do not use this device.")
    return enrolment


def _remember(link: DeviceChannel, keys: OwnerKeys, device: PublicKey, proposed: Enrolment | None = None) -> Enrolment:
    """Note what is now in force; for a known device through `meet`, which lets it go forwards only."""
    shown = ask_enrolment(link)
    if shown is None:
        raise OpenError("The device does not show the enrolment it just took.", remedy="Do not use this device.")
    enrolment = _first_seen(shown.encode(), device)
    # A device that shows other owners than were just signed would have slipped in one of its own.
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
    _, note = ask_checkpoint(link, None, device)
    keys.memory.remember(KnownDevice(key=device.text, enrolments=enrolments, checkpoint=note))
    return enrolment


def _named_tests(tests: object) -> dict[str, str]:
    """Recipient by test name."""
    if not isinstance(tests, list):
        return {}
    return {str(test.get("name")): str(test.get("recipient")) for test in tests if isinstance(test, dict)}


def _payload(data: bytes) -> bytes:
    return envelope.read_unverified(data, limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES).payload
