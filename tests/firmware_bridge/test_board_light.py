"""The board's own light shows the set-up as the status LED would, and then has its work back."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import pytest

from firmware_bridge import board_light
from firmware_bridge.board_light import BoardLight, show_setup
from firmware_bridge.errors import BridgeError
from firmware_bridge.frames import SetupLight

STEP_NS = 100_000_000
FLASHES = {
    SetupLight.WAITING: 5, SetupLight.JOINING: 13, SetupLight.JOINED: 1, SetupLight.WRONG_PASSWORD: 8,
    SetupLight.NO_NETWORK: 11, SetupLight.NO_ADDRESS: 12, SetupLight.FAILED: 14,
}  # fmt: skip
"""How often it goes on in ten seconds."""


class Board(threading.Event):
    """A light in files, and an event: to wait for it moves the clock. After ten seconds it is set."""

    def __init__(self, folder: Path, name: str = "ACT") -> None:
        super().__init__()
        self.light = folder / "leds" / name
        self.light.mkdir(parents=True)
        (self.light / "trigger").write_text("none timer [mmc0] cpu\n")
        (self.light / "brightness").write_text("0")
        self.state, self.owned = folder / "state", folder / "owned"
        self.now_ns = 0
        self.seen: list[str] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout == pytest.approx(0.1)
        assert (self.light / "trigger").read_text() == "none", "the card's work would switch it, too"
        self.seen.append((self.light / "brightness").read_text())
        self.now_ns += STEP_NS
        return len(self.seen) == 100

    def show(self) -> int:
        """Returns how often the light went on."""
        with BoardLight(self.light.parent) as light:
            show_setup(light, self.state, self.owned, self)
        return sum(pair == ("0", "1") for pair in itertools.pairwise(["0", *self.seen]))


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    made = Board(tmp_path)
    monkeypatch.setattr(board_light.time, "monotonic_ns", lambda: made.now_ns)
    return made


@pytest.mark.parametrize("state", SetupLight)
def test_each_state_of_the_set_up_flashes_as_on_a_status_led(board: Board, state: SetupLight) -> None:
    board.state.write_text(f"{state.value}\n")
    assert board.show() == FLASHES[state]
    assert len(set(FLASHES.values())) == len(FLASHES)
    assert (board.light / "trigger").read_text() == "mmc0", "the light shows the memory card's work again"


def test_an_owner_ends_it(board: Board) -> None:
    board.owned.touch()
    board.show()
    assert board.seen == []
    assert (board.light / "trigger").read_text() == "mmc0"


@pytest.mark.parametrize("content", [None, "", "nonsense", "waiting" + "x" * 1000, "\xff"])
def test_a_file_that_says_nothing_of_use_is_a_set_up_that_waits(board: Board, content: str | None) -> None:
    if content is not None:
        board.state.write_text(content, encoding="latin-1")
    assert board.show() == FLASHES[SetupLight.WAITING]


def test_a_link_or_a_pipe_of_a_custodian_that_was_taken_over_holds_up_nothing(board: Board) -> None:
    os.mkfifo(board.state)
    assert board.show() == FLASHES[SetupLight.WAITING]
    board.state.unlink()
    other = board.state.with_name("other")
    other.write_text("joined")
    board.state.symlink_to(other)
    board.seen.clear()
    board.now_ns = 0
    assert board.show() == FLASHES[SetupLight.WAITING]


def test_an_older_kernel_calls_the_light_otherwise_and_a_board_without_one_is_named(tmp_path: Path) -> None:
    old = Board(tmp_path, "led0")
    with BoardLight(old.light.parent) as light:
        light.show(on=True)
        assert (old.light / "brightness").read_text() == "1"
    with pytest.raises(BridgeError, match="There is no light"):
        BoardLight(tmp_path / "nowhere")
