"""The Pi camera on real libcamera and real picamera2.  Run by `test_on_libcamera.py`, in the system's own Python."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import picamera2.encoders
import pytest
from picamera2 import Picamera2
from picamera2.encoders import Encoder, LibavH264Encoder

from agent.clients.owner.decisions import approve
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.review import RequestReview
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.config import Configuration, load
from agent.config.settings import ClipsConfig, DeviceConfig
from agent.core.events import TriggerKind
from agent.core.media import Gop, LumaFrame
from agent.core.motion.zones import Zone, ZoneMap
from agent.core.timebase import NS_PER_S, seconds
from agent.custodian.state_folder import StateFolder
from agent.errors import DeviceError
from agent.ipc.control_client import DeviceLink
from agent.media.poster import poster
from agent.ports import CameraEnd
from agent.recorder.capture.camera_picamera2 import EncoderChoice, PiCamera, PiMode, encoding
from agent.recorder.capture.delivery import EncodingSettings
from agent.solo import Solo
from agent.wire.fields import Kind, ZoneKind
from agent.wire.identities import private_key_from_seed
from tests.cameras import FIRST_NS, Receiver, gops_of
from tests.hardware.virtual_picamera2 import VirtualPicamera2
from tests.scenarios.street import Asker, a_street

SMALL = PiMode(size_px=(640, 360), buffers=4, bitrate_kbps=1500)


@pytest.fixture(autouse=True)
def virtual_pipeline_and_no_thread_left() -> Iterator[None]:
    if not Picamera2.global_camera_info():
        pytest.skip("no virtual pipeline")
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 3
    while not set(threading.enumerate()) <= before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(threading.enumerate()) <= before


class Rig:
    """A camera with a virtual sensor that the test controls."""

    def __init__(self, mode: PiMode = SMALL, **more: Any) -> None:
        self.sensor: VirtualPicamera2 | None = None
        most_bytes = more.pop("most_bytes", None)

        def make(number: int) -> VirtualPicamera2:
            self.sensor = VirtualPicamera2(number, frames_per_s=mode.frames_per_s, most_bytes=most_bytes)
            return self.sensor

        self.camera = PiCamera(mode, make=make, **more)
        self.receiver = Receiver()

    def film(self, pictures: int) -> Receiver:
        """Until this many have come, however long this machine takes over them."""
        return self.film_until(lambda: min(len(self.receiver.packets), len(self.receiver.luma_ns)) >= pictures)

    def film_until(self, enough: Callable[[], object]) -> Receiver:
        self.camera.open()
        self.camera.start(self.receiver, FIRST_NS)
        until(enough)
        self.camera.stop()
        return self.receiver


def in_mjpeg(sensor: VirtualPicamera2) -> VirtualPicamera2:
    given = sensor.camera_configuration
    sensor.camera_configuration = lambda: {name: {**given()[name], "format": "MJPEG"} for name in ("main", "lores")}
    return sensor


def until(condition: Callable[[], object], patience_s: float = 20) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_frames_packets_and_times_are_the_sensors_own() -> None:
    rig = Rig()
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    receiver = rig.film(20)
    after_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    times = [packet.sensor_ns for packet in receiver.packets]
    assert times == sorted(set(times))
    # A frame's luma and packet have one time; of a busy machine's last frames one half may be missing.
    assert {at for at in receiver.luma_ns if at <= times[-1]} <= set(times)
    assert len(receiver.luma_ns) + rig.camera.dropped >= len(times) - 3
    assert before_ns <= times[0] <= times[-1] <= after_ns
    assert all(luma.shape == (176, 320) for luma in receiver.luma_kept)
    assert {thread.split("-")[0] for thread in receiver.threads} == {"camera"}
    assert receiver.ends == [(CameraEnd.STOPPED, "The camera was stopped.")]
    assert receiver.late == 0


def test_a_keyframe_comes_every_second_with_its_parameter_sets_and_when_asked() -> None:
    rig = Rig()
    rig.receiver.each_packet = lambda packet: rig.camera.request_keyframe() if len(rig.receiver.packets) == 20 else None
    receiver = rig.film(26)
    keyframes = [number for number, packet in enumerate(receiver.packets) if packet.keyframe]
    assert keyframes[:2] == [0, 15]
    assert any(20 <= number <= 23 for number in keyframes), "asked for at 20"
    for packet in receiver.packets:
        assert (b"\0\0\1\x67" in packet.data and b"\0\0\1\x68" in packet.data) == packet.keyframe


def test_privacy_zones_are_black_in_the_recording_and_in_the_luma() -> None:
    left = Zone("window", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), ZoneKind.PRIVACY)
    receiver = Rig(settings=EncodingSettings(zones=ZoneMap((left,)))).film(16)
    masked = receiver.luma_kept[-1]
    assert masked[:, :150].max() <= 17
    assert masked[:, 170:].max() > 60
    gop: Gop = gops_of(receiver, NS_PER_S // 15)[0]
    import cv2

    picture = cv2.imdecode(np.frombuffer(poster([gop], gop.start_ns), np.uint8), cv2.IMREAD_COLOR)
    assert picture[:, : picture.shape[1] * 45 // 100].mean() < 8
    assert picture[:, picture.shape[1] * 55 // 100 :].mean() > 40


def test_what_the_camera_does_not_turn_is_turned_before_encoder_and_detector_see_it() -> None:
    def first(mode: PiMode) -> tuple[np.ndarray, np.ndarray]:
        """The first luma, and the same of the first decoded picture."""
        receiver = Rig(mode).film(2)
        gop = gops_of(receiver, NS_PER_S // 15)[0]
        picture = cv2.imdecode(np.frombuffer(poster([gop], gop.start_ns), np.uint8), cv2.IMREAD_GRAYSCALE)
        return receiver.luma_kept[0].astype(float), cv2.resize(picture, (320, 176)).astype(float)

    import cv2

    upright = first(SMALL)[0]
    turns = {"rotate": np.s_[::-1, ::-1], "mirror": np.s_[:, ::-1]}
    for name, turn in turns.items():
        for turned in first(replace(SMALL, **{name: True})):
            assert np.abs(turned[turn] - upright).mean() < 8
            assert np.abs(turned - upright).mean() > 16


def test_a_slow_receiver_costs_frames_and_never_delay() -> None:
    rig = Rig()
    rig.receiver.each_packet = lambda _packet: time.sleep(0.15)
    came_ns = rig.receiver.luma_ns
    rig.film_until(lambda: rig.camera.dropped > 0 and came_ns and came_ns[-1] - came_ns[0] > NS_PER_S)
    assert len(came_ns) < (came_ns[-1] - came_ns[0]) * 15 // NS_PER_S, "the newest frames came, not the oldest"


def test_no_picture_is_copied_and_a_packet_only_where_picamera2_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """bench/CAMERA.md counts: the address of the pixels at encoder and receiver, and the owner of a packet's bytes."""
    rig, make_picture, pass_on = Rig(), av.VideoFrame.from_numpy_buffer, Encoder.outputframe
    looked_at: list[int] = []
    encoded_at: list[int] = []
    taken: list[bytes] = []

    class Eye(Receiver):
        def luma(self, frame: LumaFrame) -> None:
            looked_at.append(address(frame.luma))
            super().luma(frame)

    class Pictures:
        @staticmethod
        def from_numpy_buffer(*arguments: Any, **more: Any) -> av.VideoFrame:
            picture = make_picture(*arguments, **more)
            encoded_at.append(picture.planes[0].buffer_ptr)
            return picture

    def outputframe(encoder: Encoder, frame: bytes, *arguments: Any, **more: Any) -> None:
        taken.append(frame)
        pass_on(encoder, frame, *arguments, **more)

    def address(pixels: np.ndarray) -> int:
        return int(pixels.__array_interface__["data"][0])

    monkeypatch.setattr(av, "VideoFrame", Pictures)
    monkeypatch.setattr(LibavH264Encoder, "outputframe", outputframe)
    rig.receiver = Eye()
    rig.camera.open()
    assert rig.sensor is not None
    buffers = {address(np.frombuffer(mapped, np.uint8)) for mapped in rig.sensor.allocator.mapped_buffers.values()}
    rig.camera.start(rig.receiver, FIRST_NS)
    until(lambda: len(rig.receiver.packets) > 5 and len(looked_at) > 5)
    rig.camera.stop()
    assert set(looked_at) <= buffers
    assert set(encoded_at) <= buffers
    assert all(packet.data is frame for packet, frame in zip(rig.receiver.packets, taken, strict=False))


def test_a_camera_that_is_not_there_is_told_with_what_to_look_at() -> None:
    with pytest.raises(DeviceError, match="There is no camera 3"):
        Rig(PiMode(number=3)).camera.open()
    with pytest.raises(DeviceError, match=r"No Pi camera is found.*ribbon cable.*rpicam-hello"):
        Rig(cameras=list).camera.open()


def test_a_busy_camera_is_told_as_busy_and_is_had_when_it_is_free() -> None:
    holder = VirtualPicamera2(0)
    try:
        with pytest.raises(DeviceError, match=r"busy.*fuser"):
            Rig().camera.open()
    finally:
        holder.close()
    assert Rig().film(3).packets


def test_memory_that_does_not_suffice_is_asked_for_in_smaller_pieces() -> None:
    rig = Rig(PiMode(size_px=(640, 360), buffers=4), most_bytes=1_300_000)  # 640×360 wants 1.7 MB
    description = rig.camera.open()
    rig.camera.stop()
    assert (description.width_px, description.height_px) == (480, 272)
    with pytest.raises(DeviceError, match=r"contiguous memory.*cma-256"):
        Rig(most_bytes=1000).camera.open()


def test_a_format_nobody_can_encode_is_refused_by_name() -> None:
    rig = Rig()
    rig.camera = PiCamera(SMALL, make=lambda number: in_mjpeg(VirtualPicamera2(number)))
    with pytest.raises(DeviceError, match="gives MJPEG pictures"):
        rig.camera.open()
    assert Rig().film(3).packets, "and the camera is free again"


def test_a_hardware_encoder_that_is_missing_makes_way_for_a_smaller_software_one() -> None:
    choice = EncoderChoice(hardware=True)
    first = Rig(PiMode(size_px=(1280, 720)), encoder=choice)
    first.camera.open()
    first.camera.start(first.receiver, FIRST_NS)
    assert first.receiver.done.wait(10)
    first.camera.stop()
    assert first.receiver.ends[0][0] is CameraEnd.LOST
    assert "in software, smaller" in first.receiver.ends[0][1]
    second = Rig(PiMode(size_px=(1280, 720)), encoder=choice)
    assert second.film(3).packets
    third = Rig(PiMode(size_px=(1280, 720)), encoder=choice)
    assert third.camera.open().width_px == 640
    third.camera.stop()


def test_a_hardware_encoder_that_falls_silent_makes_way_for_a_smaller_software_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The board's own encoder, as picamera2 knows it: it takes pictures, and gives nothing."""

    class Silent(LibavH264Encoder):
        def _encode(self, _stream: Any, _request: Any) -> None:
            pass

    monkeypatch.setattr(encoding, "_HARDWARE_ENCODER", Path("/dev/null"))
    monkeypatch.setattr(picamera2.encoders, "H264Encoder", Silent)
    choice = EncoderChoice(hardware=True)
    first = Rig(PiMode(size_px=(1280, 720)), encoder=choice)
    assert first.camera.open().width_px == 1280
    first.camera.start(first.receiver, FIRST_NS)
    assert first.receiver.done.wait(15)
    first.camera.stop()
    assert first.receiver.luma_ns, "there were pictures all the time"
    assert first.receiver.ends == [
        (CameraEnd.LOST, "The board's H.264 encoder gives nothing: it goes on in software, smaller.")
    ]
    second = Rig(PiMode(size_px=(1280, 720)), encoder=choice)
    assert second.film(3).packets
    third = Rig(PiMode(size_px=(1280, 720)), encoder=choice)
    assert third.camera.open().width_px == 640
    third.camera.stop()


# --- The whole device on it


class House(Rig):
    """A device that films with this camera, and its owner, who is `told`.  `fault`: of the camera from the start."""

    def __init__(self, folder: Path, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.told: list[str] = []
        StateFolder(folder / "state").initialise(private_key_from_seed(os.urandom(32)))
        self.folder = folder
        configuration = Configuration(
            device=DeviceConfig(state_dir=folder / "state"),
            clips=ClipsConfig(pre_roll_s=1, post_roll_s=1, merge_gap_s=1, segment_s=2),
        )
        self.cameras = 0
        self.solo = Solo(configuration, open_camera=self._open_camera)
        if not fault:  # else a busy machine's own pauses would be stalls among the faults, and wait longer each time
            self.solo.recorder._loop._stall_ns = seconds(3.0)
        self.solo.recorder._parts.gaps._notifier = self
        self.solo.start()
        self.owner = OwnerKeys.create(folder / "owner")
        with DeviceLink(folder / "state" / "control.sock") as link:
            enrol(link, self.owner)
        self.recording = threading.Thread(target=self.solo.record)
        self.recording.start()

    def notify(self, _kind: str, text: str) -> None:
        self.told.append(text)

    def _open_camera(self) -> PiCamera:
        self.cameras += 1
        seen: dict[str, Any] = {"cameras": list} if self.fault == "missing" else {}
        return PiCamera(SMALL, make=self._make, encoder=self.camera._choice, **seen)

    def _make(self, number: int) -> VirtualPicamera2:
        self.sensor = VirtualPicamera2(number, most_bytes=1000 if self.fault == "memory" else None)
        return in_mjpeg(self.sensor) if self.fault == "format" else self.sensor

    def hurt(self, fault: str) -> None:
        """The camera that films now.  A pause of this machine is a stall, too, and the next camera is well again."""
        recorder, sensor = self.solo.recorder, self.sensor
        if sensor is None or not recorder.delivering or recorder._parts.gaps._open is not None:
            return
        if fault == "encoder":
            for encoder in sensor.encoders:
                encoder._encode = lambda *_arguments: None
        else:
            getattr(sensor, fault)()

    def __enter__(self) -> House:
        until(lambda: self.told if self.fault else self.solo.recorder.delivering)
        return self

    def __exit__(self, *_cause: object) -> None:
        self.solo.stop()
        self.recording.join()
        self.solo.close()

    def manifest(self) -> str:
        import base64
        import json

        lines = next((self.folder / "state").rglob("manifest*")).read_text().splitlines()
        return "\n".join(base64.b64decode(json.loads(line)["payload"]).decode() for line in lines)


def test_a_press_becomes_sealed_segments_that_the_owner_opens(tmp_path: Path) -> None:
    # The virtual sensor repeats a few seconds for ever. The detector may take that for a tree, so the press must do.
    with House(tmp_path) as house:
        house.solo.recorder.trigger(TriggerKind.BUTTON)
        until(lambda: house.solo.recorder.status().segments >= 1)
        entries = list(house.solo.vault.entries())
        sealed = house.solo.vault.read(entries[0].id, 0, 1 << 24)
    from agent.clients.opening import open_bytes
    from agent.core.vault.segment import split_media

    media, context = split_media(open_bytes(sealed, [house.owner.identity]))
    assert context.label in ("button", "motion", "pir")
    assert media[4:8] == b"ftyp"


STALLS = {
    "starve": "The camera has stopped sending pictures. It is restarted",
    "freeze": "The camera sends one and the same picture. It is restarted",
    "encoder": "The camera sends pictures, but its encoder gives nothing. It is restarted",
}
FAULTS = {
    "missing": r"No Pi camera is found.*ribbon cable.*rpicam-hello",
    "busy": r"The camera is busy: another program has it.*fuser",
    "memory": r"not enough contiguous memory.*config\.txt",
    "format": r"gives MJPEG pictures.*apt full-upgrade",
}


@pytest.mark.parametrize("fault", STALLS)
def test_a_camera_that_stalls_is_noticed_told_restarted_and_leaves_a_gap(tmp_path: Path, fault: str) -> None:
    with House(tmp_path) as house:
        until(lambda: house.hurt(fault) or [text for text in house.told if text.startswith(STALLS[fault])])
        until(lambda: house.told[-1] == "The camera works again.")
        house.solo.press_button()
        until(lambda: house.solo.recorder.status().segments >= 1)
    assert house.cameras >= 2
    assert all("cable and power" in text for text in house.told if text.startswith(STALLS[fault]))
    assert '"camera lost"' in house.manifest()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_camera_that_cannot_be_had_is_told_in_words_that_help_and_films_once_it_can(
    tmp_path: Path, fault: str
) -> None:
    holder = VirtualPicamera2(0) if fault == "busy" else None
    with House(tmp_path, fault) as house:
        until(lambda: re.search(FAULTS[fault], house.solo.recorder.status().detail))
        house.fault = ""
        if holder is not None:
            holder.close()
        until(lambda: house.solo.recorder.delivering)
        until(lambda: "The camera works again." in house.told)
        house.solo.press_button()
        until(lambda: house.solo.recorder.status().segments >= 1)
    assert re.search(FAULTS[fault], house.told[0])
    assert '"camera lost"' in house.manifest()


def test_a_camera_that_is_unplugged_is_told_and_films_again_when_it_is_back(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        assert house.sensor is not None
        house.fault = "missing"
        house.sensor.starve()
        until(lambda: "ribbon cable" in house.solo.recorder.status().detail)
        assert house.solo.recorder.status().state == "no camera"
        house.fault = ""
        until(lambda: "The camera works again." in house.told)
        house.solo.press_button()
        until(lambda: house.solo.recorder.status().segments >= 1)
    assert any(text.startswith("The camera has stopped sending pictures.") for text in house.told)
    assert '"camera lost"' in house.manifest()


def test_the_main_job_on_this_camera_from_a_press_to_a_requesters_film(tmp_path: Path) -> None:
    with a_street(tmp_path) as street:
        police = Asker(street, "rijnstad-police", Kind.POLICE)
        solo = Solo(
            load(street.configuration('kind = "pi"')), open_camera=lambda: PiCamera(SMALL, make=VirtualPicamera2)
        )
        solo.start()
        recording = threading.Thread(target=solo.record)
        recording.start()
        try:
            street.enrol_and_trust(police)
            until(lambda: solo.recorder.delivering)
            solo.press_button()
            until(lambda: solo.recorder.status().segments >= 2)
            request = police.ask("2026-2204")
            until(lambda: street.state_of(request) == "pending")
            with street.owners_link() as link:
                review = RequestReview.fetch(link, street.owner, request.id)
                chosen = [each.id for each in review.segments[:2]]
                disclosure = approve(link, street.owner, review, chosen)
            news: list[ReceiverEvent] = []
            with police.receiving(news):
                until(lambda: street.state_of(request) == "sent")
        finally:
            solo.stop()
            recording.join()
            solo.close()
        opened = open_disclosure(police.requester, disclosure, now_s=request.not_after_s)
        assert opened.verification.ok, opened.verification.failed
        assert [each.item.part.id for each in opened.verification.segments] == chosen
        assert opened.merged is not None
        with av.open(str(opened.merged)) as film:
            pictures = [picture.pts for picture in film.decode(video=0)]
            assert (film.streams.video[0].width, film.streams.video[0].height) == SMALL.size_px
        assert len(pictures) > 15
        assert pictures == sorted(set(pictures))


def test_the_privacy_switch_stops_the_sensor_and_leaves_a_gap(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        house.solo.recorder.set_privacy_switch(True)
        until(lambda: house.sensor is not None and not house.sensor.is_open)
        until(lambda: not house.solo.recorder.delivering)  # the thread that closed the sensor says so next
        assert house.solo.recorder.status().state == "privacy"
        house.solo.recorder.set_privacy_switch(False)
        until(lambda: house.solo.recorder.delivering)
    assert '"privacy switch"' in house.manifest()


def test_times_stay_true_over_a_restart_of_the_pipeline() -> None:
    times: list[int] = []
    for _ in range(2):
        times.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        times += [packet.sensor_ns for packet in Rig().film(5).packets]
    times.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    assert times == sorted(set(times))
