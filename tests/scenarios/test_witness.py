"""The witness that every scenario ends with notices a leak: each kind of it is planted once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from agent.core.ledger.entries import EntryKind, LedgerEntry, decode_entry
from agent.mqtt import BusSettings, MqttBus
from agent.wire import strictjson
from agent.wire.topics import ChunkVerb, ReceiptTopic, UploadTopic, UploadVerb
from agent.wire.uploads import UploadNote
from tests.custodians import REPLY_IDENTITY, Door
from tests.scenarios.street import Street, a_street, until
from tests.scenarios.witness import Accounted, Auditor, Heard, Leak
from tests.wire import samples

CHUNK = 700


@dataclass(frozen=True)
class Upload:
    """One disclosure as it leaves, and what the ledger holds."""

    ledger: list[LedgerEntry]
    parts: dict[int, bytes]
    disclosure: str
    requester: str = "harbour-police"
    device: str = samples.DEVICE_KEY.id

    def topic(self, part: int, verb: UploadVerb | ChunkVerb) -> str:
        return str(UploadTopic(self.requester, self.device, self.disclosure, part, verb))

    def note(self, part: int, verb: UploadVerb) -> Heard:
        data = self.parts[part]
        digest = hashlib.sha256(data).hexdigest()
        note = UploadNote(v=1, parts=len(self.parts), size_bytes=len(data), sha256=digest)
        return self.topic(part, verb), strictjson.encode(note)

    def chunk(self, part: int, offset: int, data: bytes) -> Heard:
        return self.topic(part, ChunkVerb(offset, hashlib.sha256(data).hexdigest())), data

    def chunks(self, part: int) -> list[Heard]:
        data = self.parts[part]
        return [self.chunk(part, at, data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]

    def said(self) -> list[Heard]:
        said = [self.note(0, UploadVerb.INIT)]
        for part in self.parts:
            said += [*self.chunks(part), self.note(part, UploadVerb.FIN)]
        return [*said, (self.topic(0, UploadVerb.INIT), b"")]

    def audit(self, heard: list[Heard], outbox: Path = Path("/nowhere")) -> Accounted:
        return Auditor(samples.DEVICE_KEY, self.ledger, lambda *_: REPLY_IDENTITY, outbox).audit(heard)


@pytest.fixture(scope="module")
def upload() -> Iterator[Upload]:
    door = Door.enrolled()
    asked = door.ask()
    disclosure = door.approve(asked, *door.stored(asked).segments[:2]).disclosure or ""
    assert door.begin(disclosure)
    yield Upload([decode_entry(leaf) for leaf in door.journal.leaves()], door.outbox.objects[disclosure], disclosure)
    door.close()


def test_what_was_approved_is_accounted_for_to_the_last_byte_however_often_it_is_sent(upload: Upload) -> None:
    total = sum(map(len, upload.parts.values()))
    assert len(upload.parts) == 3
    assert upload.audit(upload.said()) == Accounted(len(upload.said()), 1, total, 0)
    assert upload.audit(upload.said() * 2).whole_bytes == total
    assert upload.audit([]) == Accounted()


def test_what_was_cut_off_is_held_against_the_outbox(upload: Upload, tmp_path: Path) -> None:
    begun = [*upload.chunks(0)[:1], *upload.chunks(1)[:2]]
    assert upload.audit(begun).unfinished_bytes == sum(len(piece) for _, piece in begun)
    (tmp_path / upload.disclosure).mkdir()
    for number, data in upload.parts.items():
        (tmp_path / upload.disclosure / str(number)).write_bytes(data)
    assert upload.audit(begun, tmp_path).unfinished_bytes == 0
    with pytest.raises(Leak, match="not in the outbox"):
        upload.audit([upload.chunk(1, 0, b"something else")], tmp_path)


def without(upload: Upload, kind: EntryKind) -> Upload:
    return replace(upload, ledger=[entry for entry in upload.ledger if entry.kind is not kind])


def changed(upload: Upload, part: int, data: bytes) -> list[Heard]:
    return replace(upload, parts={**upload.parts, part: data}).said()


def another(upload: Upload, part: int) -> bytes:
    data = upload.parts[part]
    return data[:-1] + bytes([data[-1] ^ 1])


LEAKS: dict[str, Callable[[Upload], object]] = {
    "a disclosure nobody approved": lambda u: u.audit(replace(u, disclosure="00" * 16).said()),
    "before it was ledgered as approved": lambda u: without(u, EntryKind.APPROVED).audit(u.said()),
    "before it was ledgered as sealed": lambda u: without(u, EntryKind.SEALED).audit(u.said()),
    "before its beginning was ledgered": lambda u: without(u, EntryKind.SENDING).audit(u.said()),
    "to another requester": lambda u: u.audit(replace(u, requester="harbour-fire").said()),
    "in another doorbell's name": lambda u: u.audit(replace(u, device="0" * 16).said()),
    "on a receipt's topic": lambda u: u.audit([(str(ReceiptTopic(u.device, u.disclosure)), b"")]),
    "on a topic of its own": lambda u: u.audit([("doorward/v1/status", b"online")]),
    "an object that is not the sealed one": lambda u: u.audit(changed(u, 0, another(u, 0))),
    "a chunk that is not what its topic says": lambda u: u.audit([(u.chunks(1)[0][0], b"something else")]),
    "other bytes the second time": lambda u: u.audit([*u.said(), u.chunk(1, 0, b"x" * CHUNK)]),
    "one changed byte in a part": lambda u: u.audit(changed(u, 1, another(u, 1))),
    "one byte too many": lambda u: u.audit([*u.said(), u.chunk(2, len(u.parts[2]), b"\0")]),
    "a segment in another's place": lambda u: u.audit(changed(u, 1, u.parts[2])),
    "a part that was not chosen": lambda u: u.audit([*u.said(), u.chunk(3, 0, b"the third segment")]),
    "a piece beyond the end": lambda u: u.audit([*u.chunks(0), u.chunk(2, len(u.parts[2]), b"\0")]),
    "something in an abort": lambda u: u.audit([(u.topic(0, UploadVerb.ABORT), b"psst")]),
    "something in a note": lambda u: u.audit([(u.topic(1, UploadVerb.FIN), b'{"psst":1}')]),
    "an approval that is not the ledgered one": lambda u: misledgered(u).audit(u.said()),
}


def misledgered(upload: Upload) -> Upload:
    """The ledger holds another approval of the same disclosure."""
    other = [
        msgspec.structs.replace(entry, subject="00" * 32) if entry.kind is EntryKind.APPROVED else entry
        for entry in upload.ledger
    ]
    return replace(upload, ledger=other)


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_noticed(upload: Upload, leak: str) -> None:
    with pytest.raises(Leak):
        LEAKS[leak](upload)


def publish_as(street: Street, payload: bytes) -> None:
    """With the doorbell's own certificate, behind its back."""
    files = street._files
    bus = MqttBus(
        BusSettings(
            host="127.0.0.1",
            port=street.broker.device_port,
            name=street.device.id,
            authority=files.authority,
            certificate=files.certificate,
            key=files.key,
        )
    )
    bus.start()
    try:
        verb = ChunkVerb(0, hashlib.sha256(payload).hexdigest())
        topic = str(UploadTopic("rijnstad-police", street.device.id, "ab" * 16, 1, verb))
        until(lambda: bus.publish(topic, payload, token=1, retain=False), "the broker to take it")
        until(lambda: bus.next_event(0.1) is None, "the broker to answer")
    finally:
        bus.stop()


@pytest.mark.broker
def test_a_byte_that_leaves_a_real_doorbells_account_unapproved_fails_the_scenario(tmp_path: Path) -> None:
    with pytest.raises(Leak, match="no approval"), a_street(tmp_path) as street:
        publish_as(street, b"footage")
