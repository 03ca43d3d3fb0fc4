"""Talk: opens an owner's sealed frames and plays them on the doorbell's speaker.

    custodian ── sealed frames ──▶ thread "talk": open, sort ──▶ JitterBuffer ──▶ thread "speaker": decode, play

- The recorder makes a key for each session and seals it to the key that asked, if that key is an owner's or a glance
  key. So only that browser can make frames that open here, and the custodian hears nothing.
- Talk never touches the recording. Both threads are separate, all queues are bounded, and a speaker that hangs stops
  talk alone.
- The speaker is open only during a session. The privacy switch and private hours end the session within a frame.
- A visitor hears a tone before an owner's voice. The doorbell's microphone goes on recording, so a recording with sound
  contains what the speaker said.

TALK.md has the formats.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Protocol

import numpy as np
import structlog

from agent.core.talk.frames import FrameKind, FrameReader, TalkFrame
from agent.core.talk.jitter import JitterBuffer
from agent.core.talk.offers import TalkSecret, TalkState
from agent.core.talk.sizes import KEY_BYTES, SESSION_BYTES
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import ConfigurationError, DeviceError, DoorwardError, FormatError
from agent.ipc.protocol import PutTalkOffer, TalkWork
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Entropy, Speaker
from agent.recorder.playback.sounds import (
    FRAME_SAMPLES,
    RATE_HZ,
    Samples,
    VoiceDecoder,
    attention,
    names_in,
    reply,
    scaled,
)
from agent.wire import strictjson

__all__ = ["SpeakerSettings", "TalkService", "TalkSource"]

_ASK_S: Final = 2.0
_AWAY_S: Final = 5.0
_IDLE_S: Final = 30.0
"""A session without frames ends after this many seconds, and the speaker is closed."""
_AHEAD_S: Final = 0.06
"""Samples that the device has, and that were not heard yet: a late thread must not be heard."""
_LATE_S: Final = 0.25
_AGAIN_S: Final = 60.0
"""A speaker that was missing is tried again after this many seconds, for the status."""


class TalkSource(Protocol):
    """The custodian's side, as the recorder sees it."""

    def work(self, session: str, state: TalkState, patience_s: float) -> TalkWork: ...
    def put_offer(self, offer: PutTalkOffer) -> None: ...


@dataclass(frozen=True, slots=True)
class SpeakerSettings:
    """`volume` is the loudest, in percent. `replies`: the folder of quick replies."""

    volume: int
    replies: Path | None = None


@dataclass(slots=True)
class _Session:
    """One browser's key. `talk` puts into it and `speaker` takes out of it, both under the service's lock."""

    name: str
    reader: FrameReader
    speaker: Speaker
    heard_s: float
    volume: int
    jitter: JitterBuffer = field(default_factory=JitterBuffer)
    reply: Samples = field(default_factory=lambda: np.zeros(0, np.int16))
    tone: Samples = field(default_factory=attention)
    refused: int = 0


class TalkService(ThreadOwned):
    """`run` is the thread "talk", which starts the thread "speaker" for each session. Other methods: any thread.

    `may_open` is False while the privacy switch is on or a private hour lasts.
    """

    WRITTEN_BY: ClassVar = {
        "_session": AttributeOwner.LOCK,
        "_ended": AttributeOwner.LOCK,
        "_fault": AttributeOwner.LOCK,
        "_known": AttributeOwner.LOCK,
        "_stopping": AttributeOwner.LOCK,
        "_player": AttributeOwner.TALK,
        "_tried_s": AttributeOwner.TALK,
    }

    def __init__(
        self,
        open_speaker: Callable[[], Speaker],
        settings: SpeakerSettings,
        may_open: Callable[[], bool],
        entropy: Entropy,
    ) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._open_speaker = open_speaker
        self._settings = settings
        self._may_open = may_open
        self._entropy = entropy
        self._log = structlog.get_logger("talk")
        self._known: frozenset[str] = frozenset()
        self._session: _Session | None = None
        self._ended = ("", TalkState.ENDED)
        """The last session and why it ended."""
        self._fault = ""
        self._stopping = False
        self._player: threading.Thread | None = None
        self._tried_s = float("-inf")

    @property
    def state(self) -> str:
        """For the status: "talking", "ready", or the fault of the speaker."""
        with self.lock:
            return "talking" if self._session is not None else self._fault or "ready"

    @property
    def is_talking(self) -> bool:
        with self.lock:
            return self._session is not None

    def listen_to(self, keys: tuple[str, ...]) -> None:
        """Replaces the keys that may talk. A session in progress goes on until its end."""
        with self.lock:
            self._known = frozenset(keys)

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def run(self, source: TalkSource) -> None:
        """Until `stop`."""
        try:
            while not self._stopping:
                self._try_speaker()
                try:
                    self._handle(source.work(*self._report(), _ASK_S), source)
                except DoorwardError as error:
                    self._log.info("no_talk", error=error.message)
                    with self._changed:
                        self._changed.wait_for(lambda: self._stopping, _AWAY_S)
        finally:
            self._end(TalkState.ENDED)
            self._join()

    # --- The thread "talk"

    def _report(self) -> tuple[str, TalkState]:
        with self.lock:
            return (self._session.name, TalkState.READY) if self._session is not None else self._ended

    def _try_speaker(self) -> None:
        """Opens and closes the speaker at the start, and now and then while it is missing, for the status."""
        now_s = time.monotonic()
        is_known = now_s - self._tried_s < (_AGAIN_S if self._fault else float("inf"))
        if is_known or self._session is not None or not self._may_open():
            return
        self._tried_s = now_s
        speaker = self._opened()
        if speaker is not None:
            _close(speaker)

    def _opened(self) -> Speaker | None:
        try:
            speaker = self._open_speaker()
            speaker.open()
        except (DeviceError, ConfigurationError) as error:
            self._fail(str(error))
            return None
        with self.lock:
            self._fault = ""
        return speaker

    def _fail(self, fault: str) -> None:
        with self.lock:
            is_new, self._fault = fault != self._fault, fault
        if is_new:
            self._log.warning("speaker_lost", detail=fault)

    def _handle(self, work: TalkWork, source: TalkSource) -> None:
        if work.challenge:
            source.put_offer(self._offer(work.to, work.challenge))
        elif work.frames:
            self._take(work)

    def _offer(self, to: str, challenge: str) -> PutTalkOffer:
        if to not in self._known:
            return PutTalkOffer(challenge, TalkState.NOT_KNOWN)
        if not self._may_open():
            return PutTalkOffer(challenge, TalkState.PRIVATE)
        # One session at a time: the speaker must be closed before it can be opened again.
        self._end(TalkState.ENDED)
        self._join()
        speaker = self._opened()
        if speaker is None:
            return PutTalkOffer(challenge, TalkState.NO_SPEAKER)
        key, name = self._entropy.token(KEY_BYTES), self._entropy.token(SESSION_BYTES)
        secret = TalkSecret(
            v=1,
            session=name.hex(),
            key=strictjson.encode_base64(key),
            volume=self._settings.volume,
            replies=names_in(self._settings.replies),
        )
        token = self._entropy.token
        sealed = seal_bytes(strictjson.encode(secret), (parse_recipient(to),), file_key=token(16), nonce=token(16))
        self._begin(_Session(name.hex(), FrameReader(key, name), speaker, time.monotonic(), 100))
        return PutTalkOffer(challenge, TalkState.READY, name.hex(), sealed)

    def _begin(self, session: _Session) -> None:
        with self.lock:
            self._session = session
        self._player = threading.Thread(target=self._play, args=(session,), name="speaker", daemon=True)
        self._player.start()
        self._log.info("talk_began")

    def _join(self) -> None:
        """Waits for the speaker's thread, but only a moment: a device that hangs must not stop the doorbell."""
        player, self._player = self._player, None
        if player is not None and player is not threading.current_thread():
            player.join(_AWAY_S)
            if player.is_alive():
                self._fail("The speaker hangs. Unplug it and plug it in again.")

    def _take(self, work: TalkWork) -> None:
        with self._changed:
            session = self._session
            if session is None or session.name != work.session:
                if self._ended[0] != work.session:
                    self._ended = (work.session, TalkState.ENDED)
                return
            for sealed in work.frames:
                try:
                    self._put(session, session.reader.open(sealed))
                except FormatError:
                    session.refused += 1  # made or altered by a custodian, a relay or another client
            self._changed.notify_all()

    def _put(self, session: _Session, frame: TalkFrame) -> None:
        session.heard_s = time.monotonic()
        session.jitter.put(frame)
        if frame.kind is FrameKind.VOLUME:
            session.volume = frame.content[0]
        elif frame.kind is FrameKind.REPLY:
            try:
                session.reply = reply(self._settings.replies, frame.content.decode("utf-8", "replace"))
            except ConfigurationError as error:
                self._log.warning("no_reply", error=error.message)

    def _end(self, state: TalkState, session: _Session | None = None) -> None:
        """Ends a session, or the present one. Its speaker's thread sees that and closes the speaker."""
        with self._changed:
            if self._session is None or (session is not None and session is not self._session):
                return
            self._ended = (self._session.name, state)
            self._session = None
            self._changed.notify_all()
        self._log.info("talk_ended", state=state.value)

    # --- The thread "speaker"

    def _play(self, session: _Session) -> None:
        try:
            self._play_until_end(session)
        except DoorwardError as error:
            self._fail(str(error))
            self._end(TalkState.NO_SPEAKER, session)
        finally:
            _close(session.speaker)

    def _play_until_end(self, session: _Session) -> None:
        decoder = VoiceDecoder()
        began_s, played = time.monotonic(), 0
        while self._session is session:
            # Asked for each block of 20 ms, so that the privacy switch ends a voice at once.
            if not self._may_open():
                self._end(TalkState.PRIVATE, session)
                return
            if time.monotonic() - session.heard_s > _IDLE_S:
                self._end(TalkState.ENDED, session)
                return
            block = self._next(session, decoder)
            session.speaker.play(scaled(block, self._settings.volume).tobytes())
            played += len(block)
            ahead_s = began_s + played / RATE_HZ - time.monotonic()
            if ahead_s < -_LATE_S:  # the machine paused: do not hurry after it
                began_s -= ahead_s
            elif ahead_s > _AHEAD_S:
                with self._changed:
                    self._changed.wait_for(lambda: self._session is not session, ahead_s - _AHEAD_S)

    def _next(self, session: _Session, decoder: VoiceDecoder) -> Samples:
        """Returns the next block: the voice, else a quick reply, and the tone over both."""
        with self.lock:
            frame = session.jitter.take()
            if frame is not None:
                session.reply = session.reply[:0]  # a voice cuts a reply
            said, session.reply = session.reply[:FRAME_SAMPLES], session.reply[FRAME_SAMPLES:]
            tone, session.tone = session.tone[:FRAME_SAMPLES], session.tone[FRAME_SAMPLES:]
            volume = session.volume
        # Decoded without the lock: the thread "talk" must be able to put frames in meanwhile.
        voice = decoder.decode(frame) if frame is not None else said
        block = np.zeros(max(FRAME_SAMPLES, len(voice)), np.int32)
        block[: len(voice)] += scaled(voice, volume)
        block[: len(tone)] += tone
        return np.clip(block, -32768, 32767).astype(np.int16)


def _close(speaker: Speaker) -> None:
    try:
        speaker.close()
    except DeviceError as error:
        structlog.get_logger("talk").warning("speaker_not_closed", error=error.message)
