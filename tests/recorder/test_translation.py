"""The operator's configuration reaches core, wire and the adapters unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from agent.config import Configuration
from agent.config.derived import held_bytes, request_limits
from agent.config.settings import (
    CameraConfig,
    CameraKind,
    ClipsConfig,
    Encoder,
    Focus,
    MotionConfig,
    RequestsConfig,
    SoundConfig,
    SoundKind,
    SpeakerConfig,
    SpeakerKind,
    VaultConfig,
    ZoneConfig,
)
from agent.core.events import EventSettings
from agent.core.motion.zones import Zone
from agent.core.retention import RetentionLimits
from agent.errors import ConfigurationError
from agent.recorder import translation
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.camera_picamera2 import PiCamera, PiMode
from agent.recorder.capture.camera_rtsp import RtspCamera
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.recorder.capture.camera_v4l2 import V4l2Camera, V4l2Mode
from agent.recorder.capture.delivery import EncodingSettings
from agent.recorder.capture.microphone_alsa import AlsaMicrophone
from agent.recorder.capture.microphone_file import FileMicrophone
from agent.recorder.capture.microphone_rtsp import RtspMicrophone
from agent.recorder.clip_writer import WriterSettings
from agent.recorder.playback.speaker_alsa import AlsaSpeaker
from agent.recorder.playback.speaker_file import FileSpeaker
from agent.wire.fields import ZoneKind
from agent.wire.limits import RequestLimits
from firmware_bridge.boards import BoardName, board_named
from firmware_bridge.settings import BoardConfig

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


def test_for_a_set_up_code_a_lens_is_near_and_all_else_is_as_configured() -> None:
    usual = Configuration(camera=CameraConfig(kind=CameraKind.PI, focus=Focus.CONTINUOUS, size=(640, 360), hdr=True))
    near = translation.looking_for_a_code(usual)
    assert (near.camera.focus, near.camera.focus_m) == (Focus.FIXED, 0.17)
    back = replace(near.camera, focus=usual.camera.focus, focus_m=usual.camera.focus_m)
    assert replace(near, camera=back) == usual


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


def made(camera: CameraConfig, throttle_level: int = 0) -> Any:
    return translation.make_camera(Configuration(camera=camera), throttle_level=throttle_level)


def test_a_usb_camera_gets_its_device_its_mode_and_how_long_it_may_be_silent() -> None:
    settings = CameraConfig(device=Path("/dev/video2"), size=(1920, 1080), fps=30, stall_s=22.0, quality=30)
    camera = made(settings, 4)
    assert camera._device == "/dev/video2"
    mode = camera._mode
    assert (mode.width_px, mode.height_px, mode.frames_per_s) == (1920, 1080, 20), "it keeps its own size"
    assert camera._settings.widest_px == 1440, "and the encoder makes the pictures smaller"
    assert camera._settings.quality == 30
    assert camera._stall_s == 22.0


def test_a_network_camera_gets_both_addresses() -> None:
    camera = made(CameraConfig(kind=CameraKind.RTSP, url="rtsp://a/main", luma_url="rtsp://a/small", stall_s=33.0))
    assert (camera._url, camera._luma_url, camera._stall_s) == ("rtsp://a/main", "rtsp://a/small", 33.0)


@pytest.mark.parametrize("realtime", [True, False])
def test_a_film_and_a_drawn_scene_are_played_in_real_time_if_configured(realtime: bool) -> None:
    film = made(CameraConfig(kind=CameraKind.FILE, path=Path("a.mp4"), realtime=realtime))
    assert (film._path, film._paced) == (Path("a.mp4"), realtime)
    drawn = made(CameraConfig(kind=CameraKind.SCRIPTED, size=(320, 180), fps=7, realtime=realtime))
    assert (drawn._size_px, drawn._frames_per_s, drawn._paced) == ((320, 180), 7, realtime)


def test_a_film_without_a_file_is_refused_with_the_key() -> None:
    with pytest.raises(ConfigurationError, match=r"camera\.path"):
        made(CameraConfig(kind=CameraKind.FILE))


def test_the_mode_of_a_pi_camera_has_every_key_and_no_more_than_its_board_takes() -> None:
    settings = CameraConfig(kind=CameraKind.PI, bitrate_kbps=900, number=1, rotate=True, mirror=True, focus_m=0.5,
                            focus=Focus.ONCE, hdr=True)  # fmt: skip
    mode = translation.pi_mode(settings, (1920, 1080), 12, board_named(BoardName.PI_5))
    assert mode == PiMode(
        size_px=(1920, 1080), frames_per_s=12, bitrate_kbps=900, number=1, rotate=True, mirror=True, focus_m=0.5,
        focus="once", hdr=True, buffers=6,
    )  # fmt: skip
    small = translation.pi_mode(settings, (1920, 1080), 12, board_named(BoardName.ZERO_2_W))
    assert (small.size_px[0], small.buffers) == (1280, 3)


@pytest.mark.parametrize(
    ("wish", "board", "hardware"),
    [
        (Encoder.AUTO, BoardName.PI_4, True),
        (Encoder.AUTO, BoardName.PI_5, False),
        (Encoder.HARDWARE, BoardName.PI_5, True),
        (Encoder.SOFTWARE, BoardName.PI_4, False),
    ],
)
def test_the_encoder_is_the_boards_unless_one_is_named(wish: Encoder, board: BoardName, hardware: bool) -> None:
    configuration = Configuration(camera=CameraConfig(encoder=wish), board=BoardConfig(profile=board))
    assert translation.encoder_choice(configuration).hardware is hardware


def test_each_kind_of_sound_is_its_own_microphone() -> None:
    assert translation.open_microphone(Configuration()) is None
    camera = CameraConfig(kind=CameraKind.RTSP, url="rtsp://a/main")
    kinds = {SoundKind.ALSA: AlsaMicrophone, SoundKind.CAMERA: RtspMicrophone, SoundKind.FILE: FileMicrophone}
    for kind, microphone in kinds.items():
        sound = SoundConfig(kind=kind, device="hw:2", path=Path("a.wav"), bitrate_kbps=77)
        open_it = translation.open_microphone(Configuration(camera=camera, sound=sound))
        assert open_it is not None
        found: Any = open_it()
        assert isinstance(found, microphone)
        assert found._bitrate_kbps == 77
        where = {SoundKind.ALSA: "_device", SoundKind.CAMERA: "_url", SoundKind.FILE: "_path"}[kind]
        assert getattr(found, where) in ("hw:2", "rtsp://a/main", Path("a.wav"))
        assert getattr(found, "_paced", True) is True, "a file is heard as slowly as it was recorded"


def test_each_kind_of_speaker_is_its_own() -> None:
    alsa: Any = translation.make_speaker(SpeakerConfig(device="hw:1"))
    assert (type(alsa), alsa._device) == (AlsaSpeaker, "hw:1")
    file: Any = translation.make_speaker(SpeakerConfig(kind=SpeakerKind.FILE, path=Path("said.wav")))
    assert (type(file), file._path) == (FileSpeaker, Path("said.wav"))


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: translation.make_microphone(SoundConfig(kind=SoundKind.FILE)), "sound.path"),
        (lambda: translation.make_speaker(SpeakerConfig(kind=SpeakerKind.FILE)), "speaker.path"),
    ],
)
def test_a_file_that_is_not_named_is_refused_with_the_key(make: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigurationError, match=key):
        make()


def test_the_vaults_limits_are_those_of_the_file_and_a_share_of_the_disk() -> None:
    vault = VaultConfig(
        max_bytes=50_000_000, max_age_days=3, free_floor=0.1, kept_bytes=30_000_000, continuous_max_bytes=20_000_000
    )
    limits = translation.vault_limits(Configuration(vault=vault), 1_000_000_000)
    assert limits == RetentionLimits(
        most_bytes=50_000_000,
        oldest_ms=3 * 86_400_000,
        free_bytes=100_000_000,
        continuous_bytes=20_000_000,
        kept_bytes=30_000_000,
        held_bytes=held_bytes(vault),
    )


def test_clips_are_written_as_configured() -> None:
    clips = ClipsConfig(
        segment_s=3, pre_roll_s=4, pre_roll_max_bytes=5_000_000, fault_memory_bytes=6_000_000, continuous=True
    )
    assert translation.writer_settings(clips) == WriterSettings(3, 4, 5_000_000, 6_000_000, True)
    events = ClipsConfig(pre_roll_s=4, post_roll_s=5, merge_gap_s=6, longest_clip_s=70)
    assert translation.event_settings(events) == EventSettings(
        pre_roll_s=4, post_roll_s=5, merge_gap_s=6, longest_clip_s=70
    )


# -- whole arguments ---------------------------------------------------------------------------------------------------


def test_without_a_zone_the_whole_picture_is_one() -> None:
    assert translation.zone_map(MotionConfig()).zones == (
        Zone("everything", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),
    )
    corners = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))
    private = ZoneConfig(name="bed", corners=corners, kind=ZoneKind.PRIVACY)
    names = [zone.name for zone in translation.zone_map(MotionConfig(zones=(private,))).zones]
    assert names == ["bed", "everything"]
    street = ZoneConfig(name="street", corners=corners, sensitivity=0.2, smallest_person=0.3)
    (zone,) = translation.zone_map(MotionConfig(sensitivity=0.4, smallest_person=0.1, zones=(street,))).zones
    assert zone == Zone("street", corners, ZoneKind.INCLUDE, 0.1, 0.3), "no less keen than 0.1"


class Made:
    """In place of each adapter: what it is made with."""

    def __init__(self, *given: object, **named: object) -> None:
        self.given, self.named = given, named


ADAPTERS = (
    "PiCamera", "RtspCamera", "V4l2Camera", "ScriptedCamera", "FileCamera",
    "RtspMicrophone", "AlsaMicrophone", "FileMicrophone", "AlsaSpeaker", "FileSpeaker",
)  # fmt: skip


@pytest.fixture
def made_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], tuple[str, tuple[object, ...], dict[str, object]]]:
    """Returns the adapter's name, and what it was made with."""
    for name in ADAPTERS:
        monkeypatch.setattr(translation, name, type(name, (Made,), {}))

    def shown(adapter: object) -> tuple[str, tuple[object, ...], dict[str, object]]:
        assert isinstance(adapter, Made)
        return type(adapter).__name__, adapter.given, adapter.named

    return shown


MOTION = MotionConfig(sensitivity=2.0)


def settings_for(camera: CameraConfig, widest_px: int) -> EncodingSettings:
    return EncodingSettings(
        widest_px=widest_px,
        quality=camera.quality,
        ceiling_kbps=camera.bitrate_kbps,
        zones=translation.zone_map(MOTION),
    )


def test_the_encoding_has_the_cameras_width_quality_ceiling_and_zones() -> None:
    camera = CameraConfig(size=(1280, 720), bitrate_kbps=3000)
    assert translation.encoding_settings(camera, MOTION) == settings_for(camera, 1280)


def test_each_camera_is_made_with_what_was_configured_for_it(made_with: Callable[[object], object]) -> None:
    def shown(level: int = 0, **camera: Any) -> object:
        configuration = Configuration(camera=CameraConfig(size=(1280, 720), fps=15, **camera), motion=MOTION)
        return made_with(translation.make_camera(configuration, None, level))

    base = CameraConfig(size=(1280, 720), fps=15)
    whole = settings_for(base, 1280)
    assert shown(kind=CameraKind.RTSP, url="rtsp://a/main", luma_url="rtsp://a/small", stall_s=9.0) == (
        "RtspCamera", ("rtsp://a/main", "rtsp://a/small"), {"masked": False, "stall_s": 9.0},
    )  # fmt: skip
    assert shown(kind=CameraKind.RTSP) == ("RtspCamera", ("", None), {"masked": False, "stall_s": base.stall_s})
    assert shown(kind=CameraKind.USB, device=Path("/dev/video7"), stall_s=9.0) == (
        "V4l2Camera", ("/dev/video7", V4l2Mode(1280, 720, 15)), {"settings": whole, "stall_s": 9.0},
    )  # fmt: skip
    assert shown(4, kind=CameraKind.USB, device=Path("/dev/video7")) == (
        "V4l2Camera", ("/dev/video7", V4l2Mode(1280, 720, 10)),
        {"settings": settings_for(base, 960), "stall_s": base.stall_s},
    ), "a hot board scales, because the camera itself has few modes"  # fmt: skip
    for live in (True, False):
        assert shown(kind=CameraKind.SCRIPTED, realtime=live) == (
            "ScriptedCamera", (),
            {"size_px": (1280, 720), "frames_per_s": 15, "paced": live, "repeats": live, "settings": whole},
        )  # fmt: skip
        assert shown(kind=CameraKind.FILE, path=Path("a.mp4"), realtime=live) == (
            "FileCamera", (Path("a.mp4"),), {"paced": live, "settings": whole},
        )  # fmt: skip


def test_a_pi_camera_keeps_the_encoder_that_it_was_given_and_gets_one_otherwise(
    made_with: Callable[[object], Any],
) -> None:
    configuration = Configuration(camera=CameraConfig(kind=CameraKind.PI, size=(1280, 720), fps=15), motion=MOTION)
    encoder = translation.encoder_choice(configuration)
    board = board_named(configuration.board.profile)
    name, given, named = made_with(translation.make_camera(configuration, encoder, 3))
    assert (name, given) == ("PiCamera", (translation.pi_mode(configuration.camera, (1280, 720), 10, board),))
    assert named["settings"] == settings_for(configuration.camera, 1280)
    assert named["encoder"] is encoder
    _name, _given, named = made_with(translation.make_camera(configuration))
    assert named["encoder"] is not encoder
    assert isinstance(named["encoder"], type(encoder))


def test_each_microphone_and_speaker_is_made_with_what_was_configured_for_it(
    made_with: Callable[[object], object],
) -> None:
    def microphone(**sound: Any) -> object:
        return made_with(translation.make_microphone(SoundConfig(bitrate_kbps=48, **sound), "rtsp://a"))

    assert microphone(kind=SoundKind.CAMERA) == ("RtspMicrophone", ("rtsp://a", 48), {})
    assert microphone(kind=SoundKind.ALSA, device="hw:1") == ("AlsaMicrophone", ("hw:1", 48), {})
    assert microphone(kind=SoundKind.FILE, path=Path("a.wav")) == (
        "FileMicrophone", (Path("a.wav"), 48), {"paced": True},
    )  # fmt: skip
    without_url = translation.make_microphone(SoundConfig(kind=SoundKind.CAMERA, bitrate_kbps=48))
    assert made_with(without_url) == ("RtspMicrophone", ("", 48), {})
    alsa = SpeakerConfig(kind=SpeakerKind.ALSA, device="hw:2")
    assert made_with(translation.make_speaker(alsa)) == ("AlsaSpeaker", ("hw:2",), {})
    file = SpeakerConfig(kind=SpeakerKind.FILE, path=Path("said.wav"))
    assert made_with(translation.make_speaker(file)) == ("FileSpeaker", (Path("said.wav"),), {})


def test_the_microphone_of_the_configuration_is_opened_with_the_cameras_address(
    made_with: Callable[[object], object],
) -> None:
    camera = CameraConfig(kind=CameraKind.RTSP, url="rtsp://a")
    sound = SoundConfig(kind=SoundKind.CAMERA, bitrate_kbps=48)
    opens = translation.open_microphone(Configuration(camera=camera, sound=sound))
    assert opens is not None
    assert made_with(opens()) == ("RtspMicrophone", ("rtsp://a", 48), {})
    assert translation.open_microphone(Configuration(camera=camera)) is None


@pytest.mark.parametrize(
    ("level", "mode"),
    [(2, ((1280, 720), 15)), (3, ((1280, 720), 10)), (4, ((960, 536), 10)), (5, ((960, 536), 10))],
)
def test_each_level_of_throttling_has_its_size_and_rate(level: int, mode: object) -> None:
    assert translation.throttled_mode((1280, 720), 15, level) == mode
    assert translation.throttled_mode((640, 480), 1, 3) == ((640, 480), 1), "at least a picture a second"
