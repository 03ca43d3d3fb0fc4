"""The whole of Doorward, for real: from a press of the doorbell to footage opened by exactly the one who may.

Everything here is real. The broker is mosquitto with TLS 1.3 and certificates, the footage is people walking, the
device is a separate process that is killed without warning in the middle of its work, and the witness to the
publications is the broker's own log.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.clients.media.join import probe
from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.owner.decisions import approve
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.review import RequestReview
from agent.clients.owner.sealed_footage import open_captured
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent, ReceiverEventKind
from agent.core.media import VideoCodec
from agent.errors import OpenError
from agent.ipc.control_operations import GetSegment
from agent.media.capture_signature import verify_capture
from agent.wire.capture_certificate import capture_verifier
from agent.wire.disclosures import SecondSignature
from agent.wire.fields import Kind
from tests.interop.onvif import units_of_file
from tests.scenarios.street import DOOR, NO_CAMERA, Asker, SlowLink, Street, a_street, until
from tests.second_reader import capture as second_reader
from tests.traces import traces

pytestmark = [pytest.mark.broker, pytest.mark.footage]

KILLED_AFTER_BYTES = (30_000, 250_000, 500_000)
"""Bytes of the upload that have left each time the device loses its power: in the manifest, and within two segments."""


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with a_street(tmp_path) as found:
        yield found


def test_from_the_doorbell_to_an_opened_disclosure(street: Street, footage: Path) -> None:
    police = Asker(street, "rijnstad-police", Kind.POLICE)

    # A visitor rings. The footage is sealed as it is written, to keys that are not in the doorbell.
    street.record(footage, ring_after_s=10, trusting=[police])

    # A request comes, to everybody in an area, signed by someone the owner trusts.  Only this door knows it lies there.
    street.start_agent(street.configuration(NO_CAMERA))
    request = police.ask("2026-1177", north=0.001)
    until(lambda: street.state_of(request) == "pending", "the request to match")
    assert street.published() == []

    # The owner looks at exactly what matches, in their own client, and chooses some of it.
    with street.owners_link() as link:
        review = RequestReview.fetch(link, street.owner, request.id)
        assert review.requester.name == "The rijnstad-police"
        assert any(review.open(each.id).context.label == "button" for each in review.segments)
        chosen = [each.id for each in review.segments[3:7]]
    street.stop_agent()

    # The owner says yes, over a slow line; and three times the power goes while it uploads.
    slow = SlowLink(street.broker.device_port, bytes_per_s=300_000)
    try:
        line = street.configuration(NO_CAMERA, port=slow.port)
        street.start_agent(line)
        with street.owners_link() as link:
            disclosure = approve(link, street.owner, RequestReview.fetch(link, street.owner, request.id), chosen)
        approved = street.outbox_bytes(disclosure)
        news: list[ReceiverEvent] = []
        for bytes_sent in KILLED_AFTER_BYTES:
            with police.receiving(news):  # the requester restarts every time as well
                until(lambda least=bytes_sent: street.published_bytes() >= least, f"{bytes_sent} bytes to leave")  # type: ignore[misc]
                street.kill_agent()
            assert street.outbox_bytes(disclosure) == approved  # what is sent again is what was sent before
            street.start_agent(line)
        with police.receiving(news):
            until(lambda: street.state_of(request) == "sent", "the requester's receipt")
    finally:
        slow.close()

    # The requester has it: once, and byte for byte what the owner's approval fixed.
    assert [each.kind for each in news].count(ReceiverEventKind.COMPLETE) == 1
    received = police.requester.folder / "disclosures" / disclosure
    assert street.published_bytes() > sum(map(len, approved))  # the cuts did hit the upload: some of it left twice
    assert [(received / f"{number}.age").read_bytes() for number in range(len(approved))] == approved
    opened = open_disclosure(police.requester, disclosure, now_s=request.not_after_s)
    assert opened.verification.ok
    assert [each.item.part.id for each in opened.verification.segments] == chosen
    # The doorbell found each record covered in the true vault.
    assert {each.item.second for each in opened.verification.items} == {SecondSignature.COVERED}
    assert opened.merged is not None
    assert probe(opened.merged).frames == sum(probe(path).frames for path in opened.mp4s) > 0
    # Each film, and the one that they were joined to, carries the recorder's own signatures of its pictures.
    assert all(each.capture is not None and each.capture.is_whole for each in opened.verification.segments)
    joined = verify_capture(units_of_file(opened.merged), VideoCodec.H264, partial(capture_verifier, street.device))
    assert joined.is_whole
    assert joined.signed == sum(each.capture.signed for each in opened.verification.segments if each.capture)
    for path in opened.mp4s:
        hevc, units = second_reader.units_of(path.read_bytes())
        assert second_reader.judge(units, hevc, street.device.raw).whole
    # The door's place within the area is absent from everything they have.
    assert traces(police.requester.folder, [str(DOOR[0])]) == []

    # It opens what was chosen and nothing else: a segment that stayed is as closed to the police as to a thief.
    reply: HybridIdentity = police.requester.sent_request(request.id).reply_identity()
    with street.owners_link() as link:
        stayed = next(each for each in review.segments if each.id not in chosen)
        _, sealed = link.fetch(GetSegment(stayed.id))
        with pytest.raises(OpenError):
            open_bytes(sealed, [reply])
        open_captured(stayed.signed, sealed, [street.owner.identity], device=street.device.id)

        # And the ledger tells it in the order in which it happened, once each, to anyone who remembers how it began.
        told = [entry.kind.value for entry in read_ledger(link, street.owner).entries if entry.request == request.id]
        assert told == ["received", "matched", "approved", "sealed", "sending", "receipt"]
        seen = RequestReview.fetch(link, street.owner, request.id)
        assert seen.receipt is not None

    # A thief who takes the doorbell finds no word of the question, in any file; its owner still reads all of it.
    asked = seen.request
    words = (asked.case, asked.description, asked.contact.name, str(asked.contact.phone or asked.contact.email))
    assert traces(street.state_dir, words) == []
