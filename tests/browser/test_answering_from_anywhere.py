"""Answering the door from another network: home behind NAT, a real relay, and a real browser on a mobile network.

The relay is mosquitto with what `doorward broker` writes. The phone learns all that it needs at home, and then leaves.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from agent.custodian.link_sessions import LinkSessions
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.microphone_file import FileMicrophone
from agent.uplink import relay_connection
from agent.wire.link.session import EndReason
from bench.away import Line
from tests.away_networks import Networks
from tests.browser.away_home import AwayHome, an_away_home
from tests.browser.house import PASSPHRASE
from tests.browser.in_between import InBetween, strongest_pitch
from tests.browser.looking import Looking
from tests.browser.test_one_touch import add_passkey, give_authenticator
from tests.browser.test_talking_at_the_door import (
    ALLOW,
    PRESS,
    RELEASE,
    TALKS,
    assert_the_visitor_heard,
    loud_s,
    spoken,
)
from tests.browser.test_who_rings import deliver, switch_alerts_on
from tests.clients.test_live_over_a_slow_link import busy_street
from tests.scenarios.street import until
from tests.scenarios.test_sound_goes_where_the_owner_says import beeps
from tests.uplink.test_push_sender import Browser

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300)]
at_length = pytest.mark.at_length("make test-browser")

PATTERN = np.random.default_rng(16).integers(40, 200, (60, 80, 3), np.uint8)
"""Colours of the film's squares, each of 4 × 4 pixels."""
_FILM_FPS = 20
_ROUND_S = 15
_ROUNDS = 6

LOOKS = """return page.evaluate(({width, height}) => {
     const canvas = new OffscreenCanvas(width, height);
     const context = canvas.getContext("2d");
     context.drawImage(document.querySelector("video.stage"), 0, 0, width, height);
     const {data} = context.getImageData(0, 0, width, height);
     return Array.from({length: width * height}, (_, at) => (data[4 * at] + data[4 * at + 1] + data[4 * at + 2]) / 3);
   }, args);"""
"""The picture of live view, as levels of grey."""
PLAYS = """await page.waitForFunction(() => document.querySelector("video.stage")?.currentTime > 1, null,
             {timeout: 60_000});"""
LISTENS = """await page.getByRole("button", {name: "Sound on"}).click();
   await page.waitForFunction(() => document.querySelector("video.stage").webkitAudioDecodedByteCount > 0, null,
     {timeout: 20_000});"""
LOCKED = """await page.goto(args.url + args.path);
   await page.getByRole("heading", {name: /Welcome back/}).waitFor();"""
TOUCH = """await page.getByRole("link", {name: "Unlock for the timeline and the settings"}).click();
   await page.getByRole("heading", {name: /Welcome back/}).waitFor();
   await page.getByRole("button", {name: "Unlock", exact: true}).click();
   await page.locator("body[data-bare=false]").waitFor();
   await page.getByRole("heading", {name: "Timeline", level: 1}).waitFor();"""
"""From the door to the timeline, with the passkey."""
# As a tap on the notification's button, which a script cannot make.
TAP = """
const [worker] = page.context().serviceWorkers();
const began = Date.now();
await worker.evaluate(async () => {
  const [notification] = await registration.getNotifications();
  dispatchEvent(new NotificationEvent("notificationclick", {notification, action: "answer"}));
});
await page.waitForFunction(() => document.querySelector("video.stage")?.currentTime > 0, null, {timeout: 60_000});
return Date.now() - began;
"""


def street(path: Path) -> Path:
    """Ninety seconds of a drawn pattern that no other film has, with a bar that moves."""
    tick = Fraction(1, _FILM_FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_FILM_FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.max_b_frames = 0
        stream.codec_context.gop_size = 20
        packets = []
        for number in range(_FILM_FPS * _ROUND_S):
            pixels = PATTERN.repeat(4, 0).repeat(4, 1)
            pixels[:, number : number + 20] = 255
            picture = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            picture.pts, picture.time_base = number, tick
            packets += stream.encode(picture)
        packets += stream.encode(None)
        # The bar begins again after fifteen seconds, so the later rounds need no encoder.
        for number, data in enumerate([bytes(packet) for packet in packets] * _ROUNDS):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, tick
            packet.pts = packet.dts = number
            packet.duration = 1
            packet.is_keyframe = packets[number % len(packets)].is_keyframe
            container.mux(packet)
    return path


@contextmanager
def a_home_to_leave(
    folder: Path,
    *,
    make_film: Callable[[Path], Path] = street,
    prepare: Callable[[Networks], None] = lambda _networks: None,
) -> Iterator[AwayHome]:
    """A doorbell with a microphone and a speaker, both files, and Ana's phone with a microphone that plays a tone."""
    film, ear = make_film(folder / "film.mp4"), beeps(folder / "beeps.wav", 60)
    speaker = f'\n[alerts]\n[speaker]\nkind = "file"\npath = "{folder / "heard.wav"}"\nvolume = 100\n'
    voice = f"--use-file-for-fake-audio-capture={spoken(folder / 'spoken.wav')}"
    with an_away_home(
        folder,
        open_microphone=lambda: FileMicrophone(ear, paced=True),
        more=speaker,
        flags=("--use-fake-device-for-media-stream", voice),
        prepare=prepare,
    ) as home:
        home.pair()
        home.house.solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)
        yield home


def talk(home: AwayHome, heard_at: Path) -> None:
    home.people.run("ana", ALLOW + PRESS + TALKS)
    until(lambda: loud_s(heard_at) >= 2, "two seconds of the tone")
    home.people.run("ana", RELEASE)


@dataclass(frozen=True)
class PhoneAway:
    """Ana is away. Her phone is locked, and it shows alerts. She has a passkey."""

    home: AwayHome
    alerts: Browser

    def see_who_rings(self) -> dict[str, Any]:
        """A visitor presses the button. Returns the notification on Ana's phone."""
        house, push = self.home.house, self.home.push
        until(lambda: house.solo.recorder.status().frames > 30, "a film")
        house.solo.press_button()
        until(lambda: any("picture" in self.alerts.open(body) for _, body in push.taken), "the push message")
        messages = [self.alerts.open(body) for _, body in push.taken]
        (ring,) = [each for each in messages if "picture" in each and "rang" in each["body"]]
        return deliver(self.home.people, house, ring)

    def answer(self, heard_at: Path) -> int:
        """One tap, then live view with sound, then talk. Returns the milliseconds from the tap to the picture."""
        people = self.home.people
        tapped_ms = people.run("ana", TAP)
        people.run("ana", PLAYS + LISTENS)
        assert sessions_of(self.home.house.solo.link) == 1, "the way is through the relay"
        assert_is_the_street(people.run("ana", LOOKS, width=PATTERN.shape[1], height=PATTERN.shape[0]))
        talk(self.home, heard_at)
        # Nothing was unlocked: what is stored stays closed.
        assert people.run("ana", "return page.locator('nav').isVisible();") is False
        return int(tapped_ms)


@contextmanager
def a_phone_away(folder: Path) -> Iterator[PhoneAway]:
    with a_home_to_leave(folder) as home:
        people, alerts = home.people, Browser()
        switch_alerts_on(people, alerts)
        give_authenticator(people)
        add_passkey(people)
        until(lambda: bool(home.house.solo._recording.pictures._browsers), "the recorder to have the key")
        home.leave()
        people.run("ana", LOCKED, url=home.house.url, path="/timeline")
        yield PhoneAway(home, alerts)
        assert people.browser.troubles("ana") == []


def assert_shows_the_street(notification: dict[str, Any]) -> None:
    head, _, data = notification["image"].partition(",")
    assert head == "data:image/webp;base64"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    assert_is_the_street(cv2.resize(picture, PATTERN.shape[1::-1], interpolation=cv2.INTER_AREA))
    assert notification["actions"][0] == ["answer", "Answer"]


def assert_is_the_street(picture: Any) -> None:
    """`picture`: a level of grey for each square of the pattern, in any form. Other pictures reach less than 0.1."""
    likeness = np.corrcoef(np.ravel(picture), np.ravel(cv2.cvtColor(PATTERN, cv2.COLOR_BGR2GRAY)))[0, 1]
    assert likeness > 0.2, "not the picture that the camera took"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doorbell looks five times a second whether its owners have changed, and not every five seconds."""
    monkeypatch.setattr(relay_connection, "_LOOK_S", 0.2)


def test_a_ring_is_answered_with_one_tap_from_another_network(tmp_path: Path) -> None:
    """The story in short. With witnesses between and screenshots it is the next one."""
    with a_phone_away(tmp_path) as phone, phone.home.filming():
        assert_shows_the_street(phone.see_who_rings())
        phone.answer(tmp_path / "heard.wav")
        phone.home.people.run("ana", TOUCH)
    assert_the_visitor_heard(tmp_path / "heard.wav")


@at_length
def test_a_ring_is_answered_with_one_tap_from_another_network_and_nobody_between_sees_or_hears_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looking: Looking
) -> None:
    between = InBetween(monkeypatch)
    with a_phone_away(tmp_path) as phone:
        home, people = phone.home, phone.home.people
        with home.witnessed(lambda frame: between.note("relay", [frame])), home.filming():
            assert_shows_the_street(phone.see_who_rings())
            tapped_ms = phone.answer(tmp_path / "heard.wav")
            people.run("ana", TOUCH)
            people.run("ana", "await page.goto(args.url + '/live');" + PLAYS, url=home.house.url)
            # Last, because the end of the checker's debugging session takes the virtual authenticator with it.
            looking.at(people, "ana", "door-from-away")
    assert_the_visitor_heard(tmp_path / "heard.wav")
    between.note("push service", [body for _, body in home.push.taken])
    between.assert_nothing_is_open()
    # Without counters, which are at regular distances.
    talked = b"".join(each[8:] for each in between.seen["custodian"] if len(each) < 1000)
    relayed = b"".join(each[9:] for each in between.seen["relay"] if len(each) in (256, 1024))
    for data in (talked, relayed):
        assert len(data) > 10_000
        for kind in ("<i2", "u1"):
            assert strongest_pitch(data, kind) < 40, "noise has no pitch"
    print(f"one tap to the picture: {tapped_ms} ms")


@at_length
def test_an_owner_away_unlocks_sees_hears_and_talks(tmp_path: Path) -> None:
    with a_home_to_leave(tmp_path) as home:
        people = home.people
        home.leave()
        with home.filming():
            began_s = time.monotonic()
            people.run("ana", LOCKED, url=home.house.url, path="/live")
            opened_s = time.monotonic() - began_s
            people.unlock("ana")
            people.run("ana", PLAYS + LISTENS)
            talk(home, tmp_path / "heard.wav")
            people.go("ana", "/timeline")
            people.run("ana", 'await page.getByRole("heading", {name: "Timeline", level: 1}).waitFor();')
        assert people.browser.troubles("ana") == []
    assert_the_visitor_heard(tmp_path / "heard.wav")
    print(f"page opened after {opened_s:.1f} s")


PICTURES = """return page.evaluate((ms) => new Promise((resolve) => {
     const video = document.querySelector("video.stage");
     let count = 0;
     const next = () => video.requestVideoFrameCallback(() => { count++; next(); });
     next();
     setTimeout(() => resolve([count, video.videoWidth]), ms);
   }), args.ms);"""
SMALL = 'page.getByText("Small picture (slow connection)")'


@at_length
def test_a_slow_connection_shows_small_pictures_and_a_fast_one_the_filmed_ones(
    tmp_path: Path, looking: Looking
) -> None:
    line = Line(tmp_path)
    try:
        with a_home_to_leave(tmp_path, make_film=busy_street, prepare=line.lay) as home:
            people = home.people
            home.leave()
            home.networks.use_instead("phone", "slow", "10.99.0.1")
            with home.filming():
                people.run("ana", LOCKED, url=home.house.url, path="/live")
                people.unlock("ana")
                people.run("ana", PLAYS)
                line.set(60, 0.0, 5e5 / 8)
                people.run("ana", f"await {SMALL}.waitFor({{timeout: 30_000}});")
                count, _width = people.run("ana", PICTURES, ms=5000)
                assert count > 2
                looking.at(people, "ana", "live-small")
                line.set(60, 0.0)
                people.run("ana", f'await {SMALL}.waitFor({{state: "hidden", timeout: 60_000}});')
                count, _width = people.run("ana", PICTURES, ms=3000)
                assert count > 2
            assert people.browser.troubles("ana") == []
    finally:
        line.close()


AGAIN = 'page.getByText("The page connects again automatically.")'


@at_length
def test_a_lost_session_is_opened_again_without_the_passphrase(tmp_path: Path) -> None:
    """After a restart of the relay or the doorbell, an owner away had to unlock the page again."""
    with a_home_to_leave(tmp_path) as home:
        people, house, relay = home.people, home.house, home.relay
        home.leave()
        with home.filming():
            people.run("ana", LOCKED, url=house.url, path="/live")
            people.unlock("ana")
            people.run("ana", PLAYS)
            relay.stop()
            people.run("ana", f"await {AGAIN}.waitFor({{timeout: 60_000}});")
            relay.start()
            until(lambda: home.relay_status() == "connected", "the doorbell at the relay")
            people.run("ana", f'await {AGAIN}.waitFor({{state: "hidden", timeout: 60_000}});')
            assert people.run("ana", PICTURES, ms=3000)[0] > 2
            end_sessions(house.solo.link)
            until(lambda: sessions_of(house.solo.link) > 0, "another session")
            assert people.run("ana", PICTURES, ms=3000)[0] > 2
            assert sessions_of(house.solo.link) == 1, "one for all that the page asks"


def end_sessions(link: LinkSessions | None) -> None:
    """As a doorbell that is restarted."""
    assert link is not None
    with link._changed:
        for name in list(link._connections):
            link._end(name, EndReason.STOPPING)
        link._changed.notify_all()


def sessions_of(link: LinkSessions | None) -> int:
    assert link is not None
    return sum(each.session is not None for each in link._connections.values())


UNLOCK_IN_VAIN = """await page.getByLabel("Passphrase").fill(args.passphrase);
   await page.getByRole("button", {name: "Unlock", exact: true}).click();
   await page.locator(".problem", {hasText: args.said}).waitFor({timeout: 40_000});"""


@at_length
def test_each_fault_of_the_way_is_said_in_words_and_the_recording_goes_on(tmp_path: Path) -> None:
    with a_home_to_leave(tmp_path) as home:
        people, house, relay = home.people, home.house, home.relay
        switch_alerts_on(people, Browser())
        home.leave()

        def vain(said: str) -> None:
            before = house.solo.recorder.status().frames
            people.run("ana", UNLOCK_IN_VAIN, passphrase=PASSPHRASE, said=said)
            until(lambda: house.solo.recorder.status().frames > before, "more frames")

        with home.filming():
            people.run("ana", LOCKED, url=house.url, path="/timeline")
            relay.stop()
            vain("The relay cannot be reached")
            home.networks.cut_off_home()
            relay.start()
            vain("your doorbell is not connected to it")
            home.networks.connect_home()
            until(lambda: home.relay_status() == "connected", "the doorbell at the relay")
            people.unlock("ana")
            people.go("ana", "/live")
            people.run("ana", PLAYS)
            relay.change_password(house.solo.device.id)
            people.run("ana", 'await page.locator(".problem", {hasText: "refuses this household"}).waitFor();')
            people.run("ana", LOCKED, url=house.url, path="/timeline")
            vain("The relay refuses this household")
            relay.stop()
            relay.start_with_another_certificate()
            vain("has a certificate that this browser does not trust")
            until(lambda: home.relay_status() == "broker not trusted", "the doorbell to refuse it")
            assert house.solo.status()["link"]["relay_remedy"]
            assert house.solo.recorder.status().frames > 100


@at_length
def test_a_session_at_the_door_goes_on_over_a_restart_of_the_doorbell_and_of_the_relay(tmp_path: Path) -> None:
    with a_home_to_leave(tmp_path) as home:
        people, house = home.people, home.house
        switch_alerts_on(people, Browser())
        home.leave()
        with home.filming():
            people.run("ana", "await page.goto(args.url + '/live');" + PLAYS, url=house.url)
            home.relay.stop()
            people.run("ana", 'await page.locator(".problem:not([hidden])", {hasText: /./}).waitFor();')
            home.relay.start()
            people.run(
                "ana",
                """await page.locator(".problem:not([hidden])", {hasText: /./}).waitFor({state: "hidden", timeout: 60_000}).catch(() => {});
                   await page.getByText(/^Live, /).waitFor({timeout: 60_000});""",
            )
        film = tmp_path / "film.mp4"
        house.restart()
        house.solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)
        with home.filming():
            people.run("ana", "await page.getByText(/^Live, /).waitFor({timeout: 60_000});")
        assert people.run("ana", "return page.getByRole('heading', {name: /Welcome back/}).count();") == 0
