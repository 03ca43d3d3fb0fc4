"""The owner's page in a real browser, with real footage and a real broker: the core of it, in every `make test`."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clients.requester.receiving_service import ReceiverEvent, ReceiverEventKind
from agent.wire.fields import Kind
from tests.browser.browser import require_browser
from tests.browser.house import PASSPHRASE, a_house, phones
from tests.scenarios.street import Asker, beginning_of, until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser]


@pytest.mark.parametrize(
    "kind", ["chromium", pytest.param("firefox", marks=pytest.mark.at_length("make test-browser"))]
)
def test_an_owner_sets_up_reviews_shares_and_sees_the_receipt_without_a_command_line(
    tmp_path: Path, footage: Path, kind: str
) -> None:
    require_browser(kind)
    film = beginning_of(footage, tmp_path / f"beginning{footage.suffix}", 25)
    with a_house(tmp_path, film) as house, phones(house, tmp_path, kind) as people:
        # A new doorbell is claimed with the printed code; keys and kit are made in the browser.
        people.pair("ana")
        people.run(
            "ana",
            """await page.evaluate(() => {
                 globalThis.kept = 0;
                 StorageManager.prototype.persist = async () => { globalThis.kept += 1; return true; };
               });""",
        )
        kit = people.claim("ana")
        # A browser may forget a page that was not opened for weeks, and its keys with it.
        assert people.run("ana", "return page.evaluate(() => globalThis.kept);") == 1, "asked to keep the keys"
        assert kit.startswith("AGE-SECRET-KEY-PQ-1")
        assert house.control("status")["owners"] == ["owner-1"]

        # A ring. The timeline shows stills that only this browser can open.
        house.record()
        people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
        shown = people.run(
            "ana",
            """await page.locator(".tile img[src^=blob]").first().waitFor();
               const tile = page.locator(".tile", {hasText: "The doorbell rang"}).first();
               await tile.click();
               await page.waitForFunction(() => {
                 const video = document.querySelector("video");
                 return video && video.videoWidth > 0 && video.buffered.length && video.currentTime > 0.2;
               });
               return page.evaluate(() => {
                 const video = document.querySelector("video");
                 return [video.videoWidth, video.videoHeight];
               });""",
        )
        assert shown == [768, 576]

        # No requester may ask before the owner chose a root.
        police = Asker(house.street, "rijnstad-police", Kind.POLICE)
        people.trust("ana", police.root.text, police.bundle, "The rijnstad-police")
        request = police.ask("2026-1177")
        until(lambda: house.state_of(request.id) == "pending", "the request to match")

        # Reviewed in place, nothing ticked beforehand, approved with the passphrase.
        people.open_request("ana", request.id)
        before = people.run(
            "ana",
            """await page.locator(".clip").first().scrollIntoViewIfNeeded();
               await page.locator(".clip img[src^=blob]").first().waitFor();
               return {
                 ticked: await page.locator("input[type=checkbox]:checked").count(),
                 share: await page.getByRole("button", {name: "Share what I chose"}).isDisabled(),
                 contact: await page.locator("#contact-name").isVisible(),
                 clips: await page.locator(".clip").count(),
               };""",
        )
        assert before["ticked"] == 0
        assert before["share"]
        assert not before["contact"]
        assert before["clips"] >= 1
        people.tick_first_clip("ana")
        # Requests of one requester look alike: the question names time and case, for footage and for its existence
        # alone. If the answer to the signature is lost, the dialog takes no second one.
        assert people.browser.troubles("ana") == []
        lost = people.run(
            "ana",
            """const dialog = page.getByRole("dialog"), which = /^Recorded .*, for case 2026-1177\\.$/;
               const share = page.getByRole("button", {name: "Share what I chose"});
               await page.locator("input[type=radio][value=exists]").check();
               await share.click();
               await dialog.getByText(which).waitFor();
               await dialog.getByRole("button", {name: "Cancel"}).click();
               await page.locator("input[type=radio][value=clips]").check();
               await share.click();
               await dialog.getByText(which).waitFor();
               await page.context().route("**/api/statement", (route) => route.abort());
               await dialog.getByLabel("Passphrase").fill(args.passphrase);
               await dialog.getByRole("button", {name: "Sign and share", exact: true}).click();
               await dialog.getByText("Your signature may have reached it.").waitFor();
               const left = [
                 await dialog.getByRole("button", {name: "Sign and share"}).count(),
                 await dialog.getByLabel("Passphrase").count(),
               ];
               await page.context().unroute("**/api/statement");
               await dialog.getByRole("button", {name: "Close", exact: true}).click();
               await dialog.waitFor({state: "detached"});
               return left;""",
            passphrase=PASSPHRASE,
        )
        assert lost == [0, 0], "nothing to sign with, and nothing to type"
        of_lost = people.browser.troubles("ana")
        assert all("ERR_FAILED" in each or "NetworkError" in each for each in of_lost), of_lost
        people.share("ana")
        until(lambda: house.state_of(request.id) in ("approved", "sending", "sent"), "the approval")

        # The requester gets it, opens it and signs for it; the page says so.
        news: list[ReceiverEvent] = []
        with police.receiving(news):
            until(lambda: house.state_of(request.id) == "sent", "the receipt")
        assert any(each.kind is ReceiverEventKind.COMPLETE for each in news)
        people.run("ana", 'await page.getByRole("heading", {name: "Received", exact: true}).waitFor();')
        people.go("ana", "/history")
        people.run("ana", 'await page.getByRole("heading", {name: "Complete and unchanged"}).waitFor();')
        assert people.browser.troubles("ana") == of_lost
