"""`doorward owner update`: an owner reads what is on offer, and signs the choice of exactly that package."""

from __future__ import annotations

import json
from typing import Any

from agent.cli.update_troubles import TROUBLES
from agent.clients.cli.owner.update import _ENDED
from agent.core.updates import ReversalRefusal
from agent.wire.statements import UpdateChoice, UpdateReversal
from tests.clients.cli.test_owner import Doorstep, door

__all__ = ["door"]

SHA = "ab" * 32
OFFER = {
    "version": "0.2.1", "sha256": SHA, "length": 10, "released": "2026-12-01", "security": True,
    "notes": {"en": "- Better.\x1b[2J\n- Faster."},
}  # fmt: skip


def offers(door: Doorstep, **more: Any) -> None:
    state = {"running": "0.2.0", "looks": True, "automatic": False, "chosen": False, "offer": OFFER, **more}
    door.device.lies["update"] = lambda _answer, body: (state, body)


def test_an_owner_reads_what_changes_and_no_control_code_reaches_the_terminal(door: Doorstep) -> None:
    offers(door, trouble="network", outcome={"version": "0.1.9", "result": "rolled back"})
    said = door("update").out
    for words in ("Running: 0.2.0", "Security update 0.2.1 of 2026-12-01 is ready.", "- Faster.", *TROUBLES["network"],
                  "0.1.9, rolled back", "Security updates wait for an owner."):  # fmt: skip
        assert words in said
    assert "\x1b" not in said
    offers(door, trouble="of a later version")
    assert "The newest look for updates failed: of a later version." in door("update").out
    assert json.loads(door("update", "--json").out)["offer"]["sha256"] == SHA


def test_an_owner_reads_why_root_did_not_go_back_and_which_version_did_not_stay(door: Doorstep) -> None:
    back = {"version": "0.1.9", "change": "cd" * 16, "chosen": False}
    offers(door, offer={**OFFER, "withdrawn": True}, back=back)
    said = door("update").out
    assert "0.2.1 was begun here before and did not stay." in said
    assert "did not go back" not in said
    for reason in (*ReversalRefusal, None):
        offers(door, back={**back, "ended": "a\x1bfuture reason" if reason is None else reason.value})
        lines = door("update").out.splitlines()
        told = lines[lines.index("The doorbell did not go back to 0.1.9.") + 1]
        assert told == ("a\ufffdfuture reason" if reason is None else _ENDED[reason.value])


def test_a_doorbell_without_updates_says_so_and_nothing_can_be_chosen(door: Doorstep) -> None:
    assert door("enrol", "--yes").status == 0
    assert "its configuration has no [updates]" in door("update").out
    assert door("update", "--install", "--yes").status == 1


def test_the_choice_names_version_and_bytes_and_is_signed(door: Doorstep) -> None:
    assert door("enrol", "--yes").status == 0
    offers(door)
    done = door("update", "--install", "--yes")
    assert (done.status, "Chosen: 0.2.1" in done.out) == (0, True)
    statement = door.device.statements[-1]
    assert isinstance(statement, UpdateChoice)
    assert (statement.version, statement.sha256) == ("0.2.1", SHA)
    offers(door, chosen=True, automatic=True)
    said = door("update").out
    assert "It is chosen" in said
    assert "Security updates are installed without asking." in said
    assert json.loads(door("update", "--install", "--yes", "--json").out) == {"chosen": "0.2.1"}


def test_a_way_back_names_both_versions_and_the_change_and_is_signed(door: Doorstep) -> None:
    assert door("enrol", "--yes").status == 0
    offers(door)
    assert "There is no version before this one." in door("update", "--back", "--yes").out
    back = {"version": "0.1.9", "change": "cd" * 16, "chosen": False}
    for refused, remedy in (("fault", "sudo doorward update back"), ("owners", "update forget-owners")):
        offers(door, back={**back, "refused": refused})
        done = door("update", "--back", "--yes")
        assert (done.status, remedy in done.out) == (1, True)
    offers(door, back=back)
    done = door("update", "--back", "--yes")
    assert (done.status, "Chosen: 0.1.9" in done.out) == (0, True)
    statement = door.device.statements[-1]
    assert isinstance(statement, UpdateReversal)
    assert (statement.version, statement.before, statement.change) == ("0.2.0", "0.1.9", "cd" * 16)
    assert door("update", "--back", "--install").status == 2
