"""The real picamera2 on libcamera's virtual pipeline, with the four things that pipeline cannot do itself.

It has no raw role, wants NV12's two planes described one by one, completes each request at once, and grants every
orientation without turning a pixel (libcamera 0.4): here it falls back to the video role, allocates two planes, paces
requests at the frame rate asked for, and says that it did not turn. Everything else is picamera2.

The faults that a test can bring about act where the hardware's would: `freeze` repeats the last pixels, `starve` lets
no request complete, `unplug` does so for good.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from typing import Any

import libcamera
import picamera2.dma_heap
from picamera2 import MappedArray, Picamera2
from picamera2.allocators import DmaAllocator

picamera2.dma_heap.heapNames.append("/dev/dma_heap/system")  # what a PC's kernel has


class TwoPlanes(DmaAllocator):
    """`DmaAllocator` with one file descriptor and two planes a buffer.  `most_bytes`: more is "out of memory"."""

    def __init__(self, most_bytes: int | None = None) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def allocate(self, libcamera_config: Any, use_case: Any) -> None:
        wanted = sum(stream.buffer_count * stream.frame_size for stream in libcamera_config)
        if self._most_bytes is not None and wanted > self._most_bytes:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        self.libcamera_fds = []
        self.cleanup()
        for number in self.open_fds:
            os.close(number)
        self.frame_buffers, self.open_fds = {}, []
        for stream in libcamera_config:
            self.frame_buffers[stream.stream] = [self._buffer(stream) for _ in range(stream.buffer_count)]

    def _buffer(self, stream: Any) -> Any:
        memory = self.dmaHeap.alloc("doorward-test", stream.frame_size)
        self.open_fds.append(memory.get())
        luma_bytes = stream.stride * stream.size.height
        planes = []
        for offset, length in ((0, luma_bytes), (luma_bytes, stream.frame_size - luma_bytes)):
            plane = libcamera.FrameBuffer.Plane()
            plane.fd, plane.offset, plane.length = memory.get(), offset, length
            planes.append(plane)
        self.libcamera_fds.append(planes[0].fd)
        self.mapped_buffers_used[planes[0].fd] = False
        buffer = libcamera.FrameBuffer(planes)
        access = mmap.PROT_READ | mmap.PROT_WRITE
        self.mapped_buffers[buffer] = mmap.mmap(memory.get(), stream.frame_size, mmap.MAP_SHARED, access)
        return buffer


class VirtualPicamera2(Picamera2):
    """`frames_per_s`: the sensor's pace."""

    def __init__(self, number: int = 0, *, frames_per_s: float = 15, most_bytes: int | None = None) -> None:
        super().__init__(number, allocator=TwoPlanes(most_bytes))
        self._period_s = 1 / frames_per_s
        self._next_s = 0.0
        self._still: dict[str, Any] = {}
        self.frozen = False
        self.starved = False

    def freeze(self) -> None:
        """Repeats the last frame from now on, like a sensor with a hanging link."""
        self.frozen = True

    def starve(self) -> None:
        """From now on no frame comes, as from a sensor that was unplugged."""
        self.starved = True

    def camera_configuration(self, *arguments: Any) -> Any:
        return {**super().camera_configuration(*arguments), "transform": libcamera.Transform()}

    def _get_raw_modes(self) -> list[dict[str, Any]]:
        formats = self.camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0).formats
        return [
            {"format": str(pixels), "size": (size.width, size.height)}
            for pixels in formats.pixel_formats
            for size in formats.sizes(pixels)
        ]

    def process_requests(self, display: Any) -> None:
        """One request at a time, at the sensor's pace."""
        with self._requestslock:
            waiting, self._requests = self._requests, []
        if self.starved:
            self._held = [*getattr(self, "_held", []), *waiting]  # their buffers never come back
            waiting = []
        for request in waiting or [None]:
            if request is not None:
                self._pace()
                if self.frozen:
                    self._repeat(request)
            with self._requestslock:
                later, self._requests = self._requests, [request] if request is not None else []
            super().process_requests(display)
            with self._requestslock:
                self._requests = later + self._requests

    def stop_(self, request: Any = None) -> tuple[bool, None]:
        for held in getattr(self, "_held", []):
            held.release()
        self._held: list[Any] = []
        result: tuple[bool, None] = super().stop_(request)
        return result

    def _pace(self) -> None:
        now_s = time.monotonic()
        if self._next_s > now_s:
            time.sleep(self._next_s - now_s)
        self._next_s = max(self._next_s, now_s - self._period_s) + self._period_s

    def _repeat(self, request: Any) -> None:
        for name in ("main", "lores"):
            with MappedArray(request, name, write=True) as mapped:
                if name in self._still:
                    mapped.array[:] = self._still[name]
                else:
                    self._still[name] = mapped.array.copy()
