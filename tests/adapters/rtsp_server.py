"""A real RTSP server, GStreamer's, for the system's Python: `/main` is 640×360 H.264, `/small` a smaller one."""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

SOURCE = "videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate=15/1"
ENCODER = "x264enc tune=zerolatency key-int-max=15 bframes=0 speed-preset=ultrafast"
PAY = "rtph264pay name=pay0 pt=96 config-interval=1"


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    for name, width, height in (("main", 640, 360), ("small", 320, 180)):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {SOURCE.format(width=width, height=height)} ! {ENCODER} ! {PAY} )")
        factory.set_shared(True)
        server.get_mount_points().add_factory(f"/{name}", factory)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main()
