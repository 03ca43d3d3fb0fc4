"""An update on offer: the page shows what changes, one signature chooses it, and one switches security updates on.

In a real browser, with `make test-browser`.
"""

from __future__ import annotations

import pytest

from agent import __version__
from agent.core.updates import Offer, UpdateOutcome, UpdateResult, UpdateState, UpdateTrouble, UpdateWish
from agent.wire import strictjson
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
