"""Requests and tips share one life: one module steps the consent table, and every action comes from the table."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock
from unittest.mock import call

import pytest

from agent.core import consent
from agent.core.consent import TIP_SENT, Action, Event, RequestState
from agent.core.requests import RESTORED, OutboxPart, OutboxRecord
from agent.custodian.releases import ANSWER_LOST
from agent.errors import StorageError
from agent.wire import disclosures
from agent.wire.statements import OptOut, Revocation, Scope
from agent.wire.topics import ANONYMOUS, ReceiptTopic
from tests.custodian.test_tips import receipt, tip, with_tips
from tests.custodians import OWNERS_HEADER, POLICE, ROOT, Door, approval, complete, signed, stated

ROOT_FOLDER = Path(__file__).resolve().parents[2]
STEPS = {"next_transition", "TRANSITIONS"}
"""The table and the function that reads it."""


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.custodian.control._trust.accept(signed(with_tips(), ROOT))
    yield made
    made.close()


def names_in(source: str, wanted: Collection[str] = STEPS) -> set[str]:
    """Every name that a module imports or reads, if one of `wanted` is in it at all."""
    if not any(name in source for name in wanted):
        return set()  # parsing all modules takes a second
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and node.value in wanted:
            found.add(str(node.value))
    return found


@pytest.mark.parametrize(
    "planted",
    [
        "from agent.core.consent import next_transition as step",
        "from agent.core import consent\nconsent.TRANSITIONS[1]",
        "from agent.core.consent import *\nnext_transition(state, event)",
        "from agent.core import consent\ngetattr(consent, 'TRANSITIONS')",
    ],
)
def test_the_search_finds_each_way_to_reach_the_table(planted: str) -> None:
    assert names_in(planted) & STEPS


def users_of(*names: str) -> set[str]:
    """The modules of the agent and the bridge that use one of `names`."""
    found = {path for path, source in modules().items() if names_in(source, names) & {*names}}
    return found - {"agent/core/consent.py"}  # the table's own module


@cache
def modules() -> dict[str, str]:
    """Path → source of the agent and the bridge."""
    paths = [*ROOT_FOLDER.glob("agent/**/*.py"), *ROOT_FOLDER.glob("firmware_bridge/**/*.py")]
    assert len(paths) > 100
    return {str(path.relative_to(ROOT_FOLDER)): path.read_text(encoding="utf-8") for path in paths}


def test_one_module_alone_steps_the_consent_table() -> None:
    assert users_of(*STEPS) == {"agent/custodian/releases.py"}


@pytest.mark.parametrize(
    ("written", "by"),
    [
        ("set_state", {"release_records"}),
        ("save_state", {"releases"}),
        ("save_tip", {"releases", "release_records"}),
        ("start_tip", {"tips"}),
        ("remove_outbox", {"releases"}),
        ("add_outbox", {"releases", "approvals", "tips"}),
        ("show_to_uplink", {"releases"}),
    ],
)
def test_no_other_module_writes_the_state_of_what_may_leave(written: str, by: set[str]) -> None:
    """Otherwise a state could change without its row, its ledger entry and its actions."""
    assert users_of(written) == {f"agent/custodian/{each}.py" for each in by}


def test_an_approval_and_a_tip_reach_the_outbox_through_the_releases_alone() -> None:
    for name in ("approvals", "tips"):
        tree = ast.parse((ROOT_FOLDER / f"agent/custodian/{name}.py").read_text(encoding="utf-8"))
        called = [each for each in ast.walk(tree) if isinstance(each, ast.Attribute) and each.attr == "add_outbox"]
        assert [ast.unparse(each.value) for each in called] == ["self._releases"]


def test_one_place_ends_a_release_by_a_receipt() -> None:
    """`Inbox._on_receipt`, of a request and of a tip."""
    assert {each for each in users_of("RECEIPT") if each.startswith("agent/custodian/")} == {"agent/custodian/inbox.py"}


def sent_request(door: Door) -> str:
    return str(door.approve(door.ask(), door.segments[0]).disclosure)


def sent_tip(door: Door) -> str:
    sent, _ = tip(door)
    return str(door.obey(sent).disclosure)


@pytest.mark.parametrize("send", [sent_request, sent_tip], ids=["request", "tip"])
def test_the_table_says_which_action_follows_a_revocation(
    door: Door, send: Callable[[Door], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = (RequestState.APPROVED, Event.REVOKED)
    line = replace(consent.TRANSITIONS[at], actions=(Action.OFFER_OUTBOX,))
    monkeypatch.setattr(consent, "TRANSITIONS", MappingProxyType({**consent.TRANSITIONS, at: line}))
    disclosure = send(door)
    woken: list[None] = []
    door.custodian.releases.wake_uplink = lambda: woken.append(None)
    door.obey(Revocation(**stated(), disclosure=disclosure))
    assert woken
    assert disclosure in door.outbox.objects  # the changed line does not drop it


@pytest.mark.parametrize("send", [sent_request, sent_tip], ids=["request", "tip"])
def test_an_action_that_fails_leaves_the_decision_as_it_is(
    door: Door, send: Callable[[Door], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure = send(door)

    def fails(_disclosure: str) -> None:
        raise StorageError("The disk takes no write.")

    monkeypatch.setattr(door.outbox, "remove", fails)
    assert door.obey(Revocation(**stated(), disclosure=disclosure)).state is RequestState.REVOKED
    assert door.outgoing() == []
    assert not door.begin(disclosure)


def test_a_tip_starts_as_approved_with_its_own_ledger_entry(door: Door) -> None:
    disclosure = sent_tip(door)
    (stored,) = door.custodian.tips.listed()
    assert (stored.id, stored.state) == (disclosure, TIP_SENT.next_state)
    assert door.kinds()[-2:] == [TIP_SENT.entry.value, "sealed"]


def test_an_old_receipt_counts_as_a_replay_for_a_request_and_for_a_tip(door: Door) -> None:
    asked = door.ask()
    disclosure = str(door.approve(asked, door.segments[0]).disclosure)
    words, _ = tip(door)
    door.obey(words)
    partial = {"state": disclosures.ReceiptState.PARTIAL, "manifest": None, "seq": 7}
    for number, (said, topic) in enumerate(
        (
            (complete(door, asked, disclosure, **partial), None),
            (receipt(door, words, **partial), ReceiptTopic(ANONYMOUS, words.tip)),
        )
    ):
        assert door.hear(said, POLICE, topic) is not None
        assert door.hear(said, POLICE, topic) is None
        assert door.journal.counters()["replayed"] == number + 1


@pytest.mark.parametrize(
    ("action", "done"),
    [
        (Action.NOTIFY_OWNER, [call.notices.on_pending("request")]),
        (Action.NOTIFY_OTHER_OWNERS, [call.notices.on_first_approval("request")]),
        (Action.OFFER_OUTBOX, [call.wake()]),
        (Action.DROP_OUTBOX, [call.outbox.remove("disclosure"), call.wake()]),
        (Action.STOP_SENDING, [call.outbox.remove("disclosure"), call.wake()]),
        (Action.CLOSE_OUTBOX, [call.outbox.remove("disclosure"), call.wake()]),
    ],
)
def test_each_action_of_the_table_does_its_part(
    door: Door, monkeypatch: pytest.MonkeyPatch, action: Action, done: list[Any]
) -> None:
    """The uplink is woken, so that it stops what may leave no more, and sends what may."""
    parts, releases = mock.Mock(), door.custodian.releases
    monkeypatch.setattr(releases, "_notices", parts.notices)
    monkeypatch.setattr(releases, "_outbox", parts.outbox)
    monkeypatch.setattr(releases, "wake_uplink", parts.wake)
    releases._run_action(action, "request", "disclosure")
    assert parts.mock_calls == done
    parts.reset_mock()
    releases._run_action(action, "request", None)
    assert parts.mock_calls == [each for each in done if each[0] != "outbox.remove"]


def test_an_object_of_the_outbox_has_its_proof_first_and_its_sizes_in_the_ledger(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked, door.segments[0], door.segments[1]).disclosure
    assert disclosure is not None
    (record,) = door.journal.outbox()
    objects = door.outbox.objects[disclosure]
    names = ["", *door.segments[:2]]
    parts = tuple(
        OutboxPart(number, name, len(objects[number]), hashlib.sha256(objects[number]).hexdigest())
        for number, name in enumerate(names)
    )
    assert record == OutboxRecord(disclosure, asked.id, "harbour-police", parts)
    sealed = {key: door.entries()[-1][key] for key in ("kind", "disclosure", "request", "subject", "segments")}
    assert sealed == {
        "kind": "sealed", "disclosure": disclosure, "request": asked.id, "subject": parts[0].sha256, "segments": 2,
    }  # fmt: skip
    assert door.entries()[-1]["size_bytes"] == sum(map(len, objects.values()))


@pytest.mark.parametrize("send", [sent_request, sent_tip], ids=["request", "tip"])
def test_the_uplink_may_read_an_answer_only_after_the_ledger_says_that_it_leaves(
    door: Door, monkeypatch: pytest.MonkeyPatch, send: Callable[[Door], str]
) -> None:
    """Otherwise an uplink that was taken over sends during the delay what its owner takes back, and no entry tells."""
    disclosure = send(door)
    assert door.outgoing() == [disclosure]
    assert (door.outbox.shown, "sending" in door.kinds()) == (set(), False)
    entries: list[bool] = []
    show = door.outbox.show_to_uplink

    def noted(name: str) -> None:
        entries.append("sending" in door.kinds())
        show(name)

    monkeypatch.setattr(door.outbox, "show_to_uplink", noted)
    assert door.begin(disclosure)
    assert (door.outbox.shown, entries) == ({disclosure}, [True])


@pytest.mark.parametrize("send", [sent_request, sent_tip], ids=["request", "tip"])
def test_an_answer_that_a_cut_left_hidden_is_shown_at_the_next_look(door: Door, send: Callable[[Door], str]) -> None:
    disclosure = send(door)
    door.outbox.fault = "show"
    with pytest.raises(StorageError):
        door.begin(disclosure)
    assert door.outgoing() == [disclosure], "a disk that refuses hides no other answer"
    door.outbox.fault = None
    door.outgoing()
    assert door.outbox.shown == {disclosure}


@pytest.mark.parametrize("send", [sent_request, sent_tip], ids=["request", "tip"])
def test_a_disclosure_that_has_ended_is_no_longer_in_the_outbox_and_its_delay_is_forgotten(
    door: Door, send: Callable[[Door], str]
) -> None:
    disclosure = send(door)
    door.custodian.outgoing()
    delay = door.custodian.releases._delay
    assert list(delay._ripe_ns) == [disclosure]
    door.obey(Revocation(**stated(), disclosure=disclosure))
    assert (door.journal.outbox(), delay._ripe_ns, door.outbox.objects) == ([], {}, {})


@pytest.mark.parametrize("begun", [False, True], ids=["before the first byte", "while it leaves"])
@pytest.mark.parametrize("send", [sent_request, sent_tip], ids=["request", "tip"])
def test_an_answer_whose_bytes_are_gone_is_announced_to_nobody_and_ends(
    door: Door, send: Callable[[Door], str], begun: bool
) -> None:
    """A backup has the journal and no outbox: its owner may have taken the answer back since."""
    disclosure = send(door)
    assert not begun or door.begin(disclosure)
    door.outbox.objects.clear()
    door.start()
    assert door.outgoing() == []
    assert not door.begin(disclosure)
    (ended,) = [each for each in door.entries() if each.get("reason") == ANSWER_LOST]
    assert (ended["kind"], ended["disclosure"]) == ("stopped" if begun else "revoked", disclosure)


@pytest.mark.parametrize("begun", [False, True], ids=["before the first byte", "while it leaves"])
@pytest.mark.parametrize("send", [sent_request, sent_tip], ids=["request", "tip"])
def test_an_answer_of_a_backup_ends_also_if_its_bytes_are_still_on_the_disk(
    door: Door, send: Callable[[Door], str], begun: bool
) -> None:
    """A restore keeps the folder of answers, and a no that came after the backup is not in it."""
    disclosure = send(door)
    assert not begun or door.begin(disclosure)
    door.journal.put(RESTORED, b"")
    door.told.news.clear()
    door.start()
    assert door.outgoing() == []
    assert not door.begin(disclosure)
    assert door.outbox.objects == {}
    (ended,) = [each for each in door.entries() if each.get("reason") == ANSWER_LOST]
    assert (ended["kind"], ended["disclosure"]) == ("stopped" if begun else "revoked", disclosure)
    assert door.told.news == [("restored", "The doorbell was restored from a backup.")]


def test_after_the_first_start_from_a_backup_a_new_answer_stays(door: Door) -> None:
    door.journal.put(RESTORED, b"")
    door.start()
    disclosure = sent_request(door)
    door.told.news.clear()
    door.start()
    assert door.outgoing() == [disclosure]
    assert door.told.news == []


def test_an_opt_out_ends_what_waits_and_no_answer_that_was_approved_before(door: Door) -> None:
    """The page says so before the signature, and a revocation ends the answer."""
    disclosure = sent_request(door)
    waits = door.ask()
    door.obey(OptOut(**stated(), scope=Scope.ALL))
    assert door.state(waits) is RequestState.OPTED_OUT
    assert door.outgoing() == [disclosure]
    door.revoke(disclosure)
    assert door.outgoing() == []


def test_a_disk_that_does_not_say_what_is_there_ends_no_answer(door: Door) -> None:
    disclosure = sent_request(door)
    door.outbox.fault = "has"
    door.start()
    door.outbox.fault = None
    door.custodian.on_time()
    assert door.outgoing() == [disclosure]


def test_bytes_behind_the_recorded_end_of_a_segment_do_not_leave(door: Door) -> None:
    asked = door.ask()
    paper = door.vault.kept[door.segments[0]]
    statement, headers = approval(door, asked, door.segments[0])
    payload = paper.file[len(OWNERS_HEADER) :]
    paper.file += b"left by a power cut"
    disclosure = door.obey(statement, headers).disclosure
    assert disclosure is not None
    assert door.outbox.objects[disclosure][1] == headers[0] + payload
