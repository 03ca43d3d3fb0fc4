"""`doorward owner say`: a sound file is heard at the door, within bounds, and a refusal is said in words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.clients.media.voice import mulaw_frames
from agent.clients.owner import talk
from agent.core.talk.offers import TalkOffer, TalkState
from agent.errors import ConfigurationError, DeviceError, OpenError
from agent.ipc.control_operations import BeginTalk, SendTalk, TalkOfferAnswer, TalkStateAnswer
from agent.ipc.protocol import TalkWork
from agent.wire import envelope, strictjson
from agent.wire.control import split_body
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.recorder.test_talk import ANA, BEN, Door, a_door, loud_s
from tests.talkers import heard, loudest_hz, mulaw, tone_file
from tests.wire.samples import DEVICE

PITCH_HZ = 500.0
STRANGER = private_key_from_seed(b"s" * 32)
KEYS: Any = SimpleNamespace(identity=ANA, identities=[ANA])


class Link:
    """The custodian between a client and a recorder that plays. `changes`: to what is signed."""

    def __init__(self, door: Door, **changes: str) -> None:
        self.door = door
        self.changes = changes
        self.answer: TalkOfferAnswer | None = None
        self.state = TalkState.READY
        self.asked: list[str] = []
        self.frames = 0

    def fetch(self, asked: Any, *, body: bytes = b"") -> tuple[Any, bytes]:
        assert isinstance(asked, BeginTalk)
        if self.answer is not None:
            return self.answer, body
        self.door.source._work.put(TalkWork(asked.to, asked.challenge))
        offer = self.door.source.offers.get(timeout=60)
        said = {
            "device": public_key_of(DEVICE).text,
            "challenge": asked.challenge,
            "sealed_sha256": hashlib.sha256(offer.sealed).hexdigest(),
        } | self.changes
        signed = envelope.sign(
            TalkOffer.PAYLOAD_TYPE, strictjson.encode(TalkOffer(v=1, session=offer.session, **said)), DEVICE
        )
        return TalkOfferAnswer(TalkState.READY, None, signed.decode()), offer.sealed

    def ask(self, asked: Any, *, body: bytes = b"") -> Any:
        self.asked.append(type(asked).__name__)
        if isinstance(asked, SendTalk):
            frames = split_body(asked.sizes, body)
            self.frames += len(frames)
            self.door.source.send(asked.session, *frames)
        return TalkStateAnswer(self.state)


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(talk, "sync", lambda _link, _keys: SimpleNamespace(key=public_key_of(DEVICE)))
    with a_door(tmp_path) as door:
        yield door


def test_a_sound_file_is_heard_at_the_door(door: Door, tmp_path: Path) -> None:
    link: Any = Link(door)
    talk.speak(link, KEYS, mulaw_frames(tone_file(tmp_path / "leave it here.wav", PITCH_HZ, 1.2), talk.LONGEST_S))
    door.quiet()
    assert loud_s(door.path, PITCH_HZ) >= 0.8
    middle = heard(door.path)
    assert abs(loudest_hz(middle[len(middle) // 2 - 9600 : len(middle) // 2 + 9600]) - PITCH_HZ) < 10
    assert link.asked[-1] == "EndTalk"
    assert link.frames == 61, "1.2 s and the end of the utterance"


@pytest.mark.parametrize(
    "changes",
    [
        {"challenge": "d" * 32},
        {"device": public_key_of(STRANGER).text},
        {"sealed_sha256": "0" * 64},
    ],
)
def test_an_offer_that_is_not_this_doorbells_answer_gets_no_voice(door: Door, changes: dict[str, str]) -> None:
    link: Any = Link(door, **changes)
    with pytest.raises(OpenError, match="another question"):
        talk.speak(link, KEYS, [bytes(320)])
    assert link.frames == 0


def test_an_offer_for_another_key_does_not_open(door: Door) -> None:
    door.service.listen_to((str(ANA.recipient()), str(BEN.recipient())))
    link: Any = Link(door)
    keys: Any = SimpleNamespace(identity=BEN, identities=[ANA])
    with pytest.raises(OpenError):
        talk.speak(link, keys, [bytes(320)])
    assert link.frames == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (TalkOfferAnswer(TalkState.READY, "ben"), "ben is talking"),
        (TalkOfferAnswer(TalkState.PRIVATE), "privacy switch"),
        (TalkOfferAnswer(TalkState.NO_SPEAKER), "missing or busy"),
        (TalkOfferAnswer(TalkState.NOT_KNOWN), "does not know this key"),
    ],
)
def test_a_refusal_is_said_in_words(door: Door, answer: TalkOfferAnswer, words: str) -> None:
    link: Any = Link(door)
    link.answer = answer
    with pytest.raises(DeviceError, match=words):
        talk.speak(link, KEYS, [bytes(320)])


def test_a_conversation_that_ends_meanwhile_stops_it(door: Door) -> None:
    link: Any = Link(door)
    link.state = TalkState.PRIVATE
    with pytest.raises(DeviceError, match="privacy switch"):
        talk.speak(link, KEYS, [bytes(320)] * 50)
    assert (link.frames, link.asked) == (5, ["SendTalk", "EndTalk"])


@pytest.mark.parametrize("count", [0, 751])
def test_nothing_and_more_than_fifteen_seconds_are_refused(door: Door, count: int) -> None:
    link: Any = Link(door)
    with pytest.raises(ConfigurationError, match="1 to 15 seconds"):
        talk.speak(link, KEYS, [bytes(320)] * count)


def test_a_file_is_read_up_to_the_limit_and_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    frames = mulaw_frames(tone_file(tmp_path / "a.wav", PITCH_HZ, 2), 15)
    assert len(frames) in (100, 101)
    assert {len(each) for each in frames} == {320}
    assert len(mulaw_frames(tone_file(tmp_path / "long.wav", PITCH_HZ, 30), 15)) > 750, "the caller refuses it"
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "large.wav").write_bytes(bytes((8 << 20) + 1))
    for name, words in (
        ("text.wav", "cannot be read"),
        ("large.wav", "larger than 8 MB"),
        ("none.wav", "cannot be read"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            mulaw_frames(tmp_path / name, 15)


def test_the_codec_is_that_of_the_standard() -> None:
    """Against another implementation."""
    from agent.clients.media.voice import _mulaw

    samples = np.arange(-32768, 32768, 7, dtype=np.int32).astype(np.int16)
    assert _mulaw(samples) == mulaw(samples)
