"""Settings for a Pi camera, by its offer. tests/hardware tests the filming on real libcamera."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from agent.core.motion.zones import Zone, ZoneMap
from agent.recorder.capture.camera_picamera2 import PiCamera, PiMode
from agent.recorder.capture.camera_picamera2.camera import _light
from agent.recorder.capture.camera_picamera2.mode import controls_for, transform_for
from agent.recorder.capture.camera_picamera2.pictures import PrivacyRetouch, small_picture
from agent.wire.fields import ZoneKind


@dataclass
class Offering:
    """As much of a camera as is asked what it can do."""

    camera_controls: dict[str, Any] = field(default_factory=dict)


LIMITS = (11_000, 120_000, None)


def test_a_lens_that_moves_is_told_to_stay_where_it_is_sharp() -> None:
    asked = controls_for(Offering({"LensPosition": (0.0, 32.0, 1.0), "AfMode": (0, 2, 0)}), PiMode(focus_m=2.0))
    assert asked == {"AfMode": 0, "LensPosition": 0.5}


@pytest.mark.parametrize(("focus", "asked"), [("once", {"AfMode": 1, "AfTrigger": 0}), ("continuous", {"AfMode": 2})])
def test_a_camera_focuses_itself_once_or_all_the_time_if_it_is_asked_to(focus: str, asked: dict[str, int]) -> None:
    lens = Offering({"LensPosition": (0.0, 32.0, 1.0), "AfMode": (0, 2, 0)})
    assert controls_for(lens, PiMode(focus=focus)) == asked
    assert controls_for(Offering(), PiMode(focus=focus)) == {}, "a lens that does not move"


def test_what_a_camera_does_not_offer_is_not_asked_of_it() -> None:
    assert controls_for(Offering(), PiMode(focus_m=2.0, frames_per_s=15, hdr=True)) == {}


def test_a_board_computes_hdr_unless_the_sensor_does() -> None:
    board = Offering({"HdrMode": (0, 4, 0)})
    assert controls_for(board, PiMode(hdr=True), "imx219") == {"HdrMode": 3}
    assert controls_for(board, PiMode(hdr=True), "imx708") == {}
    assert controls_for(board, PiMode(hdr=False), "imx219") == {}


class Camera(Offering):
    """Enough of picamera2 to be opened."""

    def create_video_configuration(self, **asked: Any) -> dict[str, Any]:
        self.given = {name: asked[name] for name in ("main", "lores")}
        self.controls = asked["controls"]
        return self.given

    def configure(self, _wanted: object) -> None: ...

    def camera_configuration(self) -> dict[str, Any]:
        return self.given

    def close(self) -> None: ...


@pytest.mark.parametrize("wanted", [True, False])
def test_the_sensor_of_camera_module_3_is_switched_to_hdr_and_back_before_it_is_opened(wanted: bool) -> None:
    steps: list[object] = []
    camera = PiCamera(
        PiMode(hdr=wanted, number=1),
        make=lambda _number: steps.append("opened") or Camera({"FrameDurationLimits": LIMITS}),
        cameras=lambda: [{"Model": "imx219"}, {"Model": "imx708"}],
        switch_sensor_hdr=lambda *switched: steps.append(switched),
    )
    camera.open()
    assert steps == [(1, wanted), "opened"]


@pytest.mark.parametrize(("sensor", "event"), [("imx708", "camera_hdr_failed"), ("imx219", "camera_without_hdr")])
def test_a_camera_without_hdr_records_without_it_and_says_so(sensor: str, event: str) -> None:
    def fails(_number: int, _on: bool) -> None:
        raise PermissionError("/dev/v4l-subdev2")

    camera = PiCamera(
        PiMode(hdr=True),
        make=lambda _number: Camera(),
        cameras=lambda: [{"Model": sensor}],
        switch_sensor_hdr=fails,
    )
    with capture_logs() as lines:
        assert camera.open().width_px == 1280
    assert [line["event"] for line in lines] == [event]
    assert camera.lacks_hdr is (sensor == "imx219")


@pytest.mark.parametrize(("frames_per_s", "frame_us"), [(15, 66_666), (60, 16_666), (5, 120_000), (1000, 11_000)])
def test_the_frame_rate_is_one_that_the_sensor_has(frames_per_s: int, frame_us: int) -> None:
    asked = controls_for(Offering({"FrameDurationLimits": LIMITS}), PiMode(frames_per_s=frames_per_s))
    assert asked == {"FrameDurationLimits": (frame_us, frame_us)}, "both ends: exposure may not stretch a frame"


def test_lux_is_taken_as_the_camera_says_it() -> None:
    light = _light({"ExposureTime": 33_000, "Lux": 12.5, "SensorTimestamp": 1})
    assert light.lux == 12.5
    assert _light({}) == type(light)()


def test_a_camera_that_hangs_the_right_way_up_is_not_turned() -> None:
    assert transform_for(PiMode()) == {}


@pytest.mark.parametrize(
    ("rotate", "mirror", "flips"),
    [(True, False, (True, True)), (False, True, (True, False)), (True, True, (False, True))],
)
def test_rotation_and_mirroring_become_the_sensors_flips(
    rotate: bool, mirror: bool, flips: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    from types import SimpleNamespace

    # Debian's binding is for the system's own Python, which this test does not run in.
    monkeypatch.setitem(sys.modules, "libcamera", SimpleNamespace(Transform=lambda *, hflip, vflip: (hflip, vflip)))
    assert transform_for(PiMode(rotate=rotate, mirror=mirror)) == {"transform": flips}


@pytest.mark.parametrize("flips", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("name", ["NV12", "YUV420"])
def test_every_plane_is_turned_and_the_padding_behind_its_rows_is_not(name: str, flips: tuple[bool, bool]) -> None:
    width, height, stride = 32, 16, 48
    pixels = np.random.default_rng(3).integers(0, 256, (height * 3 // 2, stride), np.uint8)
    before = pixels.copy()
    PrivacyRetouch(ZoneMap(), flips).retouch(pixels, {"size": (width, height), "format": name})
    turn = np.s_[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1]
    assert (pixels[:height, :width] == before[:height, :width][turn]).all()
    assert (pixels[:height, width:] == before[:height, width:]).all()
    shape = (height // 2, stride // 2, 2) if name == "NV12" else (2, height // 2, stride // 2)
    old, new = before[height:].reshape(shape), pixels[height:].reshape(shape)
    planes = (
        zip(np.moveaxis(old, -1, 0), np.moveaxis(new, -1, 0), strict=True)
        if name == "NV12"
        else zip(old, new, strict=True)
    )
    for was, now in planes:
        assert (now[:, : width // 2] == was[:, : width // 2][turn]).all()
        assert (now[:, width // 2 :] == was[:, width // 2 :]).all()


def test_a_privacy_zone_lies_where_it_was_drawn_in_the_turned_picture() -> None:
    pixels = np.full((24, 32), 200, np.uint8)
    left = Zone("window", ((0.0, 0.0), (0.375, 0.0), (0.375, 1.0), (0.0, 1.0)), ZoneKind.PRIVACY)
    PrivacyRetouch(ZoneMap((left,)), (True, True)).retouch(pixels, {"size": (32, 16), "format": "YUV420"})
    assert (pixels[:16, :12] == 16).all()
    assert (pixels[:16, 12:] == 200).all()


@pytest.mark.parametrize("name", ["NV12", "YUV420"])
def test_the_coloured_picture_is_read_from_either_format_without_its_padding(name: str) -> None:
    width, height, stride = 1280, 720, 1344
    scene = np.zeros((height, width, 3), np.uint8)
    scene[:, :640], scene[:, 640:] = (200, 30, 30), (20, 40, 180)
    planar = cv2.cvtColor(scene, cv2.COLOR_RGB2YUV_I420)
    luma, chroma = planar[:height], planar[height:].reshape(2, height // 2, width // 2)
    pixels = np.full((height * 3 // 2, stride), 77, np.uint8)
    pixels[:height, :width] = luma
    if name == "NV12":
        pixels[height:, :width] = np.stack(list(chroma), axis=-1).reshape(height // 2, width)
    else:
        pixels[height:].reshape(2, height // 2, stride // 2)[:, :, : width // 2] = chroma
    picture = small_picture(pixels, {"size": (width, height), "format": name})
    assert picture.shape == (360, 640, 3)
    assert np.abs(picture[:, :318].astype(int) - (200, 30, 30)).max() <= 4
    assert np.abs(picture[:, 322:].astype(int) - (20, 40, 180)).max() <= 4
