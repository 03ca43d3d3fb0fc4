"""A folder that the requester's user may not read is named, and never taken for an empty or a missing one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.keys import load_key
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.publisher import is_published
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.clients.requester.roots import KnownRoots
from agent.errors import ConfigurationError, StorageError
from agent.wire.area import Circle
from agent.wire.fields import Kind
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.house import House
from tests.clients.requester.test_known_doorbells import remember
from tests.clients.requester.test_roots import bundle_for
from tests.clients.requester.test_verification import verified
from tests.damage import unreadable
from tests.wire import samples

AREA = Circle(lat=52.3702, lon=4.8952, radius_m=300)
CELL = "287-379"


def refused(folder: Path, look: Callable[[], object]) -> None:
    """Looks into `folder` without permission, then with it."""
    with unreadable(folder), pytest.raises(StorageError, match=f"{folder.name}.*Permission denied") as said:
        look()
    assert "permissions" in str(said.value.remedy)
    look()


@pytest.mark.parametrize(
    "look",
    [
        lambda who, asked: who.sent_request(asked.request.id),
        lambda who, asked: who.sent_request_in(asked.envelope),
        lambda _, asked: asked.withdrawn,
        lambda _, asked: asked.deleted,
        lambda _, asked: asked.reply_identity(),
        lambda who, asked: who.reply_identity(asked.request.id),
        lambda who, _: who.request_ids(),
        lambda who, asked: list(who.sent_requests_in_case(asked.request.case)),
        lambda who, asked: messages.is_stored(who, asked.request.id),
        lambda who, asked: messages.signed(who, asked.request.id),
        lambda who, asked: is_published(who, asked.request.id),
    ],
    ids=[
        "request",
        "request in an answer",
        "withdrawn",
        "deleted",
        "key of an answer",
        "key of an answer by id",
        "list",
        "list of a case",
        "stored",
        "signed",
        "published",
    ],
)
def test_requests(requester: Requester, asked: SentRequest, look: Callable[[Requester, SentRequest], object]) -> None:
    refused(requester.folder / "requests", lambda: look(requester, asked))


def test_an_index_is_not_made_again_without_the_messages(requester: Requester, asked: SentRequest) -> None:
    made = messages.make_bulletin(
        requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 9000, cells=(CELL,)
    )
    shutil.rmtree(requester.folder / "index")
    again = Requester.open(requester.folder)
    refused(requester.folder / "requests", again.register.unsent)
    assert sorted(again.register.unsent()) == sorted([asked.request.id, made.id])


@pytest.mark.parametrize(
    "look",
    [
        lambda who: Requester.open(who.folder),
        lambda who: who.tips_identity(),
        lambda who: who.next_number(),
        lambda who: load_key(who.folder / "signing.key"),
    ],
    ids=["open", "tips", "number", "key"],
)
def test_the_requesters_folder(requester: Requester, look: Callable[[Requester], object]) -> None:
    refused(requester.folder, lambda: look(requester))


def test_no_second_requester_is_made_in_a_folder_that_may_not_be_read(requester: Requester) -> None:
    with unreadable(requester.folder), pytest.raises(StorageError, match=r"requester.*Permission denied"):
        Requester.create(requester.folder, "another", Kind.POLICE)
    with pytest.raises(ConfigurationError, match="already holds a requester"):
        Requester.create(requester.folder, "another", Kind.POLICE)


@pytest.mark.parametrize(
    "look",
    [
        lambda slots, asked: list(slots.all()),
        lambda slots, asked: slots.held(SlotKind.REQUESTS, CELL, asked.request.id),
        lambda slots, asked: slots.take(SlotKind.REQUESTS, CELL, asked.request.id, NOW_S),
    ],
    ids=["all", "held", "take"],
)
def test_slots(requester: Requester, asked: SentRequest, look: Callable[[TopicSlots, SentRequest], object]) -> None:
    refused(requester.folder / "slots", lambda: look(TopicSlots(requester.notes), asked))


@pytest.mark.parametrize(
    "look", [lambda doors, _: doors.all(), lambda doors, door: doors.find(door)], ids=["all", "one"]
)
def test_doorbells(
    requester: Requester, asked: SentRequest, house: House, look: Callable[[KnownDoorbells, str], object]
) -> None:
    remember(requester, verified(requester, asked, house.disclose(asked)))
    doors = KnownDoorbells(requester.notes)
    refused(requester.folder / "doors", lambda: look(doors, doors.all()[0].id))


@pytest.mark.parametrize(
    "look",
    [
        lambda roots: roots.limits_for(samples.ROOT_KEY.id, Kind.POLICE, AREA, NOW_S),
        lambda roots: roots.entry(samples.ROOT_KEY.id, NOW_S),
        lambda roots: roots.ids(),
    ],
    ids=["limits", "entry", "list"],
)
def test_roots(requester: Requester, look: Callable[[KnownRoots], object]) -> None:
    roots = KnownRoots(requester)
    roots.accept(samples.ROOT_KEY.text, bundle_for(requester), NOW_S)
    refused(requester.folder / "roots", lambda: look(roots))
