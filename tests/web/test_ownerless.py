"""A doorbell that an owner's browser knows says that it has no owner. It is not claimed as if it were new."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pytest

from agent.custodian.journal_sqlite import SqliteJournal
from agent.errors import DoorwardError
from agent.ipc.rpc import refusal
from agent.wire.control import Frame, parse_frame, write_frame
from tests.custodians import NOW_S, Door
from tests.vaults import SeededEntropy
from tests.web.test_the_page_meets_its_doorbell import served
from tests.web.test_the_program import node
from tests.wire import samples

pytestmark = pytest.mark.interop

PAGE = {
    "page_challenge": {"challenge": "0" * 64},
    "page_prove": {"owner": True},
    "page_hello": {"claimed": True, "doorbell": "door"},
}
"""Answers of the page's server to operations that are not the custodian's."""


@dataclass
class Doorbell:
    """A doorbell whose card can be exchanged. Its key stays."""

    folder: Path
    asked: dict[str, list[str]] = field(default_factory=lambda: {"": []})
    cards: int = 0
    starts: int = 0
    loses_answer: bool = False
    refuses: bool = False

    def __post_init__(self) -> None:
        self.door = self.with_card("card-0")

    def with_card(self, name: str) -> Door:
        self.starts += 1  # other nonces after each start
        return Door(journal=SqliteJournal(self.folder / name), entropy=SeededEntropy(self.starts))

    def exchange(self, what: str) -> None:
        """`lose`: an empty card. `older` and `restored`: one with the first list of owners, or the newest."""
        if what in ("lose-answer", "refuse"):
            self.loses_answer, self.refuses = what == "lose-answer", what == "refuse"
            return
        self.door.close()
        if what == "lose":
            self.cards += 1
            name = f"card-{self.cards}"
        else:
            name = what
            copied = {"older": "card-0", "restored": f"card-{self.cards - 1}", "stranger": None}[what]
            if copied is not None:
                shutil.copy(self.folder / copied, self.folder / name)
        self.door = self.with_card(name)
        if what == "stranger":
            self.door.enrol()

    def answer(self, path: str, data: bytes) -> tuple[int, bytes]:
        if not path.startswith("/api/"):
            if path.startswith("/steps/"):
                self.asked[unquote(path.removeprefix("/steps/"))] = []
            else:
                self.exchange(path.removeprefix("/"))
            return 200, b""
        operation = path.removeprefix("/api/")
        self.asked[next(reversed(self.asked))].append(operation)
        if operation in PAGE:
            return 200, write_frame(Frame({"ok": True, "result": PAGE[operation]}))
        if operation == "enrol" and self.refuses:
            self.refuses = False
            return 502, b""
        asked = parse_frame(data)
        try:
            answer = self.door.custodian.control.answer(Frame({**asked.head, "op": operation}, asked.body))
        except DoorwardError as error:
            return 400, write_frame(refusal(error))
        if operation == "enrol_confirm" and self.loses_answer:
            self.loses_answer = False
            return 502, b""
        return 200, write_frame(answer)


@pytest.fixture
def doorbell(tmp_path: Path) -> Iterator[Doorbell]:
    made = Doorbell(tmp_path)
    yield made
    made.door.close()


def test_a_doorbell_that_lost_its_owners_is_claimed_again_only_by_a_clear_decision(doorbell: Doorbell) -> None:
    with served(doorbell) as address:
        given = {"address": address, "nowMs": NOW_S * 1000, "device": samples.DEVICE_KEY.text}
        came = node("ownerless.mjs", json.dumps(given), many_passphrases=True)
    assert came == {
        "known before": False,
        "keep": "done",
        "claim": "done",
        "known afterwards": True,
        "new keys for it": "error.had-owner",
        "claim as new": "error.had-owner",
        "claim with a backup": "error.had-owner",
        "unlock": "error.went-backwards",
        "another kit": "error.unseen-kit",
        "another passphrase": "error.passphrase",
        "keys stay": True,
        "again, and the answer is lost": "error.format",
        "pressed once more": "error.refused",
        "are noted": 2,
        "unlock after that": "done",
        "is known by the new list": True,
        "keys are the same": True,
        "again, and it never arrives": "error.format",
        "unlock with the first list of all": "error.went-backwards",
        "unlock with a stranger's list": "error.went-backwards",
        "unlock once it is restored": "done",
        "nothing is noted": True,
        "again at last": "done",
        "a kit that this browser has not seen": "error.unseen-kit",
        "its owner says that it is newer": "done",
        "it is in force": True,
        "this browser makes another": "done",
        "a kit that it saw replaced": "error.other-kit",
        "the newest kit": "done",
        "keys at the end": True,
    }
    silent = ("new keys for it", "claim as new", "claim with a backup", "another kit", "another passphrase",
              "a kit that this browser has not seen", "a kit that it saw replaced")  # fmt: skip
    assert not any("enrol" in doorbell.asked[step] for step in silent)
