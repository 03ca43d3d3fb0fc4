"""Runs inside the container, with the installed environment: an owner and a requester around the installed doorbell.

own      the owner enrols                                record N   wait until N segments are sealed
enrol    the owner enrols, and trusts the police
ask      the police ask, the owner approves two segments, the police receive, open and verify them
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.clients.broker.broker_pki import BrokerPki, ClientFiles
from agent.clients.owner.decisions import approve
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.review import RequestReview
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle
from agent.clients.requester.identity import Requester
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetStatus, ListRequests
from agent.wire.fields import Kind
from tests.scenarios.street import Asker

HOME = Path("/root/people")
CONTROL = Path("/var/lib/doorward/custodian/control.sock")
CONFIGURATION = "/etc/doorward/doorward.toml"
PATIENCE_S = 300.0
BROKER = Path("/etc/mosquitto/doorward")


class _Requesters:
    """As much of a broker as an asker asks for."""

    requester_port = 8884


class _Pki:
    def add_requester(self, name: str, now: datetime.datetime, *, request: bytes) -> ClientFiles:
        pki = BrokerPki(BROKER)
        made = pki.client(name)
        return made if made.certificate.exists() else pki.add_requester(name, now, request=request)

    def client(self, name: str) -> ClientFiles:
        return BrokerPki(BROKER).client(name)


class House:
    """Stands in for a street, for `Asker`."""

    folder = HOME
    broker = _Requesters()
    pki = _Pki()

    def __init__(self) -> None:
        self.now = datetime.datetime.now(datetime.UTC)
        self.askers: dict[str, Asker] = {}


def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
    return found


def status() -> dict[str, Any]:
    with DeviceLink(CONTROL) as link:
        return link.document(GetStatus())


def do_enrol() -> dict[str, Any]:
    HOME.mkdir()
    owner = OwnerKeys.create(HOME / "owner", name="owner-1")
    police = Asker(House(), "police", Kind.POLICE)  # type: ignore[arg-type]
    with DeviceLink(CONTROL) as link:
        enrol(link, owner)
        add_trust_root(link, owner, police.root.text)
        offer_bundle(link, owner, police.bundle)
    return {"owner": "enrolled"}


def do_own() -> dict[str, Any]:
    HOME.mkdir()
    with DeviceLink(CONTROL) as link:
        enrol(link, OwnerKeys.create(HOME / "owner", name="owner-1"))
    return {"owner": "enrolled"}


def do_record(count: int) -> dict[str, Any]:
    started = time.monotonic()
    before = status()["vault"]["segments"]
    while status()["vault"]["segments"] < before + count:
        waited_s = time.monotonic() - started
        assert waited_s < PATIENCE_S, f"waited in vain for {count} more segments; the recorder: {status()['recorder']}"
        # For any camera picture, a press is an event; while one lasts, another press changes nothing.
        subprocess.run([sys.executable, "-m", "firmware_bridge", "--config", CONFIGURATION, "press"], check=True)
        time.sleep(2)
    return {"segments": status()["vault"]["segments"], "seconds": round(time.monotonic() - started, 1)}


def do_state(request: str) -> dict[str, Any]:
    with DeviceLink(CONTROL) as link:
        listed = link.document(ListRequests(all=True))["requests"]
    return {"state": next((each["state"] for each in listed if each["id"] == request), "")}


def do_ask() -> dict[str, Any]:
    police = Asker.__new__(Asker)  # the one that do_enrol made, from its folder
    police._street = House()  # type: ignore[assignment]
    police.requester = Requester.open(HOME / "police")
    police._files = House.pki.client("police")
    until(lambda: status()["link"]["link"] == "connected", "the link")
    request = police.ask(f"2026-{int(time.time()) % 10_000}")

    def state() -> str:
        # In another process, because a link takes the custodian's rights for a moment, and the requester's thread
        # would lose its own for as long.
        words = [sys.executable, "-m", "tests.install.inside", "state", request.id]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return str(json.loads(done.stdout.partition("INSIDE ")[2])["state"])

    until(lambda: state() == "pending", "the request to match")
    owner = OwnerKeys.load(HOME / "owner")
    with DeviceLink(CONTROL) as link:
        review = RequestReview.fetch(link, owner, request.id)
        chosen = [each.id for each in review.segments[:2]]
        disclosure = approve(link, owner, review, chosen)
    news: list[ReceiverEvent] = []
    with police.receiving(news):
        until(lambda: state() == "sent", "the receipt")
    opened = open_disclosure(police.requester, disclosure, now_s=request.not_after_s)
    assert opened.verification.ok
    return {"segments": len(opened.verification.segments), "mp4s": len(opened.mp4s)}


if __name__ == "__main__":
    steps: dict[str, Callable[..., dict[str, Any]]] = {
        "own": do_own,
        "enrol": do_enrol,
        "record": lambda count: do_record(int(count)),
        "ask": do_ask,
        "state": do_state,
    }
    print("INSIDE " + json.dumps(steps[sys.argv[1]](*sys.argv[2:])))
