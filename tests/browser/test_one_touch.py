"""A passkey opens the page and signs decisions with one touch, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.home import Home
from tests.browser.house import Phones
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300)]
at_length = pytest.mark.at_length("make test-browser")

PHONE_WITH_FINGERPRINT = {
    "protocol": "ctap2",
    "ctap2Version": "ctap2_1",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
    "hasPrf": True,
}


def give_authenticator(people: Phones, **changes: Any) -> None:
    """Puts a virtual authenticator into the phone "ana" in place of the one before."""
    people.run(
        "ana",
        """const session = (globalThis.webauthn ??= await page.context().newCDPSession(page));
           if (globalThis.authenticator) await session.send("WebAuthn.removeVirtualAuthenticator", globalThis.authenticator);
           else await session.send("WebAuthn.enable");
           globalThis.authenticator = await session.send("WebAuthn.addVirtualAuthenticator", {options: args.options});""",
        options=PHONE_WITH_FINGERPRINT | changes,
    )


def recognise(people: Phones, is_owner: bool) -> None:
    """Tells the authenticator whether the finger on it is its owner's."""
    people.run(
        "ana",
        """await globalThis.webauthn.send("WebAuthn.setUserVerified",
             {...globalThis.authenticator, isUserVerified: args.is});""",
        **{"is": is_owner},
    )


def add_passkey(people: Phones) -> None:
    people.go("ana", "/settings")
    people.run("ana", 'await page.getByRole("button", {name: "Unlock with fingerprint, face or PIN"}).click();')
    people.sign("ana", "Go on")
    people.run("ana", 'await page.getByText("Your fingerprint, face or PIN opens your keys now.").waitFor();')


def reload(people: Phones) -> None:
    people.run("ana", 'await page.reload(); await page.getByRole("heading", {name: /Welcome back/}).waitFor();')


@at_length
def test_after_a_reload_one_tap_opens_the_page_and_one_signs_a_refusal(home: Home, screenshots: Path) -> None:
    people, request = home.people, home.asked("2026-60")
    give_authenticator(people)
    add_passkey(people)
    people.run(
        "ana", "await page.screenshot({path: args.to, fullPage: true});", to=str(screenshots / "passkey-added.png")
    )
    reload(people)
    people.run(
        "ana",
        """await page.screenshot({path: args.to, fullPage: true});
           await page.getByRole("button", {name: "Unlock", exact: true}).click();
           await page.locator("body[data-bare=false]").waitFor();""",
        to=str(screenshots / "unlock-with-passkey.png"),
    )
    people.open_request("ana", request)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Say no", exact: true}).click();
           const dialog = page.getByRole("dialog");
           await page.screenshot({path: args.to, fullPage: true});
           await dialog.getByRole("button", {name: "Sign my no"}).click();
           await dialog.waitFor({state: "detached"});""",
        to=str(screenshots / "decide-with-passkey.png"),
    )
    until(lambda: home.house.state_of(request) == "denied", "the refusal")
    reload(people)
    # Last, because the end of the checker's debugging session takes the virtual authenticator with it.
    assert people.run("ana", "return axe(page)") == []
    assert people.browser.troubles("ana") == []


@at_length
def test_another_finger_opens_nothing_and_the_passphrase_still_does(home: Home) -> None:
    people = home.people
    give_authenticator(people)
    add_passkey(people)
    reload(people)
    recognise(people, False)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Unlock", exact: true}).click();
           await page.getByText("The passkey was not given.").waitFor();
           await page.getByRole("button", {name: "Use the passphrase instead"}).click();""",
    )
    people.unlock("ana")


@at_length
def test_the_passkey_of_another_authenticator_does_not_open_the_keys(home: Home) -> None:
    people = home.people
    give_authenticator(people)
    add_passkey(people)
    give_authenticator(people)
    reload(people)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Unlock", exact: true}).click();
           await page.getByText("The passkey was not given.").waitFor();""",
    )


@at_length
def test_an_authenticator_without_secrets_is_refused_in_words_and_changes_nothing(home: Home) -> None:
    people = home.people
    give_authenticator(people, hasPrf=False)
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Unlock with fingerprint, face or PIN"}).click();
           const dialog = page.getByRole("dialog");
           await dialog.getByLabel("Passphrase").fill("correct horse battery");
           await dialog.getByRole("button", {name: "Go on"}).click();
           await dialog.getByText("cannot open keys with a passkey").waitFor();
           await dialog.getByRole("button", {name: "Cancel"}).click();""",
    )
    reload(people)
    people.unlock("ana")


@at_length
def test_a_removed_passkey_opens_nothing_more(home: Home) -> None:
    people = home.people
    give_authenticator(people)
    add_passkey(people)
    people.run(
        "ana",
        """await page.getByRole("button", {name: "Remove fingerprint, face or PIN"}).click();
           await page.getByRole("dialog").getByRole("button", {name: "Remove fingerprint, face or PIN"}).click();
           await page.getByRole("button", {name: "Unlock with fingerprint, face or PIN"}).waitFor();""",
    )
    reload(people)
    people.unlock("ana")
