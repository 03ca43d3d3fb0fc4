"""Live view and talk over a relay in Firefox and WebKit, from another network. Runs with `make test-browser`.

docs/phones.md says what each of them can do. Both take the certificates of doorbell and relay as their user would: they
are told to.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.recorder.capture.camera_file import FileCamera
from tests.away_networks import DOORBELL, Networks
from tests.browser.away_home import AwayHome, an_away_home
from tests.browser.house import PASSPHRASE, House
from tests.browser.test_answering_from_anywhere import LOCKED, PLAYS, street
from tests.browser.test_in_webkit import claim, go
from tests.browser.test_talking_at_the_door import LEVEL
from tests.browser.webkit import WebKit, require_webkit
from tests.scenarios.street import until
from tests.talkers import heard

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

# Debian's mosquitto offers HTTP/2 for WebSockets and fails to answer there. Firefox takes the offer (docs/phones.md).
FIREFOX = (json.dumps(["network.http.http2.websockets", False]),)


def speaker_of(folder: Path) -> str:
    return f'\n[speaker]\nkind = "file"\npath = "{folder / "heard.wav"}"\nvolume = 100\n'


def film_at(home: AwayHome, folder: Path) -> None:
    film = street(folder / "film.mp4")
    home.house.solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)


def loud_s(path: Path) -> float:
    """Seconds in which the speaker was not silent."""
    if not path.exists():
        return 0.0
    found = heard(path)
    blocks = found[: len(found) // 4800 * 4800].reshape(-1, 4800)
    return float((np.abs(blocks).max(1) > LEVEL / 20).sum() / 10)


def test_firefox_sees_over_the_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails to start its sound on a machine without a sound card, so talk is not tried here."""
    monkeypatch.setattr(House, "url", property(lambda house: f"https://{DOORBELL}:{house.port}"))
    with an_away_home(tmp_path, more=speaker_of(tmp_path), flags=FIREFOX, kind="firefox") as home:
        people = home.people
        home.pair()
        film_at(home, tmp_path)
        home.leave()
        with home.filming():
            people.run("ana", LOCKED, url=home.house.url, path="/live")
            people.unlock("ana")
            people.run("ana", PLAYS + "await page.getByText(/^Live, /).waitFor();")
            people.go("ana", "/timeline")


class AwayWebKit(WebKit):
    """Its driver is in the phone's network, like the browser."""

    def __init__(self, home: Path, networks: Networks) -> None:
        self._networks = networks
        with networks.within("phone"):
            super().__init__(home, "--enable-mock-capture-devices=true", "--enable-media-stream=true")

    def _ask(self, method: str, path: str, body: object = None, *, of_session: bool = True) -> Any:
        with self._networks.within("phone"):
            return super()._ask(method, path, body, of_session=of_session)


def test_webkit_sees_and_talks_over_the_relay(tmp_path: Path, screenshots: Path) -> None:
    require_webkit()
    with (
        an_away_home(tmp_path, more=speaker_of(tmp_path)) as home,
        AwayWebKit(tmp_path / "phone", home.networks) as phone,
    ):
        url = f"https://{DOORBELL}:{home.house.port}"
        phone.go(f"{url}/")
        phone.fill("Code", home.house.code())
        phone.click("Continue")
        claim(phone)
        film_at(home, tmp_path)
        home.leave()
        with home.filming():
            phone.go(f"{url}/live")
            phone.fill("Passphrase", PASSPHRASE)
            phone.click("Unlock")
            phone.until("return document.querySelector('video')?.currentTime > 1")
            phone.reads("Live, ")
            phone.press("button.talk")
            phone.reads("Speak now.")
            until(lambda: loud_s(tmp_path / "heard.wav") >= 2, "two seconds of sound")
            phone.press("button.talk")
            phone.screenshot(screenshots / "webkit-live-away.png")
            go(phone, "/timeline")
            phone.reads("Timeline")
