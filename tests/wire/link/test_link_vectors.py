"""The vectors of the link are what the code does, and the messages that must be refused are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from agent.errors import DoorwardError
from agent.wire.link.handshake import has_knock
from agent.wire.link.session import LinkSession, SessionEnded
from tests.wire.link import vectors

SESSIONS = json.loads((vectors.FOLDER / "sessions.json").read_text(encoding="utf-8"))
REFUSED = json.loads((vectors.FOLDER / "refused.json").read_text(encoding="utf-8"))


def changed(case: dict[str, Any]) -> bytes:
    """A message of the first session with the change of the case."""
    message = bytearray.fromhex(SESSIONS[0][case["message"]])
    if "length" in case:
        return bytes(message[:-1]) if case["length"] < 0 else bytes(message) + b"\0"
    message[case["flip_lowest_bit_of_byte"]] ^= 1
    return bytes(message)


def test_the_encapsulations_are_sound() -> None:
    for seed, shared, ciphertext in vectors.encapsulations():
        assert MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext) == shared


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_changed_message_of_a_handshake_is_refused(case: dict[str, Any]) -> None:
    message = changed(case)
    client, device = vectors.handshake("owner", *vectors.encapsulations()[0])
    if case["message"] == "hello":
        assert not has_knock(message, vectors.fixed("link secret of owner"))
        return
    with pytest.raises(DoorwardError):
        client.finish(message) if case["message"] == "answer" else device.finish(message)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda each: each["name"])
def test_each_message_and_record_of_a_session_is_made_byte_for_byte(session: dict[str, Any]) -> None:
    given = dict(zip(vectors.SIGNERS, vectors.encapsulations(), strict=True))[session["name"]]
    assert vectors.session(session["name"], *given) == session


@pytest.mark.parametrize("session", SESSIONS, ids=lambda each: each["name"])
def test_the_other_end_reads_each_record(session: dict[str, Any]) -> None:
    """The records that lie between are missing from the vectors, so the reader is told that it has had them."""
    given = dict(zip(vectors.SIGNERS, vectors.encapsulations(), strict=True))[session["name"]]
    for direction in ("to_device", "to_client"):
        client, device = vectors.handshake(session["name"], *given)
        proof, of_client = client.finish(device.answer)
        _key, of_device = device.finish(proof)
        reader: LinkSession = of_device if direction == "to_device" else of_client
        for each in session[direction]:
            while reader._incoming.counter < each["counter"]:
                reader._incoming._renew()
                reader._incoming.counter += 1
            heard = reader.receive(bytes.fromhex(each["record"]))
        assert heard == SessionEnded(heard.reason)  # type: ignore[union-attr]
