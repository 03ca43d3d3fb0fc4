"""An owner talks to a visitor from a real Chromium with a microphone that plays a tone."""

from __future__ import annotations

import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.core.talk.frames import FrameKind
from agent.custodian.talk_buffer import TalkBuffer
from agent.wire.control import split_body
from tests.browser.house import DESKTOP, PHONE, House, Phones, a_house, phones
from tests.scenarios.street import until
from tests.talkers import heard, level_at, loudest_hz

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300)]

at_length = pytest.mark.at_length("make test-browser")
PITCH_HZ = 800
LEVEL = 12_000


def spoken(path: Path) -> Path:
    """A tone in syllables, as a voice has them: a browser's noise suppression removes a steady tone."""
    at_s = np.arange(48_000 * 6) / 48_000
    syllables = (at_s % 0.4 < 0.3) * np.minimum(1, np.minimum(at_s % 0.4, np.abs(0.3 - at_s % 0.4)) / 0.01)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes((LEVEL * syllables * np.sin(2 * np.pi * PITCH_HZ * at_s)).astype("<i2").tobytes())
    return path


@dataclass(frozen=True)
class TalkingHome:
    """A doorbell with a speaker that is a file, and Ana's browser with a microphone that plays a tone."""

    house: House
    people: Phones


@contextmanager
def a_talking_home(folder: Path, *, flags: tuple[str, ...] = (), more: str = "") -> Iterator[TalkingHome]:
    path = folder / "heard.wav"
    speaker = f'\n[speaker]\nkind = "file"\npath = "{path}"\nvolume = 100\n{more}'
    fake = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={spoken(folder / 'spoken.wav')}")
    with a_house(folder, None, more=speaker) as house, phones(house, folder, flags=(*fake, *flags)) as people:
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        yield TalkingHome(house, people)


ALLOW = 'await page.context().grantPermissions(["microphone"]);'
PRESS = """const button = page.locator("button.talk");
    await button.waitFor();
    await button.dispatchEvent("pointerdown", {button: 0, pointerId: 1, isPrimary: true});"""
TALKS = 'await page.getByText("Speak now.").waitFor();'
RELEASE = (
    """await page.locator("button.talk").dispatchEvent("pointerup", {button: 0, pointerId: 1, isPrimary: true});"""
)


def loud_s(path: Path, pitch_hz: float = PITCH_HZ) -> float:
    return float((level_at(heard(path), pitch_hz) > LEVEL / 8).sum() / 10) if path.exists() else 0.0


def assert_the_visitor_heard(path: Path) -> None:
    """Two notes, then the tone that Ana's microphone plays. `path`: the file that the speaker is."""
    found = heard(path)
    assert level_at(found[:7200], 660, seconds=0.15)[0] > 3000, "the visitor hears two notes first"
    levels = level_at(found, PITCH_HZ)
    loud = np.flatnonzero(levels > LEVEL / 8)
    middle = found[4800 * loud[2] : 4800 * loud[-2]]
    assert abs(loudest_hz(middle) - PITCH_HZ) < 10
    assert np.percentile(levels[loud], 90) > LEVEL / 4, "a browser may raise the level, its own gain control does"


class Overheard:
    """Everything of talk that the custodian gets to see."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames: list[bytes] = []
        self.offers: list[bytes] = []
        lock, send, put = threading.Lock(), TalkBuffer.send, TalkBuffer.put_offer

        def sent(buffer: TalkBuffer, asked: Any, body: bytes) -> Any:
            with lock:
                self.frames += split_body(asked.sizes, body)
            return send(buffer, asked, body)

        def offered(buffer: TalkBuffer, offer: Any) -> None:
            with lock:
                self.offers.append(offer.sealed)
            put(buffer, offer)

        monkeypatch.setattr(TalkBuffer, "send", sent)
        monkeypatch.setattr(TalkBuffer, "put_offer", offered)


@pytest.mark.parametrize(
    "codec", [FrameKind.OPUS, pytest.param(FrameKind.MULAW, marks=at_length)], ids=["opus", "mulaw"]
)
def test_the_tone_of_the_browsers_microphone_is_heard_at_the_door_and_by_nobody_between(
    codec: FrameKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overheard = Overheard(monkeypatch)
    kinds: set[FrameKind] = set()
    from agent.recorder import talk

    put = talk.TalkService._put

    def noted(service: talk.TalkService, session: Any, frame: Any) -> None:
        kinds.add(frame.kind)
        put(service, session, frame)

    monkeypatch.setattr(talk.TalkService, "_put", noted)
    path = tmp_path / "heard.wav"
    with a_talking_home(tmp_path) as home:
        people = home.people
        if codec is FrameKind.MULAW:
            people.run("ana", "await page.evaluate(() => { globalThis.AudioEncoder = undefined; });")
        people.go("ana", "/live")
        people.run("ana", ALLOW + PRESS + TALKS)
        until(lambda: loud_s(path) >= 2, "two seconds of the tone")
        people.run("ana", RELEASE)
        until(lambda: home.house.control("status")["recorder"]["speaker"] == "talking", "the session's status")
        assert people.browser.troubles("ana") == []
    assert_the_visitor_heard(path)
    assert codec in kinds
    # A canary: no stretch of what the custodian saw holds the tone, whatever it takes the bytes for.
    ciphertext = b"".join(frame[8:] for frame in overheard.frames)
    assert len(ciphertext) > 10_000
    for kind in ("<i2", "u1"):
        samples = np.frombuffer(ciphertext, kind).astype(np.float64)
        spectrum = np.abs(np.fft.rfft(samples - samples.mean())) ** 2
        assert spectrum.max() < 40 * spectrum.mean(), "noise has no pitch"
    assert {len(frame) for frame in overheard.frames} <= {152, 408}, "no length tells what was said"


@at_length
def test_the_second_owner_is_told_who_talks_and_each_refusal_is_said_in_words(tmp_path: Path) -> None:
    with a_talking_home(tmp_path) as home:
        people = home.people
        people.go("ana", "/live")
        people.run("ana", PRESS + 'await page.getByText("This browser may not use the microphone.").waitFor();')
        people.run("ana", RELEASE + ALLOW + PRESS + TALKS)
        home.house.solo._talk._floor.holder = "Ben"
        session = home.house.solo._talk._floor.session
        home.house.solo._talk._floor.session = "b" * 32
        people.run("ana", 'await page.getByText("The conversation has ended.").waitFor();')
        assert session
        people.run("ana", RELEASE + PRESS + 'await page.getByText("Ben is talking.").waitFor();' + RELEASE)
        until(lambda: home.house.solo._talk._floor.taken(home.house.solo._talk._monotonic()) is None, "a pause")
        people.run("ana", PRESS + TALKS)
        home.house.solo.recorder.set_privacy_switch(True)
        people.run("ana", 'await page.getByText("The privacy switch is on").waitFor();' + RELEASE)
        until(lambda: home.house.control("status")["recorder"]["speaker"] == "ready", "a closed speaker")
        people.go("ana", "/settings")
        people.run("ana", 'await page.locator("dl.facts dt", {hasText: "Speaker"}).waitFor();')
        assert people.browser.troubles("ana") == []


@at_length
def test_a_quick_reply_is_played_and_the_panel_is_looked_at(tmp_path: Path, screenshots: Path) -> None:
    replies = tmp_path / "replies"
    replies.mkdir()
    with wave.open(str(replies / "Please leave it here.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        tone = 9000 * np.sin(2 * np.pi * 500 * np.arange(32_000) / 16_000)
        file.writeframes(tone.astype("<i2").tobytes())
    with a_talking_home(tmp_path, more=f'replies = "{replies}"\n') as home:
        people = home.people
        people.go("ana", "/live")
        people.run("ana", 'await page.getByRole("button", {name: "Chime"}).click();')
        until(lambda: loud_s(tmp_path / "heard.wav", 784) > 0, "the chime")
        people.run("ana", 'await page.getByRole("button", {name: args.reply}).click();', reply="Please leave it here")
        until(lambda: loud_s(tmp_path / "heard.wav", 500) >= 1.5, "the reply")
        people.run("ana", ALLOW + PRESS + TALKS)
        for device, options in (("phone", PHONE), ("desktop", DESKTOP)):
            for scheme in ("light", "dark"):
                people.run(
                    "ana",
                    """await page.setViewportSize(args.size);
                       await page.emulateMedia({colorScheme: args.scheme});
                       await page.screenshot({path: args.path, fullPage: true});
                       const found = await axe(page);
                       if (found.length) throw new Error(JSON.stringify(found));""",
                    size=options["viewport"],
                    scheme=scheme,
                    path=str(screenshots / f"talk-{device}-{scheme}.png"),
                )
        people.run("ana", RELEASE)
        assert people.browser.troubles("ana") == []


@at_length
def test_a_doorbell_without_a_speaker_shows_no_button(tmp_path: Path) -> None:
    with a_house(tmp_path, None) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        people.go("ana", "/live")
        people.run(
            "ana",
            """await page.waitForResponse((response) => response.url().endsWith("/api/status")).catch(() => {});
               if (await page.locator("button.talk").isVisible()) throw new Error("a button without a speaker");""",
        )
