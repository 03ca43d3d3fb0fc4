"""An owner's voice reaches the speaker, bad frames do not, and a speaker never costs the doorbell anything."""

from __future__ import annotations

import queue
import random
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from agent.clients.opening import HybridIdentity
from agent.core.talk.frames import FrameKind, TalkFrame
from agent.core.talk.offers import TalkSecret, TalkState
from agent.errors import DeviceError, NetworkError, OpenError
from agent.ipc.protocol import PutTalkOffer, TalkWork
from agent.platform.system_clock import SystemEntropy
from agent.ports import Speaker
from agent.recorder import talk
from agent.recorder.playback.sounds import FRAME_SAMPLES, VoiceDecoder, attention
from agent.recorder.playback.speaker_file import FileSpeaker
from agent.recorder.talk import SpeakerSettings, TalkService
from tests.talkers import RATE_HZ, FrameWriter, heard, level_at, loudest_hz, mulaw_tone, opus_tone, writer_of
from tests.vaults import SeededEntropy

ANA, BEN = (HybridIdentity(bytes([n]) * 32) for n in (1, 2))
PITCH_HZ = 440.0


class Source:
    """The custodian's side, driven by a test."""

    def __init__(self) -> None:
        self._work: queue.Queue[TalkWork] = queue.Queue()
        self.offers: queue.Queue[PutTalkOffer] = queue.Queue()
        self.reports: list[tuple[str, TalkState]] = []
        self.seen: list[bytes] = []
        """Everything that the custodian could read."""

    def work(self, session: str, state: TalkState, patience_s: float) -> TalkWork:
        if self.reports[-1:] != [(session, state)]:
            self.reports.append((session, state))
        try:
            return self._work.get(timeout=min(patience_s, 0.02))
        except queue.Empty:
            return TalkWork()

    def put_offer(self, offer: PutTalkOffer) -> None:
        self.seen.append(offer.sealed)
        self.offers.put(offer)

    def is_empty(self) -> bool:
        return self._work.empty()

    def ask(self, identity: HybridIdentity) -> PutTalkOffer:
        self._work.put(TalkWork(str(identity.recipient()), "c" * 32))
        return self.offers.get(timeout=60)

    def send(self, session: str, *frames: bytes) -> None:
        self.seen += frames
        self._work.put(TalkWork(session=session, frames=frames))


class Door:
    """A talk service with its speaker."""

    def __init__(self, service: TalkService, source: Source, path: Path) -> None:
        self.service = service
        self.source = source
        self.path = path

    def begin(self, identity: HybridIdentity = ANA) -> tuple[TalkSecret, FrameWriter]:
        offer = self.source.ask(identity)
        assert offer.state is TalkState.READY
        return writer_of(offer.sealed, identity)

    def say(self, secret: TalkSecret, frames: list[bytes]) -> None:
        """Paced like a browser: three frames every 60 ms."""
        for at in range(0, len(frames), 3):
            self.source.send(secret.session, *frames[at : at + 3])
            time.sleep(0.06)

    def until(self, holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end_s
            time.sleep(0.01)

    def quiet(self) -> None:
        """Ends the session, so that everything is written."""
        self.service._end(TalkState.ENDED)
        self.until(lambda: "speaker" not in {thread.name for thread in threading.enumerate()})


@contextmanager
def a_door(
    folder: Path,
    *,
    open_speaker: Callable[[], Speaker] | None = None,
    may_open: Callable[[], bool] = lambda: True,
    volume: int = 100,
    replies: Path | None = None,
) -> Iterator[Door]:
    path, source = folder / "heard.wav", Source()
    service = TalkService(
        open_speaker or (lambda: FileSpeaker(path)), SpeakerSettings(volume, replies), may_open, SystemEntropy()
    )
    service.listen_to((str(ANA.recipient()),))
    thread = threading.Thread(target=service.run, args=(source,), name="talk")
    thread.start()
    try:
        yield Door(service, source, path)
    finally:
        service.stop()
        thread.join(60)
        assert not thread.is_alive()


def loud_s(path: Path, pitch_hz: float = PITCH_HZ, *, level: float = 3000.0) -> float:
    """Seconds in which a pitch is at least this loud."""
    return float((level_at(heard(path), pitch_hz) > level).sum() / 10)


@pytest.mark.parametrize(
    ("kind", "make"), [(FrameKind.OPUS, opus_tone), (FrameKind.MULAW, mulaw_tone)], ids=["opus", "mulaw"]
)
def test_a_tone_is_heard_with_its_pitch_and_level_and_never_by_the_custodian(
    tmp_path: Path, kind: FrameKind, make: Callable[[float, float], list[bytes]]
) -> None:
    with a_door(tmp_path) as door:
        secret, writer = door.begin()
        packets = make(PITCH_HZ, 1.5)
        door.say(secret, [writer.seal(kind, packet) for packet in packets] + [writer.seal(FrameKind.PAUSE)])
        door.until(lambda: loud_s(door.path) >= 1.2)
        door.quiet()
        found = heard(door.path)
        loud = np.flatnonzero(level_at(found, PITCH_HZ) > 4000)
        middle = found[4800 * loud[2] : 4800 * loud[-2]]
        assert abs(loudest_hz(middle) - PITCH_HZ) < 5
        assert np.median(level_at(middle, PITCH_HZ)) == pytest.approx(8000, rel=0.15)
        seen = b"".join(door.source.seen)
        assert not any(packet in seen for packet in packets)
        assert bytes.fromhex(secret.session) not in seen
        assert {len(frame) for frame in door.source.seen[1:]} <= {152, 408}


def test_the_visitor_hears_a_tone_before_the_voice(tmp_path: Path) -> None:
    with a_door(tmp_path) as door:
        door.begin()
        door.until(lambda: door.path.exists() and len(heard(door.path)) > len(attention()) + 9600)
        door.quiet()
        found = heard(door.path)
        assert np.array_equal(found[: len(attention())], attention())
        assert not found[len(attention()) :].any()


def test_only_the_key_that_asked_opens_the_offer_and_a_stranger_gets_none(tmp_path: Path) -> None:
    with a_door(tmp_path) as door:
        offer = door.source.ask(ANA)
        with pytest.raises(OpenError):
            writer_of(offer.sealed, BEN)
        refused = door.source.ask(BEN)
        assert (refused.state, refused.session, refused.sealed) == (TalkState.NOT_KNOWN, "", b"")
        assert door.service.state == "talking"  # the stranger ended nothing


def test_hostile_frames_are_never_heard_and_the_next_good_one_is(tmp_path: Path) -> None:
    """Replayed, reordered, cut, altered, made up, or another session's: 10 000 of them between good frames."""
    chance = random.Random(7)
    with a_door(tmp_path) as door:
        old, old_writer = door.begin()
        foreign = [old_writer.seal(FrameKind.OPUS, packet) for packet in opus_tone(1000, 0.4)]
        door.source.send(old.session, *foreign)
        secret, writer = door.begin()
        good = [writer.seal(FrameKind.OPUS, packet) for packet in opus_tone(PITCH_HZ, 1.0)]
        loud = [writer.seal(FrameKind.OPUS, packet) for packet in opus_tone(1000, 0.1)]  # all of these get altered
        hostile: list[bytes] = []
        for _ in range(10_000):
            frame = bytearray(chance.choice(loud))
            match chance.randrange(4):
                case 0:
                    frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
                case 1:
                    frame = frame[: chance.randrange(len(frame))]
                case 2:
                    frame = bytearray(chance.randbytes(chance.randrange(600)))
                case _:
                    frame = bytearray(chance.choice(foreign))
            hostile.append(bytes(frame))
        for at in range(0, len(good), 5):
            part = good[at : at + 5]
            chance.shuffle(part)
            door.source.send(secret.session, *hostile[at * 200 : at * 200 + 1000], *part, *good[:at])
            time.sleep(0.09)
        door.source.send(secret.session, writer.seal(FrameKind.PAUSE))
        session = door.service._session
        assert session is not None
        door.until(lambda: loud_s(door.path) >= 0.3)
        door.until(door.source.is_empty)
        door.quiet()
        assert session.refused >= 10_000
        found = heard(door.path)[len(attention()) :]
        assert level_at(found, 1000).max() < 200
        assert level_at(found, PITCH_HZ).max() > 5000


def test_the_privacy_switch_ends_a_conversation_within_moments_and_closes_the_speaker(tmp_path: Path) -> None:
    is_open = True
    closed = threading.Event()

    class Closing(FileSpeaker):
        def close(self) -> None:
            super().close()
            closed.set()

    with a_door(tmp_path, open_speaker=lambda: Closing(tmp_path / "heard.wav"), may_open=lambda: is_open) as door:
        secret, writer = door.begin()
        closed.clear()
        is_open = False
        assert closed.wait(60)
        size = door.path.stat().st_size
        door.source.send(secret.session, *(writer.seal(FrameKind.OPUS, each) for each in opus_tone(PITCH_HZ, 0.5)))
        door.until(lambda: (secret.session, TalkState.PRIVATE) in door.source.reports)
        assert door.source.ask(ANA).state is TalkState.PRIVATE
        assert door.path.stat().st_size == size
        is_open = True
        door.begin()


class Broken:
    """A speaker with a fault. `hold` keeps `play` from returning."""

    def __init__(self, fault: str, hold: threading.Event | None = None) -> None:
        self._fault = fault
        self._hold = hold

    def open(self) -> None:
        if self._fault == "missing":
            raise DeviceError("The speaker 'default' cannot be opened.", remedy="See what `aplay -L` lists.")

    def play(self, _samples: bytes) -> None:
        if self._fault == "unplugged":
            raise DeviceError("The speaker 'default' takes nothing more: was it unplugged?")
        if self._hold is not None:
            self._hold.wait(60)

    def close(self) -> None: ...


def test_a_missing_speaker_is_told_in_words_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "_AGAIN_S", 0.05)
    fault = "missing"

    def open_speaker() -> Speaker:
        return Broken(fault) if fault else FileSpeaker(tmp_path / "heard.wav")

    with a_door(tmp_path, open_speaker=open_speaker) as door:
        door.until(lambda: "cannot be opened" in door.service.state)
        assert door.source.ask(ANA).state is TalkState.NO_SPEAKER
        fault = ""
        door.until(lambda: door.service.state == "ready")
        door.begin()
        assert door.service.state == "talking"


def test_a_speaker_that_is_unplugged_ends_the_session_and_is_reported(tmp_path: Path) -> None:
    with a_door(tmp_path, open_speaker=lambda: Broken("unplugged")) as door:
        offer = door.source.ask(ANA)
        door.until(lambda: (offer.session, TalkState.NO_SPEAKER) in door.source.reports)
        assert "unplugged" in door.service.state


def test_a_speaker_that_hangs_stops_talk_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "_AWAY_S", 0.05)
    hold = threading.Event()
    with a_door(tmp_path, open_speaker=lambda: Broken("", hold)) as door:
        secret, writer = door.begin()
        for _ in range(300):
            door.source.send(secret.session, writer.seal(FrameKind.MULAW, bytes(320)))
        door.until(door.source.is_empty)
        session = door.service._session
        assert session is not None
        assert len(session.jitter._waiting) <= 26
        door.begin()  # another session, while the first thread still hangs
        assert "hangs" in door.service._fault or door.service.state == "talking"
        hold.set()


def test_a_session_without_frames_ends_and_the_next_frame_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "_IDLE_S", 0.2)
    with a_door(tmp_path) as door:
        secret, _ = door.begin()
        door.until(lambda: door.service.state == "ready")
        door.source.send(secret.session, b"x")
        door.until(lambda: door.source.reports[-1] == (secret.session, TalkState.ENDED))
        door.source.send("7" * 32, b"from before a restart")
        door.until(lambda: door.source.reports[-1] == ("7" * 32, TalkState.ENDED))


def tone_file(path: Path, pitch_hz: float, seconds: float) -> None:
    at_s = np.arange(round(seconds * 22_050)) / 22_050
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes((8000 * np.sin(2 * np.pi * pitch_hz * at_s)).astype("<i2").tobytes())


def test_a_quick_reply_is_played_and_a_voice_cuts_it(tmp_path: Path) -> None:
    replies = tmp_path / "replies"
    replies.mkdir()
    tone_file(replies / "At the door, please.wav", 700, 5)
    with a_door(tmp_path, replies=replies) as door:
        secret, writer = door.begin()
        assert secret.replies == ("chime", "At the door, please")
        door.source.send(secret.session, writer.seal(FrameKind.REPLY, b"At the door, please"))
        door.until(lambda: loud_s(door.path, 700) >= 0.4)
        packets = [writer.seal(FrameKind.OPUS, packet) for packet in opus_tone(PITCH_HZ, 0.6)]
        door.say(secret, [*packets, writer.seal(FrameKind.PAUSE)])
        door.until(lambda: loud_s(door.path) >= 0.3)
        door.quiet()
        assert loud_s(door.path, 700) < 3


def test_a_reply_that_is_missing_or_damaged_is_silence(tmp_path: Path) -> None:
    replies = tmp_path / "replies"
    replies.mkdir()
    (replies / "broken.wav").write_bytes(b"RIFF no sound")
    with a_door(tmp_path, replies=replies) as door:
        secret, writer = door.begin()
        for name in (b"broken", b"../secret", b"none", b"\xff"):
            door.source.send(secret.session, writer.seal(FrameKind.REPLY, name))
        door.source.send(secret.session, writer.seal(FrameKind.REPLY, b"chime"))
        door.until(lambda: loud_s(door.path, 784, level=1000) > 0)


def test_the_page_can_only_make_it_quieter_than_the_configuration(tmp_path: Path) -> None:
    levels = []
    for number, (loudest, asked) in enumerate([(100, 100), (50, 100), (100, 50), (100, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        with a_door(folder, volume=loudest) as door:
            secret, writer = door.begin()
            packets = [writer.seal(FrameKind.VOLUME, bytes([asked]))]
            packets += [writer.seal(FrameKind.MULAW, packet) for packet in mulaw_tone(PITCH_HZ, 0.6)]
            door.say(secret, [*packets, writer.seal(FrameKind.PAUSE)])
            door.until(door.source.is_empty)
            enough = len(heard(door.path)) + RATE_HZ // 2  # by the speaker's own clock
            door.until(lambda path=door.path, enough=enough: len(heard(path)) >= enough)  # type: ignore[misc]
            door.quiet()
            levels.append(level_at(heard(door.path)[len(attention()) :], PITCH_HZ).max())
    assert levels[0] == pytest.approx(8000, rel=0.1)
    assert levels[1] == pytest.approx(2000, rel=0.1)
    assert levels[2] == pytest.approx(2000, rel=0.1)
    assert levels[3] < 1


def test_ten_thousand_damaged_packets_of_a_voice_end_no_thread_and_make_no_long_sound() -> None:
    """An owner's browser may be altered. Its packets are a voice, some noise, or silence."""
    chance, decoder = random.Random(3), VoiceDecoder()
    good = opus_tone(PITCH_HZ, 0.4)
    for _ in range(10_000):
        packet = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 6)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        if chance.random() < 0.3:
            packet = bytearray(chance.randbytes(chance.randrange(1, 509)))
        assert len(decoder.decode(TalkFrame(1, FrameKind.OPUS, bytes(packet)))) <= 2 * FRAME_SAMPLES
    assert len(decoder.decode(TalkFrame(1, FrameKind.MULAW, bytes(320)))) <= FRAME_SAMPLES


def test_a_custodian_that_is_away_is_asked_again_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "_AWAY_S", 0.05)
    asked: list[int] = []
    work = Source.work

    def away_at_first(source: Source, session: str, state: TalkState, patience_s: float) -> TalkWork:
        asked.append(1)
        if len(asked) < 3:
            raise NetworkError("The custodian does not answer.")
        return work(source, session, state, patience_s)

    monkeypatch.setattr(Source, "work", away_at_first)
    began_s = time.monotonic()
    with a_door(tmp_path) as door:
        door.begin()
        assert time.monotonic() - began_s >= 2 * 0.05
        assert door.service.state == "talking"


def block(samples: np.ndarray) -> list[int]:
    return [int(each) for each in samples[:3]]


def test_a_block_is_the_voice_or_the_reply_and_the_tone_over_it(tmp_path: Path) -> None:
    speaker: Any = object()
    reader: Any = object()
    service = TalkService(lambda: speaker, SpeakerSettings(100), lambda: True, SystemEntropy())
    session = talk._Session("s", reader, speaker, 0.0, 50)
    session.tone = np.full(FRAME_SAMPLES, 100, np.int16)
    session.reply = np.full(2 * FRAME_SAMPLES, 2000, np.int16)
    first = service._next(session, VoiceDecoder())
    assert len(first) == FRAME_SAMPLES
    assert block(first) == [int(each) + 100 for each in talk.scaled(np.full(3, 2000, np.int16), 50)]
    second = service._next(session, VoiceDecoder())
    assert block(second) == [int(each) for each in talk.scaled(np.full(3, 2000, np.int16), 50)], "the tone is over"
    assert block(service._next(session, VoiceDecoder())) == [0, 0, 0], "and the reply too"
    session.volume = 100
    session.tone = np.full(FRAME_SAMPLES, 30_000, np.int16)
    session.reply = np.full(FRAME_SAMPLES, 30_000, np.int16)
    assert block(service._next(session, VoiceDecoder())) == [32_767] * 3, "loud, and not wrapped round"


# -- step by step, without a thread ------------------------------------------------------------------------------------


class Quiet:
    """A speaker that notes what is done with it. `fault` is raised when it is opened."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.fault = ""
        self.hangs_up = False
        self.played: list[bytes] = []
        self.on_play: Callable[[], None] = lambda: None

    def open(self) -> None:
        self.steps.append("open")
        if self.fault:
            raise DeviceError(self.fault)

    def play(self, samples: bytes) -> None:
        self.played.append(samples)
        self.on_play()

    def close(self) -> None:
        self.steps.append("close")
        if self.hangs_up:
            raise DeviceError("It cannot be closed.")


class Steps:
    """A service without threads on a clock of the test, as the custodian's side and the speaker of it see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(talk, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.steps: list[str] = []
        self.offers: list[PutTalkOffer] = []
        self.speaker = Quiet(self.steps)
        self.is_open = True
        self.begun: list[talk._Session] = []
        self.service = TalkService(lambda: self.speaker, SpeakerSettings(35), lambda: self.is_open, SeededEntropy(5))
        self.service.listen_to((str(ANA.recipient()),))
        self.begin, self.waited = self.service._begin, list[tuple[bool, float | None]]()
        monkeypatch.setattr(self.service, "_begin", self._begin_without_thread)
        monkeypatch.setattr(self.service._changed, "wait_for", self._wait_for)

    def _begin_without_thread(self, session: talk._Session) -> None:
        self.begun.append(session)
        with self.service.lock:
            self.service._session = session

    def _wait_for(self, predicate: Callable[[], bool], timeout_s: float | None = None) -> bool:
        self.waited.append((bool(predicate()), timeout_s))
        return True

    def put_offer(self, offer: PutTalkOffer) -> None:
        self.offers.append(offer)

    def handle(self, work: TalkWork) -> None:
        source: Any = self
        self.service._handle(work, source)

    def talk(self) -> tuple[talk._Session, FrameWriter]:
        """An open session, and who writes its frames."""
        self.handle(TalkWork(str(ANA.recipient()), "c" * 32))
        _secret, writer = writer_of(self.offers[-1].sealed, ANA)
        self.steps.clear()
        return self.begun[-1], writer


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def test_a_browser_that_is_known_gets_an_offer_with_everything_that_it_needs(steps: Steps) -> None:
    steps.handle(TalkWork(str(ANA.recipient()), "c" * 32))
    (offer,) = steps.offers
    (session,) = steps.begun
    assert (offer.challenge, offer.state, offer.session) == ("c" * 32, TalkState.READY, session.name)
    secret, _writer = writer_of(offer.sealed, ANA)
    assert secret == TalkSecret(v=1, session=session.name, key=secret.key, volume=35, replies=("chime",))
    assert (session.speaker, session.heard_s, session.volume, session.refused) == (steps.speaker, 1000.0, 100, 0)
    assert steps.steps == ["open"]
    assert (steps.service.state, steps.service._report()) == ("talking", (session.name, TalkState.READY))


@pytest.mark.parametrize(
    ("asks", "is_open", "fault", "state", "opened"),
    [
        (BEN, True, "", TalkState.NOT_KNOWN, []),
        (BEN, False, "", TalkState.NOT_KNOWN, []),
        (ANA, False, "", TalkState.PRIVATE, []),
        (ANA, True, "It is gone.", TalkState.NO_SPEAKER, ["open"]),
    ],
)
def test_without_an_offer_the_reason_is_told_and_no_session_begins(
    steps: Steps, asks: HybridIdentity, is_open: bool, fault: str, state: TalkState, opened: list[str]
) -> None:
    steps.is_open, steps.speaker.fault = is_open, fault
    steps.handle(TalkWork(str(asks.recipient()), "c" * 32))
    assert steps.offers == [PutTalkOffer("c" * 32, state)]
    assert (steps.begun, steps.steps) == ([], opened)
    assert steps.service.state == (fault or "ready")


def test_another_offer_ends_the_session_before_it_and_waits_for_its_thread(steps: Steps) -> None:
    first, _writer = steps.talk()
    joined: list[float | None] = []
    steps.service._player = SimpleNamespace(join=joined.append, is_alive=lambda: False)  # type: ignore[assignment]
    steps.talk()
    assert steps.service._ended == (first.name, TalkState.ENDED)
    assert joined == [5.0]
    assert steps.service._player is None


def test_a_thread_of_the_speaker_that_hangs_is_the_fault_in_the_status(steps: Steps) -> None:
    steps.service._player = SimpleNamespace(join=lambda _s: None, is_alive=lambda: True)  # type: ignore[assignment]
    steps.service._join()
    assert steps.service.state == "The speaker hangs. Unplug it and plug it in again."
    steps.service._player = threading.current_thread()
    steps.service._join()
    assert steps.service._player is None, "the speaker's own thread does not wait for itself"


def test_work_without_a_question_or_frames_is_none(steps: Steps) -> None:
    steps.handle(TalkWork())
    steps.handle(TalkWork(session="7" * 32))
    assert (steps.offers, steps.service._report()) == ([], ("", TalkState.ENDED))


def test_frames_are_sorted_into_their_session_and_bad_ones_are_counted(steps: Steps) -> None:
    session, writer = steps.talk()
    steps.now_s += 7
    voice, volume = writer.seal(FrameKind.MULAW, bytes(320)), writer.seal(FrameKind.VOLUME, bytes([40]))
    chime = writer.seal(FrameKind.REPLY, b"chime")
    steps.handle(TalkWork(session=session.name, frames=(b"bad", voice, voice, volume, chime)))
    assert session.refused == 2, "one that is no frame, and one that came twice"
    assert sorted(session.jitter._waiting) == [1, 2, 3]
    assert (session.heard_s, session.volume) == (1007.0, 40)
    assert len(session.reply) > 0
    before = session.reply
    with capture_logs() as lines:
        steps.handle(TalkWork(session=session.name, frames=(writer.seal(FrameKind.REPLY, b"none"),)))
    assert [line["event"] for line in lines] == ["no_reply"]
    assert session.reply is before


def test_frames_of_another_session_are_told_that_it_has_ended(steps: Steps) -> None:
    session, writer = steps.talk()
    frame = writer.seal(FrameKind.MULAW, bytes(320))
    steps.handle(TalkWork(session="7" * 32, frames=(frame,)))
    assert session.jitter._waiting == {}
    assert steps.service._ended == ("7" * 32, TalkState.ENDED)
    steps.service._end(TalkState.PRIVATE)
    steps.handle(TalkWork(session=session.name, frames=(frame,)))
    assert steps.service._report() == (session.name, TalkState.PRIVATE), "and why, if that is known"


def test_only_the_present_session_is_ended_and_whoever_waits_is_woken(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr(steps.service._changed, "notify_all", lambda: woken.append(1))
    with capture_logs() as lines:
        steps.service._end(TalkState.ENDED)
        first, _writer = steps.talk()
        second, _writer = steps.talk()
        assert len(woken) == 1
        steps.service._end(TalkState.NO_SPEAKER, first)
        assert steps.service._session is second
        steps.service._end(TalkState.NO_SPEAKER, second)
    assert steps.service._session is None
    assert len(woken) == 2
    assert [line["state"] for line in lines if line["event"] == "talk_ended"] == ["ended", "no speaker"]
    steps.service.stop()
    assert len(woken) == 3


def test_a_speaker_is_tried_once_and_while_it_is_missing_every_minute(steps: Steps) -> None:
    with capture_logs() as lines:
        for now_s, fault, opens in (
            (0.0, "It is gone.", 1),
            (59.9, "It is gone.", 0),
            (60.0, "It is gone.", 1),
            (120.0, "It is broken.", 1),
            (180.0, "", 1),
            (100_000.0, "", 0),
        ):
            steps.now_s, steps.speaker.fault = now_s, fault
            steps.steps.clear()
            steps.service._try_speaker()
            assert steps.steps == ["open"] * opens + ["close"] * (opens and not fault)
            assert steps.service.state == (fault or "ready")
    assert [line["detail"] for line in lines] == ["It is gone.", "It is broken."], "each fault is logged once"


def test_a_speaker_is_not_tried_while_it_must_be_off_or_is_in_use(steps: Steps) -> None:
    steps.is_open = False
    steps.service._try_speaker()
    assert steps.steps == []
    steps.is_open = True
    steps.talk()
    steps.service._try_speaker()
    assert steps.steps == []
    steps.service._end(TalkState.ENDED)
    steps.service._try_speaker()
    assert steps.steps == ["open", "close"]


def play(steps: Steps, session: talk._Session, blocks: int) -> list[bytes]:
    """Plays this many blocks, after which the session ends."""

    def after() -> None:
        if len(steps.speaker.played) == blocks:
            steps.service._end(TalkState.ENDED)

    steps.speaker.on_play = after
    steps.service._play(session)
    assert steps.steps == ["close"]
    return steps.speaker.played


def test_blocks_are_played_as_loud_as_is_set_and_at_most_sixty_milliseconds_ahead(steps: Steps) -> None:
    session, _writer = steps.talk()
    session.tone = session.tone[:0]
    session.reply = np.full(6 * FRAME_SAMPLES, 2000, np.int16)
    played = play(steps, session, 6)
    assert played == [talk.scaled(np.full(FRAME_SAMPLES, 2000, np.int16), 35).tobytes()] * 6
    assert [ended for ended, _s in steps.waited] == [False, False, True]
    assert [timeout for _ended, timeout in steps.waited] == pytest.approx([0.02, 0.04, 0.06], abs=1e-6)


def test_a_machine_that_paused_does_not_hurry_after_it(steps: Steps) -> None:
    session, _writer = steps.talk()
    pauses = [0.27, 0.02, 0.02, 0.0, 0.0, 0.0, 0.0, 0.0]

    def pause() -> None:
        steps.now_s += pauses.pop(0)
        if not pauses:
            steps.service._end(TalkState.ENDED)

    steps.speaker.on_play = pause
    steps.service._play(session)
    assert steps.waited == [], "0.25 s late is caught up with, block by block"
    session, _writer = steps.talk()
    pauses[:] = [0.5, 0.0, 0.0, 0.0, 0.0]
    steps.service._play(session)
    pauses_s = [timeout for _ended, timeout in steps.waited if timeout is not None and timeout > 1e-6]
    assert pauses_s == pytest.approx([0.02], abs=1e-6), "it begins again from now"


@pytest.mark.parametrize(
    ("idle_s", "is_open", "state", "blocks"),
    [(30.0, True, TalkState.ENDED, 1), (30.1, True, TalkState.ENDED, 0), (0.0, False, TalkState.PRIVATE, 0)],
)
def test_a_session_ends_in_private_and_after_more_than_thirty_seconds_without_a_frame(
    steps: Steps, idle_s: float, is_open: bool, state: TalkState, blocks: int
) -> None:
    session, _writer = steps.talk()
    steps.now_s += idle_s
    steps.is_open = is_open

    def later() -> None:
        steps.now_s += 1

    steps.speaker.on_play = later
    steps.service._play(session)
    assert len(steps.speaker.played) == blocks
    assert steps.service._report() == (session.name, state)
    assert steps.steps == ["close"]


def test_a_speaker_that_fails_or_cannot_be_closed_costs_its_session(steps: Steps) -> None:
    session, _writer = steps.talk()

    def unplugged() -> None:
        raise DeviceError("It was unplugged.")

    steps.speaker.on_play, steps.speaker.hangs_up = unplugged, True
    with capture_logs() as lines:
        steps.service._play(session)
    assert steps.service._report() == (session.name, TalkState.NO_SPEAKER)
    assert steps.service.state == "It was unplugged."
    assert [line["event"] for line in lines] == ["speaker_lost", "talk_ended", "speaker_not_closed"]


def test_a_session_has_a_thread_of_its_own(steps: Steps) -> None:
    session, _writer = steps.talk()
    names: list[str] = []

    def played() -> None:
        names.append(threading.current_thread().name)
        steps.service._end(TalkState.ENDED)

    steps.speaker.on_play = played
    steps.begin(session)
    player = steps.service._player
    assert player is not None
    assert player.daemon, "one that hangs keeps no process from its end"
    player.join(60)
    assert names == ["speaker"]


def test_the_custodian_is_asked_for_two_seconds_and_after_it_was_away_for_five(steps: Steps) -> None:
    asked: list[tuple[str, TalkState, float]] = []

    def work(session: str, state: TalkState, patience_s: float) -> TalkWork:
        asked.append((session, state, patience_s))
        if len(asked) == 2:
            steps.service.stop()
            return TalkWork()
        raise NetworkError("The custodian does not answer.")

    source: Any = SimpleNamespace(work=work)
    session, _writer = steps.talk()
    with capture_logs() as lines:
        steps.service.run(source)
    assert asked == [(session.name, TalkState.READY, 2.0)] * 2
    assert steps.waited == [(False, 5.0)]
    assert steps.service._report() == (session.name, TalkState.ENDED), "the end of the service ends it"
    assert [line["event"] for line in lines] == ["no_talk", "talk_ended"]
