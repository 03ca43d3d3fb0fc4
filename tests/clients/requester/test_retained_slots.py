"""Slots: each message keeps its place in a cell, the one that ends first makes room, and the file says all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.errors import ConfigurationError, StorageError
from agent.wire.topics import BULLETIN_SLOTS, REQUEST_SLOTS

CELL = "287-379"


def named(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def slots(tmp_path: Path) -> TopicSlots:
    return TopicSlots(FolderNotes(tmp_path))


def written(tmp_path: Path, kind: str = "requests", cell: str = CELL) -> str:
    return (tmp_path / "slots" / f"{kind}.{cell}").read_text()


def test_each_message_has_a_line_with_its_slot_and_its_end_in_order(slots: TopicSlots, tmp_path: Path) -> None:
    assert [slots.take(SlotKind.REQUESTS, CELL, named(number), 5000 - number) for number in range(12)] == [*range(12)]
    assert written(tmp_path) == "".join(f"{number} {named(number)} {5000 - number}\n" for number in range(12))
    assert slots.take(SlotKind.REQUESTS, CELL, named(3), 9000) == 3, "it keeps its slot for longer"
    assert f"3 {named(3)} 9000\n" in written(tmp_path)
    assert (tmp_path / "slots" / "lock").exists()


@pytest.mark.parametrize("kind", SlotKind)
def test_the_message_that_ends_first_makes_room(slots: TopicSlots, kind: SlotKind) -> None:
    most = {SlotKind.REQUESTS: REQUEST_SLOTS, SlotKind.BULLETINS: BULLETIN_SLOTS}[kind]
    assert kind.slots == most
    ends = {number: 1000 + (number * 7) % most for number in range(most)}
    for number, end_s in ends.items():
        assert slots.take(kind, CELL, named(number), end_s) == number
    first, second, *_ = sorted(ends, key=ends.__getitem__)
    assert slots.take(kind, CELL, named(200), 9000) == first
    assert slots.take(kind, CELL, named(201), 9000) == second
    assert slots.held(kind, CELL, named(first)) is None
    assert slots.held(kind, CELL, named(200)) == first
    assert slots.take(kind, "287-380", named(first), 9000) == 0, "each cell has its own slots"


def test_all_messages_with_a_slot_are_listed_and_other_files_are_not(slots: TopicSlots, tmp_path: Path) -> None:
    assert list(slots.all()) == []
    assert slots.held(SlotKind.REQUESTS, CELL, named(1)) is None
    slots.take(SlotKind.REQUESTS, CELL, named(1), 5000)
    slots.take(SlotKind.REQUESTS, CELL, named(2), 6000)
    slots.take(SlotKind.BULLETINS, "0-0", named(1), 7000)
    for other in ("requests", "requests.287", "requests.a-b", "requests.287-379.bak", "tips.287-379"):
        (tmp_path / "slots" / other).write_text("not slots")
    assert list(slots.all()) == [
        (SlotKind.BULLETINS, "0-0", 0, named(1), 7000),
        (SlotKind.REQUESTS, CELL, 0, named(1), 5000),
        (SlotKind.REQUESTS, CELL, 1, named(2), 6000),
    ]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (SlotKind.REQUESTS, f"{REQUEST_SLOTS} {named(1)} 5"),
        (SlotKind.BULLETINS, f"{BULLETIN_SLOTS} {named(1)} 5"),
        (SlotKind.REQUESTS, f"0 {named(1)}"),
        (SlotKind.REQUESTS, "0 1 5"),
        (SlotKind.REQUESTS, ""),
        (SlotKind.REQUESTS, "\xff"),
    ],
)
def test_a_damaged_file_is_named_and_not_written_over(
    slots: TopicSlots, tmp_path: Path, kind: SlotKind, line: str
) -> None:
    path = tmp_path / "slots" / f"{kind.value}.{CELL}"
    path.parent.mkdir()
    path.write_bytes(f"1 {named(2)} 5\n{line}\n".encode("latin-1"))
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=re.escape(f"{path} is damaged.")) as raised:
        slots.take(kind, CELL, named(3), 9)
    assert raised.value.remedy == "Restore it from a backup, or remove it."
    with pytest.raises(ConfigurationError, match="is damaged"):
        slots.held(kind, CELL, named(2))
    assert path.read_bytes() == before


def test_the_last_slot_of_each_kind_can_be_read(slots: TopicSlots, tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    for kind, last in ((SlotKind.REQUESTS, REQUEST_SLOTS - 1), (SlotKind.BULLETINS, BULLETIN_SLOTS - 1)):
        (tmp_path / "slots" / f"{kind.value}.{CELL}").write_text(f"{last} {named(1)} 123456789012\n")
        assert slots.held(kind, CELL, named(1)) == last


def test_a_file_beyond_its_limit_is_not_read(slots: TopicSlots, tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    (tmp_path / "slots" / f"requests.{CELL}").write_text(f"0 {named(1)} 5\n" * 1000)
    with pytest.raises(StorageError):
        slots.take(SlotKind.REQUESTS, CELL, named(1), 9)
