"""Opens a network camera's stream, and describes it without its password.

Sources: RFC 2326 (RTSP); libavformat/rtsp.c (`allowed_media_types`: only those are set up, so only those are sent).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from agent.errors import DeviceError

__all__ = ["LARGEST_PX", "host_of", "no_sound", "opened", "said"]

LARGEST_PX: Final = 7680 * 4320
"""Such a picture takes 50 MB, which fits the recorder. Without a bound, a megabyte could unpack to all the memory."""
_OPENING_S: Final = 10.0


def opened(url: str, patience_s: float, media: str = "video") -> InputContainer:
    """The stream's pictures ("video") or sound ("audio") alone.  `patience_s`: a read that takes longer fails.

    Raises `DeviceError`.
    """
    options = {"max_pixels": str(LARGEST_PX)}
    if url.startswith("rtsp"):
        # Without "nobuffer": packets that are read to probe the stream are footage, too.
        # TCP: over UDP, a lost packet would damage the pictures up to the next keyframe.
        options |= {"rtsp_transport": "tcp", "allowed_media_types": media}
    try:
        return av.open(url, mode="r", options=options, timeout=(_OPENING_S, patience_s))
    except (av.error.FFmpegError, OSError) as error:
        if media == "audio":
            raise no_sound(url, said(error)) from error
        raise DeviceError(
            f"The camera at {host_of(url)} cannot be opened ({said(error)}).",
            remedy="Check camera.url with a player: address, port, path, user and password.",
        ) from error


def no_sound(url: str, why: str) -> DeviceError:
    return DeviceError(
        f"The camera at {host_of(url)} gives no sound ({why}).",
        remedy="Switch its microphone on in the camera's own settings, as AAC or G.711, or take out [sound].",
    )


def host_of(url: str) -> str:
    """Returns only the host: the log must not show user, password or path."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname or "that address")
    except ValueError:
        return "that address"


def said(error: Exception) -> str:
    """Returns FFmpeg's message and removes the address that it often repeats."""
    return str(getattr(error, "strerror", None) or type(error).__name__)
