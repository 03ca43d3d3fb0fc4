"""The published vectors are what the code makes, and the code judges them as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import DoorwardError, OpenError, RequestError
from agent.wire import strictjson
from agent.wire.disclosures import DisclosureManifest
from agent.wire.inbound import verify_inbound
from agent.wire.limits import HARD, OverLimit, check
from agent.wire.messages import FootageRequest
from agent.wire.statements import OwnerStatement, open_statement
from agent.wire.topics import RequestTopic
from agent.wire.trust import TrustStore
from tests.wire import samples, vectors

REQUESTS = sorted((vectors.FOLDER / "wire" / "requests").glob("*.json"))


def test_the_vectors_are_those_the_code_makes() -> None:
    made = vectors.files()
    present = {
        path.relative_to(vectors.FOLDER).as_posix()
        for part in ("wire", "ledger", "link")
        for path in (vectors.FOLDER / part).rglob("*.json")
    }
    assert present == {*made, "link/mlkem.json"}, "and the input of the link's vectors"
    for path, content in made.items():
        assert (vectors.FOLDER / path).read_text(encoding="utf-8") == content, path


def test_there_are_enough_of_them_and_most_must_fail() -> None:
    verdicts = [json.loads(path.read_text(encoding="utf-8"))["verdict"] for path in REQUESTS]
    assert len(verdicts) >= 150
    assert sum(verdict != "accepted" for verdict in verdicts) >= 100


def trust() -> TrustStore:
    stored = vectors.trust()
    return TrustStore().with_root(samples.ROOT_KEY).accept(stored["envelope"].encode())[0]


TRUST = trust()


def judged(vector: dict[str, Any]) -> str:
    data = vector["envelope"].encode() if "envelope" in vector else strictjson.decode_base64(vector["envelope_base64"])
    try:
        inbound = verify_inbound(data, RequestTopic("287-379", samples.request().requester, 0), TRUST, samples.NOW_S)
    except OpenError:
        return "unsigned"
    except RequestError:
        return "malformed"
    assert isinstance(inbound.message, FootageRequest)
    over = check(inbound.message, HARD, samples.NOW_S)
    if over is None and not inbound.requester.may_ask_about(inbound.message.area):
        over = OverLimit.OUTSIDE_REGIONS
    return "accepted" if over is None else f"over limit: {over.value}"


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_each_request_vector_is_judged_as_it_says(path: Path) -> None:
    vector = json.loads(path.read_text(encoding="utf-8"))
    assert judged(vector) == vector["verdict"]


def test_each_message_vector_opens_with_its_signers_key() -> None:
    from agent.wire import envelope, strictjson

    for path in sorted((vectors.FOLDER / "wire" / "messages").glob("*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        message = samples.EVERY_MESSAGE[path.stem]
        assert strictjson.decode(vector["payload"].encode(), type(message), limit_bytes=10**6) == message
        if "envelope" in vector:
            if vector["signed_by"] == "root":
                signed = envelope.read_several(vector["envelope"].encode(), vector["payload_type"], limit_bytes=10**6)
                signed.require(1, {samples.ROOT_KEY.id: samples.ROOT_KEY}, {})
                assert signed.payload == vector["payload"].encode()
                continue
            key = vectors.public_key_of(samples.private_key(vector["signed_by"]))
            if isinstance(message, DisclosureManifest):
                claimed = envelope.read_hybrid(vector["envelope"].encode(), vector["payload_type"], limit_bytes=10**6)
                claimed.require(key, message.mldsa_key)
                continue
            if isinstance(message, OwnerStatement):
                signers = samples.enrolment().signers
                found = open_statement(vector["envelope"].encode(), vector["payload_type"], signers)
                assert found.payload == vector["payload"].encode()
                continue
            opened = envelope.open_envelope(
                vector["envelope"].encode(), vector["payload_type"], {key.id: key}, limit_bytes=10**6
            )
            assert opened.payload == vector["payload"].encode()


def test_a_vector_with_one_byte_changed_is_never_accepted_as_another() -> None:
    data = json.loads((vectors.FOLDER / "wire" / "requests" / "good.json").read_text(encoding="utf-8"))["envelope"]
    good = data.encode()
    topic = RequestTopic("287-379", samples.request().requester, 0)
    for at in range(len(good)):
        mutated = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        try:
            inbound = verify_inbound(mutated, topic, TRUST, samples.NOW_S)
        except DoorwardError:
            continue
        assert inbound.message == samples.request()
