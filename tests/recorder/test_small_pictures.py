"""Small pictures for a slow link: encoded while a person needs them, sealed like the others, and as small as agreed."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.live_stream import LiveOpener
from agent.core.live import split_live
from agent.core.live_rate import SMALL_PICTURES, SmallPicture
from agent.core.media import EncodedPacket, LumaFrame, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.ipc.protocol import LiveViewers
from agent.media.fmp4 import header_of
from agent.recorder import live_view
from agent.recorder.capture.delivery import EncodingSettings
from agent.recorder.live_view import LiveEncoder, SmallPictures
from tests.recorder.test_live_view import Desk
from tests.recorder.test_recorder_and_hardware import House, until

BEST = SmallPicture(640, 10, 400)
_NOISE = np.random.default_rng(16)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


class Camera:
    """Gives a frame with a coloured picture of noise, which no encoder makes small, `rate` times a second."""

    def __init__(self, rate: float = 15.0) -> None:
        self._rate = rate
        self._number = 0
        self.pictures = 0

    def frame(self) -> LumaFrame:
        self._number += 1
        luma = np.zeros((176, 320), np.uint8)
        return LumaFrame(luma, BootNs(round(self._number * NS_PER_S / self._rate)), picture=self._picture)

    def _picture(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        self.pictures += 1
        return _NOISE.integers(0, 255, (360, 640, 3), np.uint8)


def encoded(pictures: SmallPictures, camera: Camera, seconds: float) -> list[EncodedPacket]:
    found = []
    for _ in range(round(15 * seconds)):
        pictures.frame(camera.frame())
        found += [packet for packet, _ in pictures.encode()]
    return found


def test_no_picture_is_taken_while_no_person_needs_it() -> None:
    pictures, camera = SmallPictures(threading.Condition()), Camera()
    assert encoded(pictures, camera, 2) == []
    pictures.want(BEST)
    assert encoded(pictures, camera, 1)
    pictures.want(None)
    taken = camera.pictures
    assert encoded(pictures, camera, 2) == []
    assert camera.pictures == taken


@pytest.mark.parametrize("wanted", SMALL_PICTURES)
def test_rate_size_and_bits_are_those_that_were_agreed(wanted: SmallPicture) -> None:
    pictures, camera = SmallPictures(threading.Condition()), Camera()
    pictures.want(wanted)
    found = encoded(pictures, camera, 10)
    assert abs(len(found) - 10 * wanted.frames_per_s) <= 1
    assert found[0].keyframe
    assert abs(sum(each.keyframe for each in found) - 5) <= 1
    # Noise is the worst that a camera can film. An encoder needs a moment until it knows that.
    late = [each for each in found if each.sensor_ns > 2 * NS_PER_S]
    assert sum(len(each.data) for each in late) * 8 / 1000 / 8 < 1.3 * wanted.kbps
    codec = av.CodecContext.create("h264", "r")
    (first, *_) = [*codec.decode(av.Packet(found[0].data)), *codec.decode(None)]
    assert (first.width, first.height) == (wanted.width_px, wanted.width_px * 9 // 16)


def test_a_picture_that_is_overtaken_is_dropped_and_another_mask_begins_a_gop() -> None:
    pictures, camera = SmallPictures(threading.Condition()), Camera()
    pictures.want(BEST)
    for _ in range(10):
        pictures.frame(camera.frame())
    ((packet, _),) = pictures.encode()
    assert packet.sensor_ns > NS_PER_S // 2, "the newest"
    assert not encoded(pictures, camera, 0.5)[-1].keyframe
    pictures.frame(camera.frame())
    pictures.begin_again()
    assert encoded(pictures, camera, 0.2)[0].keyframe


def test_a_camera_without_coloured_pictures_gives_none() -> None:
    pictures = SmallPictures(threading.Condition())
    pictures.want(BEST)
    pictures.frame(LumaFrame(np.zeros((176, 320), np.uint8), BootNs(NS_PER_S)))
    assert pictures.encode() == []


def taken(*times_ns: int) -> list[bool]:
    """Whether a picture is taken of each frame, at ten pictures a second."""
    pictures, found = SmallPictures(threading.Condition()), list[bool]()
    pictures.want(BEST)
    for at_ns in times_ns:
        asked: list[int] = []

        def picture(asked: list[int] = asked) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
            asked.append(1)
            return np.zeros((36, 64, 3), np.uint8)

        pictures.frame(LumaFrame(np.zeros((24, 32), np.uint8), BootNs(at_ns), picture=picture))
        found.append(bool(asked))
    return found


def test_a_picture_is_taken_each_tenth_of_a_second_on_average_and_after_a_step_of_the_clock() -> None:
    ms = NS_PER_S // 1000
    assert taken(1000 * ms, 1001 * ms, 1100 * ms - 1, 1100 * ms) == [True, True, False, True]
    assert taken(1000 * ms, 1070 * ms, 1140 * ms, 1210 * ms) == [True, True, True, True], "no faster than its camera"
    assert taken(1000 * ms, 1150 * ms, 1200 * ms, 1240 * ms, 1300 * ms) == [True, True, True, False, True]
    assert taken(1000 * ms, 1100 * ms, 1099 * ms, 1000 * ms, 999 * ms) == [True, True, False, False, True]
    assert taken(0, 1) == [True, False], "the very first instant of a boot"
    late = taken(5000 * ms, 5100 * ms, 5000 * ms - 1)
    assert late == [True, True, True], "a clock that goes back by more than a picture begins again"
    back = taken(5000 * ms, 5100 * ms, 1000 * ms, 1010 * ms, 1020 * ms, 1030 * ms, 1110 * ms)
    assert back == [True, True, True, True, False, False, True], "and keeps its pace then"


def test_each_picture_wakes_the_thread_of_live_view_and_other_wishes_drop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    changed, woken = threading.Condition(), list[int]()
    monkeypatch.setattr(changed, "notify_all", lambda: woken.append(1))
    pictures, camera = SmallPictures(changed), Camera()
    pictures.want(BEST)
    pictures.frame(camera.frame())
    assert (woken, pictures.is_waiting) == ([1], True)
    pictures.want(SmallPicture(640, 10, 400))
    assert pictures.is_waiting, "the same wish again"
    pictures.begin_again()
    assert not pictures.is_waiting
    pictures.frame(camera.frame())
    pictures.frame(camera.frame())
    pictures.want(SmallPicture(320, 5, 100))
    assert not pictures.is_waiting
    assert pictures.encode() == []


def test_an_encoder_is_made_for_each_size_with_what_was_agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[StreamDescription, EncodingSettings]] = []

    class Encoder:
        def __init__(self, description: StreamDescription, settings: EncodingSettings) -> None:
            made.append((description, settings))

        def encode(self, _frame: object, sensor_ns: BootNs) -> list[EncodedPacket]:
            return [EncodedPacket(b"", True, sensor_ns)]

    monkeypatch.setattr(live_view, "H264Encoder", Encoder)
    pictures = SmallPictures(threading.Condition())
    pictures.want(BEST)
    for width_px in (1280, 1280, 320):
        picture, wanted = np.zeros((width_px * 9 // 16, width_px, 3), np.uint8), BEST
        pictures._encoder_for(picture, wanted)
    settings = EncodingSettings(quality=28, ceiling_kbps=400, buffer_s=0.5, keyframe_every_ns=2 * NS_PER_S)
    assert [each for _, each in made] == [settings] * 2
    assert [(each.width_px, each.frames_per_s, each.live) for each, _ in made] == [(640, 10, True), (320, 10, True)]


class SmallDesk(Desk):
    """A custodian where a person with a slow link looks."""

    def __init__(self) -> None:
        super().__init__()
        self.viewers = LiveViewers(False, small_kbps=400)

    def put(
        self, number: int, piece: int, pieces: int, data: bytes, *, begins: bool, small: bool = False
    ) -> LiveViewers:
        assert small, "no person looks at the filmed pictures"
        return super().put(number, piece, pieces, data, begins=begins)


def test_small_pictures_are_sealed_to_the_owners_one_by_one_and_play(house: House, tmp_path: Path) -> None:
    keys, desk, camera = OwnerKeys.load(tmp_path / "owner"), SmallDesk(), Camera()
    encoder = LiveEncoder(house.solo.vault, house.solo._clock, house.solo.device.id)
    thread = threading.Thread(target=encoder.run, args=(desk,))
    thread.start()
    try:
        until(lambda: encoder._pictures._wanted is not None)
        for number in range(1, 21):
            while not encoder._pictures.is_waiting:
                encoder.frame(camera.frame())
            until(lambda number=number: len(desk.sealed) == number)  # type: ignore[misc]
        desk.viewers = LiveViewers(False)
        until(lambda: encoder._pictures._wanted is None)
        assert encoder._small.newest() == ()
    finally:
        encoder.stop()
        thread.join()
    opener = LiveOpener([keys.identity])
    film, header = b"", b""
    for pieces in desk.sealed.values():
        media, _, context = split_live(opener.open(pieces[0]))
        header = header or header_of(media)
        film += media
        assert context.device == house.solo.device.id
    assert desk.beginnings == [True, *[False] * 19]
    with av.open(io.BytesIO(film)) as container:
        assert len(list(container.decode(video=0))) == 20
