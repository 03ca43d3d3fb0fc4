"""An owner tells one requester something, unasked: carriers cannot learn the content, and the requester cannot learn
the sender."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.media.join import probe
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.outgoing_tips import send_tip
from agent.clients.owner.segment_sources import DeviceVault
from agent.clients.requester.incoming_tips import open_tip
from agent.clients.requester.receiving_service import ReceiverEvent, ReceiverEventKind
from agent.ipc.control_operations import ListTips
from agent.wire.fields import Kind
from agent.wire.topics import ANONYMOUS
from tests.scenarios.street import NO_CAMERA, Asker, Street, a_street, until

pytestmark = [pytest.mark.broker, pytest.mark.footage]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with a_street(tmp_path) as found:
        yield found


def test_a_tip_goes_to_one_requester_and_names_nobody(street: Street, footage: Path, tmp_path: Path) -> None:
    police, fire = Asker(street, "rijnstad-police", Kind.POLICE), Asker(street, "rijnstad-fire", Kind.FIRE)
    street.record(footage, ring_after_s=10, trusting=[police, fire], lasts_s=25)
    street.start_agent(street.configuration(NO_CAMERA))
    assert street.published() == []

    # Words alone, and footage with words: both to the police, each ledgered before it leaves.
    with street.owners_link() as link:
        first = DeviceVault(link, street.device).listed()[0]
        words = send_tip(link, street.owner, "rijnstad-police", "A white van waits there every night.")
        shown = send_tip(link, street.owner, "rijnstad-police", "Look.", segments=[first.id], posters=[first.id])
    news: list[ReceiverEvent] = []
    with police.receiving(news):
        until(lambda: [each.kind for each in news].count(ReceiverEventKind.TIP) == 2, "both tips to arrive")
        with street.owners_link() as link:
            until(lambda: {each.state for each in link.ask(ListTips()).tips} == {"sent"}, "the receipts")

    # A listener at the broker hears no name of the doorbell's; the requester reads words, and plays the shown footage.
    assert all(f"/{ANONYMOUS}/" in message.topic for message in street.published())
    told = open_tip(police.requester, words)
    assert (told.text, told.device, told.files) == ("A white van waits there every night.", None, ())
    seen = open_tip(police.requester, shown)
    assert (seen.text, seen.device) == ("Look.", street.device.id)
    (tmp_path / "segment.mp4").write_bytes(seen.files[0].data)
    assert probe(tmp_path / "segment.mp4").frames > 0
    assert seen.files[1].data.startswith(b"\xff\xd8\xff")
    with street.owners_link() as link:
        kinds = [entry.kind.value for entry in read_ledger(link, street.owner).entries if entry.request == words]
    assert kinds == ["tip", "sealed", "sending", "receipt"]
