"""After a yes the doorbell keeps, for its owners, exactly what was approved: signed by them, bounded, durable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.clients.opening import open_bytes
from agent.core.consent import RequestState
from agent.custodian import approvals
from agent.errors import OpenError, RequestError
from agent.wire import strictjson
from agent.wire.control import Frame, decode_approval
from agent.wire.identities import private_key_from_seed
from agent.wire.strictjson import encode_base64 as b64
from tests import custodians
from tests.custodian.test_tips import tip, with_tips
from tests.custodian.test_two_owners import co_approval
from tests.custodians import APPROVER, Door, sha256_of, signed

BO = private_key_from_seed(b"b" * 32)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.custodian.control._trust.accept(signed(with_tips(), custodians.ROOT))
    yield made
    made.close()


def shared(door: Door, disclosure: str | None) -> tuple[bytes, bytes | None, tuple[bytes, ...]] | None:
    """Opens as an owner does: approval or tip, co-approval, records."""
    answer = door.custodian.control.answer(Frame({"op": "shared", "disclosure": disclosure}))
    if not answer.head["result"]["kept"]:
        assert answer.body == b""
        return None
    return decode_approval(open_bytes(answer.body, [custodians.OWNER_IDENTITY]))


def shared_first(door: Door) -> tuple[Any, str]:
    """An approval of the first segment, and what it is disclosed under."""
    asked = door.ask()
    approval, headers = custodians.approval(door, asked, door.segments[0])
    disclosure = door.obey(approval, headers).disclosure
    assert disclosure is not None
    return approval, disclosure


def test_the_owners_signed_yes_and_the_records_it_names_are_kept(door: Door) -> None:
    approval, disclosure = shared_first(door)
    record = door.vault.record(door.segments[0]).line
    assert shared(door, disclosure) == (signed(approval, APPROVER), None, (record,))


def test_it_is_still_kept_after_a_restart_and_after_the_footage_is_gone(door: Door) -> None:
    approval, disclosure = shared_first(door)
    line = door.vault.record(door.segments[0]).line
    door.vault.evict(door.segments[0])
    door.start()
    assert shared(door, disclosure) == (signed(approval, APPROVER), None, (line,))


def test_what_left_is_opened_by_owners_and_read_by_no_thief(door: Door) -> None:
    approval, disclosure = shared_first(door)
    sealed = door.journal.get(f"shared.{disclosure}")
    assert sealed is not None
    for told in (door.segments[0], approval.reply[-60:], b64(strictjson.encode(approval))[:60]):
        assert told.encode() not in sealed
    with pytest.raises(OpenError):
        open_bytes(sealed, [custodians.REPLY_IDENTITY])
    assert open_bytes(sealed, [custodians.RECOVERY_IDENTITY])


def test_of_a_tip_the_same_is_kept(door: Door) -> None:
    sent, headers = tip(door, door.segments[1])
    door.obey(sent, headers)
    record = door.vault.record(door.segments[1]).line
    assert shared(door, sent.tip) == (signed(sent, APPROVER), None, (record,))


def test_of_words_alone_no_record_is_kept(door: Door) -> None:
    sent, headers = tip(door)
    door.obey(sent, headers)
    assert shared(door, sent.tip) == (signed(sent, APPROVER), None, ())


def test_the_second_owners_yes_is_kept_beside_the_first() -> None:
    door = Door.enrolled()
    door.enrol(**custodians.two_owners(door, BO))
    asked = door.ask()
    approval, headers = custodians.approval(door, asked, door.segments[0])
    door.obey(approval, headers)
    yes = co_approval(asked, approval)
    verdict = door.obey(yes, by=BO)
    kept = shared(door, verdict.disclosure)
    assert kept is not None
    assert kept[:2] == (signed(approval, APPROVER), signed(yes, BO))
    door.close()


def test_a_yes_that_fails_leaves_nothing_behind(door: Door) -> None:
    sent, headers = tip(door, door.segments[0])
    with pytest.raises(RequestError):
        door.obey(sent, (*headers[:-1], b"another header"))
    assert shared(door, sent.tip) is None
    assert door.journal.named("shared.") == {}


def test_nothing_is_said_of_what_nobody_approved(door: Door) -> None:
    asked = door.ask()
    assert door.state(asked) is RequestState.PENDING
    assert shared(door, sha256_of(asked)[:32]) is None


def test_of_too_many_the_oldest_go_and_the_newest_stays(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "MOST_KEPT", 2)
    sent = [tip(door, door.segments[number]) for number in range(3)]
    for each, headers in sent:
        door.obey(each, headers)
    assert [shared(door, each.tip) is not None for each, _ in sent] == [False, True, True]
    assert set(door.journal.named("shared.")) == {each.tip for each, _ in sent[1:]}


def test_of_too_much_the_oldest_go_and_the_newest_stays_however_large(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "MOST_BYTES", 1)
    (first, headers), (second, others) = tip(door, door.segments[0]), tip(door, door.segments[1])
    door.obey(first, headers)
    assert set(door.journal.named("shared.")) == {first.tip}
    door.obey(second, others)
    assert set(door.journal.named("shared.")) == {second.tip}


@pytest.mark.parametrize(("spare_bytes", "kept"), [(0, 2), (-1, 1)])
def test_as_much_is_kept_as_fits_to_the_last_byte(
    door: Door, monkeypatch: pytest.MonkeyPatch, spare_bytes: int, kept: int
) -> None:
    (first, headers), (second, others) = tip(door, door.segments[1]), tip(door, door.segments[2])
    door.obey(first, headers)
    (size_bytes,) = map(len, door.journal.named("shared.").values())
    monkeypatch.setattr(approvals, "MOST_BYTES", 2 * size_bytes + spare_bytes)
    door.obey(second, others)
    assert {len(each) for each in door.journal.named("shared.").values()} == {size_bytes}
    assert len(door.journal.named("shared.")) == kept
