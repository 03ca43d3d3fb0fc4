"""An update on offer: the page shows what changes, one signature chooses it, and one switches security updates on.

In a real browser, with `make test-browser`.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_fields

from agent import __version__
from agent.core.updates import (
    Offer,
    RefusedReversal,
    ReversalRefusal,
    UpdateOutcome,
    UpdateResult,
    UpdateState,
    UpdateTrouble,
    UpdateWish,
)
from agent.wire import strictjson
from agent.wire.statements import UpdateReversal, read_statement
from tests.browser.home import Home
from tests.scenarios.street import until

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(400),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


def test_an_owner_reads_what_changes_chooses_the_update_and_lets_security_updates_in(home: Home) -> None:
    people, solo = home.people, home.house.solo
    files = solo._owned.updates._places
    files.state.parent.mkdir(exist_ok=True)
    offer = Offer(version="99.0.1", sha256="ab" * 32, length=10, released="2026-12-01", notes={"en": "<b>Better</b>"})
    outcome = UpdateOutcome(version="98.0.0", result=UpdateResult.ROLLED_BACK, at_ms=1)
    state = UpdateState(v=1, running=__version__, offer=offer, outcome=outcome, trouble=UpdateTrouble.NETWORK)
    files.state.write_bytes(strictjson.encode(state))
    people.go("ana", "/settings")
    people.run(
        "ana",
        """const section = page.locator("#settings-updates");
           await section.getByText("Version 99.0.1 is ready. What changes:").waitFor();
           await section.getByText("<b>Better</b>", {exact: true}).waitFor();
           await section.getByText("Version 98.0.0 did not run well here, so the version before is back.").waitFor();
           await section.getByText("The server for updates cannot be reached.").waitFor();
           await section.getByRole("button", {name: "Install the update"}).click();""",
    )
    people.sign("ana", "Sign")
    until(files.wish.exists, "the wish")
    wish = strictjson.decode(files.wish.read_bytes(), UpdateWish)
    assert (wish.version, wish.sha256) == ("99.0.1", "ab" * 32)
    people.run(
        "ana",
        """const section = page.locator("#settings-updates");
           await section.getByText("You have chosen this update. It is installed within minutes.").waitFor();
           await section.getByRole("button", {name: "Install security updates without asking"}).click();""",
    )
    people.sign("ana", "Sign")
    people.run(
        "ana",
        """await page.locator("#settings-updates").getByText("Security updates are installed without asking.").waitFor();""",
    )
    assert solo.custodian.settings.current is not None
    assert solo.custodian.settings.current.updates == "security"


def test_an_owner_goes_back_to_the_version_before_with_two_taps_and_a_signature(home: Home, tmp_path: Path) -> None:
    people, solo = home.people, home.house.solo
    updates = solo._owned.updates
    updates._trusted_ms = lambda: time.time_ns() // 10**6  # this machine may not be synchronised
    before = tmp_path / "previous"
    before.symlink_to("versions/0.0.9-aa")
    files = updates._places = replace(updates._places, previous=before)
    files.state.parent.mkdir(exist_ok=True)
    owners = hashlib.sha256(read_statement(solo.custodian.enrolments.envelopes[-1]).payload).hexdigest()
    state = UpdateState(v=1, running=__version__, change="cd" * 16, floor="0.0.9", owners=owners)
    files.state.write_bytes(strictjson.encode(state))
    people.go("ana", "/settings")
    people.run(
        "ana",
        """await page.locator("#settings-updates").getByRole("button", {name: "Go back to version 0.0.9"}).click();
           await page.getByText("are open again until you install it").waitFor();
           const found = await axe(page);
           if (found.length) throw new Error(JSON.stringify(found));""",
    )
    assert not files.back.exists()
    people.sign("ana", "Sign")
    until(files.back.exists, "the way back")
    wanted = strictjson.decode(read_statement(files.back.read_bytes()).payload, UpdateReversal)
    assert (wanted.version, wanted.before, wanted.change) == (__version__, "0.0.9", "cd" * 16)
    people.run(
        "ana",
        """const section = page.locator("#settings-updates");
           await section.getByText("You have chosen to go back to version 0.0.9.").waitFor();
           if (await section.getByRole("button", {name: "Go back to version 0.0.9"}).count()) throw new Error("twice");""",
    )
    signed = hashlib.sha256(files.back.read_bytes()).hexdigest()
    refused = RefusedReversal(reason=ReversalRefusal.CHANGED, statement=signed)
    withdrawn = Offer(version="99.0.1", sha256="ab" * 32, length=10, released="2026-12-01")
    ended = replace_fields(state, refused=refused, offer=withdrawn, withdrawn=("99.0.1",))
    files.state.write_bytes(strictjson.encode(ended))
    people.go("ana", "/timeline")
    people.go("ana", "/settings")
    people.run(
        "ana",
        """const section = page.locator("#settings-updates");
           await section.getByText("did not go back to version 0.0.9: something had changed since your yes.").waitFor();
           await section.getByText("Version 99.0.1 was begun here before and did not stay.").waitFor();
           await section.getByRole("button", {name: "Go back to version 0.0.9"}).waitFor();""",
    )
    files.state.write_bytes(strictjson.encode(replace_fields(state, change="00" * 16, floor="0.1.0")))
    people.go("ana", "/timeline")
    people.go("ana", "/settings")
    people.run(
        "ana",
        """const section = page.locator("#settings-updates");
           await section.getByText("Version 0.0.9, which ran before, has a known security fault.").waitFor();
           if (await section.getByRole("button", {name: "Go back to version 0.0.9"}).count()) throw new Error("below");""",
    )
