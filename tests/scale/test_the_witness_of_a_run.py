"""The witness of a run at scale finds each message that breaks a promise, and none that keeps them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from agent.wire import strictjson
from agent.wire.topics import ChunkVerb, HealthTopic, ReceiptTopic, UploadTopic, UploadVerb
from agent.wire.uploads import UploadNote
from tests.scale.wire_witness import WireWitness, secret_pieces

DEVICE, OTHER, POLICE, ANSWER = "a1" * 8, "b2" * 8, "rijnstad-police", "0c" * 16
FILM, PARTS = random.Random(1).randbytes(20_000), (b"sealed manifest", b"sealed film" * 100)


@pytest.fixture
def witness(tmp_path: Path) -> WireWitness:
    """A witness of one approved answer of two parts."""
    folder = tmp_path / ANSWER
    folder.mkdir()
    (folder / "to").write_text(f"{POLICE} {DEVICE}")
    for number, part in enumerate(PARTS):
        (folder / str(number)).write_bytes(part)
    return WireWitness(tmp_path, secret_pieces([FILM]))


def topic(verb: UploadVerb | ChunkVerb, part: int = 1, **other: str) -> str:
    names = {"requester": POLICE, "device": DEVICE, "disclosure": ANSWER} | other
    return str(UploadTopic(part=part, verb=verb, **names))


def chunk(start: int, data: bytes, part: int = 1, **other: str) -> tuple[str, bytes]:
    return topic(ChunkVerb(start, hashlib.sha256(data).hexdigest()), part, **other), data


def note(part: int, **changes: object) -> bytes:
    data = PARTS[part]
    told = {"v": 1, "parts": 2, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} | changes
    return strictjson.encode(UploadNote(**told))  # type: ignore[arg-type]


def test_an_approved_answer_on_its_way_breaks_no_promise(witness: WireWitness) -> None:
    witness.hear(topic(UploadVerb.INIT), note(1, question=3))
    for start in range(0, len(PARTS[1]), 500):
        witness.hear(*chunk(start, PARTS[1][start : start + 500]))
    witness.hear(topic(UploadVerb.FIN, 0), note(0))
    witness.hear(topic(UploadVerb.INIT), b"")
    witness.hear(topic(UploadVerb.ABORT), b"")
    witness.hear(str(ReceiptTopic(DEVICE, ANSWER)), b"signed")
    assert witness.breaches == []
    assert witness.heard == {"upload": 7, "receipt": 1}


@pytest.mark.parametrize(
    ("heard", "breach"),
    [
        (chunk(0, PARTS[1], disclosure="0d" * 16), "approved no such answer"),
        (chunk(0, PARTS[1], requester="other-police"), "another requester"),
        (chunk(0, PARTS[1], device=OTHER), "another requester or doorbell"),
        (chunk(1, PARTS[1]), "other bytes than the sealed part"),
        (chunk(0, PARTS[1] + b"more"), "other bytes than the sealed part"),
        (chunk(0, PARTS[1], part=2), "a part that the answer does not have"),
        ((chunk(0, PARTS[1])[0], PARTS[0]), "other bytes than the topic names"),
        ((topic(UploadVerb.INIT), note(0)), "another part than the sealed one"),
        ((topic(UploadVerb.FIN), note(1, parts=3)), "another answer than the sealed one"),
        ((topic(UploadVerb.FIN), note(1, question=3)), "another answer than the sealed one"),
        ((topic(UploadVerb.FIN, 2), note(1)), "another answer than the sealed one"),
        ((topic(UploadVerb.FIN), b""), "not the note of an upload"),
        ((topic(UploadVerb.FIN), b"I live at 4 Ship Street"), "not the note of an upload"),
        ((topic(UploadVerb.ABORT), b"why"), "a message that carries none"),
        ((str(HealthTopic(DEVICE)), b""), "reports its health"),
        (("doorward/v1/films/1", b""), "no topic of the protocol"),
        ((str(ReceiptTopic(DEVICE, ANSWER)), b"x" * 777 + FILM[3000:9000]), "a piece of a film can be read"),
    ],
)
def test_the_witness_finds_each_message_that_breaks_one(
    witness: WireWitness, heard: tuple[str, bytes], breach: str
) -> None:
    witness.hear(*heard)
    (found,) = witness.breaches
    assert breach in found
