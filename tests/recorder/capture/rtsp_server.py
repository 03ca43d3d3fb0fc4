"""A real RTSP server, GStreamer's, for the system's Python: `python3 rtsp_server.py [FILM]`.

`/main` is 640×360 H.264, `/small` a smaller one, `/g711` pictures with a tone of 440 Hz as a cheap camera sends it,
`/film` the pictures and the AAC of FILM (an MP4), both as they are.  `/rare` is as `/main` with a keyframe every six
seconds.  `/reordered` has B-frames and `/hevc` is H.265: a second of each is encoded before, and played again and
again, because a busy machine encodes them more slowly than pictures come.  If FILM ends in `.json`, `/signed` sends the
pictures in it, once for each viewer: a list of access units of H.264 in base64, of which each third of a second begins
with a keyframe.

FILM is played once, from the start of the server on, as a camera shows what is now.  Were the file itself what is
served, GStreamer would put it back to its beginning for all who watch whenever one more client says PLAY, and answer
503 when that comes at a bad moment.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

SOURCE = "videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate=15/1"
ENCODER = "x264enc tune=zerolatency key-int-max=15 bframes=0 speed-preset=ultrafast"
RARE = ENCODER.replace("key-int-max=15", "key-int-max=90")
REORDERED = (
    "x264enc key-int-max=15 bframes=2 b-adapt=false speed-preset=veryfast rc-lookahead=2 ! video/x-h264,profile=main"
)
HEVC = "x265enc tune=zerolatency key-int-max=15 speed-preset=ultrafast log-level=none ! h265parse config-interval=-1"
ENCODED = (
    "videotestsrc num-buffers=15 pattern=ball ! video/x-raw,width=320,height=180,framerate=15/1 ! {encoder}"
    " ! video/x-{codec},stream-format=byte-stream,alignment=au ! appsink name=encoded sync=false"
)
REPEATED = "appsrc name=repeated is-live=true format=time max-bytes=1 ! {codec}parse ! identity sync=true ! {pay}"
PAY = "rtph264pay name=pay0 pt=96 config-interval=1"
G711 = (
    "audiotestsrc is-live=true freq=440 volume=0.5 samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1"
    " ! mulawenc ! rtppcmupay name=pay1"
)
PLAYED = (
    "filesrc name=file ! qtdemux name=film"
    " film.video_0 ! queue ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
    " ! appsink name=video emit-signals=true"
    " film.audio_0 ! queue ! aacparse ! appsink name=audio emit-signals=true"
)
FILM = (
    "appsrc name=video is-live=true format=time ! {pay}"
    " appsrc name=audio is-live=true format=time ! rtpmp4gpay name=pay1 pt=97"
)


class Film:
    """Plays a film and hands its packets to all viewers, each over a separate pipeline."""

    def __init__(self, path: Path) -> None:
        self._watched: list[Gst.Element] = []
        self._player = Gst.parse_launch(PLAYED)
        self._player.get_by_name("file").set_property("location", str(path))
        for name in ("video", "audio"):
            self._player.get_by_name(name).connect("new-sample", self._pass_on)
        self._player.set_state(Gst.State.PLAYING)
        self._player.get_state(Gst.CLOCK_TIME_NONE)  # its time counts from when it plays

    def serve(self, factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        del factory
        played_ns = self._player.get_clock().get_time() - self._player.get_base_time()
        for name in ("video", "audio"):
            source = media.get_element().get_by_name(name)
            source.get_static_pad("src").set_offset(-played_ns)
            self._watched.append(source)

    def _pass_on(self, sink: Gst.Element) -> Gst.FlowReturn:
        sample = sink.emit("pull-sample")
        for source in self._watched:
            if source.get_name() == sink.get_name():
                source.emit("push-sample", sample)
        return Gst.FlowReturn.OK


class Repeated:
    """Plays a second of pictures, encoded before, without end."""

    def __init__(self, codec: str, encoder: str) -> None:
        self._encoded = ENCODED.format(codec=codec, encoder=encoder)
        self._samples: list[Gst.Sample] = []
        self._number = 0

    def serve(self, factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        del factory
        self._samples, self._number = [], 0
        encoder = Gst.parse_launch(self._encoded)
        encoder.set_state(Gst.State.PLAYING)
        while (sample := encoder.get_by_name("encoded").emit("pull-sample")) is not None:
            self._samples.append(sample)
        encoder.set_state(Gst.State.NULL)
        source = media.get_element().get_by_name("repeated")
        source.set_property("caps", self._samples[0].get_caps())
        source.connect("need-data", self._push)

    def _push(self, source: Gst.Element, _wanted: int) -> None:
        frame, (seconds, place) = Gst.SECOND // 15, divmod(self._number, len(self._samples))
        shown = self._samples[place].get_buffer().pts - self._samples[0].get_buffer().pts
        buffer = self._samples[place].get_buffer().copy_deep()
        buffer.dts, buffer.duration = seconds * Gst.SECOND + place * frame, frame
        buffer.pts = seconds * Gst.SECOND + shown + 3 * frame  # behind the time of decoding, also of a B-frame
        self._number += 1
        source.emit("push-buffer", buffer)


class Sent:
    """Plays pictures of a file as they are, without a parser between, as a camera sends them."""

    def __init__(self, path: Path) -> None:
        self._pictures = [base64.b64decode(each) for each in json.loads(path.read_text(encoding="ascii"))]
        self._number = 0

    def serve(self, factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        del factory
        self._number = 0
        source = media.get_element().get_by_name("repeated")
        caps = "video/x-h264,stream-format=byte-stream,alignment=au,framerate=15/1"
        source.set_property("caps", Gst.Caps.from_string(caps))
        source.connect("need-data", self._push)

    def _push(self, source: Gst.Element, _wanted: int) -> None:
        if self._number == len(self._pictures):
            source.emit("end-of-stream")
            return
        buffer = Gst.Buffer.new_wrapped(self._pictures[self._number])
        frame = Gst.SECOND // 15
        buffer.pts = buffer.dts = self._number * frame
        buffer.duration = frame
        self._number += 1
        source.emit("push-buffer", buffer)


def main(films: list[str]) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    small, large = (SOURCE.format(width=width, height=height) for width, height in ((320, 180), (640, 360)))
    streams = {
        "main": f"{large} ! {ENCODER} ! {PAY}",
        "rare": f"{large} ! {RARE} ! {PAY}",
        "reordered": REPEATED.format(codec="h264", pay=PAY),
        "hevc": REPEATED.format(codec="h265", pay=PAY.replace("264", "265")),
        "small": f"{small} ! {ENCODER} ! {PAY}",
        "g711": f"{small} ! {ENCODER} ! {PAY} {G711}",
    }
    repeated = {
        "reordered": Repeated("h264", f"{REORDERED} ! h264parse config-interval=-1"),
        "hevc": Repeated("h265", HEVC),
    }
    if films and films[0].endswith(".json"):
        streams["signed"] = REPEATED.replace("{codec}parse ! ", "").format(pay=PAY)
        repeated["signed"] = Sent(Path(films[0]))
    elif films:
        streams["film"] = FILM.format(pay=PAY)
    for name, stream in streams.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {stream} )")
        factory.set_shared(name != "film")
        if name in repeated:
            factory.connect("media-configure", repeated[name].serve)
        if name == "film":
            factory.connect("media-configure", Film(Path(films[0])).serve)
        server.get_mount_points().add_factory(f"/{name}", factory)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main(sys.argv[1:])
