"""A requester with a request, and a house that filmed something: what most tests here begin with."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.request_builder import RequestDraft
from agent.core.media import Gop, StreamDescription
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.wire.area import Circle
from agent.wire.fields import Incident, Kind, OnwardKind
from agent.wire.messages import Contact, Onward
from tests.cameras import gops_of, play
from tests.clients.requester.house import Changes, House
from tests.once import value_made_once

if TYPE_CHECKING:
    from tests.clients.requester.full_answer import FullAnswer

NOW_S = 1_800_000_000
ROOT_ID = "00112233445566aa"
DESCRIPTION = StreamDescription(320, 180, 10, 320, 176, False)


def question(**changes: object) -> RequestDraft:
    values = {
        "area": Circle(lat=52.3702, lon=4.8952, radius_m=300),
        "from_s": NOW_S - 7200,
        "to_s": NOW_S - 3600,
        "not_after_s": NOW_S + 7 * 86_400,
        "case": "2027-0114",
        "incident": Incident.BURGLARY,
        "description": "A burglary in the street; somebody may have passed your door.",
        "contact": Contact(name="Det. R. Visser", email="r.visser@rijnstad.example"),
        "retention_days": 90,
        "onward": Onward(to=(OnwardKind.COURT, OnwardKind.RECORDS)),
        "language": "en",
    }
    return RequestDraft(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def gops(tmp_path_factory: pytest.TempPathFactory) -> list[Gop]:
    """Twelve seconds of the drawn porch, a GOP a second."""
    camera = ScriptedCamera([Visit(0.5), Visit(7.0)], duration_s=12, size_px=(320, 180))
    return value_made_once(tmp_path_factory, "porch-12s", lambda: gops_of(play(camera)[1]))


@pytest.fixture(scope="session")
def who_asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a requester with one request, and its id. No test may change it: they take copies."""
    requester = make_requester(tmp_path_factory.mktemp("asked"))
    # The limits measure the area, which takes as long as the rest. tests/clients/requester/test_request_builder.py and
    # test_messages.py check them.
    return requester.folder, messages.make_request(requester, question(), now_s=NOW_S, checked=False).id


def make_requester(folder: Path) -> Requester:
    return Requester.create(folder / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID)


@pytest.fixture
def requester(tmp_path: Path, request: pytest.FixtureRequest) -> Requester:
    """A new requester, or a copy of one that has asked, if the test takes its request."""
    if "who_asked" not in request.fixturenames:
        return make_requester(tmp_path)
    folder, _ = request.getfixturevalue("who_asked")
    return Requester.open(shutil.copytree(folder, tmp_path / "requester"))


@pytest.fixture
def asked(requester: Requester, who_asked: tuple[Path, str]) -> SentRequest:
    return requester.sent_request(who_asked[1])


def filmed(gops: list[Gop], changes: Changes | None = None, **values: object) -> House:
    """Two clips: the first of two segments, the second of one."""
    house = House((NOW_S - 6000) * 1000, changes=changes or Changes(), **values)  # type: ignore[arg-type]
    first = house.record(DESCRIPTION, gops[0:3])
    house.record(DESCRIPTION, gops[3:5], event=first[0].record.record.event, poster=False)
    house.record(DESCRIPTION, gops[8:11])
    return house


_FILMED: dict[int, House] = {}
"""By the list of GOPs. No test may change it."""


@pytest.fixture
def house(gops: list[Gop]) -> House:
    """A copy, because filming takes as long as many a test."""
    if id(gops) not in _FILMED:
        _FILMED[id(gops)] = filmed(gops)
    made = copy.copy(_FILMED[id(gops)])
    made.changes, made.stored, made.reached = copy.copy(made.changes), [*made.stored], dict(made.reached)
    return made


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory, gops: list[Gop]) -> FullAnswer:
    """An answer with everything, made once for all the tests that only read it."""
    from tests.clients.requester.full_answer import full_answer

    return full_answer(tmp_path_factory.mktemp("full") / "requester", gops)
