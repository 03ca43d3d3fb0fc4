"""Measures a press of the button until its alert is handed to the channel, while the doorbell records and uploads.

`python -m bench alerts [PRESSES]` (default 200). One device in this process: a drawn scene of 960 × 540 at 10 frames a
second, recorded continuously; an approved disclosure of real footage on its way over a line of 60 kB/s; and a channel
on an ntfy-like server on loopback. *handed* is the moment of the call to Apprise, *taken* the moment after the server
has read the message. Between the press and *handed* lie the policy, the durable queue (an fsync) and two threads; the
same is measured at rest, without camera and upload, in the same run.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from agent.clients.owner.decisions import approve
from agent.clients.owner.review import RequestReview
from agent.config import load
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.solo import Solo
from agent.uplink.message_router import MultiAlertSender
from agent.wire.fields import Kind
from bench.solo import FOOTAGE
from tests.receivers import NtfyServer, Receiver
from tests.scenarios.street import Asker, SlowLink, a_street, until

BYTES_PER_S = 60_000
APART_S = 0.15
RECORDING = 'kind = "scripted"'
RESTING = 'kind = "usb"\ndevice = "/dev/video-that-is-not-there"'
ALERTS = '\n[alerts]\n[[alerts.channels]]\nname = "phone"\nkinds = ["button"]\nurl = "{url}"\n'


class Watched(MultiAlertSender):
    """Notes when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.handed_s: list[float] = []

    def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
        self.handed_s.append(time.perf_counter())
        super().send(url, title, body, picture, at_ms)


def main() -> int:
    presses = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as folder, a_street(Path(folder)) as street:
        asker = Asker(street, "bench-police", Kind.POLICE)
        street.record(next(path for path in FOOTAGE if path.is_file()), ring_after_s=10, trusting=[asker])
        line = SlowLink(street.broker.device_port, BYTES_PER_S)
        try:
            with device(street.configuration(RECORDING, port=line.port), camera=True) as (solo, receiver, sender):
                request = asker.ask("bench")
                until(lambda: street.state_of(request) == "pending", "the request")
                with street.owners_link() as link:
                    review = RequestReview.fetch(link, street.owner, request.id)
                    approve(link, street.owner, review, [each.id for each in review.segments])
                with asker.receiving([]):
                    until(lambda: line.upward_bytes > 50_000, "the upload")
                    before_bytes, before = line.upward_bytes, solo.recorder.status().segments
                    busy = measure(solo, receiver, sender, presses)
                    sent_bytes, recorded = line.upward_bytes - before_bytes, solo.recorder.status().segments - before
        finally:
            line.close()
        with device(street.configuration(RESTING), camera=False) as (solo, receiver, sender):
            resting = measure(solo, receiver, sender, presses)
    print("| | presses | handed, median | p99 | slowest | taken, median | p99 |\n|---|---:|---:|---:|---:|---:|---:|")
    for name, (handed, taken) in (("recording and uploading", busy), ("at rest", resting)):
        figures = (statistics.median(handed), p99(handed), max(handed), statistics.median(taken), p99(taken))
        print(f"| {name} | {len(handed)} | " + " | ".join(f"{each:.1f} ms" for each in figures) + " |")
    print(f"\nMeanwhile {recorded} segments were acknowledged and {sent_bytes / 1e3:.0f} kB uploaded.")
    within = max(busy[0]) < 1000 and recorded > 0 and sent_bytes > 0
    print("Every press was handed over within a second." if within else "NOT within a second, or nothing else went on.")
    return 0 if within else 1


@contextmanager
def device(configuration: Path, *, camera: bool) -> Iterator[tuple[Solo, Receiver, Watched]]:
    receiver, sender = Receiver(), Watched()
    with NtfyServer(receiver) as server:
        configuration.write_text(
            configuration.read_text().replace("longest_clip_s = 20.0", "longest_clip_s = 20.0\ncontinuous = true")
            + ALERTS.format(url=server.url)
        )
        scene = ScriptedCamera(
            [Visit(second) for second in range(2, 600, 20)],
            duration_s=600,
            size_px=(1280, 720),
            frames_per_s=15,
            paced=True,
        )
        solo = Solo(load(configuration), open_camera=(lambda: scene) if camera else None)
        assert solo._delivery is not None
        solo._delivery._sender = sender
        solo.start()
        thread = threading.Thread(target=solo.record)
        thread.start()
        try:
            yield solo, receiver, sender
        finally:
            solo.stop()
            thread.join()
            solo.close()


def measure(solo: Solo, receiver: Receiver, sender: Watched, presses: int) -> tuple[list[float], list[float]]:
    """Returns the figures of each press, in ms."""
    handed, taken = [], []
    clocks_apart_s = time.perf_counter() - time.monotonic()
    for _ in range(presses):
        count = len(receiver.messages)
        pressed_s = time.perf_counter()
        solo.press_button()
        receiver.wait_for(count + 1)
        handed.append(1e3 * (sender.handed_s[-1] - pressed_s))
        taken.append(1e3 * (receiver.messages[-1][0] + clocks_apart_s - pressed_s))
        time.sleep(APART_S)
    return handed, taken


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(0.99 * len(values)))]


if __name__ == "__main__":
    raise SystemExit(main())
