"""The page's list of what left, run in node: it shows what owners signed and believes no doorbell with another list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.wire import strictjson
from agent.wire.control import encode_approval
from agent.wire.identities import private_key_from_seed
from tests import custodians
from tests.custodian.test_tips import tip, with_tips
from tests.custodian.test_two_owners import co_approval
from tests.custodians import APPROVER, DEVICE, Door, signed
from tests.web.test_the_program import node
from tests.wire import samples

pytestmark = pytest.mark.interop

BO = private_key_from_seed(b"b" * 32)
LIE = "error.other-shared"


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.custodian.control._trust.accept(signed(with_tips(), custodians.ROOT))
    yield made
    made.close()


def case(door: Door, name: str, disclosure: Any, *kept: Any) -> dict[str, Any]:
    """One list as an owner has opened it."""
    return {
        "name": name,
        "enrolments": [each.decode() for each in door.custodian.enrolments.envelopes],
        "entries": door.entries(),
        "disclosure": disclosure,
        "opened": strictjson.encode_base64(encode_approval(*kept)),
    }


def listed(tmp_path: Path, *cases: dict[str, Any]) -> dict[str, Any]:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"device": samples.DEVICE_KEY.text, "cases": cases}))
    return node("left.mjs", str(path))


def test_the_page_lists_what_owners_signed_and_notices_a_doorbell_that_lies(door: Door, tmp_path: Path) -> None:
    asked = door.ask()
    approval, headers = custodians.approval(door, asked, *door.segments[:2])
    disclosure = door.obey(approval, headers).disclosure
    sent, headers = tip(door, door.segments[2])
    door.obey(sent, headers)
    other, _ = custodians.approval(door, asked, door.segments[2])
    yes = signed(approval, APPROVER)
    lines = tuple(door.vault.record(name).line for name in door.segments)
    found = listed(
        tmp_path,
        case(door, "honest", disclosure, yes, None, lines[:2]),
        case(door, "of a tip", sent.tip, signed(sent, APPROVER), None, lines[2:]),
        case(door, "signed by the device", disclosure, signed(approval, DEVICE), None, lines[:2]),
        case(door, "another yes of the same owner", disclosure, signed(other, APPROVER), None, lines),
        case(door, "a tip for an approval", disclosure, signed(sent, APPROVER), None, lines),
        case(door, "without a record", disclosure, yes, None, lines[:1]),
    )
    spans = [door.vault.record(name).record.span for name in door.segments]  # type: ignore[union-attr]
    assert found["honest"]["by"] == "anna"
    assert [(each["kind"], each["id"], each["start"]) for each in found["honest"]["items"]] == [
        ("film", name, span.start_ms) for name, span in zip(door.segments[:2], spans, strict=False)
    ]
    assert [each["id"] for each in found["of a tip"]["items"]] == [door.segments[2]]
    lies = ("signed by the device", "another yes of the same owner", "a tip for an approval", "without a record")
    assert {name: found[name] for name in lies} == dict.fromkeys(lies, LIE)
    assert found["mergeItems"] == [
        ["still", 0, 5000], ["film", 0, 9000], ["still", 9000, 14_000], ["film", 9000, 12_000],
        ["film", 20_000, 21_000],
    ]  # fmt: skip


def test_the_page_tells_of_a_request_what_the_ledger_says_of_it_and_of_no_other_with_its_id(tmp_path: Path) -> None:
    assert listed(tmp_path)["entriesOf"] == {
        "11": [["received", "police"], ["matched", "police"]],
        "bb": [["received", "insurer"], ["denied", "insurer"]],
        "none": [],
    }


def test_where_it_took_two_the_page_wants_both_yes(tmp_path: Path) -> None:
    door = Door.enrolled()
    door.enrol(**custodians.two_owners(door, BO))
    asked, elsewhere = door.ask(), door.ask()
    approval, headers = custodians.approval(door, asked, door.segments[0])
    door.obey(approval, headers)
    second = co_approval(asked, approval)
    disclosure = door.obey(second, by=BO).disclosure
    yes, line = signed(approval, APPROVER), (door.vault.record(door.segments[0]).line,)
    found = listed(
        tmp_path,
        case(door, "both", disclosure, yes, signed(second, BO), line),
        case(door, "one hidden", disclosure, yes, None, line),
        case(door, "the same owner twice", disclosure, yes, signed(second, APPROVER), line),
        case(door, "to something else", disclosure, yes, signed(co_approval(elsewhere, approval), BO), line),
    )
    assert (found["both"]["by"], found["both"]["second"]) == ("anna", "bo")
    lies = ("one hidden", "the same owner twice", "to something else")
    assert {name: found[name] for name in lies} == dict.fromkeys(lies, LIE)
    door.close()
