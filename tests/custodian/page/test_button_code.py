"""The code of a long press: sealed to the owners and the kit, for one browser, and of no use to a stranger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.opening.files import open_bytes
from agent.clients.owner.keys import OwnerKeys
from agent.core.timebase import seconds
from agent.custodian.page.button_code import CODE_PREFIX, ButtonCode
from agent.custodian.page.server import _approvers
from agent.custodian.page.sessions import CODE_LIFE_S
from agent.errors import OpenError, StorageError
from agent.wire.control import Frame, write_frame
from tests.custodian.page.door import Door, a_door, cookie_of


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with a_door(tmp_path_factory.mktemp("door")) as found:
        yield found


class Button:
    """A `ButtonCode` with a clock to set. `told` counts alerts, `made` the codes."""

    def __init__(self) -> None:
        self.now_ns = seconds(100)
        self.told = 0
        self.made: list[str] = []
        self.has_owner = True
        self.fails = False
        clock: Any = SimpleNamespace(now=lambda: SimpleNamespace(boot_ns=self.now_ns))
        self.is_alive = True
        self.code = ButtonCode(clock, self._make, lambda: self.is_alive, self, self._tell)  # type: ignore[arg-type]

    @property
    def current(self) -> str | None:
        return "an owner" if self.has_owner else None

    def seal(self, data: bytes) -> bytes:
        return b"sealed " + data

    def _make(self) -> str:
        if self.fails:
            raise StorageError("The disk fails.")
        self.made.append(f"CODE{len(self.made)}")
        return self.made[-1]

    def _tell(self) -> None:
        self.told += 1


def test_the_page_gives_a_held_button_s_code_to_owners_and_kits_alone(door: Door, tmp_path: Path) -> None:
    button = door.page.button
    assert not button.held(), "a doorbell without an owner has nobody to seal a code to"
    assert door.ask("GET", "/button-code").status == 404
    keys = door.claim()
    assert door.ask("GET", "/button-code").status == 404, "nobody has held the button"
    assert door.solo._owned.button_held()
    answer = door.ask("GET", "/button-code")
    assert answer.status == 200
    assert CODE_PREFIX.encode() not in answer.body
    stranger = OwnerKeys.create(tmp_path / "stranger", name="stranger")
    with pytest.raises(OpenError):
        open_bytes(answer.body, [stranger.identity])
    opened = open_bytes(answer.body, [keys.identity])
    assert open_bytes(answer.body, [keys.recovery()]) == opened
    assert door.ask_plainly("GET", "/button-code").status == 403, "only over HTTPS"
    door.page.button.held()
    assert door.ask("GET", "/button-code").body == answer.body, "a second press leaves the code of the first"
    code = opened.decode().removeprefix(CODE_PREFIX)
    paired = door.ask("POST", "/pair", write_frame(Frame({"code": code})))
    assert paired.status == 200
    assert door.op("status", cookie_of(paired)).status == 403, "without a key it is no owner's browser"
    assert door.ask("POST", "/pair", write_frame(Frame({"code": code}))).status == 400, "a code counts once"
    assert door.ask("GET", "/button-code").status == 404
    assert door.page.button.held(), "another phone of the same owner, a minute later"
    assert door.ask("GET", "/button-code").body != answer.body


def test_a_code_of_a_long_press_ends_when_an_owner_leaves_who_could_open_it(door: Door) -> None:
    enrolments, sessions = door.page._operations._enrolments, door.page._sessions
    if enrolments.current is None:
        door.claim()
    sessions.make_code("button", _approvers(enrolments))
    assert sessions.has_code("button")
    code = sessions.make_code("button", [*_approvers(enrolments), "c0" * 8])
    assert not sessions.has_code("button")
    assert door.ask("GET", "/button-code").status == 404
    assert door.ask("POST", "/pair", write_frame(Frame({"code": code}))).status == 400


def test_a_press_opens_a_quarter_of_an_hour_and_another_one_makes_no_new_code_before() -> None:
    button = Button()
    assert button.code.sealed() is None
    assert button.code.held()
    button.now_ns += seconds(CODE_LIFE_S) - 1
    assert button.code.held()
    assert button.made == ["CODE0"]
    assert button.code.sealed() == b"sealed " + CODE_PREFIX.encode() + b"CODE0"
    button.now_ns += 1
    assert button.code.sealed() is None
    assert button.code.held()
    assert button.made == ["CODE0", "CODE1"]


def test_after_a_guesser_has_used_the_code_up_the_owner_presses_again() -> None:
    button = Button()
    assert button.code.held()
    button.is_alive = False
    assert button.code.sealed() is None
    assert button.code.held()
    button.is_alive = True
    assert (button.made, button.told) == (["CODE0", "CODE1"], 1)


def test_owners_are_told_of_a_held_button_once_an_hour() -> None:
    button = Button()
    for _ in range(5):
        assert button.code.held()
        button.now_ns += seconds(CODE_LIFE_S)
    assert (len(button.made), button.told) == (5, 2)


def test_without_an_owner_or_a_code_the_button_opens_nothing() -> None:
    button = Button()
    button.has_owner = False
    assert not button.code.held()
    button.has_owner, button.fails = True, True
    assert not button.code.held()
    assert button.code.sealed() is None
    button.fails = False
    assert button.code.held()
    button.has_owner = False  # the doorbell was reset
    assert button.code.sealed() is None
