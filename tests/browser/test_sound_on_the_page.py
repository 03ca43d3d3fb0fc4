"""Sound on the page: played, saved and shared only if the owner says so. Runs with `make test-browser`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.core.media import SoundDescription, SoundPacket
from agent.media.sound import sound_mp4
from agent.recorder import retry_buffer
from agent.recorder.capture.microphone_file import FileMicrophone
from tests.browser.home import Home
from tests.browser.house import a_house, phones
from tests.damage import with_another_end
from tests.scenarios.street import until
from tests.scenarios.test_sound_goes_where_the_owner_says import beeps
from tests.sounds import heard_from_s

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300),
              pytest.mark.at_length("make test-browser")]  # fmt: skip

OPEN_EVENT = """await page.locator(".tile").first().click();
    await page.getByRole("button", {name: "Save as MP4"}).waitFor();"""


@contextmanager
def a_hearing_home(folder: Path, footage: Path) -> Iterator[Home]:
    """A home with a doorbell that hears half a second of a tone at every full second of the footage."""
    heard = beeps(folder / "beeps.wav", 90)
    with (
        a_house(folder, footage, open_microphone=lambda: FileMicrophone(heard)) as house,
        phones(house, folder) as people,
    ):
        yield Home(house, people)


def saved(home: Home, path: Path) -> Path:
    home.people.run(
        "ana",
        """const saved = page.waitForEvent("download");
           await page.getByRole("button", {name: "Save as MP4"}).click();
           await (await saved).saveAs(args.path);""",
        path=str(path),
    )
    return path


def test_a_clip_plays_is_saved_and_is_shared_with_its_sound_where_the_owner_says_so(
    tmp_path: Path, footage: Path, screenshots: Path
) -> None:
    with a_hearing_home(tmp_path, footage) as home:
        people = home.people
        people.go("ana", "/timeline")
        people.run("ana", OPEN_EVENT)
        # Across the border of two segments, and louder than nothing.
        heard = people.run(
            "ana",
            """await page.waitForFunction(() => document.querySelector("video")?.currentTime > 7);
               await page.screenshot({path: args.shots + "/event-sound-phone-light.png"});
               const found = await axe(page);
               if (found.length) throw new Error(JSON.stringify(found));
               return page.evaluate(() => {
                 const video = document.querySelector("video");
                 return {muted: video.muted, bytes: video.webkitAudioDecodedByteCount, stretches: video.buffered.length};
               });""",
            shots=str(screenshots),
        )
        assert heard["bytes"] > 0
        assert (heard["muted"], heard["stretches"]) == (False, 1)

        assert heard_from_s(saved(home, tmp_path / "pictures.mp4")) == []
        people.run("ana", 'await page.getByRole("checkbox", {name: "Save it with its sound"}).check();')
        begins_s = heard_from_s(saved(home, tmp_path / "both.mp4"))
        assert 70 <= len(begins_s) <= 82
        # A beep at each full second of the footage, counted from the film's first picture.
        late = [begin % 1 for begin in begins_s if begin > 0.1]
        assert max(late) - min(late) < 0.03

        # Two requests: the tick is never set beforehand, and decides.
        for case, ticked in (("2026-60", False), ("2026-61", True)):
            request = home.asked(case)
            people.open_request("ana", request)
            people.run(
                "ana",
                """const sound = page.getByRole("checkbox", {name: /^Sound too/});
                   if (await sound.isChecked()) throw new Error("ticked beforehand");
                   await page.getByText(/Choose among|moment/).first().click();
                   for (const n of [0, 1]) await page.locator(".moments input").nth(n).check();
                   if (args.ticked) await sound.check();
                   await page.getByRole("button", {name: "Share what I chose"}).click();
                   await page.getByText(args.ticked ? "With the sound of these moments." : "Without sound.").waitFor();""",
                ticked=ticked,
            )
            people.sign("ana", "Sign and share")
            until(lambda: home.house.state_of(request) in ("approved", "sending", "sent"), "the approval")  # noqa: B023
            news: list[ReceiverEvent] = []
            with home.police.receiving(news):
                until(lambda: home.house.state_of(request) == "sent", "the receipt")  # noqa: B023
            listed = home.house.control("requests", all=True)["requests"]
            disclosure = next(str(each["disclosure"]) for each in listed if each["id"] == request)
            now_s = home.police.requester.sent_request(request).request.not_after_s
            opened = open_disclosure(home.police.requester, disclosure, now_s=now_s)
            assert opened.verification.ok, opened.verification.failed
            assert len(opened.verification.sounds) == (2 if ticked else 0)
            assert opened.merged is not None
            assert bool(heard_from_s(opened.merged)) == ticked
        assert people.browser.troubles("ana") == []


def test_a_damaged_sound_is_told_in_words_and_the_picture_plays_on(tmp_path: Path, footage: Path) -> None:
    with a_hearing_home(tmp_path, footage) as home:
        people = home.people
        vault = home.house.street.state_dir / "vault" / "segments"
        files = list(vault.rglob("*.sound.age"))
        assert files
        for path in files:
            path.chmod(0o600)
            path.write_bytes(with_another_end(path.read_bytes()))
        people.go("ana", "/timeline")
        people.run("ana", OPEN_EVENT)
        is_told_and_plays(home)
        people.run("ana", 'await page.getByRole("checkbox", {name: "Save it with its sound"}).check();')
        assert heard_from_s(saved(home, tmp_path / "film.mp4")) == []


def no_film(_description: SoundDescription, *_: object) -> bytes:
    return b"\x00\x00\x00\x08free"


def no_sound(description: SoundDescription, packets: Sequence[SoundPacket], start_ns: int, end_ns: int) -> bytes | None:
    """A film like ours with sound that no decoder accepts."""
    noise = random.Random(7)
    return sound_mp4(
        description, [SoundPacket(noise.randbytes(300), each.heard_ns) for each in packets], start_ns, end_ns
    )


@pytest.mark.parametrize("hostile", [no_film, no_sound])
def test_a_hostile_sound_is_told_in_words_and_the_picture_plays_on(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch, hostile: Callable[..., bytes | None]
) -> None:
    """Authentic bytes with hostile content: as an altered camera could seal them."""
    monkeypatch.setattr(retry_buffer, "sound_mp4", hostile)
    with a_hearing_home(tmp_path, footage) as home:
        home.people.go("ana", "/timeline")
        home.people.run("ana", OPEN_EVENT)
        is_told_and_plays(home)


def is_told_and_plays(home: Home) -> None:
    home.people.run(
        "ana",
        """await page.getByRole("alert").filter({hasText: "The sound of this is damaged"}).waitFor();
           const at = await page.evaluate(() => document.querySelector("video").currentTime);
           await page.waitForFunction((at) => document.querySelector("video").currentTime > at + 1, at);""",
    )
