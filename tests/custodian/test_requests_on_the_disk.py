"""Requesters' words are on the disk for its owners alone: a thief of the card cannot read any of them.

`traces` looks through every byte of every file: rows, free pages and the write-ahead log of the journal, the outbox.
"""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.opening import HybridIdentity, open_bytes
from agent.core.consent import RequestState
from agent.custodian.journal_sqlite import SqliteJournal
from agent.errors import OpenError, StorageError
from agent.ipc.outbox_files import DiskOutbox
from agent.wire import strictjson
from agent.wire.control import Frame
from agent.wire.envelope import read_unverified
from agent.wire.fields import Incident
from agent.wire.messages import Bulletin, Contact, Deletion, FootageRequest
from agent.wire.statements import OptOut, Scope
from agent.wire.topics import ReceiptTopic
from tests import custodians
from tests.custodians import NOW_S, POLICE, Door, opened, signed, stated
from tests.traces import traces
from tests.wire import samples

WORDS = ("Kanarienzaak", "Kanarientekst", "Kanariennaam", "4711815", "Kanarientitel", "Kanarienbericht")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "custodian"
    made.mkdir()
    return made


@pytest.fixture
def door(folder: Path) -> Iterator[Door]:
    made = Door.enrolled(journal=SqliteJournal(folder / "journal.sqlite"), outbox=DiskOutbox(folder / "outbox"))
    yield made
    made.close()


def ask(door: Door, number: int, **changes: Any) -> FootageRequest:
    words: dict[str, Any] = {
        "case": f"Kanarienzaak {number}",
        "description": f"Kanarientekst {number}: a bicycle was taken.",
        "contact": Contact(name=f"Kanariennaam {number}", phone="+49 40 4711815"),
    }
    return door.ask(**{**words, **changes})


def answer(door: Door, op: str, **arguments: Any) -> tuple[dict[str, Any], bytes]:
    found = door.custodian.control.answer(Frame({"op": op, **arguments}))
    return found.head["result"], found.body


def asked_in(data: bytes) -> FootageRequest:
    return strictjson.decode(read_unverified(data).payload, FootageRequest)


def test_after_everything_that_can_become_of_requests_no_file_has_a_word_of_them(door: Door, folder: Path) -> None:
    waiting, denied, withdrawn, opted_out, elsewhere = (ask(door, number) for number in range(5))
    door.deny(denied)
    door.hear(custodians.withdrawal(withdrawn, reason="Kanarienbericht: it was found.", language="de"))
    door.obey(OptOut(**stated(), scope=Scope.INCIDENT, value="fire"))
    ask(door, 5, incident=Incident.FIRE)
    ask(door, 6, from_s=elsewhere.from_s - 7200, to_s=elsewhere.to_s - 7200)
    for _ in range(2):
        ask(door, 0)  # one too many for its case
    sent = ask(door, 7)
    disclosure = str(door.approve(sent).disclosure)
    door.begin(disclosure)
    receipt = signed(custodians.complete(door, sent, disclosure, retention_days=180), POLICE)
    door.hear(receipt, topic=ReceiptTopic(samples.DEVICE_KEY.id, disclosure))
    deletion = signed(
        Deletion(
            v=1, request=sent.id, requester=sent.requester, trust_root=sent.trust_root, seq=10**6, deleted_s=NOW_S
        ),
        POLICE,
    )
    door.hear(deletion, topic=custodians.topic_of(sent))
    posted = msgspec.structs.replace(
        samples.EVERY_MESSAGE["bulletin"],
        id=custodians.new_id(),
        seq=10**6 + 1,
        title="Kanarientitel",
        description="Kanarienbericht",
    )
    door.hear(posted)
    assert door.state(waiting) is RequestState.PENDING
    assert door.state(sent) is RequestState.SENT
    assert {"denied", "withdrawn", "opted-out", "no-match", "blocked", "receipt", "deleted"} <= set(door.kinds())

    # Only owners can read it, also in the journal's log.
    assert (folder / "journal.sqlite-wal").stat().st_size > 0
    assert traces(folder, WORDS) == []
    # … and its owner reads every one.
    for asked in (waiting, denied, withdrawn, opted_out, sent):
        shown, _ = answer(door, "request", id=asked.id)
        assert asked_in(opened(shown["sealed"])) == asked
        listed, sealed = answer(door, "asked", id=asked.id)
        assert asked_in(open_bytes(sealed, [custodians.OWNER_IDENTITY])) == asked
        assert listed["payload_sha256"] == shown["payload_sha256"] == custodians.sha256_of(asked)
    shown, _ = answer(door, "request", id=sent.id)
    assert (opened(shown["receipt"]), opened(shown["deletion"])) == (receipt, deletion)
    bulletins, _ = answer(door, "bulletins")
    (bulletin,) = bulletins["bulletins"]
    assert strictjson.decode(read_unverified(opened(bulletin)).payload, Bulletin) == posted
    # The recovery identity opens it too; the requester's key and any other person's do not.
    data = strictjson.decode_base64(shown["sealed"])
    assert open_bytes(data, [custodians.RECOVERY_IDENTITY])
    for other in (custodians.REPLY_IDENTITY, HybridIdentity(b"x" * 32)):
        with pytest.raises(OpenError):
            open_bytes(data, [other])


@pytest.mark.parametrize("where", ["log", "row", "free page", "outbox"])
def test_a_word_in_plain_is_noticed_wherever_it_lies(door: Door, folder: Path, where: str) -> None:
    ask(door, 1)
    journal = door.journal
    if where == "outbox":
        (folder / "outbox" / "left").write_bytes(b"x" + WORDS[0].encode())
    else:
        journal._db.execute("PRAGMA secure_delete=OFF")
        journal.put("planted", b"x" + WORDS[0].encode() + bytes(9000))
    if where in ("row", "free page"):
        journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if where == "free page":
        journal.remove("planted")
        journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert journal.get("planted") is None
    found = {"log": "journal.sqlite-wal", "outbox": "outbox/left"}.get(where, "journal.sqlite")
    assert traces(folder, WORDS) == [(found, WORDS[0])]


def test_a_word_is_noticed_in_each_of_its_spellings(folder: Path) -> None:
    word = WORDS[0]
    envelopes = [b64encode(b"x" * before + word.encode() + b"y" * after) for before in range(3) for after in range(3)]
    for number, written in enumerate((word.encode(), word.encode().hex().encode(), *envelopes)):
        (folder / f"{number}").write_bytes(b"x" + written)
    assert len(traces(folder, WORDS)) == 11
    (folder / "other").write_bytes(word[1:].encode() + word[:-1].encode())
    assert len(traces(folder, WORDS)) == 11


def test_a_request_waits_for_its_owner_across_a_restart(door: Door, folder: Path) -> None:
    asked = ask(door, 1)
    door.start()
    shown, _ = answer(door, "request", id=asked.id)
    assert (shown["state"], asked_in(opened(shown["sealed"]))) == ("pending", asked)
    assert door.approve(asked).state is RequestState.APPROVED
    assert traces(folder, WORDS) == []


def test_what_the_device_goes_by_is_gone_once_a_request_has_ended(door: Door, folder: Path) -> None:
    asked, other = ask(door, 1), ask(door, 2)
    listed = {each["id"]: each for each in answer(door, "requests", all=True)[0]["requests"]}
    assert (listed[asked.id]["kind"], listed[asked.id]["from"]) == ("police", asked.from_s)
    door.deny(asked)
    door.approve(other)
    stored, still = door.stored(asked), door.stored(other)
    assert (stored.kept, still.terms.reply) == (None, other.reply)
    listed = {each["id"]: each for each in answer(door, "requests", all=True)[0]["requests"]}
    assert [listed[asked.id][name] for name in ("kind", "incident", "from", "to")] == [None] * 4
    assert listed[asked.id]["requester_name"] == "Harbour Police"


def test_nothing_of_it_is_left_in_free_space_or_in_the_log(door: Door, folder: Path) -> None:
    asked, other = ask(door, 1, reply=reply(1)), ask(door, 2, reply=reply(2))
    keys = (asked.reply[-60:], other.reply[-60:])
    assert {word for _, word in traces(folder, keys)} == set(keys)
    door.deny(asked)
    assert {word for _, word in traces(folder, keys)} == {keys[1]}
    door.hear(custodians.withdrawal(other))
    assert traces(folder, keys) == []


def test_after_a_kill_before_the_log_was_emptied_the_next_start_empties_it(door: Door, folder: Path) -> None:
    asked = ask(door, 1, reply=reply(1))
    door.journal._has_forgotten = False
    door.journal.set_state(asked.id, RequestState.DENIED)
    door.journal._has_forgotten = False  # as if it had been killed here
    copy = folder / "copy"
    copy.mkdir()
    for name in ("journal.sqlite", "journal.sqlite-wal"):
        (copy / name).write_bytes((folder / name).read_bytes())
    assert traces(copy, (asked.reply[-60:],)) != []
    again = SqliteJournal(copy / "journal.sqlite")
    assert traces(copy, (asked.reply[-60:],)) == []
    again.close()


def test_a_log_that_cannot_be_emptied_now_is_emptied_with_the_next_decision(door: Door, folder: Path) -> None:
    asked = ask(door, 1, reply=reply(1))
    execute = door.journal._execute

    def refuse(sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if "wal_checkpoint" in sql:
            raise StorageError("The disk is full.")
        return execute(sql, values)

    door.journal._execute = refuse  # type: ignore[method-assign]
    door.deny(asked)
    assert door.state(asked) is RequestState.DENIED
    assert traces(folder, (asked.reply[-60:],)) != []
    door.journal._execute = execute  # type: ignore[method-assign]
    ask(door, 2)
    assert traces(folder, (asked.reply[-60:],)) == []


def reply(number: int) -> str:
    return str(HybridIdentity(bytes([100 + number]) * 32).recipient())


def test_who_becomes_an_owner_later_reads_what_comes_from_then_on(door: Door) -> None:
    before = ask(door, 1)
    newcomer = HybridIdentity(b"n" * 32)
    added = custodians.NamedRecipient(name="bo", recipient=str(newcomer.recipient()))
    current = door.custodian.enrolments.current
    assert current is not None
    tests = door.propose(
        custodians.enrolment(
            epoch=2,
            previous=custodians.sha256_of(current),
            recipients=(*current.recipients, added),  # type: ignore[arg-type]
        )
    )
    answers = {name: open_bytes(door.custodian.enrolments.test(name), [newcomer]) for name in tests}
    assert door.custodian.enrolments.confirm(answers) == (2, ())
    after = ask(door, 2)
    with pytest.raises(OpenError):
        open_bytes(door.stored(before).sealed, [newcomer])
    assert asked_in(open_bytes(door.stored(after).sealed, [newcomer])) == after
    for asked in (before, after):
        assert asked_in(open_bytes(door.stored(asked).sealed, [custodians.OWNER_IDENTITY])) == asked


def test_two_requests_of_one_case_are_counted_though_nobody_can_read_which(door: Door) -> None:
    for _ in range(2):
        ask(door, 1)
    assert door.journal.blocked() == []
    ask(door, 1)
    assert [each.reason for each in door.journal.blocked()] == ["too many requests for this case"]
    door.start()
    ask(door, 1)
    assert len(door.journal.blocked()) == 2
    ask(door, 2)
    assert len(door.journal.blocked()) == 2
