"""The promises about consent hold in every state the real code can reach, and fail if any one guard is removed.

`make prove-consent` explores one request whole, in parts that run side by side: without the clock's jumps with every
power cut, with them without cuts, and with them and every cut without two actions. A run without it explores the first
few hundred states of everything together, breadth first, with one in twelve of the power cuts in them.

`DOORWARD_EXPLORE=all` explores two requests with everything that can happen to them, which takes hours.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from agent.core import admission, clock_trust, consent
from agent.core.clock_trust import ClockTrust
from agent.core.consent import Event, RequestState
from agent.core.disclosure import ReleasedItem, release
from agent.core.ledger.entries import EntryKind
from agent.core.requests import StoredRequest
from agent.custodian import approvals, inbox, journal_sqlite, release_records, releases
from agent.custodian.approvals import Approvals
from agent.custodian.clock_trust import TrustedClock
from agent.custodian.inbox import Inbox
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.ledger_writer import Ledger, Transactions
from agent.custodian.release_records import ReleaseRecords
from agent.custodian.releases import Releases, Requests
from agent.custodian.statement_handler import Statements
from agent.wire import strictjson
from agent.wire.control import decode_statement
from agent.wire.disclosures import PartKind
from agent.wire.identities import PublicKey
from agent.wire.statements import Enrolment, read_statement
from tests.custodians import FakeOutbox
from tests.lengths import one_in
from tests.properties import consent_model
from tests.properties.amounts import WHOLE, amount
from tests.properties.consent_model import CLOCK_ACTIONS, DELETE, Broken, Exploration, World, remembering

EVERY = 10**9
"""More states than there are."""
CUTS_ONE_IN = amount(12, 1)
OF_ONE_OWNER = set(RequestState) - {RequestState.RECEIVED, RequestState.PARTIALLY_APPROVED}
BETWEEN_TWO = {
    *(f"{act} {number}" for number in (0, 1) for act in ("request", "approve", "deny", "revoke", "send", "receipt")),
    *("restart", "another's withdrawal!", "another's receipt!", "forged approval!", "approval outside the match!"),
}

WITH_DELETION = {DELETE, "restart", *(f"{act} 0" for act in ("request", "approve", "send", "receipt"))}


@contextmanager
def explored(
    count: int, owners: int = 1, *, windows: bool = False, deletes: bool = False, **how: Any
) -> Iterator[Exploration]:
    with remembering():
        world = World(count, owners, windows=windows, deletes=deletes)
        try:
            yield Exploration(world, **how)
        finally:
            world.door.close()


@pytest.mark.timeout(7200)
def test_one_request_with_everything_that_can_happen_to_it_and_a_power_cut_at_every_commit() -> None:
    """At length without the clock's jumps: the next two tests have them. 3 136 states."""
    with explored(1, but=CLOCK_ACTIONS if WHOLE else (), one_in=CUTS_ONE_IN) as exploration:
        done = exploration.run(amount(200, EVERY))
    print(done)
    assert done.whole == WHOLE
    assert done.reached == OF_ONE_OWNER
    assert done.states >= amount(200, 3000)
    assert done.cuts > amount(300, 20_000)


@pytest.mark.at_length("make prove-consent")
@pytest.mark.timeout(7200)
def test_one_request_with_everything_that_can_happen_to_it_and_every_jump_of_the_clock() -> None:
    """13 876 states. Without power cuts, but with restarts and new boots."""
    with explored(1, cuts=False) as exploration:
        done = exploration.run()
    print(done)
    assert done.whole
    assert done.reached == OF_ONE_OWNER
    assert done.states > 10_000


@pytest.mark.at_length("make prove-consent")
@pytest.mark.timeout(7200)
def test_one_request_and_every_jump_of_the_clock_with_a_power_cut_at_every_commit() -> None:
    """Without two actions that know nothing of a clock, and would multiply the states: the first test has them."""
    with explored(1, but={"over the limit", "evict"}) as exploration:
        done = exploration.run()
    print(done)
    assert done.whole
    # A request matches nothing only after an eviction.
    assert done.reached == OF_ONE_OWNER - {RequestState.NO_MATCH}
    assert done.cuts > 20_000


@pytest.mark.timeout(600)
def test_one_request_and_questions_about_the_same_time_after_it_was_asked_in_vain() -> None:
    """A separate test: the number of the second request would double the states of the test above.

    The first states only, without the clock's jumps and power cuts: those are the other tests'.
    """
    with explored(1, windows=True, cuts=False, but=CLOCK_ACTIONS) as exploration:
        done = exploration.run(amount(60, 400))
    assert done.reached >= set(consent_model.IN_VAIN) - {RequestState.PARTIALLY_APPROVED}


def test_one_request_and_an_owner_who_deletes_the_film_of_its_answer_at_any_moment() -> None:
    """All of it, with every power cut, and only with what an answer goes through."""
    with explored(1, deletes=True, only=WITH_DELETION) as exploration:
        done = exploration.run()
    print(done)
    assert done.whole
    assert done.reached >= {RequestState.REVOKED, RequestState.STOPPED, RequestState.SENT}


@pytest.mark.timeout(7200)
def test_two_owners_who_must_both_approve_and_everything_they_can_do_about_one_request() -> None:
    # The clock's jumps are tried with one owner and walked with two: with both, this would take four times as long.
    with explored(1, owners=2, but=CLOCK_ACTIONS, one_in=CUTS_ONE_IN) as exploration:
        done = exploration.run(amount(300, EVERY))
    print(done)
    assert done.whole == WHOLE
    assert done.reached == set(RequestState) - {RequestState.RECEIVED}
    assert done.states >= amount(300, 3000)
    assert done.cuts > amount(150, 15_000)


@pytest.mark.at_length("make prove-consent")
def test_two_requests_in_every_order() -> None:
    with explored(2, cuts=False, only=BETWEEN_TWO) as exploration:
        done = exploration.run()
    assert done.whole
    assert done.states > 200


@pytest.mark.at_length("DOORWARD_EXPLORE=all, hours")
@pytest.mark.timeout(0)
def test_two_requests_with_everything_that_can_happen_to_them() -> None:
    with explored(2) as exploration:
        assert exploration.run().whole


# -- without one guard -------------------------------------------------------------------------------------------------

Mutation = Callable[[pytest.MonkeyPatch], None]


def a_denied_request_can_still_be_approved(patch: pytest.MonkeyPatch) -> None:
    more = {
        **consent.TRANSITIONS,
        (RequestState.DENIED, Event.APPROVED): consent.TRANSITIONS[RequestState.PENDING, Event.APPROVED],
    }
    patch.setattr(consent, "TRANSITIONS", MappingProxyType(more))


def signatures_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PublicKey, "verifies", lambda *_: True)


def replays_are_let_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqliteJournal, "has_request", lambda *_: False)
    patch.setattr(admission, "is_replay", lambda *_: False)


def limits_are_not_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(admission, "check_quickly", lambda *_, **__: None)
    patch.setattr(admission, "check_ground", lambda *_, **__: None)


def anybody_may_withdraw_and_acknowledge(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StoredRequest, "is_from", lambda *_: True)


def a_receipt_need_not_name_what_was_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Inbox, "_names_ours", lambda *_: True)


def an_approval_is_not_held_against_the_match(patch: pytest.MonkeyPatch) -> None:
    def unseen(approval: Any, headers: Any, _stored: Any, records: Any, _device: str) -> tuple[ReleasedItem, ...]:
        return tuple(
            ReleasedItem(
                PartKind.SEGMENT, item.id, headers[item.header_sha256], records[item.id].record.file, records[item.id]
            )
            for item in approval.segments
        )

    patch.setattr(approvals, "release", unseen)


def an_approval_is_not_held_against_the_stored_bytes(patch: pytest.MonkeyPatch) -> None:
    def lenient(approval: Any, headers: Any, stored: Any, records: Any, device: str) -> tuple[ReleasedItem, ...]:
        mended = tuple(
            msgspec.structs.replace(item, payload_sha256=records[item.id].record.file.sha256_payload)
            for item in approval.segments
            if item.id in records
        )
        return release(msgspec.structs.replace(approval, segments=mended), headers, stored, records, device)

    patch.setattr(approvals, "release", lenient)


def a_statement_may_act_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqliteJournal, "use_nonce", lambda *_: True)


def the_first_byte_is_not_put_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Releases, "begin_sending", lambda *_: True)


def nothing_is_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqliteJournal, "held_segments", lambda *_: frozenset())


def one_entry_is_not_written(patch: pytest.MonkeyPatch) -> None:
    write = Ledger.write

    def forgetful(ledger: Ledger, kind: EntryKind, **fields: Any) -> None:
        if kind is not EntryKind.DENIED:
            write(ledger, kind, **fields)

    patch.setattr(Ledger, "write", forgetful)


def ledger_and_state_are_two_transactions(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def apart(decisions: Transactions) -> Iterator[None]:
        yield
        acts, _ = decisions._settled()
        for act in acts:
            act()

    patch.setattr(Transactions, "one", apart)


def a_start_does_not_sweep(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeOutbox, "sweep", lambda outbox, _: outbox.making.clear())


def an_ended_request_stays_in_the_outbox(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqliteJournal, "remove_outbox", lambda *_: None)


def revoked_bytes_are_not_deleted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Releases, "_run_action", lambda *_: None)


def opting_out_does_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inbox, "opted_out", lambda *_: False)


def nothing_expires(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Requests, "on_time", lambda *_: None)


def trust_is_asked_for_once_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReleaseRecords, "still_trusted", lambda *_: True)


def a_jump_of_the_clock_is_believed_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClockTrust, "after", lambda _, boot, read: ClockTrust.of(boot, read))


def a_jump_of_the_clock_waits_a_day_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clock_trust, "LONGEST_WAIT_US", 86_400 * 10**6)


def a_jump_of_the_clock_is_never_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clock_trust, "LONGEST_WAIT_US", 10**20)


def an_owners_time_confirms_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClockTrust, "confirmed", lambda trust, *_: trust)


def any_statement_confirms_a_jump(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClockTrust, "confirmed", lambda _, boot, read, _ms: ClockTrust.of(boot, read))


def a_statement_that_nobody_signed_confirms_a_jump(patch: pytest.MonkeyPatch) -> None:
    take = Statements.accept

    def hasty(self: Statements, data: bytes, headers: tuple[bytes, ...] = ()) -> Any:
        said = strictjson.decode(read_statement(data).payload, dict)  # type: ignore[type-var]
        self._clock.confirm(said["owner_time_ms"])  # type: ignore[index]
        return take(self, data, headers)

    patch.setattr(Statements, "accept", hasty)


def a_restart_forgets_what_the_time_was(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TrustedClock, "_load", lambda _: None)


def requests_end_by_a_clock_that_nobody_vouches_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(releases, "trusted_seconds", lambda now: now.utc_ns // 10**9)


def a_clock_that_is_set_back_is_believed_at_once(patch: pytest.MonkeyPatch) -> None:
    after = ClockTrust.after

    def credulous(trust: ClockTrust, boot: str, read: Any) -> ClockTrust:
        found = after(trust, boot, read)
        return ClockTrust.of(boot, read) if found.ahead_us < 0 else found

    patch.setattr(ClockTrust, "after", credulous)


def an_owners_statement_confirms_a_clock_that_is_set_back(patch: pytest.MonkeyPatch) -> None:
    confirmed = ClockTrust.confirmed

    def lenient(trust: ClockTrust, boot: str, read: Any, owner_ms: int) -> ClockTrust:
        near = abs(owner_ms - read.utc_ns // 10**6) <= 600_000
        return ClockTrust.of(boot, read) if near else confirmed(trust, boot, read, owner_ms)

    patch.setattr(ClockTrust, "confirmed", lenient)


def a_clock_that_is_set_back_is_never_believed(patch: pytest.MonkeyPatch) -> None:
    wait_us = clock_trust.wait_us
    patch.setattr(clock_trust, "wait_us", lambda ahead_us: 10**20 if ahead_us < 0 else wait_us(ahead_us))


def a_boot_clock_is_taken_for_the_same_in_every_boot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClockTrust, "expected_us", lambda trust, _boot, at_us: trust.utc_us + max(0, at_us - trust.at_us))


def a_new_boot_believes_what_the_clock_says(patch: pytest.MonkeyPatch) -> None:
    after = ClockTrust.after
    patch.setattr(
        ClockTrust,
        "after",
        lambda trust, boot, read: after(trust, boot, read) if boot == trust.boot else ClockTrust.of(boot, read),
    )


def a_new_boot_begins_the_wait_again(patch: pytest.MonkeyPatch) -> None:
    after = ClockTrust.after

    def forgetful(trust: ClockTrust, boot: str, read: Any) -> ClockTrust:
        stood_us = trust.stood_us if boot == trust.boot else 0
        return after(msgspec.structs.replace(trust, stood_us=stood_us), boot, read)

    patch.setattr(ClockTrust, "after", forgetful)


MUTATIONS: tuple[Mutation, ...] = (
    a_denied_request_can_still_be_approved,
    signatures_are_not_checked,
    replays_are_let_in,
    limits_are_not_kept,
    anybody_may_withdraw_and_acknowledge,
    a_receipt_need_not_name_what_was_sent,
    an_approval_is_not_held_against_the_match,
    an_approval_is_not_held_against_the_stored_bytes,
    a_statement_may_act_again,
    nothing_is_held,
    the_first_byte_is_not_put_down,
    one_entry_is_not_written,
    ledger_and_state_are_two_transactions,
    a_start_does_not_sweep,
    an_ended_request_stays_in_the_outbox,
    revoked_bytes_are_not_deleted,
    opting_out_does_not_count,
    nothing_expires,
    trust_is_asked_for_once_only,
    a_jump_of_the_clock_is_believed_at_once,
    a_jump_of_the_clock_waits_a_day_only,
    a_jump_of_the_clock_is_never_believed,
    an_owners_time_confirms_nothing,
    any_statement_confirms_a_jump,
    a_statement_that_nobody_signed_confirms_a_jump,
    a_restart_forgets_what_the_time_was,
    requests_end_by_a_clock_that_nobody_vouches_for,
    a_clock_that_is_set_back_is_believed_at_once,
    an_owners_statement_confirms_a_clock_that_is_set_back,
    a_clock_that_is_set_back_is_never_believed,
    a_boot_clock_is_taken_for_the_same_in_every_boot,
    a_new_boot_believes_what_the_clock_says,
    a_new_boot_begins_the_wait_again,
)


@pytest.mark.parametrize("mutation", one_in(3, MUTATIONS), ids=lambda mutation: mutation.__name__)
def test_it_is_noticed_when(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    with explored(1) as exploration:
        mutation(monkeypatch)
        with pytest.raises(Broken) as caught:
            exploration.run(300)
        print(caught.value)


def the_same_time_can_be_asked_about_in_another_case(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqliteJournal, "requests_about", lambda *_: 0)


def what_an_opt_out_ended_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        journal_sqlite, "WITHOUT_ANSWER", tuple(set(journal_sqlite.WITHOUT_ANSWER) - {RequestState.OPTED_OUT})
    )


def what_was_denied_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal_sqlite, "WITHOUT_ANSWER", tuple(set(journal_sqlite.WITHOUT_ANSWER) - {RequestState.DENIED}))


def only_the_same_window_to_the_second_is_counted(patch: pytest.MonkeyPatch) -> None:
    about = SqliteJournal.requests_about

    def exactly(journal: SqliteJournal, whose: tuple[str, str], from_s: int, to_s: int) -> int:
        same = journal._rows("SELECT 1 FROM request WHERE from_s = ? AND to_s = ?", (from_s, to_s))
        return about(journal, whose, from_s, to_s) if same else 0

    patch.setattr(SqliteJournal, "requests_about", exactly)


@pytest.mark.parametrize(
    "mutation",
    [
        the_same_time_can_be_asked_about_in_another_case,
        what_an_opt_out_ended_is_not_counted,
        what_was_denied_is_not_counted,
        only_the_same_window_to_the_second_is_counted,
    ],
    ids=lambda mutation: mutation.__name__,
)
def test_of_questions_about_one_time_it_is_noticed_when(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    with explored(1, windows=True, but=CLOCK_ACTIONS) as exploration:
        mutation(monkeypatch)
        with pytest.raises(Broken, match="over the limit was let in"):
            exploration.run(300)


def test_it_is_noticed_when_an_answer_outlives_its_footage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Releases, "end_with_footage", lambda *_: None)
    with (
        explored(1, deletes=True, only=WITH_DELETION) as exploration,
        pytest.raises(Broken, match="footage that an owner has deleted"),
    ):
        exploration.run(300)


def an_owner_may_second_themselves(patch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    patch.setattr(Enrolment, "name_of", lambda *_: f"somebody-{next(numbers)}")


def a_seconding_need_not_name_what_waits(patch: pytest.MonkeyPatch) -> None:
    second = Approvals.co_approve

    def lenient(self: Approvals, co_approval: Any, said: Any, enrolment: Any) -> Any:
        kept = self._journal.get(release_records.first_approval_of(self._requests.named(co_approval.request).id))
        data, _ = decode_statement(kept) if kept else (said.data, ())
        payload = read_statement(data).payload
        other = msgspec.structs.replace(co_approval, approval=hashlib.sha256(payload).hexdigest())
        return second(self, other, said, enrolment)

    patch.setattr(Approvals, "co_approve", lenient)


def one_yes_is_enough(patch: pytest.MonkeyPatch) -> None:
    approve = Approvals.approve

    def hasty(self: Approvals, approval: Any, said: Any, headers: Any, enrolment: Any) -> Any:
        enrolment = msgspec.structs.replace(enrolment, approvals_needed=1)
        self._enrolments.current = enrolment
        return approve(self, approval, said, headers, enrolment)

    patch.setattr(Approvals, "approve", hasty)


def a_first_approval_stays(patch: pytest.MonkeyPatch) -> None:
    remove = SqliteJournal.remove

    def forgetful(self: SqliteJournal, name: str) -> None:
        if not name.startswith("first."):
            remove(self, name)

    patch.setattr(SqliteJournal, "remove", forgetful)


@pytest.mark.parametrize(
    "mutation",
    [
        an_owner_may_second_themselves,
        a_seconding_need_not_name_what_waits,
        one_yes_is_enough,
        a_first_approval_stays,
    ],
    ids=lambda mutation: mutation.__name__,
)
def test_between_two_owners_it_is_noticed_when(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    with explored(1, owners=2) as exploration:
        mutation(monkeypatch)
        with pytest.raises(Broken) as caught:
            exploration.run(300)
        print(caught.value)
