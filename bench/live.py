"""Live view, from the camera's picture to the browser's screen: a clock in the picture.  `python -m bench live`.

The limit of the same run: the same doorbell and browser with the browser's own film player in place of WebCodecs. Each
frame of the film carries its number as black and white blocks. The browser reads them from the video that it shows, so
that encoder, sealing, recorder, custodian, page and decoder are in the figure. Then a person leaves
the page and comes back to Live several times, in the middle of a GOP of 16 s. Needs Chromium and `npm ci` in
tests/browser.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from agent.platform.system_clock import SystemClock
from agent.recorder.capture.camera_file import FileCamera
from tests.browser.house import DESKTOP, Phones, a_house, phones

FRAMES_PER_S = 15
LENGTH_S = 40
BITS = 13
BLOCK_PX = 40
_READ = f"""
const seen = [];
const canvas = new OffscreenCanvas(640, 480), context = canvas.getContext("2d", {{ willReadFrequently: true }});
const ends = Date.now() + 20_000;
while (Date.now() < ends) {{
  await new Promise(requestAnimationFrame);
  const video = document.querySelector("video.stage");
  if (!video || video.readyState < 2) continue;
  context.drawImage(video, 0, 0, 640, 480);
  const at = Date.now();
  let number = 0;
  for (let bit = 0; bit < {BITS}; bit++) {{
    const [light] = context.getImageData(bit * {BLOCK_PX} + {BLOCK_PX // 2}, {BLOCK_PX // 2}, 1, 1).data;
    number |= (light > 128) << bit;
  }}
  const {{ buffered }} = video;
  seen.push([number, at, buffered.length ? 1000 * (buffered.end(buffered.length - 1) - video.currentTime) : 0]);
}}
return seen;
"""

JOINS = 8
_JOIN = """
return page.evaluate(() => new Promise((resolve) => {
  const began = performance.now();
  document.querySelector('nav a[href="/live"]').click();
  const look = () => {
    const video = document.querySelector("video.stage");
    if (!video) return requestAnimationFrame(look);
    video.requestVideoFrameCallback(() => resolve(performance.now() - began));
  };
  look();
}));
"""

_WITHOUT_DECODER = "await page.evaluate(() => { delete globalThis.VideoDecoder; });"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        film = _film(Path(folder) / "clock.mp4")
        for name, prepare in (("one by one", ""), ("in a film player", _WITHOUT_DECODER)):
            behind_ms, waits_ms, joins_ms = _watched(Path(folder) / name.replace(" ", "-"), film, prepare)
            median, p95 = statistics.median(behind_ms), statistics.quantiles(behind_ms, n=20)[-1]
            waits = f"{statistics.median(waits_ms):.0f} ms of it in the film player"
            print(
                f"live view {name:17} {median:6.0f} ms behind (95 %: {p95:.0f} ms), {waits}, {len(behind_ms)} pictures"
            )
            most, median = max(joins_ms), statistics.median(joins_ms)
            print(f"… from the tap on Live to the first picture: median {median:.0f} ms, most of {JOINS} {most:.0f} ms")


def _watched(folder: Path, film: Path, prepare: str) -> tuple[list[float], list[float], list[float]]:
    """Returns how old each shown picture was, how much of the film the player held beyond it, and how long the first
    picture took each time, in ms."""
    folder.mkdir()
    with a_house(folder, None) as house, phones(house, folder) as people:
        people.pair("ana", device=DESKTOP)
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        house.solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)
        people.run("ana", prepare)
        people.go("ana", "/live")
        reading = SystemClock().now()
        began_ms = time.time() * 1000
        filming = threading.Thread(target=house.solo.record, args=(reading.boot_ns,))
        filming.start()
        seen = people.run("ana", "return page.evaluate(async () => {" + _READ + "})")
        joins_ms = times_to_join_ms(people)
        filming.join()
    shown = {int(number): (at_ms, waits_ms) for number, at_ms, waits_ms in reversed(seen) if number > 3 * FRAMES_PER_S}
    behind_ms = [at_ms - began_ms - 1000 * number / FRAMES_PER_S for number, (at_ms, _) in shown.items()]
    return behind_ms, [waits_ms for _, waits_ms in shown.values()], joins_ms


def times_to_join_ms(people: Phones) -> list[float]:
    """Leaves Live and comes back, each time at another moment of a GOP. Returns how long the first picture took."""
    joins_ms = []
    for number in range(JOINS):
        people.go("ana", "/timeline")
        time.sleep(0.5 + number / 10)
        joins_ms.append(float(people.run("ana", _JOIN)))
    return joins_ms


def _film(path: Path) -> Path:
    texture = np.random.default_rng(3).integers(60, 120, (480, 640, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_S)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.codec_context.max_b_frames = 0
        for number in range(FRAMES_PER_S * LENGTH_S):
            pixels = texture.copy()
            for bit in range(BITS):
                pixels[:BLOCK_PX, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = 255 if number >> bit & 1 else 0
            picture = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, FRAMES_PER_S)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
