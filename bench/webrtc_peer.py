"""Sends a film over WebRTC with aiortc, beside which `bench.away` measures. It runs in a separate environment.

    python bench/webrtc_peer.py FILM BEGAN_S

Reads an offer from standard input, one line of JSON, and writes the answer. Picture number n is sent n / 15 s after
`BEGAN_S` (Unix time). aiortc encodes it, so its encoder is in the figure, as the recorder's is not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

FRAMES_PER_S = 15


class Film(MediaStreamTrack):  # type: ignore[misc] # the checked environment lacks aiortc
    kind = "video"

    def __init__(self, path: str, began_s: float) -> None:
        super().__init__()
        self._began_s = began_s
        self._pictures = self._played(path)

    def _played(self, path: str) -> Iterator[tuple[float, av.VideoFrame]]:
        with av.open(path) as container:
            for number, picture in enumerate(container.decode(video=0)):
                yield self._began_s + number / FRAMES_PER_S, picture

    async def recv(self) -> av.VideoFrame:
        for due_s, picture in self._pictures:
            wait_s = due_s - time.time()
            if wait_s < 0:
                continue
            await asyncio.sleep(wait_s)
            return picture
        await asyncio.sleep(3600)
        raise EOFError


async def send(film: str, began_s: float) -> None:
    connection = RTCPeerConnection()
    offer = json.loads(sys.stdin.readline())
    await connection.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
    connection.addTrack(Film(film, began_s))
    await connection.setLocalDescription(await connection.createAnswer())
    said = connection.localDescription
    print(json.dumps({"sdp": said.sdp, "type": said.type}), flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], float(sys.argv[2])))
