"""Each function of the owner's page first meets the doorbell, run in node. One that was set back gets no statement.

`tests/clients/owner/test_every_question_begins_with_meeting.py` shows the same of the command line's client.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.custodian.journal_sqlite import SqliteJournal
from agent.errors import DoorwardError
from agent.ipc.rpc import refusal
from agent.wire.control import Frame, parse_frame, write_frame
from agent.wire.statements import OptOut, Scope, TrustChange
from tests.custodian.test_owners_and_trust import trust
from tests.custodians import APPROVER, DOOR, NOW_S, OWNER_IDENTITY, ROOT, Door, bundle, signed, stated
from tests.lengths import LONG
from tests.web.test_the_program import node
from tests.wire import package_vectors, samples

pytestmark = pytest.mark.interop

MEETING = {"device", "enrolment", "enrolments", "checkpoint"}
BACKWARDS, REWRITTEN = "error.went-backwards", "error.ledger-rewritten"
FRAME = "application/vnd.doorward.frame"


@dataclass
class Doorbell:
    """A doorbell with its journal in a file, so that an older copy can take the file's place."""

    folder: Path
    asked: dict[str, list[str]] = field(default_factory=lambda: {"": []})
    """The operations that it was asked while each function of the page ran."""

    def __post_init__(self) -> None:
        self.door = Door(journal=SqliteJournal(self.folder / "journal"))
        self.door.enrol()
        self.door.obey(TrustChange(**stated(), roots_added=(samples.ROOT_KEY.text,)))
        self.door.close()
        shutil.copy(self.folder / "journal", self.folder / "older")
        self.door = Door(journal=SqliteJournal(self.folder / "journal"))
        for _ in range(3):
            self.door.obey(OptOut(**stated(), scope=Scope.ALL))

    def answer(self, path: str, data: bytes) -> tuple[int, bytes]:
        """As the page's server: the status, and the frame."""
        if path == "/set-back":
            self.set_back()
            return 200, b""
        if path.startswith("/calls/"):
            self.asked[path.removeprefix("/calls/")] = []
            return 200, b""
        operation = path.removeprefix("/api/")
        self.asked[next(reversed(self.asked))].append(operation)
        asked = parse_frame(data)
        try:
            return 200, write_frame(
                self.door.custodian.control.answer(Frame({**asked.head, "op": operation}, asked.body))
            )
        except DoorwardError as error:
            return 400, write_frame(refusal(error))

    def set_back(self) -> None:
        self.door.close()
        self.door = Door(journal=SqliteJournal(self.folder / "older"))


class Rewritten(Doorbell):
    """It goes on from its older ledger until that is longer than the one that the page saw."""

    def set_back(self) -> None:
        super().set_back()
        for _ in range(6):
            self.door.obey(OptOut(**stated(), scope=Scope.KIND, value="insurer"))


class Downgraded(Doorbell):
    """Later it shows its ledger as one who can forge Ed25519 by then."""

    is_set_back = False

    def set_back(self) -> None:
        self.is_set_back = True

    def answer(self, path: str, data: bytes) -> tuple[int, bytes]:
        status, body = super().answer(path, data)
        frame = parse_frame(body) if self.is_set_back and path.startswith("/api/") else None
        if frame is not None and frame.head["ok"]:
            self.downgrade(path.removeprefix("/api/"), frame.head["result"])
            body = write_frame(frame)
        return status, body

    def downgrade(self, operation: str, result: dict[str, Any]) -> None:
        if operation == "checkpoint":
            result["checkpoint"] = "".join(result["checkpoint"].splitlines(keepends=True)[:5])


class WithAnotherKey(Downgraded):
    """Its owners did not sign this second key."""

    def downgrade(self, operation: str, result: dict[str, Any]) -> None:
        if operation == "device":
            result["device_mldsa"] = samples.MLDSA_KEY.text


class Moving(Doorbell):
    """It is not set back. It is moved when a story says so."""

    to: tuple[float, float] | None = None

    def set_back(self) -> None:
        pass

    def answer(self, path: str, data: bytes) -> tuple[int, bytes]:
        if path != "/move":
            return super().answer(path, data)
        self.door.custodian.move_to(self.to)
        return 200, b""


FORGED = package_vectors.FORGED


class Exchanged(Moving):
    """An owner removes the root, and adds a line with the same id and another second key."""

    def answer(self, path: str, data: bytes) -> tuple[int, bytes]:
        if path == "/move":
            self.door.obey(TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))
            self.door.obey(TrustChange(**stated(), roots_added=(FORGED.text,)))
            return 200, b""
        return super().answer(path, data)


class WithoutRoots(Moving):
    """Its owners took their only root out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.door.obey(TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))


class Mended(WithoutRoots):
    """An owner removes the false root, and adds the root itself."""

    def answer(self, path: str, data: bytes) -> tuple[int, bytes]:
        if path == "/move":
            self.door.obey(TrustChange(**stated(), roots_removed=(FORGED.text,)))
            self.door.obey(TrustChange(**stated(), roots_added=(samples.ROOT_KEY.text,)))
            return 200, b""
        return super().answer(path, data)


@contextmanager
def served(doorbell: Doorbell) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = doorbell.answer(self.path, self.rfile.read(int(self.headers.get("content-length") or 0)))
            self.send_response(status)
            self.send_header("content-type", FRAME)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def came_of(doorbell: Doorbell, **asked: Any) -> dict[str, Any]:
    """The outcome of the functions in `called`, or of all, after the doorbell was set back. `before`: one called
    earlier."""
    with served(doorbell) as address:
        given = {
            "address": address,
            "nowMs": NOW_S * 1000,
            "device": samples.DEVICE_KEY.text,
            "root": samples.ROOT_KEY.text,
            "request": "0" * 32,
            "name": "anna",
            "identity": str(OWNER_IDENTITY),
            "approval": APPROVER.private_bytes_raw().hex(),
        }
        return node("meeting.mjs", json.dumps(given | asked))


Make = Callable[[type[Doorbell]], Doorbell]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Doorbell] = []

    def make(kind: type[Doorbell]) -> Doorbell:
        made.append(kind(tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.door.close()


OLDER = pytest.mark.parametrize(
    ("kind", "told"),
    [(Doorbell, BACKWARDS), pytest.param(Rewritten, REWRITTEN, marks=LONG)],
    ids=["older", "rewritten"],
)


def enrolments(doorbell: Doorbell) -> int:
    return doorbell.door.kinds().count("recipients-changed")


@OLDER
def test_at_a_later_enrolment_a_doorbell_with_an_older_ledger_gets_no_list_of_owners(
    make: Make, kind: type[Doorbell], told: str
) -> None:
    doorbell = make(kind)
    assert came_of(doorbell, called=["enrolNext"]) == {"enrolNext": told}
    assert set(doorbell.asked["enrolNext"]) <= MEETING
    assert enrolments(doorbell) == 1


@pytest.mark.parametrize("kind", [pytest.param(Doorbell, marks=LONG), Rewritten], ids=["older", "rewritten"])
def test_at_a_later_enrolment_a_doorbell_with_an_older_list_of_owners_gets_no_other(
    make: Make, kind: type[Doorbell]
) -> None:
    """A list that follows the older one could name owners who have left."""
    doorbell = make(kind)
    assert came_of(doorbell, before="enrolNext", called=["enrolNext"]) == {"before": "done", "enrolNext": BACKWARDS}
    assert {"nonce", "enrol", "enrol_confirm"} <= set(doorbell.asked[""]), "the sound doorbell took one"
    assert set(doorbell.asked["enrolNext"]) <= MEETING
    assert enrolments(doorbell) == 1


@OLDER
def test_a_doorbell_that_was_set_back_is_asked_nothing_and_given_nothing(
    make: Make, kind: type[Doorbell], told: str
) -> None:
    doorbell = make(kind)
    came = came_of(doorbell)
    assert len(came) > 15
    assert came == dict.fromkeys(came, told)
    for name in came:
        assert set(doorbell.asked[name]) <= MEETING, name


@pytest.mark.parametrize(("kind", "said"), [(Downgraded, "error.not-signed"), (WithAnotherKey, BACKWARDS)])
def test_a_head_without_the_doorbells_second_signature_is_refused(make: Make, kind: type[Doorbell], said: str) -> None:
    assert came_of(make(kind), called=["readLedger"]) == {"readLedger": said}


def test_a_yes_on_the_page_counts_only_for_the_place_that_the_owner_saw(make: Make) -> None:
    doorbell = make(Moving)
    assert isinstance(doorbell, Moving)
    asked = {"called": ["offerDuringAMove"], "bundle": signed(bundle(2), ROOT).decode()}
    assert came_of(doorbell, **asked) == {"offerDuringAMove": "error.refused"}
    assert trust(doorbell.door).bundles() == []
    doorbell.door.custodian.move_to(DOOR)
    doorbell.to = DOOR
    assert came_of(doorbell, **asked) == {"offerDuringAMove": "done"}
    assert len(trust(doorbell.door).bundles()) == 1


def test_the_page_compares_both_keys_of_a_root_and_not_its_id(make: Make) -> None:
    assert came_of(make(Exchanged), called=["rootExchanged"], forged=FORGED.text) == {
        "rootExchanged": "done",
        "shown": [
            {"key": FORGED.text, "confirmed": False, "requesters": []},
            {"key": samples.ROOT_KEY.text, "confirmed": True, "requesters": []},
        ],
        "offered": [{"key": FORGED.text, "isDisputed": True}],
        "taken": [False, True],
        "typed": "error.other-pair",
    }


def test_a_browser_that_chose_the_false_pair_takes_it_out_and_then_the_root_over_from_the_household(make: Make) -> None:
    line = {"confirmed": True, "isGone": False, "isDisputed": False}
    assert came_of(make(Mended), called=["falseRootExchanged"], forged=FORGED.text) == {
        "falseRootExchanged": "done",
        "shown": [
            {**line, "key": samples.ROOT_KEY.text, "confirmed": False, "isDisputed": True},
            {**line, "key": FORGED.text, "isGone": True, "isDisputed": True},
        ],
        "typed": "error.other-pair",
        "offered": [samples.ROOT_KEY.text],
        "after": [{**line, "key": samples.ROOT_KEY.text}],
    }


def test_on_the_page_a_false_pair_with_the_id_of_a_root_does_not_lock_the_root_out(make: Make) -> None:
    highest = (1 << 53) - 1
    chosen = [
        (FORGED.text, package_vectors.by_forged_pair(bundle(highest)).decode()),
        (samples.ROOT_KEY.text, signed(bundle(2), ROOT).decode()),
    ]
    assert came_of(make(WithoutRoots), called=["rootAfterAFalseOne"], chosen=chosen) == {
        "rootAfterAFalseOne": "done",
        "versions": [highest, 2],
    }


def test_the_page_says_who_signs_for_a_root_and_when_the_keys_changed(make: Make) -> None:
    doorbell = make(WithoutRoots)
    longer = samples.root_file(version=2, expires_s=NOW_S + 700 * 86_400)
    renewed = samples.several(longer, *samples.ROOT_SIGNERS[:2])
    changed = msgspec.structs.replace(package_vectors.ROTATED, version=3, issued_s=NOW_S - 3600, threshold=3)
    new = samples.several(changed, *samples.ROOT_SIGNERS[:2], package_vectors.NEW)
    first, other = package_vectors.FIRST, (package_vectors.ONE, package_vectors.TWO, package_vectors.NEW)
    packages = [
        samples.package(bundle(2), roots=(first, renewed), root=longer),
        samples.package(bundle(2), roots=(first, renewed, new), root=changed, signers=other),
    ]
    came = came_of(doorbell, called=["rootWithOtherKeys"], packages=[each.decode() for each in packages])
    same = {"keys": 3, "least": 2, "changedS": None, "areNew": False}
    rotated = {"keys": 3, "least": 3, "changedS": changed.issued_s, "areNew": True}
    assert came == {"rootWithOtherKeys": "done", "signers": [same, rotated]}
