"""Live view with sound, joined late, saved and watched together, in a real browser: with `make test-browser`."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from agent.platform.system_clock import SystemClock
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.microphone_file import FileMicrophone
from tests.browser.house import DESKTOP, House, Phones, a_house, phones
from tests.scenarios.street import until
from tests.scenarios.test_sound_goes_where_the_owner_says import beeps

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

LENGTH_S = 60
# At each full second a white picture and a tone begin, for half a second.
_BEGINNINGS = """
await page.evaluate(async () => {
  const video = document.querySelector("video.stage"), sound = new AudioContext();
  const ears = new AnalyserNode(sound, {fftSize: 256});
  sound.createMediaElementSource(video).connect(ears).connect(sound.destination);
  await sound.resume();
  const canvas = new OffscreenCanvas(1, 1), eyes = canvas.getContext("2d", {willReadFrequently: true});
  const found = {lights: [], tones: []}, samples = new Float32Array(256);
  let wasLight = true, wasLoud = true;
  window.beginnings = found;
  setInterval(() => {
    const at = performance.now();
    eyes.drawImage(video, 0, 0, 1, 1);
    const isLight = eyes.getImageData(0, 0, 1, 1).data[0] > 128;
    ears.getFloatTimeDomainData(samples);
    const isLoud = Math.max(...samples.map(Math.abs)) > 0.1;
    if (isLight && !wasLight) found.lights.push(at);
    if (isLoud && !wasLoud) found.tones.push(at);
    [wasLight, wasLoud] = [isLight, isLoud];
  }, 5);
});
await page.waitForFunction(() => Math.min(beginnings.lights.length, beginnings.tones.length) > 5, null, {timeout: 60_000});
return page.evaluate(() => beginnings);
"""


def flashes(path: Path, gop: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.max_b_frames = 0
        stream.codec_context.gop_size = gop
        stream.options = {"x264-params": "scenecut=0"}
        for number in range(20 * LENGTH_S):
            pixels = np.full((240, 320, 3), 235 if number % 20 < 10 else 20, np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, 20)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@contextmanager
def filming(folder: Path, *, microphone: Path | None = None, gop: int = 20) -> Iterator[tuple[House, Phones]]:
    """The phones of a home; its owner ana watches a film live."""
    film = flashes(folder / "flashes.mp4", gop)
    ear = (lambda: FileMicrophone(microphone, paced=True)) if microphone else None
    with a_house(folder, None, open_microphone=ear) as house, phones(house, folder) as people:
        people.pair("ana", device=DESKTOP)
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        house.solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)
        people.go("ana", "/live")
        recording = threading.Thread(target=house.solo.record, args=(SystemClock().now().boot_ns,))
        recording.start()
        try:
            people.run(
                "ana",
                """await page.waitForFunction(() => document.querySelector("video.stage")?.currentTime > 1, null,
                       {timeout: 60_000});""",
            )
            yield house, people
        finally:
            house.solo.recorder.stop()
            recording.join()


def test_live_view_is_silent_until_a_tap_and_then_in_step_with_its_pictures(tmp_path: Path) -> None:
    with filming(tmp_path, microphone=beeps(tmp_path / "beeps.wav", LENGTH_S)) as (_, people):
        silent = people.run(
            "ana",
            """const {muted, webkitAudioDecodedByteCount: bytes} = await page.evaluate(() => {
                 const {muted, webkitAudioDecodedByteCount} = document.querySelector("video.stage");
                 return {muted, webkitAudioDecodedByteCount};
               });
               await page.getByRole("button", {name: "Sound on"}).click();
               await page.getByRole("button", {name: "Sound off"}).waitFor();
               await page.waitForFunction(() => document.querySelector("video.stage").webkitAudioDecodedByteCount > 0,
                 null, {timeout: 20_000});
               return {muted, bytes};""",
        )
        assert silent == {"muted": True, "bytes": 0}
        found = people.run("ana", _BEGINNINGS)
        pairs = ((tone, light) for tone in found["tones"] for light in found["lights"])
        apart_ms = [tone - light for tone, light in pairs if abs(tone - light) < 500]
        assert len(apart_ms) >= 4
        # ITU-R BT.1359: people notice sound that is 45 ms early or 125 ms late, and object to 90 and 185.
        assert -90 < statistics.median(apart_ms) < 185
        muted = people.run(
            "ana",
            """await page.getByRole("button", {name: "Sound off"}).click();
               await page.getByRole("button", {name: "Sound on"}).waitFor();
               return page.evaluate(() => document.querySelector("video.stage").muted);""",
        )
        assert muted is True
        assert people.browser.troubles("ana") == []


def test_a_doorbell_without_a_microphone_offers_no_sound(tmp_path: Path) -> None:
    with filming(tmp_path, microphone=None) as (_, people):
        assert people.run("ana", 'return page.getByRole("button", {name: /^Sound/}).count();') == 0


def test_a_viewer_who_joins_a_long_gop_sees_it_without_another_keyframe(tmp_path: Path) -> None:
    """A GOP as long as the film: the custodian kept ten seconds of it, so a second viewer saw nothing."""
    with filming(tmp_path, gop=20 * LENGTH_S) as (house, people):
        after = [0]

        def look() -> bool:
            after[0] = max(after[0], *house.control("live", after=after[0])["numbers"], 0)
            return house.solo.recorder.status().frames > 15 * 20

        until(look, "fifteen seconds of the film")
        people.go("ana", "/live")
        people.run(
            "ana",
            """await page.waitForFunction(() => document.querySelector("video.stage")?.currentTime > 15, null,
                   {timeout: 30_000});""",
        )
        assert house.solo.recorder.status().frames < 20 * LENGTH_S
        assert people.browser.troubles("ana") == []


def test_a_picture_is_saved_or_shared_after_a_warning_and_other_viewers_are_named(
    tmp_path: Path, screenshots: Path
) -> None:
    with filming(tmp_path) as (house, people):
        house.control("live", after=0)
        people.run(
            "ana",
            """await page.getByText("Also watching: a viewer outside this page").waitFor();
               const saved = page.waitForEvent("download");
               await page.getByRole("button", {name: "Save picture"}).click();
               const file = await saved;
               if (!/^doorward-[-0-9]{19}\\.jpg$/.test(file.suggestedFilename())) throw new Error(file.suggestedFilename());
               await file.saveAs(args.path);
               await page.getByText("It has left the encryption of Doorward").waitFor();""",
            path=str(tmp_path / "door.jpg"),
        )
        saved = (tmp_path / "door.jpg").read_bytes()
        assert saved.startswith(b"\xff\xd8\xff")
        picture = cv2.imdecode(np.frombuffer(saved, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        assert picture.shape == (240, 320)
        light = picture.mean()
        assert light < 40 or light > 215, "a picture of the film, which is black or white"
        shared = people.run(
            "ana",
            """await page.evaluate(() => {
                 navigator.canShare = () => true;
                 navigator.share = async ({files}) => { window.shared = files[0]; };
               });
               await page.getByRole("link", {name: "Timeline"}).click();
               await page.getByRole("link", {name: "Live"}).click();
               await page.getByRole("button", {name: "Share picture"}).click();
               await page.getByText("It then leaves the encryption of Doorward").waitFor();
               if (await page.evaluate(() => window.shared)) throw new Error("before the warning was read");
               await page.getByRole("button", {name: "Choose an app"}).click();
               await page.waitForFunction(() => window.shared);
               return page.evaluate(() => [window.shared.type, window.shared.size > 500]);""",
        )
        assert shared == ["image/jpeg", True]
        people.run(
            "ana",
            """for (const [name, size] of [["phone", {width: 390, height: 844}], ["desktop", {width: 1280, height: 900}]])
                 for (const scheme of ["light", "dark"]) {
                   await page.setViewportSize(size);
                   await page.emulateMedia({colorScheme: scheme});
                   await page.screenshot({path: `${args.shots}/live-${name}-${scheme}.png`, fullPage: true});
                 }""",
            shots=str(screenshots),
        )
        assert people.browser.troubles("ana") == []
