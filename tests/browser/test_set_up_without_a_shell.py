"""From power-on to the first opened clip, without a shell: the phone shows the camera a code, and seven steps suffice."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.core.setup_code import SetupCode
from agent.core.setup_state import SetupState
from tests.browser.browser import Browser
from tests.browser.house import PASSPHRASE, PHONE
from tests.browser.new_doorbell import NewDoorbell
from tests.browser.steps import Steps, steps_of
from tests.setup_films import View, hallway, make_film, seen

pytestmark = [pytest.mark.browser, pytest.mark.footage, pytest.mark.at_length("make test-browser")]

PAGE = Path(__file__).resolve().parents[2] / "agent" / "web" / "static" / "set-up.html"
WIFI, PASSWORD = "Huis, 3 hoog", r"pass\word with spaces"
CHECK = 'await pages.ana.getByRole("button", {name: "I have installed it: check"}).click();'
CHECK_AND_OPEN = (
    CHECK
    + """await pages.ana.getByRole("link", {name: "Open my doorbell"}).click();
        await pages.ana.getByRole("button", {name: "Continue"}).click();
        await pages.ana.getByRole("heading", {name: "is new"}).waitFor();"""
)
OPEN_THE_FIRST_CLIP = """
    const page = pages.ana;
    await page.getByRole("button", {name: "See the timeline"}).click();
    await page.waitForURL("**/timeline");
    await page.locator('a[href^="/timeline/"]').first().click();
    await page.locator("video").waitFor();
    return await page.evaluate(async () => {
      const video = document.querySelector("video");
      while (!(video.videoWidth > 0)) await new Promise((resolve) => setTimeout(resolve, 50));
      return [video.videoWidth, video.videoHeight];
    });"""


def make_code(phone: Browser, *, password: str = PASSWORD, wifi: str = WIFI) -> np.ndarray:
    """Fills in the form of the set-up page. Returns the code that is on its screen."""
    shot = phone.run(
        """const page = pages.ana;
           await page.getByLabel("Name of your Wi-Fi").fill(args.wifi);
           await page.getByLabel("Password of your Wi-Fi").fill(args.password);
           await page.getByRole("button", {name: "Make the code"}).click();
           return (await page.locator(".shown-code svg").screenshot()).toString("base64");""",
        wifi=wifi,
        password=password,
    )
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(shot), np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(pixels, np.uint8)


def open_set_up_page(phone: Browser, port: int, kept: str = "") -> None:
    """`kept`: what this page has stored in the browser before."""
    phone.open("ana", ignoreHTTPSErrors=False, counts=True, **PHONE)
    phone.run(
        """await pages.ana.goto(args.url);
           if (args.kept) {
             await pages.ana.evaluate((kept) => localStorage.setItem("doorward-set-up", kept), args.kept);
             await pages.ana.reload();
           }""",
        url=f"file://{PAGE}#port={port}",
        kept=kept,
    )


def download_authority(phone: Browser) -> bytes:
    """Returns the authority that the set-up page offers."""
    authority = phone.run(
        """const coming = pages.ana.waitForEvent("download");
           await pages.ana.getByRole("link", {name: "Download the authority"}).click();
           const {readFile} = await import("node:fs/promises");
           return (await readFile(await (await coming).path())).toString("hex");"""
    )
    return bytes.fromhex(authority)


def kept_by_the_page(phone: Browser) -> str:
    """Returns what the set-up page has stored in the browser."""
    return str(phone.run("return await pages.ana.evaluate(() => localStorage.getItem('doorward-set-up'));"))


def check_and_open(phone: Browser, port: int, kept: str) -> None:
    """Goes on in a browser that trusts the doorbell, from the set-up page to the doorbell's own page."""
    open_set_up_page(phone, port, kept)
    phone.run("""await pages.ana.getByText("is in your network").waitFor();""")
    phone.run(CHECK_AND_OPEN)


def test_seven_steps_lead_from_power_on_to_the_first_clip_without_a_shell(
    tmp_path: Path, footage: Path, screenshots: Path
) -> None:
    steps = Steps()
    (tmp_path / "new").mkdir()
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    film = make_film(tmp_path / "new" / "camera.mp4", [hallway()])
    with NewDoorbell(tmp_path / "new", {WIFI: PASSWORD}) as doorbell:
        with Browser(tmp_path / "before") as phone:
            open_set_up_page(phone, doorbell.port)
            code = make_code(phone, password="not the password")
            picture(phone, screenshots, "set-up-code")
            make_film(film, [hallway(), seen(code, View(tilt_deg=15, turn_deg=4, noise=6))])
            doorbell.until(lambda: doorbell.state == "wrong-password", "the wrong password")

            # A second try is the same two steps again.
            phone.run('await pages.ana.getByRole("button", {name: "Change something"}).click();')
            first_try = [[kind for kind, *_ in step] for step in steps_of(phone.acts("ana"))]
            assert first_try == [["field", "field", "press"], ["scan"], ["press"]]
            make_film(film, [hallway(), seen(make_code(phone), View(tilt_deg=-20, turn_deg=-6, blur_px=1.5))])
            phone.run("""await pages.ana.getByText("is in your network").waitFor({timeout: 90_000});""")
            assert doorbell.solo.page is not None
            assert doorbell.solo.page.url == f"https://front-door.local:{doorbell.port}/"
            picture(phone, screenshots, "set-up-authority")
            assert download_authority(phone) == doorbell.authority
            steps.add(phone)
            phone.run(CHECK + 'await pages.ana.getByText("does not trust your doorbell yet").waitFor();')
            link = phone.run("return await pages.ana.locator('a[href*=pair]').count();")
            assert link == 0, "the code is not offered before the browser trusts the doorbell"
            kept = kept_by_the_page(phone)
            assert PASSWORD not in kept
            assert WIFI not in kept

        # The same phone, with the authority installed and its browser opened again.
        with Browser(tmp_path / "after", doorbell.authority) as phone:
            check_and_open(phone, doorbell.port, kept)
            film.unlink()
            film.symlink_to(footage)  # from now on people walk by
            become_owner(phone, screenshots)
            doorbell.until(lambda: bool(doorbell.ends), "the footage to be recorded")
            shown = phone.run(OPEN_THE_FIRST_CLIP)
            steps.add(phone)
            picture(phone, screenshots, "set-up-first-clip")
            assert shown == [768, 576]
            ignored = [each for each in phone.troubles("ana") if "set-up/doorbell" not in each and "404" not in each]
            assert ignored == []

        # A stranger holds a code of their own to the camera: nothing reads it, and nothing would obey it.
        doorbell.until((tmp_path / "new" / "etc" / "owned").exists, "root to know of the owner")
        assert doorbell.state == "off"
        before = doorbell.joins[:]
        stranger = SetupCode(bytes(range(16)), "stranger", "12345678", "front-door").text()
        assert doorbell.solo._take_setup_code(stranger) is SetupState.OFF
        (tmp_path / "new" / "run" / "setup" / "code").write_text(stranger)  # as a custodian that was taken over would
        doorbell.until(lambda: len(doorbell.joins) > len(before), "root to look at it")
        assert "has an owner" in doorbell.joins[-1]
        assert "stranger" not in doorbell.configuration.read_text()
    print("\n".join(steps.done))
    steps.judge()


def become_owner(phone: Browser, screenshots: Path) -> None:
    phone.run(
        """const page = pages.ana;
           await page.locator("#new-passphrase").fill(args.passphrase);
           await page.getByLabel("The passphrase again").fill(args.passphrase);
           await page.getByRole("button", {name: "Make my keys"}).click();
           await page.locator(".kit").waitFor();""",
        passphrase=PASSPHRASE,
    )
    picture(phone, screenshots, "set-up-kit")
    phone.run(
        """const page = pages.ana;
           const kit = (await page.locator(".secret").innerText()).replaceAll(/\\s/g, "");
           await page.getByRole("button", {name: "I have it on paper"}).click();
           await page.getByLabel("The last 6 characters").fill(kit.slice(-6));
           await page.getByRole("button", {name: "Test and begin"}).click();
           await page.getByRole("heading", {name: "It is yours"}).waitFor();"""
    )


def picture(phone: Browser, folder: Path, name: str) -> None:
    phone.run("await pages.ana.screenshot({path: args.path, fullPage: true});", path=str(folder / f"{name}.png"))
