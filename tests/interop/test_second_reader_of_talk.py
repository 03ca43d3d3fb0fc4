"""TALK.md is enough: readers written from it alone, in Python and in the page, read and make every vector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.core.talk.frames import FrameReader
from agent.errors import FormatError
from agent.recorder.playback.sounds import _linear
from agent.wire import strictjson
from tests.second_reader.json_once import RefusedError
from tests.second_reader.talk import Frames, read_offer
from tests.talkers import mulaw, writer_of
from tests.web.test_the_program import node
from tests.wire import samples

VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "talk" / "session.json").read_text(encoding="utf-8")
)
KEY, SESSION = strictjson.decode_base64(VECTOR["key"]), VECTOR["session"]


def second_reader_of(**changed: Any) -> Any:
    given = {name: VECTOR[name] for name in ("challenge", "device", "identity")} | changed
    return read_offer(VECTOR["envelope"].encode(), strictjson.decode_base64(VECTOR["sealed"]), **given)


def test_the_second_reader_reads_the_offer_and_refuses_another_challenge() -> None:
    found = second_reader_of()
    assert (bytes(found["key"]), found["session"], found["volume"]) == (KEY, SESSION, VECTOR["volume"])
    assert list(found["replies"]) == VECTOR["replies"]
    with pytest.raises(RefusedError):
        second_reader_of(challenge="00" * 16)


def test_our_own_client_reads_the_offer() -> None:
    from agent.clients.opening import HybridIdentity

    secret, _ = writer_of(strictjson.decode_base64(VECTOR["sealed"]), HybridIdentity.parse(VECTOR["identity"]))
    assert (secret.session, strictjson.decode_base64(secret.key)) == (SESSION, KEY)


def test_recorder_and_second_reader_open_each_frame_and_refuse_the_same() -> None:
    ours, theirs = FrameReader(KEY, bytes.fromhex(SESSION)), Frames(KEY, SESSION)
    for number, row in enumerate(VECTOR["frames"], 1):
        frame, content = bytes.fromhex(row["frame"]), bytes.fromhex(row["content"])
        opened = ours.open(frame)
        assert (opened.counter, opened.kind, opened.content) == (number, row["kind"], content)
        assert theirs.open(frame) == (number, row["kind"], content)
        assert theirs.seal(number, row["kind"], content) == frame
    assert len(VECTOR["refused"]) >= 15
    for row in VECTOR["refused"]:
        with pytest.raises(FormatError):
            ours.open(bytes.fromhex(row["frame"]))
        with pytest.raises(RefusedError):
            theirs.open(bytes.fromhex(row["frame"]))


def test_the_page_reads_the_offer_and_seals_the_same_frames() -> None:
    found: Any = node("talk.mjs", json.dumps(samples.DEVICE_KEY.text))
    assert found["offer"] == {
        "session": SESSION, "key": KEY.hex(), "volume": VECTOR["volume"], "replies": VECTOR["replies"]
    }  # fmt: skip
    assert found["frames"] == [row["frame"] for row in VECTOR["frames"]]
    assert found["refused"] == {
        "challenge": True, "sealed": True, "device": True, "envelope": True, "nothing": False
    }  # fmt: skip
    assert found["tooLong"]
    # Its µ-law is ours, and comes back within the error of G.711.
    asked = np.clip(np.round(np.arange(-256, 257) / 256 * 32767), -32768, 32767).astype(np.int16)
    assert bytes(found["mulaw"]) == mulaw(asked)
    back = _linear(bytes(found["mulaw"])).astype(float)
    assert np.all(np.abs(back - asked) <= 8 + np.abs(asked.astype(float)) / 16)
