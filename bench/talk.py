"""Talk, from the owner's mouth to the visitor's ear.  `python -m bench talk`.

The microphone of a real Chromium is a tone that a script switches on at times it writes down. The speaker notes when
each sample is heard: at its place in the stream, which a device plays at its pace. Browser and doorbell share a clock.

The limit of the same run: the same recorder and jitter buffer with frames from this process, without browser, page,
network or encoder. Needs Chromium and `npm ci` in tests/browser.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.opening import HybridIdentity
from agent.core.talk.frames import FrameKind
from agent.custodian.talk_buffer import TalkBuffer
from agent.ipc.control_operations import BeginTalk, SendTalk
from agent.platform.system_clock import SystemEntropy
from agent.recorder.playback.sounds import RATE_HZ
from agent.recorder.talk import SpeakerSettings, TalkService
from tests.browser.house import PHONE, a_house, phones
from tests.talkers import mulaw_tone, writer_of

WORDS = 15
PITCH_HZ = 1000
WORD_S = 0.5
_PAUSE_S = 0.7
_LOUD = 1500

_SPEAK = """
const context = new AudioContext(), gain = context.createGain(), tone = context.createOscillator();
const sink = context.createMediaStreamDestination();
tone.frequency.value = args.pitch;
gain.gain.value = 0;
tone.connect(gain).connect(sink);
tone.start();
navigator.mediaDevices.getUserMedia = async () => sink.stream.clone();
globalThis.speak = async (words, word, pause) => {
  const began = [];
  for (let n = 0; n < words; n++) {
    await new Promise((done) => setTimeout(done, pause + 37 * n % 90));
    gain.gain.value = 0.5;
    began.push(Date.now() / 1000);
    await new Promise((done) => setTimeout(done, word));
    gain.gain.value = 0;
  }
  return began;
};
"""


class _Ear:
    """A speaker that a person listens to. Notes when each block of samples is heard."""

    def __init__(self) -> None:
        self.blocks: list[tuple[float, bytes]] = []
        self._free_s = 0.0

    def open(self) -> None:
        self._free_s = 0.0

    def play(self, samples: bytes) -> None:
        begins_s = max(time.time(), self._free_s)
        self.blocks.append((begins_s, samples))
        self._free_s = begins_s + len(samples) / 2 / RATE_HZ

    def close(self) -> None: ...

    def onsets_s(self) -> list[float]:
        """When a tone began to be heard after silence."""
        found: list[float] = []
        quiet_s = 0.0
        for begins_s, samples in self.blocks:
            block = np.abs(np.frombuffer(samples, np.int16).astype(int))
            loud = np.flatnonzero(block > _LOUD)
            if len(loud) and quiet_s > 0.25:
                found.append(begins_s + loud[0] / RATE_HZ)
            quiet_s = 0.0 if len(loud) else quiet_s + len(block) / RATE_HZ
        return found


def main() -> None:
    ear = _Ear()
    with tempfile.TemporaryDirectory() as folder:
        _row("browser, page, recorder", _delays_ms(_from_browser(Path(folder), ear), ear))
    ear = _Ear()
    _row("recorder alone (limit)", _delays_ms(_from_here(ear), ear))


def _row(name: str, delays_ms: list[float]) -> None:
    if len(delays_ms) < WORDS // 2:
        print(f"talk {name:26} only {len(delays_ms)} of {WORDS} words were heard")
        return
    median, p95 = statistics.median(delays_ms), statistics.quantiles(delays_ms, n=20)[-1]
    print(f"talk {name:26} {median:5.0f} ms from mouth to ear (95 %: {p95:.0f} ms), {len(delays_ms)} of {WORDS} words")


def _delays_ms(spoken_s: list[float], ear: _Ear) -> list[float]:
    """The first onset after each word began, if it came before the next word."""
    onsets, found = ear.onsets_s(), []
    for begins_s in spoken_s:
        heard = [onset for onset in onsets if begins_s < onset < begins_s + WORD_S + _PAUSE_S]
        if heard:
            found.append((heard[0] - begins_s) * 1000)
    return found


def _from_browser(folder: Path, ear: _Ear) -> list[float]:
    from agent.recorder import translation

    make = translation.make_speaker
    translation.make_speaker = lambda _settings: ear  # type: ignore[assignment]
    try:
        with a_house(folder, None, more="\n[speaker]\nvolume = 100\n") as house, phones(house, folder) as people:
            people.pair("ana", device=PHONE)
            people.claim("ana")
            people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
            people.go("ana", "/live")
            people.run("ana", "await page.evaluate(`(async (args) => {${args.script}})(${JSON.stringify(args)})`);",
                       script=_SPEAK, pitch=PITCH_HZ)  # fmt: skip
            people.run(
                "ana",
                """await page.locator("button.talk").waitFor();
                   await page.locator("button.talk").focus();
                   await page.keyboard.press("Enter");
                   await page.getByText("Speak now.").waitFor();
                   await page.waitForTimeout(1500);""",
            )
            spoken: list[float] = people.run(
                "ana",
                "return page.evaluate(({words, word, pause}) => globalThis.speak(words, word, pause), args);",
                words=WORDS, word=1000 * WORD_S, pause=1000 * _PAUSE_S,
            )  # fmt: skip
            time.sleep(1.5)
            return spoken
    finally:
        translation.make_speaker = make


def _from_here(ear: _Ear) -> list[float]:
    identity = HybridIdentity(hashlib.sha256(b"bench").digest())
    buffer = TalkBuffer(Ed25519PrivateKey.generate())
    service = TalkService(lambda: ear, SpeakerSettings(100), lambda: True, SystemEntropy())
    to = str(identity.recipient())
    service.listen_to((to,))
    thread = threading.Thread(target=service.run, args=(buffer,), name="talk")
    thread.start()
    try:
        _, sealed = buffer.begin(BeginTalk(to, "a" * 32), b"")
        secret, writer = writer_of(sealed, identity)
        send: Callable[[FrameKind, bytes], None] = lambda kind, content: _send(  # noqa: E731 — one line for both uses
            buffer, secret.session, writer.seal(kind, content)
        )
        time.sleep(1)
        spoken = []
        for _ in range(WORDS):
            time.sleep(_PAUSE_S)
            spoken.append(time.time())
            for packet in mulaw_tone(PITCH_HZ, WORD_S, 16_000):
                time.sleep(0.02)  # a frame exists when its last sample was spoken
                send(FrameKind.MULAW, packet)
            send(FrameKind.PAUSE, b"")
        time.sleep(1)
        return spoken
    finally:
        service.stop()
        buffer.close()
        thread.join()


def _send(buffer: TalkBuffer, session: str, frame: bytes) -> None:
    buffer.send(SendTalk(session, (len(frame),)), frame)


if __name__ == "__main__":
    main()
