"""An owner records a reply and chooses a sound file, and the visitor hears both. The doorbell has no copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.looking import Looking
from tests.browser.test_answering_from_anywhere import LOCKED
from tests.browser.test_every_page_is_looked_at import speak
from tests.browser.test_talking_at_the_door import ALLOW, PRESS, TALKS, TalkingHome, a_talking_home, loud_s
from tests.scenarios.street import until
from tests.talkers import tone_file

pytestmark = [pytest.mark.broker, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

FILE_HZ = 500
SPOKEN, CHOSEN = "Back in five minutes", "Leave it here"
RECORD = """
await page.getByText("Own replies", {exact: true}).click();
await page.getByLabel("Name of the reply").fill(args.spoken);
await page.getByRole("button", {name: "Record", exact: true}).click();
await page.getByRole("button", {name: "Recording. Tap to stop"}).waitFor();
await page.waitForTimeout(2500);
await page.getByRole("button", {name: "Recording. Tap to stop"}).click();
await page.getByText(`“${args.spoken}” is kept in this browser.`).waitFor();
"""
CHOOSE = """await page.getByLabel("Or choose a sound file").setInputFiles(args.file);"""
PLAY = """await page.locator(".replies").getByRole("button", {name: args.name, exact: true}).click();"""


def refuse(home: TalkingHome, words: str, **args: str) -> None:
    home.people.run("ana", CHOOSE + "await page.getByRole('alert').filter({hasText: args.words}).waitFor();",
                    words=words, **args)  # fmt: skip


def test_an_own_reply_is_heard_at_the_door_and_stays_in_the_browser(tmp_path: Path, looking: Looking) -> None:
    with a_talking_home(tmp_path) as home:
        people, heard_at = home.people, tmp_path / "heard.wav"
        people.go("ana", "/live")
        people.run("ana", ALLOW + RECORD, spoken=SPOKEN)
        people.run("ana", CHOOSE + "await page.getByText(`“${args.name}” is kept in this browser.`).waitFor();",
                   file=str(tone_file(tmp_path / f"{CHOSEN}.wav", FILE_HZ, 2)), name=CHOSEN)  # fmt: skip
        refuse(home, "longer than 15 seconds", file=str(tone_file(tmp_path / "A song.wav", FILE_HZ, 16)))
        (tmp_path / "Not a sound.wav").write_bytes(b"RIFF" + bytes(300))
        refuse(home, "cannot read this sound file", file=str(tmp_path / "Not a sound.wav"))
        looking.at(people, "ana", "own-replies")
        assert not heard_at.exists() or loud_s(heard_at) == loud_s(heard_at, FILE_HZ) == 0, "nothing was played yet"
        people.run("ana", PLAY, name=SPOKEN)
        until(lambda: loud_s(heard_at) >= 1, "the recorded reply")
        people.run("ana", "await page.waitForTimeout(2500);")
        people.run("ana", PLAY, name=CHOSEN)
        until(lambda: loud_s(heard_at, FILE_HZ) >= 1.5, "the chosen one")

        # With locked keys they can be played by a browser at the door, and not be changed; a voice cuts a reply.
        people.run("ana", "await page.waitForTimeout(1000);")
        people.run("ana", PLAY + PRESS + TALKS, name=CHOSEN)
        people.run("ana", "await page.getByText(`Delete “${args.name}”`).click();", name=CHOSEN)
        gone = 'await page.getByRole("button", {name: args.name, exact: true}).waitFor({state: "hidden"});'
        people.run("ana", gone, name=CHOSEN)
        people.run("ana", LOCKED, url=home.house.url, path="/timeline")
        people.unlock("ana")
        people.go("ana", "/live")
        people.run("ana", 'await page.getByRole("button", {name: args.name, exact: true}).waitFor();', name=SPOKEN)
        troubles = [each for each in people.browser.troubles("ana") if "decod" not in each.lower()]
        assert troubles == []
        for path in (tmp_path / "state").rglob("*"):
            assert not path.is_file() or SPOKEN.encode() not in path.read_bytes(), path


def test_own_replies_are_looked_at_in_other_languages(tmp_path: Path, looking: Looking) -> None:
    with a_talking_home(tmp_path) as home:
        people = home.people
        people.go("ana", "/live")
        people.run("ana", ALLOW + RECORD, spoken=SPOKEN)
        for language in ("de", "ar"):
            speak(people, language)
            people.go("ana", "/live")
            people.run("ana", 'await page.locator("details.own-replies summary").click();')
            looking.at(people, "ana", f"own-replies-{language}")
