"""After sharing, an owner's list of what left is what owners signed, and a device that lies about it is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.owner.decisions import ShareChoice, approve, co_approve
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.outgoing_tips import send_tip
from agent.clients.owner.review import RequestReview
from agent.clients.owner.shared_footage import SharedFootage, UnlistedReason, disclosure_of, shared_of
from agent.clients.owner.sync import sync
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle
from agent.core.consent import Event
from agent.core.ledger.entries import EntryKind
from agent.core.vault.manifest import ChainHead as ManifestTip
from agent.core.vault.manifest import sign_record
from agent.errors import FormatError, OpenError
from agent.ipc.control_operations import GetApproval
from agent.wire.disclosures import PartKind
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import read_statement, sign_statement
from tests.clients.owner.conftest import NOW_MS, REPLY, WINDOW_MS, Home, now, signed_bundle, signed_request
from tests.wire import samples


def choose(home: Home, **chosen: Any) -> str | None:
    """Approve the request; the disclosure."""
    seen = RequestReview.fetch(home.device, home.keys, home.request, clock=now)
    choice = ShareChoice(**{"segments": home.segments[:1], "posters": (seen.clips[1],), **chosen})
    return approve(home.device, home.keys, seen, choice, clock=now)


def left(home: Home, disclosure: str | None = None, keys: OwnerKeys | None = None) -> SharedFootage:
    """The list of shared footage that this owner reads."""
    entries = read_ledger(home.device, keys or home.keys).entries
    found = disclosure or disclosure_of(entries, home.request)
    assert found is not None
    mine = keys or home.keys
    return shared_of(home.device, sync(home.device, mine), entries, found, mine.identity)


def test_an_owner_reads_exactly_what_was_approved_with_the_times_of_its_records(home: Home) -> None:
    choose(home, sound=True)
    found = left(home)
    assert [(each.kind, each.id, each.start_ms, each.stored) for each in found.items or ()] == [
        (PartKind.SEGMENT, home.segments[0], WINDOW_MS, True),
        (PartKind.SOUND, home.segments[0], WINDOW_MS, True),
        (PartKind.POSTER, home.segments[2], WINDOW_MS + 60_000, True),
    ]
    assert (found.by, found.co_approver, found.begun_ms) == ("anna", None, None)


def test_the_promises_that_an_owner_approved_are_those_of_the_request_that_the_approval_names(home: Home) -> None:
    choose(home)
    kept = home.device.requests[home.request]
    found = left(home).asked
    assert found == kept.request
    # A device that shows another request now cannot change what was promised. The list itself stays readable.
    kept.envelope = signed_request(retention_days=3650)
    assert left(home).asked is None
    assert left(home).items
    home.device.lies["request"] = lambda answer, body: ({**answer, "sealed": ""}, body)
    assert left(home).asked is None


def test_the_ledger_says_when_its_first_byte_left(home: Home) -> None:
    disclosure = choose(home)
    home.device.now_ms += 5000
    home.device._advance(home.device.requests[home.request], Event.FIRST_BYTE, disclosure=disclosure)
    assert left(home).begun_ms == NOW_MS + 5000


def test_what_is_stored_no_more_is_still_listed_by_its_time(home: Home) -> None:
    choose(home)
    del home.device.stored[home.segments[0]]
    first, last = left(home).items or ()
    assert (first.start_ms, first.stored) == (WINDOW_MS, False)
    assert last.stored


def test_of_a_tip_an_owner_reads_the_same(home: Home) -> None:
    entry = samples.requester(tips=str(REPLY.recipient()))
    offer_bundle(home.device, home.keys, signed_bundle(version=9, requesters=(entry,)))
    sent = send_tip(home.device, home.keys, entry.id, "A van.", posters=home.segments[:1], clock=now)
    found = left(home, sent)
    assert [(each.kind, each.id) for each in found.items or ()] == [(PartKind.POSTER, home.segments[0])]
    words = send_tip(home.device, home.keys, entry.id, "A van.", clock=now)
    assert left(home, words).items == ()
    home.device.yes[sent] = home.device.yes[words]
    with pytest.raises(OpenError, match="another approval"):
        left(home, sent)


def show(home: Home, disclosure: str | None = None, **changed: Any) -> None:
    """The device shows something else: `approval`, `second` or `records`."""
    found = str(disclosure or home.device.requests[home.request].disclosure)
    kept: dict[str, Any] = dict(zip(("approval", "second", "records"), home.device.yes[found], strict=True))
    kept |= changed
    home.device.yes[found] = kept["approval"], kept["second"], kept["records"]


def test_a_device_that_leaves_something_out_is_noticed(home: Home) -> None:
    disclosure = str(choose(home))
    data = home.device.yes[disclosure][0]
    signed = read_statement(data)
    less = json.dumps({**json.loads(signed.payload), "posters": []}).encode()
    show(home, approval=sign_statement(signed.payload_type, less, home.device.private))
    with pytest.raises(OpenError, match="No owner signed"):
        left(home)


def test_a_device_that_shows_another_yes_of_the_same_owner_is_noticed(home: Home) -> None:
    """The owner did sign it, for another request: the ledger names another one."""
    other = home.device.ask_for(signed_request(id="f" * 32, seq=8), home.segments)
    first = choose(home)
    seen = RequestReview.fetch(home.device, home.keys, other, clock=now)
    another = approve(home.device, home.keys, seen, home.segments[2:], clock=now)
    assert first is not None and another is not None  # noqa: PT018
    home.device.yes[first] = home.device.yes[another]
    with pytest.raises(OpenError, match="another approval than the one that the ledger names"):
        left(home, first)
    assert left(home, another).items


def test_a_device_that_shows_nothing_of_the_newest_yes_is_noticed(home: Home) -> None:
    choose(home)
    home.device.yes.clear()
    with pytest.raises(OpenError, match="does not show the newest approval"):
        left(home)


def test_of_an_older_yes_a_device_may_say_that_it_keeps_it_no_more(home: Home) -> None:
    other = home.device.ask_for(signed_request(id="f" * 32, seq=8), home.segments)
    first = choose(home)
    seen = RequestReview.fetch(home.device, home.keys, other, clock=now)
    approve(home.device, home.keys, seen, home.segments[2:], clock=now)
    del home.device.yes[str(first)]
    found = left(home, first)
    assert (found.items, found.unlisted) == (None, UnlistedReason.KEPT_NO_MORE)


def test_an_owner_who_came_later_is_told_that_it_was_sealed_to_others(
    home: Home, make_owner: Callable[[str], OwnerKeys]
) -> None:
    disclosure = choose(home)
    sealed = home.device.fetch(GetApproval(disclosure))
    carla = make_owner("carla")
    enrol(home.device, home.keys, add=[carla.card], clock=now)
    enrol(home.device, carla, clock=now)
    home.device.lies["shared"] = lambda answer, body: sealed
    found = left(home, disclosure, carla)
    assert (found.items, found.unlisted) == (None, UnlistedReason.NOT_SEALED_TO_YOU)
    assert left(home, disclosure).items


def test_what_opens_and_is_no_approval_is_refused(home: Home) -> None:
    choose(home)
    broken = home.device._seal(b"", None)[0]
    home.device.lies["shared"] = lambda answer, body: (answer, broken)
    with pytest.raises(FormatError, match="no kept approval"):
        left(home)


def test_a_device_that_names_what_no_owner_approved_is_noticed(home: Home) -> None:
    with pytest.raises(OpenError, match="no approval of this disclosure"):
        left(home, "ab" * 16)


def test_a_request_is_found_by_its_hash_where_another_requester_used_its_id_before(home: Home) -> None:
    disclosure = choose(home)
    asked = home.device.requests[home.request]
    entries = read_ledger(home.device, home.keys).entries
    theirs = next(each for each in entries if each.kind is EntryKind.RECEIVED)
    foreign = msgspec.structs.replace(theirs, requester="harbour-fire", subject="ab" * 32)
    both = (*entries[:1], foreign, *entries[1:])
    assert disclosure_of(both, asked.payload_sha256) == disclosure
    assert disclosure_of(both, "ab" * 32) is None
    assert disclosure_of(both, "ff" * 16) is None
    assert shared_of(home.device, sync(home.device, home.keys), both, str(disclosure), home.keys.identity).items


def test_a_device_without_the_record_of_an_item_is_noticed(home: Home) -> None:
    choose(home)
    show(home, records=home.device.yes[str(home.device.requests[home.request].disclosure)][2][:1])
    with pytest.raises(OpenError, match="no record of the"):
        left(home)


def test_a_device_that_dates_what_left_by_a_record_of_something_else_is_noticed(home: Home) -> None:
    choose(home, posters=())
    other = home.device.stored[home.segments[1]].signed.record
    forged = msgspec.structs.replace(other, id=home.segments[0])
    line = sign_record(forged, ManifestTip(), home.device.private.sign).line
    show(home, records=(line,))
    with pytest.raises(OpenError, match="does not match the approval"):
        left(home)


def test_a_record_that_the_device_did_not_sign_is_no_record(home: Home) -> None:
    choose(home, posters=())
    stored = home.device.stored[home.segments[0]].signed.record
    line = sign_record(stored, ManifestTip(), private_key_from_seed(b"x" * 32).sign).line
    show(home, records=(line,))
    with pytest.raises(OpenError):
        left(home)


# -- two owners --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bob(home: Home, make_owner: Callable[[str], OwnerKeys]) -> OwnerKeys:
    """From now on it takes Anna and Bob."""
    keys = make_owner("bob")
    enrol(home.device, home.keys, add=[keys.card], approvals=2, clock=now)
    enrol(home.device, keys, clock=now)
    add_trust_root(home.device, keys, samples.ROOT_KEY.text, clock=now)
    return keys


def both(home: Home, bob: OwnerKeys) -> str:
    assert choose(home) is None
    return co_approve(home.device, bob, RequestReview.fetch(home.device, bob, home.request, clock=now), clock=now)


def test_both_owners_read_who_said_yes(home: Home, bob: OwnerKeys) -> None:
    both(home, bob)
    for keys in (home.keys, bob):
        found = left(home, keys=keys)
        assert (found.by, found.co_approver) == ("anna", "bob")


def test_a_device_that_hides_the_second_owners_yes_is_noticed(home: Home, bob: OwnerKeys) -> None:
    both(home, bob)
    show(home, second=None)
    with pytest.raises(OpenError, match="does not show the second owner's approval"):
        left(home)


def test_a_second_yes_to_something_else_is_noticed(home: Home, bob: OwnerKeys) -> None:
    other = home.device.ask_for(signed_request(id="f" * 32, seq=8), home.segments)
    first = both(home, bob)
    seen = RequestReview.fetch(home.device, home.keys, other, clock=now)
    approve(home.device, home.keys, seen, home.segments[2:], clock=now)
    another = co_approve(home.device, bob, RequestReview.fetch(home.device, bob, other, clock=now), clock=now)
    show(home, first, second=home.device.yes[another][1])
    with pytest.raises(OpenError, match="second owner's approval that the device shows is for something else"):
        left(home, first)


def test_what_an_owner_approved_who_has_left_since_bears_their_name(home: Home, bob: OwnerKeys) -> None:
    both(home, bob)
    enrol(home.device, home.keys, remove=["bob"], approvals=1, clock=now)
    assert left(home).co_approver == "bob"


def test_a_key_that_was_never_an_owners_has_no_name(home: Home) -> None:
    with pytest.raises(KeyError):
        sync(home.device, home.keys).known.name_ever("00" * 16)


def test_a_device_that_shows_another_tip_of_the_same_owner_is_noticed(home: Home) -> None:
    """Its ledger names that tip, under the id of one that was never sent."""
    entry = samples.requester(tips=str(REPLY.recipient()))
    offer_bundle(home.device, home.keys, signed_bundle(version=9, requesters=(entry,)))
    sent = send_tip(home.device, home.keys, entry.id, "A van.", posters=home.segments[:1], clock=now)
    data = home.device.yes[sent][0]
    subject = hashlib.sha256(read_statement(data).payload).hexdigest()
    made_up = "ab" * 16
    named = {"request": made_up, "requester": entry.id, "disclosure": made_up}
    home.device.write(EntryKind.TIP, subject=subject, segments=0, **named)
    home.device.yes[made_up] = home.device.yes[sent]
    with pytest.raises(OpenError, match="tip that the device shows is another one"):
        left(home, made_up)


@pytest.mark.parametrize("tip", [False, True], ids=["an approval", "a tip"])
def test_what_the_owner_said_yes_to_at_another_door_is_not_this_doors(home: Home, tip: bool) -> None:
    """The same statement, with everything in the ledger as it should be, but signed for another device."""
    if tip:
        entry = samples.requester(tips=str(REPLY.recipient()))
        offer_bundle(home.device, home.keys, signed_bundle(version=9, requesters=(entry,)))
        yes = send_tip(home.device, home.keys, entry.id, "A van.", posters=home.segments[:1], clock=now)
    else:
        yes = str(choose(home))
    data, second_yes, lines = home.device.yes[yes]
    signed = read_statement(data)
    said = json.loads(signed.payload) | {"device": samples.ROOT_KEY.ed25519.text}
    payload = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
    moved = sign_statement(signed.payload_type, payload, home.keys.approval)
    home.device.yes[yes] = moved, second_yes, lines
    subject = hashlib.sha256(payload).hexdigest()
    entries = [
        msgspec.structs.replace(each, subject=subject) if each.disclosure == yes and each.subject else each
        for each in read_ledger(home.device, home.keys).entries
    ]
    with pytest.raises(OpenError, match="another one" if tip else "something else"):
        shared_of(home.device, sync(home.device, home.keys), entries, yes, home.keys.identity)


def test_a_request_that_the_device_calls_by_its_hash_is_found_by_it(home: Home) -> None:
    """It asks by the id first, under which the device has no request, or another requester's."""
    disclosure = choose(home)
    asked = home.device.requests.pop(home.request)
    home.device.requests[asked.payload_sha256] = asked
    assert left(home, disclosure).asked == asked.request
    home.device.requests[home.request] = replace(asked, envelope=signed_request(retention_days=3650))
    assert left(home, disclosure).asked == asked.request


@pytest.mark.parametrize("reason", [None, "anna"])
def test_a_list_that_cannot_be_read_still_says_who_approved_and_since_when_it_leaves(
    home: Home, reason: str | None
) -> None:
    disclosure = str(choose(home))
    home.device.now_ms += 5000
    home.device._advance(home.device.requests[home.request], Event.FIRST_BYTE, disclosure=disclosure)
    met = sync(home.device, home.keys)
    entries = [
        msgspec.structs.replace(each, reason=reason) if each.kind is EntryKind.APPROVED else each
        for each in read_ledger(home.device, home.keys).entries
    ]
    stranger = HybridIdentity(b"s" * 32)
    found = shared_of(home.device, met, entries, disclosure, stranger)
    unread = SharedFootage(disclosure, reason or "", None, None, NOW_MS + 5000, UnlistedReason.NOT_SEALED_TO_YOU)
    assert found == unread
    home.device.yes.clear()
    later = next(each for each in entries if each.kind is EntryKind.APPROVED)
    entries.append(msgspec.structs.replace(later, disclosure="ab" * 16))
    found = shared_of(home.device, met, entries, disclosure, home.keys.identity)
    assert found == replace(unread, unlisted=UnlistedReason.KEPT_NO_MORE)
