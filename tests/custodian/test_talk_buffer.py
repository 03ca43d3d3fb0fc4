"""The custodian passes sealed frames on: one talker at a time, bounded, and never waiting for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.talk.offers import LARGEST_OFFER_BYTES, TalkOffer, TalkState
from agent.core.talk.sizes import LARGEST_FRAME_BYTES
from agent.custodian import talk_buffer
from agent.custodian.talk_buffer import TalkBuffer
from agent.errors import DoorwardError, RequestError
from agent.ipc.control_operations import BeginTalk, EndTalk, SendTalk
from agent.ipc.protocol import PutTalkOffer, TalkWork
from agent.wire import envelope, strictjson
from agent.wire.identities import public_key_of

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
ANA, BEN = "age1ana", "age1pen"
NAMES = {ANA: "Ana", BEN: "Ben"}


class Recorder:
    """Answers each question for an offer, in a thread, and keeps the frames."""

    def __init__(self, buffer: TalkBuffer, state: TalkState = TalkState.READY) -> None:
        self.frames: list[bytes] = []
        self.state = state
        self._buffer = buffer
        self._offers = 0
        self._stopping = False
        self._last: tuple[str, TalkState] = ("", TalkState.ENDED)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            work = self._buffer.work(*self._last, 0.01)
            self.frames += work.frames
            if not work.challenge:
                continue
            if self.state is not TalkState.READY:
                self._buffer.put_offer(PutTalkOffer(work.challenge, self.state))
                continue
            self._offers += 1
            session = f"{self._offers:032x}"
            self._last = (session, TalkState.READY)
            self._buffer.put_offer(PutTalkOffer(work.challenge, self.state, session, b"sealed to " + work.to.encode()))

    def report(self, state: TalkState) -> None:
        self._last = (self._last[0], state)

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def buffer(clock: Clock) -> TalkBuffer:
    made = TalkBuffer(KEY, clock)
    made._owner_of = lambda recipient: NAMES.get(recipient, "")
    return made


@pytest.fixture
def recorder(buffer: TalkBuffer) -> Iterator[Recorder]:
    made = Recorder(buffer)
    yield made
    made.stop()


def begin(buffer: TalkBuffer, to: str, challenge: str) -> tuple[dict[str, str], bytes]:
    result, body = buffer.begin(BeginTalk(to, challenge * 32), b"")
    return result, body


def session_of(result: dict[str, str]) -> str:
    data = result["envelope"].encode()
    opened = envelope.open_envelope(data, TalkOffer.PAYLOAD_TYPE, {public_key_of(KEY).id: public_key_of(KEY)})
    return strictjson.decode(opened.payload, TalkOffer).session


def send(buffer: TalkBuffer, session: str, *frames: bytes) -> str:
    result, _ = buffer.send(SendTalk(session, tuple(map(len, frames))), b"".join(frames))
    return str(result["state"])


def until(recorder: Recorder, count: int) -> None:
    while len(recorder.frames) < count:
        time.sleep(0.001)


def test_an_offer_is_signed_for_the_challenge_and_frames_reach_the_recorder(
    buffer: TalkBuffer, recorder: Recorder
) -> None:
    result, sealed = begin(buffer, ANA, "a")
    assert sealed == b"sealed to age1ana"
    session = session_of(result)
    opened = envelope.read_unverified(result["envelope"].encode())
    offer = strictjson.decode(opened.payload, TalkOffer)
    assert offer.challenge == "a" * 32
    assert offer.device == public_key_of(KEY).text
    assert send(buffer, session, b"one", b"two") == "ready"
    until(recorder, 2)
    assert recorder.frames == [b"one", b"two"]


def test_the_second_owner_is_told_who_talks_until_a_pause(buffer: TalkBuffer, recorder: Recorder, clock: Clock) -> None:
    first = session_of(begin(buffer, ANA, "a")[0])
    clock.now_s += 2
    assert send(buffer, first, b"hello") == "ready"
    until(recorder, 1)
    clock.now_s += 2
    result, sealed = begin(buffer, BEN, "b")
    assert (result, sealed) == ({"state": "ready", "talker": "Ana"}, b"")
    clock.now_s += 2
    second = session_of(begin(buffer, BEN, "c")[0])
    assert send(buffer, first, b"late") == "ended"
    assert send(buffer, second, b"mine") == "ready"
    until(recorder, 2)
    assert recorder.frames == [b"hello", b"mine"]


def test_frames_of_a_conversation_that_is_over_do_not_keep_the_floor(
    buffer: TalkBuffer, recorder: Recorder, clock: Clock
) -> None:
    session = session_of(begin(buffer, ANA, "a")[0])
    recorder.report(TalkState.PRIVATE)
    while send(buffer, session, b"noise") != "private":
        time.sleep(0.001)
    for _ in range(4):
        clock.now_s += 1
        assert send(buffer, session, b"noise") == "private"
    assert "envelope" in begin(buffer, BEN, "b")[0]
    assert send(buffer, session, b"noise") == "ended"


def test_a_browser_that_gives_up_waiting_leaves_the_question_of_the_next_one(
    buffer: TalkBuffer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(talk_buffer, "_OFFER_S", 0.5)
        first = pool.submit(begin, buffer, ANA, "a")
        while buffer._asked is None:
            time.sleep(0.001)
        monkeypatch.setattr(talk_buffer, "_OFFER_S", 60.0)
        clock.now_s += 3.5  # the first one's turn is over
        second = pool.submit(begin, buffer, BEN, "b")
        with pytest.raises(RequestError, match="recorder does not answer"):
            first.result()
        recorder = Recorder(buffer)
        try:
            assert "envelope" in second.result(30)[0]
        finally:
            recorder.stop()
            buffer.close()


def test_an_end_gives_the_floor_back_at_once(buffer: TalkBuffer, recorder: Recorder) -> None:
    first = session_of(begin(buffer, ANA, "a")[0])
    buffer.end(EndTalk(first), b"")
    assert "envelope" in begin(buffer, BEN, "b")[0]
    assert send(buffer, first, b"late") == "ended"
    assert recorder.frames == []


@pytest.mark.parametrize("state", [TalkState.PRIVATE, TalkState.NO_SPEAKER, TalkState.NOT_KNOWN])
def test_a_refusal_of_the_recorder_is_passed_on_and_leaves_the_floor_free(buffer: TalkBuffer, state: TalkState) -> None:
    recorder = Recorder(buffer, state)
    try:
        assert begin(buffer, ANA, "a") == ({"state": state.value}, b"")
        recorder.state = TalkState.READY
        assert "envelope" in begin(buffer, BEN, "b")[0]
    finally:
        recorder.stop()


def test_the_state_of_the_recorders_session_reaches_the_talker(buffer: TalkBuffer, recorder: Recorder) -> None:
    session = session_of(begin(buffer, ANA, "a")[0])
    recorder.report(TalkState.PRIVATE)
    while send(buffer, session, b"hello") != "private":
        time.sleep(0.001)


def test_a_recorder_that_is_away_is_told_in_words_and_costs_a_moment(
    buffer: TalkBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk_buffer, "_OFFER_S", 0.0)
    with pytest.raises(RequestError, match="recorder does not answer"):
        begin(buffer, ANA, "a")
    monkeypatch.setattr(talk_buffer, "_OFFER_S", 60.0)
    recorder = Recorder(buffer)
    try:
        assert "envelope" in begin(buffer, BEN, "b")[0]
    finally:
        recorder.stop()


def test_a_late_offer_of_an_earlier_question_is_dropped(buffer: TalkBuffer) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(begin, buffer, ANA, "a")
        work = TalkWork()
        while not work.challenge:
            work = buffer.work("", TalkState.ENDED, 0.01)
        buffer.put_offer(PutTalkOffer("b" * 32, TalkState.READY, "2" * 32, b"other"))
        buffer.put_offer(PutTalkOffer("a" * 32, TalkState.READY, "1" * 32, b"mine"))
        result, sealed = asked.result()
    assert (session_of(result), sealed) == ("1" * 32, b"mine")
    buffer.put_offer(PutTalkOffer("a" * 32, TalkState.READY, "3" * 32, b"again"))
    assert buffer._offer is None


def test_a_recorder_that_stops_reading_costs_bounded_memory_and_no_time(
    buffer: TalkBuffer, recorder: Recorder, clock: Clock
) -> None:
    session = session_of(begin(buffer, ANA, "a")[0])
    recorder.stop()
    for number in range(1000):
        send(buffer, session, b"%03d" % number)
    assert len(buffer._frames) == 100
    assert buffer._frames[-1] == b"999"
    clock.now_s += 2
    send(buffer, session, b"x")
    clock.now_s += 2
    send(buffer, session, b"x")
    clock.now_s += 2
    send(buffer, session, b"x")
    clock.now_s += 2.5
    assert buffer.send(SendTalk(session, (1,)), b"x") == ({"state": "no speaker"}, b"")


def test_a_key_of_no_owner_is_called_another_phone(buffer: TalkBuffer, recorder: Recorder, clock: Clock) -> None:
    session = session_of(begin(buffer, "age1glance", "a")[0])
    assert begin(buffer, ANA, "b")[0] == {"state": "ready", "talker": "Another phone"}
    clock.now_s += 2
    send(buffer, session, b"x")
    assert begin(buffer, ANA, "c")[0]["talker"] == "Another phone"


def test_a_recorder_is_away_after_eight_seconds_without_a_question(
    buffer: TalkBuffer, recorder: Recorder, clock: Clock
) -> None:
    session = session_of(begin(buffer, ANA, "a")[0])
    recorder.stop()
    buffer.work("", TalkState.ENDED, 0.0)
    for later_s, state in ((2, "ready"), (2, "ready"), (2, "ready"), (2, "ready"), (0.1, "no speaker")):
        clock.now_s += later_s
        assert send(buffer, session, b"x") == state


def test_frames_of_the_conversation_before_are_not_played_in_the_next_one(
    buffer: TalkBuffer, recorder: Recorder
) -> None:
    first = session_of(begin(buffer, ANA, "a")[0])
    recorder.stop()
    send(buffer, first, b"first", b"and last")
    buffer.end(EndTalk(first), b"")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(begin, buffer, BEN, "b")
        while buffer._asked is None:
            time.sleep(0.001)
        assert buffer.work("", TalkState.ENDED, 0.0) == TalkWork(BEN, "b" * 32, "", ())
        buffer.put_offer(PutTalkOffer("b" * 32, TalkState.READY, "9" * 32, b"sealed"))
        second = session_of(asked.result(30)[0])
    send(buffer, second, b"mine")
    assert buffer.work("", TalkState.ENDED, 0.0) == TalkWork("", "", second, (b"mine",))
    assert buffer.work("", TalkState.ENDED, 0.0) == TalkWork("", "", "", ())


def test_after_an_end_what_waits_is_still_played(buffer: TalkBuffer, recorder: Recorder) -> None:
    session = session_of(begin(buffer, ANA, "a")[0])
    recorder.stop()
    send(buffer, session, b"last words")
    assert buffer.end(EndTalk(session), b"") == ({}, b"")
    assert buffer.work("", TalkState.ENDED, 0.0).frames == (b"last words",)


def test_the_state_of_the_conversation_before_is_not_that_of_the_next_one(
    buffer: TalkBuffer, recorder: Recorder
) -> None:
    first = session_of(begin(buffer, ANA, "a")[0])
    recorder.stop()
    buffer.work(first, TalkState.PRIVATE, 0.0)
    assert send(buffer, first, b"x") == "private"
    buffer.end(EndTalk(first), b"")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(begin, buffer, BEN, "b")
        while buffer._asked is None:
            time.sleep(0.001)
        buffer.put_offer(PutTalkOffer("b" * 32, TalkState.READY, "9" * 32, b"sealed"))
        second = session_of(asked.result(30)[0])
    buffer.work(first, TalkState.PRIVATE, 0.0)  # a word about the conversation before
    assert send(buffer, second, b"x") == "ready"


def test_a_custodian_that_ends_wakes_its_recorder_and_the_browser_that_waits_and_takes_no_frame(
    buffer: TalkBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk_buffer, "_OFFER_S", 3600.0)
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(begin, buffer, ANA, "a")
        while not buffer.work("", TalkState.ENDED, 0.0).challenge:
            time.sleep(0.001)
        buffer.close()
        with pytest.raises(RequestError, match="recorder does not answer"):
            asked.result(30)
        work = pool.submit(buffer.work, "", TalkState.ENDED, 3600.0)
        assert work.result(30).frames == ()
    assert send(buffer, "1" * 32, b"x") == "ended"


def test_an_offer_and_a_frame_may_be_as_large_as_their_limit_and_no_larger(
    buffer: TalkBuffer, recorder: Recorder
) -> None:
    buffer.put_offer(PutTalkOffer("f" * 32, TalkState.READY, "1" * 32, bytes(LARGEST_OFFER_BYTES)))
    with pytest.raises(RequestError, match="at most"):
        buffer.put_offer(PutTalkOffer("f" * 32, TalkState.READY, "1" * 32, bytes(LARGEST_OFFER_BYTES + 1)))
    session = session_of(begin(buffer, ANA, "a")[0])
    assert send(buffer, session, bytes(LARGEST_FRAME_BYTES)) == "ready"
    with pytest.raises(RequestError, match="at most"):
        send(buffer, session, bytes(LARGEST_FRAME_BYTES + 1))


@pytest.mark.parametrize(("sizes", "body"), [((5,), b"four"), ((1,), b""), ((600,), bytes(600))])
def test_a_body_that_cannot_be_frames_is_refused(
    buffer: TalkBuffer, recorder: Recorder, sizes: tuple[int, ...], body: bytes
) -> None:
    session = session_of(begin(buffer, ANA, "a")[0])
    with pytest.raises(RequestError):
        buffer.send(SendTalk(session, sizes), body)


@pytest.mark.parametrize("session", ["1" * 31, "g" * 32, "1" * 33, '1" ,"v":2}'])
def test_an_offer_that_names_no_session_is_not_signed(buffer: TalkBuffer, session: str) -> None:
    """The custodian writes what it signs itself, and a recorder that was taken over gives it two hashes at most."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(begin, buffer, ANA, "a")
        while not buffer.work("", TalkState.ENDED, 0.01).challenge:
            pass
        buffer.put_offer(PutTalkOffer("a" * 32, TalkState.READY, session, b"sealed"))
        with pytest.raises(DoorwardError):
            asked.result()


def test_an_offer_that_is_too_large_is_refused(buffer: TalkBuffer) -> None:
    with pytest.raises(RequestError, match="at most"):
        buffer.put_offer(PutTalkOffer("a" * 32, TalkState.READY, "1" * 32, bytes(20_000)))


def test_a_close_wakes_each_side(buffer: TalkBuffer) -> None:
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(buffer.work, "", TalkState.ENDED, 600)
        while not buffer._changed._waiters and not waiting.done():  # type: ignore[attr-defined]
            time.sleep(0.001)
        buffer.close()
        assert waiting.result(60) == TalkWork()
    assert send(buffer, "1" * 32, b"x") == "ended"
