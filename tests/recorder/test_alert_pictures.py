"""Pictures of alerts: small, sealed to one browser each, of the door as it is now, at the cost of no alert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from agent.clients.opening import HybridIdentity, open_bytes
from agent.core.alerts.alert_messages import AlertPicture, glance_id
from agent.core.media import EncodedPacket, Gop
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.errors import FormatError, OpenError
from agent.media.poster import preview
from agent.platform.system_clock import SystemEntropy
from agent.recorder.alert_pictures import AlertPictures
from agent.recorder.live_view import LiveEncoder
from tests.cameras import assembled, filmed_by_camera

KEYS = [HybridIdentity(bytes([number]) * 32) for number in (1, 2)]
GLANCES = tuple(str(key.recipient()) for key in KEYS)


class Owners:
    """`ports.PictureNotifier`."""

    def __init__(self) -> None:
        self.news: list[tuple[str, tuple[AlertPicture, ...]]] = []

    def notify(self, kind: str, _text: str, _once: str = "", pictures: Sequence[AlertPicture] = ()) -> None:
        self.news.append((kind, tuple(pictures)))


class Door:
    """The recorder's side of a camera that has just filmed one GOP.  It is `ports.Clock`, too."""

    def __init__(self) -> None:
        self.description, packets = filmed_by_camera(frames=15)
        (self.gop,) = assembled(packets, GopAssembler(NS_PER_S // 15))
        self.live = LiveEncoder(None, self, "door")  # type: ignore[arg-type]  # it seals nothing here
        self.owners, self.boot_ns = Owners(), self.gop.end_ns
        self.pictures = AlertPictures(self.owners, self.live, self, SystemEntropy())  # type: ignore[arg-type]
        self.pictures.show_to(GLANCES)

    def now(self) -> ClockReading:
        return ClockReading(BootNs(self.boot_ns), UtcNs(self.boot_ns), ClockQuality.SYNCED)

    def film(self, gop: Gop | None = None) -> None:
        self.live.push(gop or self.gop, self.description)

    def ring(self) -> tuple[AlertPicture, ...]:
        self.pictures.notify("button", "Somebody pressed the button.")
        kind, pictures = self.owners.news[-1]
        assert kind == "button"
        return pictures


def test_each_browser_gets_a_picture_that_only_its_own_key_opens() -> None:
    door = Door()
    door.film()
    first, second = door.ring()
    assert [first.glance, second.glance] == [glance_id(text) for text in GLANCES]
    shown = cv2.imdecode(np.frombuffer(open_bytes(first.sealed, [KEYS[0]]), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (90, 160, 3)
    whole = cv2.imdecode(
        np.frombuffer(preview([door.gop], codec=door.description.codec, most_bytes=10**6), np.uint8), cv2.IMREAD_COLOR
    )
    assert np.abs(shown.astype(int) - whole).mean() < 12
    with pytest.raises(OpenError):
        open_bytes(first.sealed, [KEYS[1]])
    assert len(first.sealed) < 1650 + 1600


@pytest.mark.parametrize("kind", ["tamper", "camera", "storage", "board"])
def test_news_that_is_not_about_visitors_goes_without_a_picture(kind: str) -> None:
    door = Door()
    door.film()
    door.pictures.notify(kind, "news")
    assert door.owners.news == [(kind, ())]


def test_behind_a_privacy_switch_and_from_a_camera_that_has_stopped_there_is_no_picture() -> None:
    door = Door()
    assert door.ring() == ()
    door.film()
    door.live.forget()
    assert door.ring() == ()
    door.film()
    door.boot_ns += 11 * NS_PER_S
    assert door.ring() == ()


def test_without_a_browser_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    door.film()
    door.pictures.show_to(())
    monkeypatch.setattr("agent.recorder.alert_pictures.preview", lambda *_a, **_k: pytest.fail("decoded"))
    assert door.ring() == ()


def test_pictures_that_do_not_decode_and_keys_that_do_not_parse_cost_no_alert() -> None:
    door = Door()
    rubbish = tuple(EncodedPacket(b"\0\0\1\x65" + bytes(40), p.keyframe, p.sensor_ns) for p in door.gop.packets)
    door.film(replace(door.gop, packets=rubbish))
    assert door.ring() == ()
    door.film()
    door.pictures.show_to((GLANCES[0][:-1] + ("q" if GLANCES[0][-1] != "q" else "p"), GLANCES[1]))
    assert [each.glance for each in door.ring()] == [glance_id(GLANCES[1])]


@pytest.mark.parametrize("most_bytes", [300, 700, 1500])
def test_a_preview_keeps_to_its_bytes_or_is_refused(most_bytes: int) -> None:
    door = Door()
    assert len(preview([door.gop], codec=door.description.codec, most_bytes=most_bytes)) <= most_bytes
    with pytest.raises(FormatError, match="10 bytes"):
        preview([door.gop], codec=door.description.codec, most_bytes=10)


def test_a_picture_of_exactly_ten_seconds_ago_is_still_sent() -> None:
    door = Door()
    door.film()
    door.boot_ns += 10 * NS_PER_S
    assert len(door.ring()) == 2
    door.boot_ns += 1
    assert door.ring() == ()


def test_the_same_keys_again_are_not_parsed_again_and_others_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    door.film()
    parsed: list[str] = []

    def parse(text: str) -> object:
        parsed.append(text)
        return KEYS[GLANCES.index(text)].recipient()

    monkeypatch.setattr("agent.recorder.alert_pictures.parse_recipient", parse)
    door.pictures.show_to(GLANCES)
    assert parsed == []
    door.pictures.show_to(GLANCES[1:])
    assert parsed == [GLANCES[1]]
    assert [each.glance for each in door.ring()] == [glance_id(GLANCES[1])]


@pytest.mark.parametrize("kind", ["button", "visitor", "person"])
def test_news_of_visitors_keeps_its_words_and_its_name_beside_the_picture(kind: str) -> None:
    door, told = Door(), list[tuple[object, ...]]()
    door.film()
    door.owners.notify = lambda *news: told.append(news)  # type: ignore[method-assign, assignment]
    door.pictures.notify(kind, "Somebody is there.", "once")
    ((found, words, once, pictures),) = told
    assert (found, words, once, len(pictures)) == (kind, "Somebody is there.", "once", 2)  # type: ignore[arg-type]
