"""Set-up with no network at all, and a home that loses its network later: the page says what happens, and sealing goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.ports import CameraEnd
from tests.browser.browser import Browser
from tests.browser.new_doorbell import NewDoorbell
from tests.browser.test_set_up_without_a_shell import (
    CHECK_AND_OPEN,
    PASSWORD,
    WIFI,
    become_owner,
    make_code,
    open_set_up_page,
    picture,
)
from tests.setup_films import View, hallway, make_film, seen

pytestmark = [pytest.mark.browser, pytest.mark.footage, pytest.mark.timeout(600),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

SLOW = 'await pages.ana.getByText("Your doorbell does not answer yet.").waitFor({timeout: 90_000});'


def test_without_any_network_the_page_says_what_to_do_and_an_owned_doorbell_seals_on_offline(
    tmp_path: Path, footage: Path, screenshots: Path
) -> None:
    for name in ("new", "before", "after"):
        (tmp_path / name).mkdir()
    film = make_film(tmp_path / "new" / "camera.mp4", [hallway()])
    with NewDoorbell(tmp_path / "new", {}) as doorbell:
        with Browser(tmp_path / "before") as phone:
            open_set_up_page(phone, doorbell.port)
            make_film(film, [hallway(), seen(make_code(phone), View())])
            doorbell.until(lambda: doorbell.state == "no-network", "it to find no Wi-Fi of this name")
            phone.run(SLOW + 'await pages.ana.getByText("What the light of the doorbell says").click();')
            phone.run('await pages.ana.getByText("Groups of three: there is no Wi-Fi of this name here.").waitFor();')
            picture(phone, screenshots, "set-up-no-network")

            # The router is switched on. The old code, still on the screen, counts no more, and a new one does.
            doorbell.put_in_the_air({WIFI: PASSWORD})
            phone.run('await pages.ana.getByRole("button", {name: "Change something"}).click();')
            make_film(film, [hallway(), seen(make_code(phone), View())])
            phone.run("""await pages.ana.getByText("is in your network").waitFor({timeout: 90_000});""")
            kept = phone.run("return await pages.ana.evaluate(() => localStorage.getItem('doorward-set-up'));")
        with Browser(tmp_path / "after", doorbell.authority) as phone:
            open_set_up_page(phone, doorbell.port, kept)
            phone.run(CHECK_AND_OPEN)
            become_owner(phone, screenshots)
            phone.run("""await pages.ana.getByRole("button", {name: "See the timeline"}).click();
                         await pages.ana.waitForURL("**/timeline");""")

            # The network goes. Someone walks by meanwhile.
            phone.run("await pages.ana.context().setOffline(true);")
            doorbell.until(lambda: bool(doorbell.ends), "the film of the hallway to end")
            before = doorbell.solo.vault.totals().segments
            film.unlink()
            film.symlink_to(footage)
            assert doorbell.solo.record() is CameraEnd.END_OF_FOOTAGE
            assert doorbell.solo.vault.totals().segments > before, "it seals without a network"
            phone.run("""await pages.ana.locator('nav a[href="/history"]').click();
                         await pages.ana.getByRole("heading", {name: "The doorbell does not answer"}).waitFor();""")
            picture(phone, screenshots, "set-up-network-gone")
            phone.run("await pages.ana.context().setOffline(false);")
            phone.run("""await pages.ana.locator('nav a[href="/timeline"]').click();
                         await pages.ana.locator('a[href^="/timeline/"]').first().waitFor({timeout: 60_000});""")
