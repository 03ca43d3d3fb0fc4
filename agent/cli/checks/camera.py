"""Checks that the configured camera delivers pictures and that the encoder keeps up.

The check opens the camera with the adapter that records from it. For USB it examines the device node first, because "no
such file", "no permission" and "not a camera" need three different remedies.

Source: `linux/videodev2.h` (VIDIOC_QUERYCAP).
"""

from __future__ import annotations

import fcntl
import getpass
import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.cli.words import plain
from agent.config.settings import CameraConfig, CameraKind, SoundConfig, SoundKind
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DeviceError, DoorwardError
from agent.ports import Camera as CameraPort
from agent.ports import Microphone
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.camera_picamera2 import PiCamera, PiMode, cameras_here
from agent.recorder.capture.camera_picamera2.faults import no_camera
from agent.recorder.capture.camera_rtsp import RtspCamera
from agent.recorder.capture.camera_v4l2 import V4l2Camera, V4l2Mode
from agent.recorder.capture.delivery import EncodingSettings, H264Encoder, describe
from agent.recorder.capture.microphone_alsa import AlsaMicrophone
from agent.recorder.capture.microphone_file import FileMicrophone
from agent.recorder.capture.microphone_rtsp import RtspMicrophone
from firmware_bridge.board_health import read_health
from firmware_bridge.boards import board_here

__all__ = ["check_camera", "check_encoder", "check_sound"]

_VIDIOC_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("16s32s32sIII3I")
_HAS_DEVICE_CAPS = 0x80000000
_VIDEO_CAPTURE = 0x00000001 | 0x00001000
_SYSFS = Path("/sys/class/video4linux")
_BOARD = Path("/proc/device-tree/model")
_FRAMES = 20
_COMFORTABLE = 0.6


def check_camera(camera: CameraConfig) -> Iterator[Finding]:
    """Open what is configured and say what it gives."""
    if camera.kind is CameraKind.PI:
        yield from _check_memory()
        yield _cameras_found(camera.number)
        opened = PiCamera(PiMode(camera.size, camera.fps, number=camera.number, hdr=camera.hdr))
        yield _opened(opened, f"Pi camera {camera.number}")
        if opened.lacks_hdr:
            yield poor(
                "HDR",
                "Neither this sensor nor this board computes HDR: it records without.",
                "Set camera.hdr = false, or use a Camera Module 3, or any Pi camera on a Pi 5.",
            )
    elif camera.kind is CameraKind.RTSP:
        yield _opened(RtspCamera(camera.url or "", camera.luma_url), "The network camera")
    elif camera.kind is CameraKind.SCRIPTED:
        yield fine("camera", "A drawn scene, for tests: it needs no camera.")
    elif camera.kind is CameraKind.FILE:
        yield _opened(FileCamera(camera.path or Path()), f"{camera.path}")
    else:
        yield _check_node(camera.device) or _opened(
            V4l2Camera(str(camera.device), V4l2Mode(*camera.size, camera.fps)), f"{camera.device}"
        )


def _check_memory() -> Iterator[Finding]:
    """A Pi camera's pictures lie in contiguous memory, of which some boards are given too little."""
    board, health = board_here(), read_health()
    if health.cma_total_mb is not None and health.cma_total_mb < board.least_cma_mb:
        yield poor(
            "camera memory",
            f"{health.cma_total_mb} MB are reserved for the camera; this board needs {board.least_cma_mb} MB.",
            "Write into config.txt: dtoverlay=vc4-kms-v3d,cma-256",
        )


def _cameras_found(number: int) -> Finding:
    """Returns the cameras that libcamera finds, independent of the configuration."""
    try:
        found = cameras_here()
    except DeviceError as error:
        return bad("cameras", error.message, error.remedy)
    if number >= len(found):
        missing = no_camera(number, len(found))
        listed = f" libcamera finds: {_numbered(found)}." if found else ""
        return bad("cameras", missing.message + listed, missing.remedy)
    return fine("cameras", f"libcamera finds {_numbered(found)}; camera.number is {number}.")


def _numbered(found: Sequence[str]) -> str:
    return ", ".join(f"{number} ({plain(model)})" for number, model in enumerate(found))


def _opened(camera: CameraPort, name: str) -> Finding:
    try:
        gives = camera.open()
    except DoorwardError as error:
        return bad("camera", error.message, error.remedy)
    finally:
        camera.stop()
    return fine(
        "camera", f"{name} gives {gives.width_px} × {gives.height_px} at {gives.frames_per_s:g} frames a second."
    )


def _check_node(device: Path) -> Finding | None:
    """Returns the fault of the node; None if it may be a camera."""
    if not device.exists():
        return bad("camera", f"There is no {device}.", _where_cameras_are())
    if not os.access(device, os.R_OK | os.W_OK):
        return bad(
            "camera",
            f"{device} cannot be opened by {getpass.getuser()}.",
            f"sudo usermod -aG video {getpass.getuser()}, then log in again.",
        )
    if not _captures(device):
        return bad("camera", f"{device} is not a camera.", _where_cameras_are())
    return None


def _captures(device: Path) -> bool:
    """Returns whether the node delivers pictures. Cameras also have a second node for metadata."""
    answer = bytearray(_CAPABILITY.size)
    try:
        with device.open("rb", buffering=0) as node:
            fcntl.ioctl(node, _VIDIOC_QUERYCAP, answer)
    except OSError:
        return False
    *_, capabilities, device_capabilities, _, _, _ = _CAPABILITY.unpack(answer)
    # V4L2, VIDIOC_QUERYCAP: `capabilities` is of the whole device, and its metadata node captures no pictures.
    here = device_capabilities if capabilities & _HAS_DEVICE_CAPS else capabilities
    return bool(here & _VIDEO_CAPTURE)


def _where_cameras_are() -> str:
    nodes = sorted(_SYSFS.iterdir()) if _SYSFS.is_dir() else []
    cameras = [f"/dev/{node.name} ({_name(node)})" for node in nodes if _captures(Path("/dev") / node.name)]
    if cameras:
        return f"Set camera.device to one of: {', '.join(cameras)}."
    remedy = "No camera was found. Plug one in, or try another cable or port."
    if _BOARD.exists():
        remedy += " A ribbon camera: check both ends of the cable and camera_auto_detect=1 in config.txt."
    return f'{remedy} To try without one, set camera.kind = "scripted" or "file".'


def _name(node: Path) -> str:
    try:
        return (node / "name").read_text().strip()
    except OSError:
        return "unnamed"


def check_sound(sound: SoundConfig, camera: CameraConfig) -> Finding:
    """Is there a microphone where one is configured?"""
    name, source = _microphone(sound, camera)
    try:
        source.open()
    except DoorwardError as error:
        return bad("sound", error.message, error.remedy)
    finally:
        source.stop()
    return fine("sound", f"{name} can be heard.")


def _microphone(sound: SoundConfig, camera: CameraConfig) -> tuple[str, Microphone]:
    if sound.kind is SoundKind.CAMERA:
        return "The network camera's microphone", RtspMicrophone(camera.url or "")
    if sound.kind is SoundKind.FILE:
        return str(sound.path), FileMicrophone(sound.path or Path())
    return sound.device, AlsaMicrophone(sound.device)


def check_encoder(camera: CameraConfig) -> Iterator[Finding]:
    """Encode a second or so at the configured size, and say how much of a core that takes."""
    width_px, height_px = camera.size
    settings = EncodingSettings(widest_px=width_px, quality=camera.quality, ceiling_kbps=camera.bitrate_kbps)
    description = describe(width_px, height_px, camera.fps, widest_px=width_px, live=False)
    try:
        encoder = H264Encoder(description, settings)
        # CPU time of this thread: other work on the board must not count.
        began = time.thread_time()
        for number, picture in enumerate(_pictures(width_px, height_px)):
            encoder.encode(picture, BootNs(number * NS_PER_S // camera.fps))
        encoder.flush()
    except DoorwardError as error:
        yield bad("encoder", error.message, error.remedy)
        return
    frame_s = (time.thread_time() - began) / _FRAMES
    share = frame_s * camera.fps
    message = f"H.264 at {width_px} × {height_px} takes {frame_s * 1000:.1f} ms per frame: {share:.0%} of a core."
    if share < _COMFORTABLE:
        yield fine("encoder", message)
    else:
        yield poor("encoder", message, "Lower camera.size or camera.fps, or frames will be dropped.")


def _pictures(width_px: int, height_px: int) -> Iterator[av.VideoFrame]:
    """Yields a noisy scene with a moving object. It costs as much to encode as a real porch; a grey picture would cost
    less."""
    chance = np.random.default_rng(1)
    still = chance.integers(90, 130, (height_px * 3 // 2, width_px), np.uint8)
    for number in range(_FRAMES):
        pixels = still + chance.integers(0, 6, still.shape, np.uint8)
        left = number * width_px // (2 * _FRAMES)
        pixels[height_px // 4 : height_px * 3 // 4, left : left + width_px // 8] = 200
        yield av.VideoFrame.from_ndarray(pixels, format="yuv420p")
