"""The owner's end of the control socket repeats the device's words, and no word steers a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import errors
from agent.errors import DoorwardError, NetworkError, OpenError, StorageError
from agent.ipc.control_client import DeviceLink, read_settings
from agent.ipc.control_operations import (
    GetPageFacts,
    ListSegments,
    ListTips,
    SignedAnswer,
    SubmitStatement,
    TipsAnswer,
    VerdictAnswer,
)
from agent.ipc.rpc import success
from agent.ipc.rpc_server import control_server
from agent.wire import strictjson
from agent.wire.control import Frame
from agent.wire.statements import Settings, sign_statement
from tests.wire import samples

Answer = Callable[[Frame], Frame]


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[Answer], DeviceLink]]:
    opened: list[Any] = []

    def answering(answer: Answer) -> DeviceLink:
        path = tmp_path / "run" / "control.sock"
        server = control_server(path, answer)
        server.start()
        opened.append(server.stop)
        link = DeviceLink(path)
        opened.append(link.close)
        return link

    yield answering
    for close in reversed(opened):
        close()


Answering = Callable[[Answer], DeviceLink]


def test_a_request_carries_its_arguments_and_bytes_and_the_answer_its_own(answering: Answering) -> None:
    seen: list[Frame] = []

    def answer(frame: Frame) -> Frame:
        seen.append(frame)
        return success({"state": "approved"}, b"ba")

    link = answering(answer)
    said, body = link.fetch(SubmitStatement("{}", (2,)), body=b"ab")
    assert (said, body) == (VerdictAnswer(state="approved"), b"ba")
    assert seen == [Frame({"op": "statement", "envelope": "{}", "sizes": [2]}, b"ab")]
    assert link.ask(SubmitStatement("{}")) == said


@pytest.mark.parametrize("result", [None, 7, "text", ["a"], {}, {"segments": 5, "more": False}])
def test_an_answer_of_another_shape_names_its_operation(answering: Answering, result: object) -> None:
    link = answering(lambda _: Frame({"ok": True, "result": result}))
    for ask in (link.ask, link.document):
        with pytest.raises(NetworkError, match="answer to 'list' cannot be used"):
            ask(ListSegments(0, 1))


def test_a_document_has_the_fields_that_this_version_does_not_know(answering: Answering) -> None:
    link = answering(lambda _: Frame({"ok": True, "result": {"tips": [], "later": [1]}}))
    assert link.document(ListTips()) == {"tips": [], "later": [1]}
    assert link.ask(ListTips()) == TipsAnswer(())


@pytest.mark.parametrize("ok", [False, None, 1, "yes"])
def test_an_answer_counts_only_if_it_says_that_all_is_well(answering: Answering, ok: object) -> None:
    with pytest.raises(DoorwardError, match="The device refused"):
        answering(lambda _: Frame({"ok": ok, "result": {}})).ask(GetPageFacts())


@pytest.mark.parametrize("kind", errors.__all__)
def test_an_error_of_the_device_is_raised_as_what_it_is(answering: Answering, kind: str) -> None:
    head = {"ok": False, "kind": kind, "error": "It is so.", "remedy": "Do that."}
    with pytest.raises(DoorwardError) as raised:
        answering(lambda _: Frame(head)).ask(GetPageFacts())
    assert type(raised.value) is getattr(errors, kind)
    assert (raised.value.message, raised.value.remedy) == ("It is so.", "Do that.")


@pytest.mark.parametrize("kind", [None, "SystemExit", "annotations", "__doc__"])
def test_an_error_of_no_kind_of_ours_is_an_error_of_ours(answering: Answering, kind: object) -> None:
    with pytest.raises(DoorwardError) as raised:
        answering(lambda _: Frame({"ok": False, "kind": kind, "error": "It is so."})).ask(GetPageFacts())
    assert type(raised.value) is DoorwardError
    assert raised.value.remedy == ""


def test_no_answer_steers_the_terminal(answering: Answering) -> None:
    steering, shown = (
        "a\x1b[2Jb\rc\td\n\u202e",
        "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c\td\n\N{REPLACEMENT CHARACTER}",
    )
    answers = iter(
        [
            Frame({"ok": True, "result": {steering: [steering, {"in": steering}], "n": 1, "plain": "größer"}}),
            Frame({"ok": False, "kind": "StorageError", "error": steering, "remedy": steering}),
        ]
    )
    link = answering(lambda _: next(answers))
    assert link.ask(GetPageFacts()) == {shown: [shown, {"in": shown}], "n": 1, "plain": "größer"}
    with pytest.raises(StorageError) as raised:
        link.ask(GetPageFacts())
    assert (raised.value.message, raised.value.remedy) == (shown, shown)


def test_a_device_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"No device answers at .*control.sock: No such file"):
        DeviceLink(tmp_path / "control.sock")


def test_on_a_read_only_disk_a_device_that_runs_is_not_said_to_be_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot make the socket there, but its page answers."""
    real = os.statvfs(tmp_path)
    read_only = os.statvfs_result((*real[:8], real.f_flag | os.ST_RDONLY, *real[9:]))
    monkeypatch.setattr("agent.ipc.control_client.os.statvfs", lambda _folder: read_only)
    with pytest.raises(NetworkError) as told:
        DeviceLink(tmp_path / "control.sock")
    assert told.value.remedy.startswith("The disk is read-only")
    monkeypatch.undo()
    with pytest.raises(NetworkError) as told:
        DeviceLink(tmp_path / "control.sock")
    assert told.value.remedy.startswith("Is 'doorward run' running there?")
    with pytest.raises(NetworkError) as told:
        DeviceLink(tmp_path / "a folder that is gone" / "control.sock")
    assert told.value.remedy.startswith("Is 'doorward run' running there?")


def test_a_link_is_closed_when_its_block_is_left(answering: Answering) -> None:
    with answering(lambda frame: Frame({"ok": True, "result": {}}, frame.body)) as link:
        assert link.ask(GetPageFacts()) == {}
    with pytest.raises((NetworkError, ValueError)):
        link.ask(GetPageFacts())


def test_settings_are_shown_as_they_were_signed_and_nothing_else_is_taken_for_them(
    answering: Callable[[Answer], DeviceLink],
) -> None:
    settings = Settings(v=1, device=samples.DEVICE_KEY.text, owner_time_ms=1, nonce="0" * 32, name="Front")
    said: list[str | None] = [
        None,
        sign_statement(Settings.PAYLOAD_TYPE, strictjson.encode(settings), samples.OWNER).decode(),
        sign_statement("application/vnd.doorward.other+json", strictjson.encode(settings), samples.OWNER).decode(),
    ]
    link = answering(lambda _frame: success(SignedAnswer(said.pop(0))))
    assert read_settings(link) is None
    assert read_settings(link) == settings
    with pytest.raises(OpenError, match="no settings"):
        read_settings(link)
