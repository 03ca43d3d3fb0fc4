"""Turns the configuration's plain data into the values that `core`, `wire` and the adapters use.

Every range was checked when the file was read. This module decides only which key means which value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec

from agent.config import Configuration
from agent.config.derived import held_bytes
from agent.config.settings import (
    CameraConfig,
    CameraKind,
    ClipsConfig,
    Encoder,
    Focus,
    MotionConfig,
    SoundConfig,
    SoundKind,
    SpeakerConfig,
    SpeakerKind,
)
from agent.core.events import EventSettings
from agent.core.motion.zones import Zone, ZoneMap
from agent.core.retention import RetentionLimits
from agent.errors import ConfigurationError
from agent.ports import Camera, Microphone, Speaker
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.camera_picamera2 import EncoderChoice, PiCamera, PiMode
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
from firmware_bridge.boards import Board, board_named
from firmware_bridge.throttling import ThrottleLevel

__all__ = [
    "encoder_choice",
    "encoding_settings",
    "event_settings",
    "looking_for_a_code",
    "make_camera",
    "make_microphone",
    "make_speaker",
    "open_microphone",
    "vault_limits",
    "writer_settings",
    "zone_map",
]

_SENSITIVITY = (0.1, 10.0)
_DAY_MS = 86_400_000
_CODE_M = 0.17
"""A lens that moves is sharp from 12 to 28 cm then, as far as a code needs: the page asks for about 15 cm."""
_WHOLE_PICTURE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def vault_limits(configuration: Configuration, disk_bytes: int) -> RetentionLimits:
    """`disk_bytes`: the size of the whole file system that holds the vault."""
    vault = configuration.vault
    return RetentionLimits(
        most_bytes=vault.max_bytes,
        oldest_ms=vault.max_age_days * _DAY_MS,
        free_bytes=int(disk_bytes * vault.free_floor),
        continuous_bytes=vault.continuous_max_bytes,
        kept_bytes=vault.kept_bytes,
        held_bytes=held_bytes(vault),
    )


def writer_settings(clips: ClipsConfig) -> WriterSettings:
    return WriterSettings(
        clips.segment_s, clips.pre_roll_s, clips.pre_roll_max_bytes, clips.fault_memory_bytes, clips.continuous,
    )  # fmt: skip


def zone_map(motion: MotionConfig) -> ZoneMap:
    """The zones, each with its own sensitivity times the camera's, and the larger of both smallest persons."""
    zones = [Zone(z.name, z.corners, z.kind, z.sensitivity, z.smallest_person) for z in motion.zones]
    # A sensitivity belongs to an include zone, so without one the whole picture becomes one.
    if not any(zone.kind is ZoneKind.INCLUDE for zone in zones):
        zones.append(Zone("everything", _WHOLE_PICTURE))
    low, high = _SENSITIVITY
    return ZoneMap(
        tuple(
            dataclasses.replace(
                zone,
                sensitivity=min(high, max(low, zone.sensitivity * motion.sensitivity)),
                smallest_person=max(zone.smallest_person, motion.smallest_person),
            )
            for zone in zones
        )
    )


def event_settings(clips: ClipsConfig) -> EventSettings:
    return EventSettings(
        pre_roll_s=clips.pre_roll_s,
        post_roll_s=clips.post_roll_s,
        merge_gap_s=clips.merge_gap_s,
        longest_clip_s=clips.longest_clip_s,
    )


def encoding_settings(settings: CameraConfig, motion: MotionConfig) -> EncodingSettings:
    """With the zones, for what is private is black before encoder, detector and poster see the picture."""
    return EncodingSettings(
        widest_px=settings.size[0],
        quality=settings.quality,
        ceiling_kbps=settings.bitrate_kbps,
        zones=zone_map(motion),
    )


def encoder_choice(configuration: Configuration) -> EncoderChoice:
    """Returns the first choice of encoder for a Pi camera. It changes if that encoder fails."""
    wish = configuration.camera.encoder
    board = board_named(configuration.board.profile)
    hardware = board.hardware_h264 if wish is Encoder.AUTO else wish is Encoder.HARDWARE
    return EncoderChoice(hardware)


def make_camera(configuration: Configuration, encoder: EncoderChoice | None = None, throttle_level: int = 0) -> Camera:
    """Returns the configured camera; the caller opens it. `throttle_level` is the throttling level."""
    settings, motion = configuration.camera, configuration.motion
    encoding = encoding_settings(settings, motion)
    size_px, rate = throttled_mode(settings.size, settings.fps, throttle_level)
    if settings.kind is CameraKind.PI:
        mode = pi_mode(settings, size_px, rate, board_named(configuration.board.profile))
        return PiCamera(mode, settings=encoding, encoder=encoder or encoder_choice(configuration))
    if settings.kind is CameraKind.RTSP:
        return RtspCamera(
            settings.url or "", settings.luma_url, masked=encoding.zones.has_privacy, stall_s=settings.stall_s
        )
    if settings.kind is CameraKind.USB:
        # A USB camera offers few sizes. It films as configured, and a smaller picture is encoded.
        encoding = dataclasses.replace(encoding, widest_px=size_px[0])
        mode_ = V4l2Mode(settings.size[0], settings.size[1], rate)
        return V4l2Camera(str(settings.device), mode_, settings=encoding, stall_s=settings.stall_s)
    if settings.kind is CameraKind.SCRIPTED:
        live = settings.realtime
        return ScriptedCamera(
            size_px=settings.size, frames_per_s=settings.fps, paced=live, repeats=live, settings=encoding
        )
    if settings.path is None:
        raise ConfigurationError("camera.path: a camera of kind 'file' has no file.", remedy="Give one.")
    return FileCamera(settings.path, paced=settings.realtime, settings=encoding)


def looking_for_a_code(configuration: Configuration) -> Configuration:
    """Returns the configuration with a lens that is sharp where a person holds the set-up code."""
    near = msgspec.structs.replace(configuration.camera, focus=Focus.FIXED, focus_m=_CODE_M)
    return msgspec.structs.replace(configuration, camera=near)


def make_microphone(sound: SoundConfig, camera_url: str | None = None) -> Microphone:
    """Returns the configured microphone; the caller opens it. `camera_url` is the network camera's address."""
    if sound.kind is SoundKind.CAMERA:
        return RtspMicrophone(camera_url or "", sound.bitrate_kbps)
    if sound.kind is SoundKind.ALSA:
        return AlsaMicrophone(sound.device, sound.bitrate_kbps)
    if sound.path is None:
        raise ConfigurationError("sound.path: sound of kind 'file' has no file.", remedy="Give one.")
    return FileMicrophone(sound.path, sound.bitrate_kbps, paced=True)


def open_microphone(configuration: Configuration) -> Callable[[], Microphone] | None:
    """Returns the function that opens a microphone; None if there is no `[sound]`."""
    sound = configuration.sound
    return None if sound is None else lambda: make_microphone(sound, configuration.camera.url)


def make_speaker(settings: SpeakerConfig) -> Speaker:
    """Returns the configured speaker; the caller opens it."""
    if settings.kind is SpeakerKind.ALSA:
        return AlsaSpeaker(settings.device)
    if settings.path is None:
        raise ConfigurationError("speaker.path: a speaker of kind 'file' has no file.", remedy="Give one.")
    return FileSpeaker(settings.path)


def throttled_mode(size_px: tuple[int, int], frames_per_s: int, throttle_level: int) -> tuple[tuple[int, int], int]:
    """Returns size and rate at a throttling level: two thirds of the rate, then three quarters of each side."""
    if throttle_level >= ThrottleLevel.RATE:
        frames_per_s = max(1, frames_per_s * 2 // 3)
    if throttle_level >= ThrottleLevel.SIZE:
        size_px = (size_px[0] * 3 // 32 * 8, size_px[1] * 3 // 32 * 8)
    return size_px, frames_per_s


def pi_mode(settings: CameraConfig, size_px: tuple[int, int], frames_per_s: int, board: Board) -> PiMode:
    return PiMode(
        size_px=size_px,
        frames_per_s=frames_per_s,
        bitrate_kbps=settings.bitrate_kbps,
        number=settings.number,
        rotate=settings.rotate,
        mirror=settings.mirror,
        focus=settings.focus.value,
        focus_m=settings.focus_m,
        hdr=settings.hdr,
        buffers=board.camera_buffers,
    ).at_most(board.widest_px)
