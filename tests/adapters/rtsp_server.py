"""A real RTSP server, GStreamer's, for the system's Python: `python3 rtsp_server.py [FILM]`.

`/main` is 640×360 H.264, `/small` a smaller one, `/g711` pictures with a tone of 440 Hz as a cheap camera sends it,
`/film` the pictures and the AAC of FILM (an MP4), both as they are.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

SOURCE = "videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate=15/1"
ENCODER = "x264enc tune=zerolatency key-int-max=15 bframes=0 speed-preset=ultrafast"
PAY = "rtph264pay name=pay0 pt=96 config-interval=1"
G711 = (
    "audiotestsrc is-live=true freq=440 volume=0.5 samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1"
    " ! mulawenc ! rtppcmupay name=pay1"
)
FILM = "filesrc location={film} ! qtdemux name=film film.video_0 ! queue ! {pay} film.audio_0 ! queue ! {aac}"
AAC = "aacparse ! rtpmp4gpay name=pay1 pt=97"


def main(films: list[str]) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    small, large = (SOURCE.format(width=width, height=height) for width, height in ((320, 180), (640, 360)))
    streams = {
        "main": f"{large} ! {ENCODER} ! {PAY}",
        "small": f"{small} ! {ENCODER} ! {PAY}",
        "g711": f"{small} ! {ENCODER} ! {PAY} {G711}",
    }
    if films:
        streams["film"] = FILM.format(film=films[0], pay=PAY, aac=AAC)
    for name, stream in streams.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {stream} )")
        factory.set_shared(True)
        server.get_mount_points().add_factory(f"/{name}", factory)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main(sys.argv[1:])
