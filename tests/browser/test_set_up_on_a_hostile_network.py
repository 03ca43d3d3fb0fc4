"""Set-up with an attacker in between: a browser that distrusts the doorbell is never asked for a code.

How an owner finds the way back after a replacement, `make test-browser` shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.custodian.page.certificate_authority import PageCertificates
from tests.browser.browser import Browser
from tests.browser.house import PHONE
from tests.browser.proxy import RecordingProxy
from tests.custodian.page.door import NAME, Door, a_door

pytestmark = [pytest.mark.browser]
at_length = pytest.mark.at_length("make test-browser")

CLICK_PAST = """
    const page = pages.ana;
    await page.goto(args.url).catch(() => {});
    await page.getByText("NET::ERR_CERT_AUTHORITY_INVALID").waitFor();
    await page.keyboard.type("thisisunsafe");
    await page.locator("main h1").first().waitFor();
"""
"""The words that Chromium accepts as "Advanced, proceed"."""
SEEN = """
    await pages.ana.locator("#untrusted").waitFor();
    return {form: await pages.ana.locator("form").isVisible(), told: await pages.ana.locator("#untrusted").innerText(),
            link: await pages.ana.getByRole("link", {name: "Get the authority"}).getAttribute("href")};
"""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with a_door(tmp_path / "door") as found:
        yield found


@contextmanager
def a_phone(folder: Path, *authorities: bytes) -> Iterator[Browser]:
    folder.mkdir()
    with Browser(folder, *authorities) as browser:
        browser.open("ana", ignoreHTTPSErrors=False, **PHONE)
        yield browser


@at_length
def test_a_browser_that_was_clicked_past_a_warning_is_asked_for_no_code(door: Door, tmp_path: Path) -> None:
    with a_phone(tmp_path / "phone") as phone:
        phone.run(CLICK_PAST, url=f"{door.page.url}pair")
        seen = phone.run(SEEN)
        assert not seen["form"]
        assert "Do not type a code here" in seen["told"]
        assert seen["link"] == door.page.install_url


def test_a_relay_with_a_certificate_of_its_own_sees_no_code(door: Door, tmp_path: Path) -> None:
    """The relay passes the doorbell's own program on.  One that alters it: docs/security/limits.md."""
    other = tmp_path / "relay"
    PageCertificates(other / "page", NAME, ("127.0.0.1",), datetime.now(UTC))
    relay = RecordingProxy(door.port, other, door.page.certificates.authority_der)
    try:
        # As the doorbell would be called through a relay in between: by its own name, at the relay's port.
        hosts = door.page._hosts
        door.page._hosts = hosts | {f"{NAME}:{relay.port}"}
        with a_phone(tmp_path / "phone", door.page.certificates.authority_der) as phone:
            phone.run(CLICK_PAST, url=f"https://{NAME}:{relay.port}/pair")
            assert not phone.run(SEEN)["form"]
        assert b"POST /pair" not in relay.sent
    finally:
        relay.close()


def test_the_authority_is_reached_without_a_warning_and_then_the_code_is_asked_for(door: Door, tmp_path: Path) -> None:
    with a_phone(tmp_path / "before") as phone:
        shown = phone.run(
            """await pages.ana.goto(args.url);
               const coming = pages.ana.waitForEvent("download");
               await pages.ana.getByRole("link", {name: "Download the authority"}).click();
               const {readFile} = await import("node:fs/promises");
               const bytes = await readFile(await (await coming).path());
               return {text: await pages.ana.locator("main").innerText(), authority: bytes.toString("hex")};""",
            url=f"{door.page.install_url}#{'0' * 64}",
        )
        assert bytes.fromhex(shown["authority"]) == door.page.certificates.authority_der
        assert door.page.certificates.fingerprint in shown["text"]
        assert door.page.url in shown["text"]
        assert phone.troubles("ana") == []
    with a_phone(tmp_path / "after", door.page.certificates.authority_der) as phone:
        phone.run(
            """await pages.ana.goto(args.url);
               await pages.ana.getByLabel("Code").fill(args.code);
               await pages.ana.getByRole("button", {name: "Continue"}).click();
               await pages.ana.getByText("Make my keys").first().waitFor();""",
            url=door.page.url,
            code=door.code(),
        )


LEARN = """
    await pages.ana.goto(args.url);
    await pages.ana.evaluate(() => navigator.serviceWorker.ready.then(() => true));
    await pages.ana.getByLabel("Code").fill(args.code);
    await pages.ana.getByRole("button", {name: "Continue"}).click();
    await pages.ana.getByText("Make my keys").first().waitFor();
    await pages.ana.waitForFunction(async () => (await (await caches.open("doorward-program")).keys()).some((each) => each.url.endsWith("/timeline")));
"""


@at_length
def test_a_doorbell_that_was_replaced_by_one_of_the_same_name_is_explained_and_can_be_trusted(
    door: Door, tmp_path: Path, screenshots: Path
) -> None:
    port = door.port
    with a_phone(tmp_path / "phone", door.page.certificates.authority_der) as phone:
        phone.run(LEARN, url=door.page.url, code=door.code())
        door.close()
        with a_door(tmp_path / "new", port=port) as new:
            # Wherever the old phone goes, it meets words instead of a warning that it could be clicked past.
            for path in ("requests", "", "pair", "install"):
                phone.run(
                    """await pages.ana.goto(args.url);
                       await pages.ana.getByText("Was the doorbell replaced or reset?").click();""",
                    url=f"{new.page.url}{path}",
                )
            for scheme in ("light", "dark"):
                for view, width, height in (("phone", 390, 844), ("desktop", 1280, 900)):
                    phone.run(
                        """await pages.ana.emulateMedia({colorScheme: args.scheme});
                           await pages.ana.setViewportSize({width: args.width, height: args.height});
                           await pages.ana.screenshot({path: args.to});""",
                        scheme=scheme,
                        width=width,
                        height=height,
                        to=str(screenshots / f"replaced-doorbell-{view}-{scheme}.png"),
                    )
            # By name: HSTS and the old program's worker leave the way to the new authority open.
            shown = phone.run(
                """await pages.ana.getByRole("link", {name: "Get the new doorbell's authority"}).click();
                   await pages.ana.getByRole("link", {name: "Download the authority"}).waitFor();
                   return {address: pages.ana.url(), text: await pages.ana.locator("main").innerText()};"""
            )
            assert shown["address"] == f"http://{NAME}:{port}/install"
            assert new.page.certificates.fingerprint in shown["text"]


@at_length
def test_a_phone_that_trusts_the_replacement_too_is_let_in_by_it(door: Door, tmp_path: Path) -> None:
    port = door.port
    with a_door(tmp_path / "new") as new:
        authorities = (door.page.certificates.authority_der, new.page.certificates.authority_der)
    with a_phone(tmp_path / "phone", *authorities) as phone:
        phone.run(LEARN, url=door.page.url, code=door.code())
        door.close()
        with a_door(tmp_path / "new", port=port) as new:
            phone.run(
                """await pages.ana.goto(args.url);
                   await pages.ana.getByLabel("Code").fill(args.code);
                   await pages.ana.getByRole("button", {name: "Continue"}).click();
                   await pages.ana.getByText("Make my keys").first().waitFor();""",
                url=new.page.url,
                code=new.code(),
            )


CLAIM = """
    const page = pages.ana;
    await page.goto(args.url);
    await page.getByLabel("Code").fill(args.code);
    await page.getByRole("button", {name: "Continue"}).click();
    await page.locator("#new-passphrase").fill("correct horse battery");
    await page.getByLabel("The passphrase again").fill("correct horse battery");
    await page.getByRole("button", {name: "Make my keys"}).click();
    await page.locator(".kit").waitFor();
    const kit = (await page.locator(".secret").innerText()).replaceAll(/\\s/g, "");
    await page.getByRole("button", {name: "I have it on paper"}).click();
    await page.getByLabel("The last 6 characters").fill(kit.slice(-6));
    await page.getByRole("button", {name: "Test and begin"}).click();
    await page.getByRole("heading", {name: "It is yours"}).waitFor();
"""


@at_length
def test_another_doorbell_under_the_same_name_gets_no_signature_and_is_named_before_it_is_set_up(
    door: Door, tmp_path: Path
) -> None:
    port = door.port
    with a_door(tmp_path / "new") as new:
        authorities = (door.page.certificates.authority_der, new.page.certificates.authority_der)
    with a_phone(tmp_path / "phone", *authorities) as phone:
        phone.run(CLAIM, url=door.page.url, code=door.code())
        door.close()
        with a_door(tmp_path / "new", port=port) as new:
            phone.run(
                """const page = pages.ana;
                   await page.goto(args.url);
                   await page.getByLabel("Code").fill(args.code);
                   await page.getByRole("button", {name: "Continue"}).click();
                   await page.getByRole("heading", {name: "This is another doorbell"}).waitFor();
                   const coming = page.waitForEvent("download");
                   await page.getByRole("button", {name: "Save my keys"}).click();
                   await coming;""",
                url=new.page.url,
                code=new.code(),
            )
            assert new.solo.custodian.enrolments.current is None
            phone.run(
                """const page = pages.ana;
                   await page.getByRole("button", {name: "Begin with this doorbell"}).click();
                   await page.getByRole("button", {name: "Remove them and begin"}).click();
                   await page.getByText("Make my keys").first().waitFor();"""
            )
