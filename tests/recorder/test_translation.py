"""The operator's configuration reaches core, wire and the adapters unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.config import Configuration
from agent.config.derived import request_limits
from agent.config.settings import (
    CameraConfig,
    CameraKind,
    ClipsConfig,
    MotionConfig,
    RequestsConfig,
    ZoneConfig,
)
from agent.core.events import EventSettings
from agent.errors import ConfigurationError
from agent.recorder import translation
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.camera_picamera2 import PiCamera
from agent.recorder.capture.camera_rtsp import RtspCamera
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.recorder.capture.camera_v4l2 import V4l2Camera
from agent.wire.fields import ZoneKind
from agent.wire.limits import RequestLimits

SQUARE = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))


def test_the_default_configuration_means_the_default_limits_and_durations() -> None:
    assert request_limits(RequestsConfig()) == RequestLimits()
    assert translation.event_settings(ClipsConfig()) == EventSettings()


def test_a_tightened_limit_arrives_tightened() -> None:
    limits = request_limits(RequestsConfig(longest_look_back_days=7, shortest_window_minutes=60))
    assert (limits.look_back_max_s, limits.window_min_s) == (7 * 86_400, 3600)


def test_without_zones_the_whole_picture_is_watched_as_keenly_as_configured() -> None:
    raster = translation.zone_map(MotionConfig(sensitivity=2.0)).rasterise(6, 8)
    assert np.all(raster.watched)
    assert np.all(raster.sensitivity == 2.0)


def test_an_exclude_zone_alone_leaves_the_rest_watched() -> None:
    raster = translation.zone_map(
        MotionConfig(zones=(ZoneConfig(name="a", corners=SQUARE, kind=ZoneKind.EXCLUDE),))
    ).rasterise(4, 4)
    assert np.count_nonzero(raster.watched) == 12


def test_sensitivities_multiply_within_what_the_detector_knows() -> None:
    zones = (ZoneConfig(name="a", corners=SQUARE, sensitivity=8.0),)
    assert translation.zone_map(MotionConfig(sensitivity=8.0, zones=zones)).rasterise(4, 4).sensitivity.max() == 10.0


def test_the_larger_of_a_zones_and_the_pictures_smallest_person_applies() -> None:
    zones = (ZoneConfig(name="door", corners=((0, 0), (1, 0), (1, 1), (0, 1)), smallest_person=0.4),)
    least = [
        translation.zone_map(MotionConfig(smallest_person=tall, zones=each)).rasterise(100, 100).smallest_cells.max()
        for tall, each in ((0.2, zones), (0.8, zones), (0.2, ()), (0.0, ()))
    ]
    assert least == [40, 160, 10, 0]


def test_privacy_zones_become_masks_of_the_picture() -> None:
    zones = (ZoneConfig(name="a", corners=SQUARE, kind=ZoneKind.PRIVACY), ZoneConfig(name="b", corners=SQUARE))
    mask = translation.encoding_settings(CameraConfig(), MotionConfig(zones=zones)).zones.privacy_mask(4, 4)
    assert np.count_nonzero(mask) == 4


def test_each_kind_is_its_own_camera() -> None:
    kinds = {
        CameraKind.USB: V4l2Camera,
        CameraKind.FILE: FileCamera,
        CameraKind.SCRIPTED: ScriptedCamera,
        CameraKind.PI: PiCamera,
        CameraKind.RTSP: RtspCamera,
    }
    for kind, camera in kinds.items():
        settings = CameraConfig(kind=kind, path=Path("a.mp4"), url="rtsp://127.0.0.1/a")
        assert isinstance(translation.make_camera(Configuration(camera=settings)), camera)


def test_a_hot_board_gets_fewer_and_then_smaller_pictures() -> None:
    assert [translation.throttled_mode((1280, 720), 15, level) for level in range(5)] == [
        ((1280, 720), 15),
        ((1280, 720), 15),
        ((1280, 720), 15),
        ((1280, 720), 10),
        ((960, 536), 10),
    ]


def test_a_network_cameras_stream_is_not_decoded_so_privacy_zones_are_refused_for_it() -> None:
    camera = CameraConfig(kind=CameraKind.RTSP, url="rtsp://127.0.0.1/a")
    motion = MotionConfig(zones=(ZoneConfig(name="a", corners=SQUARE, kind=ZoneKind.PRIVACY),))
    with pytest.raises(ConfigurationError, match="no privacy mask"):
        translation.make_camera(Configuration(camera=camera, motion=motion))
