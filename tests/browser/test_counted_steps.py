"""The count of the set-up's steps: the rule leaves no press free, and the driver sees what reaches the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.browser import Browser
from tests.browser.steps import Act, judge, steps_of

WAY: list[Act] = [
    (kind, "", 0.0)
    for kind in (
        *("field", "field", "press"),  # Wi-Fi, password, make the code
        *("scan", "install"),
        *("press", "press", "press"),  # check, open my doorbell, continue
        *("field", "field", "press"),  # passphrase, again, make my keys
        *("press", "field", "press"),  # the kit is on paper, its last characters, begin
        *("press", "press"),  # the timeline, the first clip
    )
]
"""The way that test_set_up_without_a_shell.py goes."""


def test_the_way_of_the_set_up_is_seven_steps() -> None:
    judge(WAY)
    assert [[kind for kind, *_ in step] for step in steps_of(WAY)] == [
        ["field", "field", "press"],
        ["scan"],
        ["install"],
        ["press", "press"],
        ["press", "field", "field", "press"],
        ["press", "field", "press"],
        ["press", "press"],
    ]


@pytest.mark.parametrize("kind", ["press", "field", "scan", "install"])
def test_one_more_press_field_code_or_file_at_any_place_is_too_much(kind: str) -> None:
    for place in range(len(WAY) + 1):
        with pytest.raises(AssertionError):
            judge([*WAY[:place], (kind, "", 0.0), *WAY[place:]])


def test_a_press_where_a_step_had_room_for_none_is_an_eighth_step() -> None:
    """All places after the first form. Before it, and between its fields, the count of presses alone says no."""
    for place in range(3, len(WAY) + 1):
        assert len(steps_of([*WAY[:place], ("press", "", 0.0), *WAY[place:]])) == 8, place


@pytest.mark.browser
@pytest.mark.at_length("make test-browser")
def test_the_driver_counts_what_reaches_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        """<!DOCTYPE html><meta charset="utf-8"><title>t</title><div id="place"></div>
           <form onsubmit="event.preventDefault()"><label for="a">Name</label><input id="a">
           <label for="b">Word</label><input id="b" type="password"><button>Send <b>it</b></button></form>
           <a download="file" href="data:application/octet-stream,x">Get it</a>
           <p>Words</p>"""
    )
    with Browser(tmp_path) as phone:
        phone.open("ana", counts=True)
        phone.run(
            """const page = pages.ana;
               await page.goto(args.url);
               await page.getByLabel("Name").fill("one");
               await page.getByLabel("Name").fill("two");
               await page.getByLabel("Word").pressSequentially("three");
               await page.locator("button b").click();
               await page.getByLabel("Name").fill("four");
               await page.keyboard.press("Enter");
               await page.locator("#place").evaluate((place) => { place.innerHTML = "<p class='shown-code'>code</p>"; });
               const coming = page.waitForEvent("download");
               await page.getByText("Get it").click();
               await coming;
               await page.getByText("Words", {exact: true}).click();
               await page.locator("button").evaluate((button) => button.click());""",
            url=page.as_uri(),
        )
        assert [(kind, words) for kind, words, _ in phone.acts("ana")] == [
            ("field", "Name"), ("field", "Word"), ("press", "Send it"), ("field", "Name"), ("press", "Send it"),
            ("scan", ""), ("install", "Get it"), ("press", "Words"), ("press", "Send it"),
        ]  # fmt: skip
        assert phone.acts("ana") == []
