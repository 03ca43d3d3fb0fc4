"""The trust roots that the owners of a device chose, for a client that was not there: a recovered or a second owner's.

The device's word is too little. It hands out the owners' signed changes, and this machine verifies each of them:

- It is a statement for this device, in the device's ledger. The changes shown are the last ones of the ledger, without
  a gap.
- A key signed it that the list of owners had at that place of the ledger. The lists are verified from the first one on.

A device that withholds older changes can only hide roots. The owner then adds those by their keys.

A forger of Ed25519 can have the id of a root, with another second key. If owners chose both pairs, one of them is
false. Such a root is disputed: it is shown and not taken over, and the others are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.sync import DeviceChannel, sync
from agent.core.ledger.entries import EntryKind, LedgerEntry
from agent.errors import DoorwardError, OpenError
from agent.ipc.control_operations import ListTrustChanges
from agent.wire import strictjson
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Enrolment, TrustChange, open_statement
from agent.wire.trust_keys import TrustKey, parse_trust_key

__all__ = ["ChosenRoot", "HouseholdRoots", "household_roots", "roots_to_take_over", "take_over_roots"]


@dataclass(frozen=True, slots=True)
class ChosenRoot:
    """A root, the owner who chose it last, and when: the time is that owner's."""

    key: TrustKey
    by: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class HouseholdRoots:
    """Roots that the owners chose and that this machine does not know yet."""

    new: tuple[ChosenRoot, ...] = ()
    disputed: tuple[ChosenRoot, ...] = ()
    """Another pair with the same id was chosen, by this owner or in the household."""


def household_roots(link: DeviceChannel, keys: OwnerKeys) -> HouseholdRoots:
    """Returns the roots that the owners chose and that this machine does not know yet.

    Raises `OpenError` if a change was not signed by an owner of that time, or is not the ledger's.
    """
    entries = read_ledger(link, keys).entries
    known = sync(link, keys).known
    _, lines = link.fetch(ListTrustChanges())
    shown = lines.split(b"\n") if lines else []
    recorded = list(_recorded(entries, known.enrolments_by_sha256))
    # The last changes of the ledger, without a gap: the device drops only the oldest (`MOST_CHANGES_KEPT`).
    if len(shown) > len(recorded):
        raise _unsigned()
    chosen: dict[str, ChosenRoot] = {}
    for data, (subject, owners) in zip(shown, recorded[len(recorded) - len(shown) :], strict=True):
        change, by = _opened(data, subject, owners)
        for text in change.roots_removed:
            chosen.pop(text, None)
        for text in change.roots_added:
            chosen[text] = ChosenRoot(parse_trust_key(text), by, change.owner_time_ms)
    return roots_to_take_over(tuple(chosen.values()), tuple(known.trust.roots.values()))


def roots_to_take_over(chosen: Sequence[ChosenRoot], known: Sequence[TrustKey]) -> HouseholdRoots:
    """Returns those of the roots `chosen` in the household that are not `known`, and which of them are disputed."""
    pairs = {*known, *(each.key for each in chosen)}
    ids = [key.id for key in pairs]
    unknown = tuple(each for each in chosen if each.key not in known)
    new = tuple(each for each in unknown if ids.count(each.key.id) == 1)
    return HouseholdRoots(new, tuple(each for each in unknown if each not in new))


def take_over_roots(link: DeviceChannel, keys: OwnerKeys, roots: Sequence[ChosenRoot]) -> None:
    """Remembers `roots` as this owner's choice too. The device trusts them already, so nothing is signed."""
    known = sync(link, keys).known
    store = known.trust
    for each in roots:
        store = store.with_root(each.key)
    keys.memory.remember(known.with_trust(store), known)


def _recorded(entries: Sequence[LedgerEntry], lists: dict[str, Enrolment]) -> Iterator[tuple[str | None, Enrolment]]:
    """Yields the hash of each change of the roots, and the list of owners at its place in the ledger."""
    owners: Enrolment | None = None
    for each in entries:
        if each.kind is EntryKind.RECIPIENTS_CHANGED:
            # The list of that moment: an owner who was removed may have chosen a root while they were one.
            owners = lists.get(each.subject or "")
            if owners is None:
                raise _unsigned()
        # A trust bundle has a version. A statement of an owner has none.
        elif each.kind is EntryKind.TRUST_CHANGED and each.version is None:
            if owners is None:
                raise _unsigned()
            yield each.subject, owners


def _opened(data: bytes, subject: str | None, owners: Enrolment) -> tuple[TrustChange, str]:
    """Returns the change and the name of the owner who signed it."""
    try:
        opened = open_statement(data, TrustChange.PAYLOAD_TYPE, owners.signers)
        change = strictjson.decode(opened.payload, TrustChange, limit_bytes=STATEMENT_LIMIT_BYTES)
    except DoorwardError as error:
        raise _unsigned() from error
    if change.device != owners.device or hashlib.sha256(opened.payload).hexdigest() != subject:
        raise _unsigned()
    return change, owners.name_of(opened.key_id)


def _unsigned() -> OpenError:
    return OpenError(
        "The device shows a change of its trust roots that no owner of that time signed, or that its ledger lacks.",
        remedy="Take no root from it. Ask the other owners for the keys of their roots, and treat the device as "
        "tampered with.",
    )
