"""A network camera's H.265 in real browsers: it plays, or the page says why not. Runs with `make test-browser`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.recorder.capture.camera_rtsp import RtspCamera
from tests.browser.house import House, a_house, phones
from tests.browser.test_in_webkit import claim, pair
from tests.browser.webkit import WebKit, require_webkit
from tests.recorder.capture.rtsp import serving
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

CODEC = 'video/mp4; codecs="hvc1.1.6.L60.B0"'
"""The codec of the camera, up to constraint flags: Main profile, level 2."""
NO = "The camera sends H.265 (HEVC), and this browser cannot play it."


def record(house: House, camera: str) -> None:
    """A ring at the door, filmed by a camera that sends H.265."""
    house.camera = RtspCamera(camera)
    recording = threading.Thread(target=house.solo.record)
    recording.start()
    recorder = house.solo.recorder
    until(lambda: recorder.delivering, "the camera's stream")
    house.solo.press_button()
    until(lambda: recorder.status().segments >= 1, "a sealed segment")
    recorder.stop()
    recording.join()


def test_webkit_plays_it_if_it_says_that_it_can(tmp_path: Path, footage: Path) -> None:
    require_webkit()
    with (
        serving() as (address, _),
        a_house(tmp_path, footage) as house,
        WebKit(tmp_path / "phone") as phone,
    ):
        pair(phone, house)
        claim(phone)
        record(house, f"{address}/hevc")
        phone.click("See the timeline")
        phone.until("return document.querySelector('.tile')")
        phone.press(".tile")
        if phone.script("return (window.MediaSource ?? window.ManagedMediaSource).isTypeSupported(args[0])", CODEC):
            phone.until("return document.querySelector('video')?.currentTime > .2")
            size = phone.script("const f = document.querySelector('video'); return [f.videoWidth, f.videoHeight]")
            assert size == [320, 180]
            assert NO not in phone.text()
        else:
            phone.reads(NO)


def test_chromium_plays_it_or_says_why_not(tmp_path: Path, footage: Path) -> None:
    with serving() as (address, _), a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        people.pair("ana")
        people.claim("ana")
        record(house, f"{address}/hevc")
        found = people.run(
            "ana",
            """await page.getByRole("link", {name: "See the timeline"}).or(page.getByRole("button", {name: "See the timeline"})).click();
               await page.locator(".tile").first().click();
               const can = await page.evaluate((codec) => MediaSource.isTypeSupported(codec), args.codec);
               if (can) {
                 await page.waitForFunction(() => document.querySelector("video")?.currentTime > .2);
                 return {can, size: await page.evaluate(() => [document.querySelector("video").videoWidth, document.querySelector("video").videoHeight])};
               }
               await page.getByText(args.no).waitFor();
               return {can, saved: await page.getByRole("button", {name: "Save as MP4"}).count()};""",
            codec=CODEC, no=NO,
        )  # fmt: skip
        assert found == {"can": True, "size": [320, 180]} or (not found["can"] and found["saved"])
