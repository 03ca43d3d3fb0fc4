"""A trust root's news on the owner's page: who joined is said in plain words, and one tap lets them ask."""

from __future__ import annotations

import pytest

from agent.clients.requester.keys import load_key
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.topics import TrustTopic
from agent.wire.trust import RequesterKey
from agent.wire.trust_package import split_package
from tests.browser.home import Home
from tests.scenarios.street import until
from tests.wire import samples

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

FIRE = public_key_of(private_key_from_seed(b"f" * 32))


def test_the_owner_reads_who_joined_and_one_tap_lets_them_ask(home: Home) -> None:
    trust = home.house.solo.custodian.control._trust
    root = home.police.root
    held = trust.store.bundles[root.id]
    fire = samples.requester(
        id="rijnstad-fire", name="Rijnst\u0430d Fire", keys=(RequesterKey(key=FIRE.text, from_s=0, until_s=2**32),)
    )
    newer = samples.bundle(root=root.id, version=held.version + 1, requesters=(*held.requesters, fire))
    file = samples.root_file(root=root.id)
    name_key = load_key(home.house.street.folder / "rijnstad-police-root" / "root.key")
    signed = samples.several(file, name_key, *samples.ROOT_SIGNERS[:2])
    # The chunks come as the broker delivers them.
    for slot, chunk in enumerate(split_package(samples.package(newer, root=file, roots=(signed,)))):
        home.house.solo.custodian.on_message(str(TrustTopic(root.id, slot)), chunk)
    assert len(trust.heard()) == 1
    people = home.people
    people.go("ana", "/settings")
    people.run(
        "ana",
        """const section = page.locator("#settings-trust");
           await section.getByText(/^Rijnst\u0430d Fire joined and would like to ask/).waitFor();
           // An "a" of the first word is Cyrillic.
           await section.getByText(/letters in the name Rijnst\u0430d Fire can look like others: \u0430/).waitFor();
           if (await section.getByText(/^Rijnst\u0430d Fire ·/).count()) throw new Error("it may ask before a yes");
           await section.getByRole("button", {name: "Look at it"}).click();
           await page.getByText(/New: Rijnst\u0430d Fire.* can look like others: \u0430/).waitFor();
           await page.getByRole("button", {name: "Take it over"}).click();
           await section.getByText(/^Rijnst\u0430d Fire ·/).waitFor();
           await section.getByText("This root has news").waitFor({state: "detached"});""",
    )
    until(lambda: trust.store.bundles[root.id] == newer, "the doorbell to use exactly that list")
    assert trust.heard() == []
    assert people.browser.troubles("ana") == []
