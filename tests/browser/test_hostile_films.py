"""A film that is none, sealed and signed as an altered camera could: said in words wherever it would play.

In a real browser, with `make test-browser`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.core.media import Gop
from agent.media.fmp4 import FragmentedMp4Writer
from agent.recorder import retry_buffer
from tests.browser.home import Home
from tests.browser.house import a_house, phones

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip


class NoFilm(FragmentedMp4Writer):
    """Boxes, but none that a player knows."""

    def begin(self, first_gop: Gop, units: Sequence[Sequence[bytes]] | None = None) -> bytes:
        return super().begin(first_gop, units)[:0] + b"\x00\x00\x00\x10ftypnone\x00\x00\x00\x00"

    def add(self, gop: Gop, units: Sequence[Sequence[bytes]] | None = None) -> bytes:
        return super().add(gop, units)[:0] + b"\x00\x00\x00\x08free"


class Noise(FragmentedMp4Writer):
    """A film like ours with noise as pictures."""

    def add(self, gop: Gop, units: Sequence[Sequence[bytes]] | None = None) -> bytes:
        made = super().add(gop, units)
        at = made.index(b"mdat") + 4
        return made[:at] + random.Random(7).randbytes(len(made) - at)


class Endless(FragmentedMp4Writer):
    """A film with a first fragment that claims to be larger than any memory."""

    def add(self, gop: Gop, units: Sequence[Sequence[bytes]] | None = None) -> bytes:
        made = super().add(gop, units)
        return b"\xff\xff\xff\xff" + made[4:]


@pytest.mark.parametrize("hostile", [NoFilm, Noise, Endless])
def test_a_film_that_is_none_is_told_in_words_and_the_page_goes_on(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch, hostile: type[FragmentedMp4Writer]
) -> None:
    with a_house(tmp_path, footage) as house, phones(house, tmp_path) as people:
        monkeypatch.setattr(retry_buffer, "FragmentedMp4Writer", hostile)
        home = Home(house, people)
        request = home.asked("2026-90")
        said = "This film is damaged or was altered|The doorbell sent something that cannot be read"
        people.go("ana", "/timeline")
        people.run(
            "ana",
            """await page.locator(".tile").first().click();
               await page.getByRole("alert").filter({hasText: new RegExp(args.said)}).waitFor();""",
            said=said,
        )
        # Under review too; and no is as near as ever.
        people.open_request("ana", request)
        people.run(
            "ana",
            """await page.locator("button.play").first().click();
               await page.locator("#said").filter({hasText: new RegExp(args.said)}).waitFor();
               await page.getByRole("button", {name: "Say no", exact: true}).click();""",
            said=said,
        )
        people.sign("ana", "Sign my no")
        # Live falls back on the newest segment, which is no film either.
        people.go("ana", "/live")
        people.run(
            "ana",
            """await page.getByRole("alert").filter({hasText: new RegExp(args.said)}).waitFor();
               await page.locator("nav a[href='/requests']").click();
               await page.getByRole("heading", {name: "Requests", level: 1}).waitFor();""",
            said=said,
        )
