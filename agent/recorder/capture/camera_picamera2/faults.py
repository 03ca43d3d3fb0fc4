"""The exceptions of picamera2, and their meaning and remedy for the owner."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from agent.errors import DeviceError

__all__ = ["no_camera", "out_of_memory", "remedies"]


@contextlib.contextmanager
def remedies() -> Iterator[None]:
    """Everything picamera2 raises, as a `DeviceError` that says what to do."""
    try:
        yield
    except ImportError as error:
        raise DeviceError(
            f"picamera2 is not here ({error.name}).",
            remedy="In an installation: sudo make install again, which brings it and builds the environment on it.  "
            "By hand: sudo apt-get install python3-picamera2, and an environment with --system-site-packages.",
        ) from error
    except DeviceError:
        raise
    except (RuntimeError, OSError, MemoryError, KeyError, IndexError) as error:
        raise _explained(error) from error


def _explained(error: BaseException) -> DeviceError:
    words = " / ".join(str(cause) for cause in _causes(error))
    if out_of_memory(error):
        return DeviceError(
            "There is not enough contiguous memory for the camera's pictures.",
            remedy="Give it more in config.txt (dtoverlay=vc4-kms-v3d,cma-256), or a smaller camera.size.",
        )
    if "dmaheap" in words.lower():
        return DeviceError(
            "This system offers no memory for the camera's pictures (/dev/dma_heap).",
            remedy="Use Raspberry Pi OS's kernel with dtoverlay=vc4-kms-v3d, and put this user into the group video.",
        )
    if "busy" in words.lower() or "in use" in words.lower():
        return DeviceError(
            "The camera is busy: another program has it.", remedy="Find it with `sudo fuser -v /dev/media*` and end it."
        )
    return DeviceError(f"The camera cannot be used ({words}).", remedy="See what `rpicam-hello --list-cameras` says.")


def no_camera(number: int, found: int) -> DeviceError:
    if found:
        return DeviceError(
            f"There is no camera {number}: {found} found, counted from 0.", remedy="Set camera.number to one of them."
        )
    return DeviceError(
        "No Pi camera is found.",
        remedy="Check both ends of the ribbon cable (contacts towards the board's), camera_auto_detect=1 or the "
        "sensor's dtoverlay in config.txt, then `rpicam-hello --list-cameras`.",
    )


def out_of_memory(error: BaseException) -> bool:
    return any(
        isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM or "allocate" in str(cause)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
