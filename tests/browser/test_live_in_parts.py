"""Live view shows every part of a GOP, in a real browser: with `make test-browser`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.platform.system_clock import SystemClock
from agent.recorder.capture.camera_file import FileCamera
from tests.browser.house import a_house, phones
from tests.cameras import make_video

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

_SHOWN = {
    "decoder": """const video = page.locator("video.stage");
       await video.waitFor();
       return video.evaluate((video, enough) => new Promise((resolve) => {
         let count = 0;
         const next = () => video.requestVideoFrameCallback(() => {
           if (++count < enough) return next();
           resolve([video.videoWidth, video.videoHeight, video.currentTime < 600]);
         });
         next();
       }), args.enough);""",
    "film player": """const video = page.locator("video.stage");
       await video.waitFor();
       await page.waitForFunction((length) => {
         const {buffered} = document.querySelector("video.stage");
         return buffered.length && buffered.end(0) - buffered.start(0) > length;
       }, args.watched, {timeout: 60_000});
       return video.evaluate(({buffered}) => buffered.length);""",
}
LENGTH_S = 20
"""The film runs at its own pace, and a page on a busy machine may come late."""
WATCHED_S = 5
FRAMES = 15 * LENGTH_S


@pytest.mark.parametrize("way", ["decoder", "film player"])
def test_what_is_filmed_is_shown_without_holes_part_by_part(tmp_path: Path, way: str) -> None:
    """The page took only the part with the keyframe: a fifth of a second of each GOP. Later, the browser's own controls
    showed the doorbell's clock since its boot, such as 17:29:09."""
    film = make_video(tmp_path / "door.mp4", frames=FRAMES, frames_per_s=15, size_px=(320, 240), codec="libx264")
    with a_house(tmp_path, None) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        house.solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)
        if way == "film player":
            people.run("ana", "await page.evaluate(() => { delete globalThis.VideoDecoder; });")
        people.go("ana", "/live")
        filming = threading.Thread(target=house.solo.record, args=(SystemClock().now().boot_ns,))
        filming.start()
        try:
            shown = people.run("ana", _SHOWN[way], watched=WATCHED_S, enough=15 * WATCHED_S)
        finally:
            filming.join()
        assert shown == (1 if way == "film player" else [320, 240, True])
        assert people.browser.troubles("ana") == []
