"""An owner's tasks in WebKit, the engine of Safari and of every browser on an iPhone. Runs with `make test-browser`.

This is the Linux build. It does not show an iPhone's player, home screen and notifications.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.clients.requester.receiving_service import ReceiverEvent, ReceiverEventKind
from agent.wire.fields import Kind
from tests.browser.house import PASSPHRASE, House, a_house
from tests.browser.webkit import WebKit, require_webkit
from tests.recorder.test_recorder_and_hardware import LiveCamera
from tests.scenarios.street import Asker, until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def pair(phone: WebKit, house: House) -> None:
    phone.go(f"https://127.0.0.1:{house.port}/")
    phone.fill("Code", house.code())
    phone.click("Continue")


def claim(phone: WebKit) -> str:
    """Go through the set-up; the recovery key that was printed."""
    phone.fill("Passphrase", PASSPHRASE)
    phone.fill("The passphrase again", PASSPHRASE)
    phone.click("Make my keys")
    kit = "".join(phone.until("return document.querySelector('.kit .secret')?.innerText").split())
    phone.click("I have it on paper")
    phone.fill("The last 6 characters", kit[-6:])
    phone.click("Test and begin")
    phone.reads("It is yours")
    return kit


def sign(phone: WebKit, button: str) -> None:
    phone.fill("Passphrase", PASSPHRASE)
    phone.click(button, "dialog button, [role=dialog] button")
    phone.until("return !document.querySelector('dialog[open], [role=dialog]')")


def go(phone: WebKit, path: str) -> None:
    """Follows a link, because loading the page again would lock the keys."""
    phone.script(
        """const link = Object.assign(document.createElement("a"), {href: args[0]});
           document.querySelector("main > .page")?.setAttribute("data-left", "");
           document.body.append(link);
           link.click();
           link.remove();""",
        path,
    )
    phone.until("return document.querySelector('main > .page:not([data-left]) h1')?.innerText")


def trust(phone: WebKit, police: Asker, folder: Path) -> None:
    bundle = folder / "bundle.dsse"
    bundle.write_bytes(police.bundle)
    go(phone, "/settings")
    phone.unfold("Trust a root")
    phone.fill("The root's key", police.root.text)
    phone.click("Trust a root", "button")
    sign(phone, "Trust a root")
    phone.unfold("Give it a list of requesters")
    phone.choose("#bundle", bundle)
    phone.click("Take it over")
    phone.reads("The rijnstad-police")


@contextmanager
def filming(house: House) -> Iterator[None]:
    """A camera delivers now: what was filmed a minute ago is not shown as live, and tests may take that long."""
    house.solo.recorder._loop._open_camera = LiveCamera
    recording = threading.Thread(target=house.solo.record)
    recording.start()
    try:
        yield
    finally:
        house.solo.recorder.stop()
        recording.join()


def asked(phone: WebKit, house: House, police: Asker, case: str) -> str:
    """Sends a request that the owner opens. Returns the request's id."""
    request = police.ask(case).id
    until(lambda: house.state_of(request) == "pending", "the request to match")
    go(phone, f"/requests/{request}")
    return request


def test_an_owner_sets_up_watches_reviews_shares_and_sees_the_receipt(
    tmp_path: Path, footage: Path, screenshots: Path
) -> None:
    require_webkit()
    with a_house(tmp_path, footage) as house, WebKit(tmp_path / "phone") as phone:
        pair(phone, house)
        claim(phone)
        assert house.control("status")["owners"] == ["owner-1"]

        # A ring: a still that only this browser can open, and its film plays.
        house.record()
        phone.click("See the timeline")
        phone.until("return document.querySelector('.tile img[src^=blob]')?.naturalWidth")
        phone.until("return document.querySelector('.tile img').getAnimations().length == 0")
        phone.screenshot(screenshots / "webkit-timeline.png")
        phone.press(".tile")
        phone.until("return document.querySelector('video')?.currentTime > .2")
        size = phone.script("const film = document.querySelector('video'); return [film.videoWidth, film.videoHeight]")
        assert size == [768, 576]
        phone.screenshot(screenshots / "webkit-film.png")

        # Asked, reviewed in place, shared with the passphrase.
        police = Asker(house.street, "rijnstad-police", Kind.POLICE)
        trust(phone, police, tmp_path)
        request = asked(phone, house, police, "2026-1177")
        phone.until("return document.querySelector('.clip img[src^=blob]')?.naturalWidth")
        assert phone.script("return document.querySelectorAll('input[type=checkbox]:checked').length") == 0
        phone.press(".clip input[type=checkbox]")
        phone.screenshot(screenshots / "webkit-review.png")
        phone.click("Share what I chose")
        sign(phone, "Sign and share")
        until(lambda: house.state_of(request) in ("approved", "sending", "sent"), "the approval")

        news: list[ReceiverEvent] = []
        with police.receiving(news):
            until(lambda: house.state_of(request) == "sent", "the receipt")
        assert any(each.kind is ReceiverEventKind.COMPLETE for each in news)
        phone.reads("Received")
        go(phone, "/history")
        phone.reads("Complete and unchanged")


def test_no_and_silence_and_live_view_and_the_recovery_kit_on_a_new_phone(tmp_path: Path, footage: Path) -> None:
    require_webkit()
    with a_house(tmp_path, footage) as house:
        with WebKit(tmp_path / "phone") as phone:
            pair(phone, house)
            kit = claim(phone)
            house.record()
            with filming(house):
                go(phone, "/live")
                phone.until("return document.querySelector('video')?.currentTime > .1")
                phone.reads("Live, ")
            police = Asker(house.street, "rijnstad-police", Kind.POLICE)
            trust(phone, police, tmp_path)

            refused = asked(phone, house, police, "2026-95")
            phone.click("Say no")
            sign(phone, "Sign my no")
            until(lambda: house.state_of(refused) == "denied", "the refusal")

            silenced = asked(phone, house, police, "2026-97")
            phone.click("Do not ask me this")
            phone.click("Requests about this: Theft")
            sign(phone, "Sign and keep silent")
            until(lambda: house.state_of(silenced) == "opted out", "the opt-out")
            assert house.street.published() == []

        with WebKit(tmp_path / "another phone") as phone:
            pair(phone, house)
            phone.click("I have my recovery kit", "summary, button, a[href]")
            phone.fill("The key on the kit", kit)
            phone.fill("Passphrase", PASSPHRASE)
            phone.fill("The passphrase again", PASSPHRASE)
            phone.click("Put new keys in place")
            phone.click("Trust them too")
            phone.until("return location.pathname == '/timeline'")
            phone.until("return document.querySelector('.tile img[src^=blob]')?.naturalWidth")
            assert "owner-new" in house.control("status")["owners"]
