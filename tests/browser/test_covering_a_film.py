"""An owner covers parts of a film on the page before the yes, and the requester gets only that."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from agent.clients.media.redact import compare_films, require_covered, require_muted
from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.requester.opened_disclosure import OpenedDisclosure, open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.core.languages import ENGLISH, LANGUAGES
from agent.core.vault.redactions import Redaction, RedactionKind, covered_pixels, place_at
from agent.core.vault.segment import split_media
from agent.recorder.capture.microphone_file import FileMicrophone
from tests.browser.browser import require_browser
from tests.browser.home import Home
from tests.browser.house import DESKTOP, a_house, phones
from tests.browser.looking import Looking
from tests.browser.test_every_page_is_looked_at import left_in_english, speak
from tests.scenarios.street import until
from tests.scenarios.test_sound_goes_where_the_owner_says import beeps

pytestmark = [pytest.mark.broker, pytest.mark.footage, pytest.mark.browser, pytest.mark.timeout(300)]

CHOOSE = """
await page.getByText(/Choose among|moment/).first().click();
for (const n of [0, 1]) await page.locator(".moments input").nth(n).check();
"""
OPEN_EDITOR = """
await page.getByRole("button", {name: /^Cover parts of this film/}).first().click();
await page.locator(".film canvas").waitFor();
await page.waitForFunction(() => document.querySelector(".moment")?.textContent);
"""
DRAW = """
const draw = async (from, to) => {
  const box = await page.locator("svg.covers").boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(from));
  await page.mouse.down();
  await page.mouse.move(...at([(from[0] + to[0]) / 2, (from[1] + to[1]) / 2]));
  await page.mouse.move(...at(to));
  await page.mouse.up();
};
"""


def beginning_of(footage: Path, seconds: int, to: Path) -> Path:
    """Writes the first seconds of a film, as they are."""
    with av.open(footage) as whole, av.open(to, "w") as short:
        (video,) = whole.streams.video
        stream = short.add_stream_from_template(video)
        for packet in whole.demux(video):
            if packet.pts is None or packet.pts * packet.time_base >= seconds:
                break
            packet.stream = stream
            short.mux(packet)
    return to


@contextmanager
def a_hearing_home(folder: Path, footage: Path) -> Iterator[Home]:
    """A home with a doorbell that hears half a second of a tone at every full second of the footage."""
    require_browser()
    heard = beeps(folder / "beeps.wav", 90)
    with (
        a_house(folder, footage, open_microphone=lambda: FileMicrophone(heard)) as house,
        phones(house, folder) as people,
    ):
        yield Home(house, people)


def chosen_and_covered(home: Home, case: str, script: str) -> str:
    """Opens a request for a case, chooses its first two moments, and runs the script in the editor of the first film.

    Returns the request's id.
    """
    request = home.asked(case)
    home.people.open_request("ana", request)
    home.people.run("ana", DRAW + CHOOSE + OPEN_EDITOR + script)
    return request


def received(home: Home, request: str) -> OpenedDisclosure:
    """The answer to a request, as the requester opens it."""
    news: list[ReceiverEvent] = []
    with home.police.receiving(news):
        until(lambda: home.house.state_of(request) == "sent", "the receipt")
    listed = home.house.control("requests", all=True)["requests"]
    disclosure = next(str(each["disclosure"]) for each in listed if each["id"] == request)
    now_s = home.police.requester.sent_request(request).request.not_after_s
    return open_disclosure(home.police.requester, disclosure, now_s=now_s)


def recorded(home: Home, segment: str, ending: str = "") -> bytes:
    """Returns a recorded file, opened with the owner's kit."""
    vault = home.house.street.state_dir / "vault" / "segments"
    (path,) = vault.rglob(f"*{segment}{ending}.age")
    return split_media(open_bytes(path.read_bytes(), [HybridIdentity.parse(home.house.kit)]))[0]


def pictures_in(film: bytes) -> list[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]]:
    """Time in ms and luma of each picture."""
    with av.open(io.BytesIO(film)) as container:
        return [
            (
                int((frame.time or 0) * 1000 + 1e-6),
                np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)[: frame.height],
            )
            for frame in container.decode(video=0)
        ]


def require_same_elsewhere(captured: bytes, redacted: bytes, covers: tuple[Redaction, ...]) -> None:
    """Each picture is black below its covers, and close to the recorded one elsewhere."""
    before, after = pictures_in(captured), pictures_in(redacted)
    assert [at for at, _ in before] == [at for at, _ in after]
    for (at_ms, one), (_, two) in zip(before, after, strict=True):
        height, width = one.shape
        kept = np.ones(one.shape, bool)
        for each in covers:
            if each.from_ms <= at_ms <= each.until_ms:
                left, top, right, bottom = covered_pixels(place_at(each, at_ms), width, height)
                assert two[top + 4 : bottom - 4, left + 4 : right - 4].max() < 30, f"seen at {at_ms} ms"
                kept[max(0, top - 8) : bottom + 8, max(0, left - 8) : right + 8] = False
        error = np.abs(one.astype(int) - two.astype(int))[kept]
        assert error.mean() < 4, f"the rest has changed at {at_ms} ms"


@pytest.mark.at_length("make test-browser")
def test_an_owner_covers_a_moving_face_and_mutes_a_voice_and_the_requester_gets_only_the_rest(
    tmp_path: Path, footage: Path
) -> None:
    with a_hearing_home(tmp_path, footage) as home:
        people, request = home.people, home.asked("2026-70")
        people.run("ana", "await page.setViewportSize(args.viewport);", **DESKTOP)
        people.open_request("ana", request)
        people.run(
            "ana",
            DRAW
            + CHOOSE
            + """await page.getByRole("checkbox", {name: /^Sound too/}).check();"""
            + OPEN_EDITOR
            + """await draw([0.2, 0.2], [0.4, 0.6]);
               await page.getByLabel("What it covers").selectOption("plate");
               // Ten pictures on, by keyboard, the cover is dragged to the right: it moves between the two.
               await page.getByLabel("Moment of the film").focus();
               for (let n = 0; n < 10; n++) {
                 const before = await page.locator(".moment").textContent();
                 await page.keyboard.press("ArrowRight");
                 await page.waitForFunction((b) => document.querySelector(".moment").textContent !== b, before);
               }
               await draw([0.3, 0.4], [0.6, 0.4]);
               await page.getByText("It moves in straight lines between 2 places.").waitFor();
               await page.getByRole("button", {name: "Mute the sound"}).click();
               await page.getByLabel("From second").fill("1.5");
               await page.getByLabel("Until second").fill("3.5");
               await page.getByLabel("Until second").press("Tab");
               await page.getByText(/^2. Muted sound, 1.50 to 3.50 s/).waitFor();
               await page.getByRole("button", {name: "Done"}).click();
               await page.getByText("You hide 2 things in it.").waitFor();
               await page.getByRole("button", {name: "Share what I chose"}).click();
               await page.getByText(/files leave as new ones, with what you covered or muted/).waitFor();""",
        )
        people.sign("ana", "Sign and share")
        opened = received(home, request)
        assert opened.verification.ok, opened.verification.failed
        films, sounds = opened.verification.segments, opened.verification.sounds
        assert [[each.kind for each in film.redactions] for film in films] == [[RedactionKind.PLATE]] * 2
        (cover,) = films[0].redactions
        assert cover.places[0].left == pytest.approx(2000, abs=100)
        assert cover.places[-1].left == pytest.approx(5000, abs=150)
        for film, path in zip(films, opened.mp4s, strict=True):
            captured = recorded(home, film.item.part.id)
            require_covered(path.read_bytes(), film.redactions)
            require_same_elsewhere(captured, path.read_bytes(), film.redactions)
        assert [each.kind for each in sounds[0].redactions] == [RedactionKind.VOICE]
        require_muted((opened.clips[0].sounds[0] or Path()).read_bytes(), sounds[0].redactions)
        assert "a number plate" in opened.report.read_text()
        assert "a voice (muted)" in opened.report.read_text()
        assert people.browser.troubles("ana") == []


@pytest.mark.at_length("make test-browser")
def test_an_owner_keeps_every_other_pixel_and_the_requester_finds_none_that_differs(home: Home) -> None:
    people = home.people
    request = chosen_and_covered(
        home,
        "2026-74",
        """await draw([0.2, 0.2], [0.4, 0.6]);
           await page.getByRole("checkbox", {name: /^Keep every other pixel exactly as recorded/}).check();
           await page.getByRole("button", {name: "See it as it will be sent"}).click();
           await page.getByRole("heading", {name: "Clip 1, as it will be sent"}).waitFor();
           await page.waitForFunction(
             () => [...document.querySelectorAll(".moment")].at(-1).textContent, null, {timeout: 120000});
           await page.keyboard.press("Escape");
           await page.getByRole("button", {name: "Done"}).click();
           await page.getByRole("button", {name: "Share what I chose"}).click();
           await page.getByText(/files leave as new ones, with what you covered or muted/).waitFor({timeout: 200000});""",
    )
    people.sign("ana", "Sign and share")
    opened = received(home, request)
    assert opened.verification.ok, opened.verification.failed
    films = opened.verification.segments
    assert [film.is_exact for film in films] == [True, True]
    for film, path in zip(films, opened.mp4s, strict=True):
        found = compare_films(recorded(home, film.item.part.id), path.read_bytes(), film.redactions)
        assert found.pictures > 1
        assert found.changed == 0
    assert people.browser.troubles("ana") == []


@pytest.mark.at_length("make test-browser")
def test_the_editor_and_its_preview_are_looked_at(tmp_path: Path, footage: Path, looking: Looking) -> None:
    with a_hearing_home(tmp_path, footage) as home:
        people, request = home.people, home.asked("2026-71")
        people.open_request("ana", request)
        people.run("ana", OPEN_EDITOR)
        looking.at(people, "ana", "cover-empty", full=False)
        people.run(
            "ana",
            DRAW
            + """await draw([0.2, 0.2], [0.4, 0.6]);
                 await draw([0.6, 0.3], [0.75, 0.5]);
                 await page.getByRole("button", {name: "Mute the sound"}).click();
                 await page.getByRole("button", {name: /^1. Face/}).click();""",
        )
        looking.at(people, "ana", "cover-drawn", full=False)
        people.run(
            "ana",
            """await page.getByRole("button", {name: "See it as it will be sent"}).click();
               await page.getByRole("heading", {name: "Clip 1, as it will be sent"}).waitFor();
               await page.waitForFunction(() => [...document.querySelectorAll(".moment")].at(-1).textContent);
               await page.getByText("The sounds as they will be sent").click();
               await page.getByRole("button", {name: /^Hear from/}).first().click();
               await page.locator("audio:not([hidden])").waitFor();""",
        )
        looking.at(people, "ana", "cover-preview", full=False)
        people.run("ana", 'await page.keyboard.press("Escape"); await page.keyboard.press("Escape");')
        people.run("ana", 'await page.getByText("You hide 3 things in it.").waitFor();')
        looking.at(people, "ana", "cover-done")
        for language in sorted(LANGUAGES.keys() - {ENGLISH}):
            speak(people, language)
            people.open_request("ana", request)
            people.run(
                "ana",
                """await page.locator(".clip .about > button.small").first().click();
                   await page.waitForFunction(() => document.querySelector(".moment")?.textContent);
                   await page.locator(".covering > .row:not(.steps-of-film) button").first().click();
                   await page.locator(".cover-details").waitFor();""",
            )
            looking.at(people, "ana", f"cover-{language}", full=False, briefly=True)
            assert left_in_english(people, language) == set(), language
            people.run("ana", 'await page.keyboard.press("Escape");')
        assert people.browser.troubles("ana") == []


@pytest.mark.at_length("make test-browser")
def test_what_a_plan_hides_leaves_by_no_other_way_and_a_browser_that_cannot_cover_says_so(home: Home) -> None:
    people = home.people
    request = chosen_and_covered(
        home,
        "2026-72",
        """await draw([0.1, 0.1], [0.3, 0.5]);
           if (await page.getByRole("button", {name: "Mute the sound"}).isVisible()) throw new Error("no sound here");
           await page.keyboard.press("Escape");
           await page.getByText("You hide one thing in it.").waitFor();
           const refused = async (words) => {
             await page.getByRole("button", {name: "Share what I chose"}).click();
             await page.getByRole("alert").filter({hasText: words}).waitFor();
           };
           await page.getByRole("radio", {name: /^Video and stills/}).check();
           await refused("The poster of clip 1 may show what you cover in its film. Leave the poster out.");
           await page.getByRole("radio", {name: /^Stills only/}).check();
           await refused("The plan of redactions names nothing that you share.");
           // The same by keyboard, beyond the end of the film: the editor keeps the plan within it.
           await page.getByRole("button", {name: /^Cover parts of this film/}).first().click();
           await page.getByRole("button", {name: /^1. Face/}).click();
           await page.getByLabel("Until second").fill("900");
           await page.getByLabel("Until second").press("Tab");
           await page.getByLabel("Width, %").fill("400");
           await page.getByLabel("Width, %").press("Tab");
           await page.waitForFunction(() => document.querySelector("#cover-width").value === "100.0");
           await page.getByRole("button", {name: "Remove number 1"}).click();
           await page.getByRole("button", {name: "Done"}).click();
           await page.evaluate(() => delete globalThis.VideoEncoder);
           await page.getByRole("button", {name: /^Cover parts of this film/}).first().click();
           await page.getByRole("alert").filter({hasText: "This browser cannot make films in H.264"}).waitFor();""",
    )
    assert home.house.state_of(request) == "pending"
    assert people.browser.troubles("ana") == []


@pytest.mark.at_length("make test-browser")
def test_one_tap_suggests_covers_and_the_owner_corrects_each(tmp_path: Path, footage: Path) -> None:
    """The program and its network come only then. `tests/browser/test_covers_in_a_browser.py` measures what it finds.

    The page takes seconds for each second of a film, so the film is short.
    """
    require_browser()
    film = beginning_of(footage, 10, tmp_path / "short.avi")
    with a_house(tmp_path, film) as house, phones(house, tmp_path) as people:
        home = Home(house, people)
        people.open_request("ana", home.asked("2026-73"))
        people.run(
            "ana",
            OPEN_EDITOR
            + """const asked = [];
                 page.on("request", (each) => asked.push(new URL(each.url()).pathname));
                 const covers = page.locator(".cover-list > li");
                 await page.getByRole("button", {name: "Suggest covers"}).click();
                 await page.getByText(/covers? (is|are) suggested/).waitFor({timeout: 200000});
                 if (!asked.includes("/static/faces.bin")) throw new Error(`asked for ${asked}`);
                 const count = await covers.count();
                 if (count < 2) throw new Error(`${count} covers`);
                 const first = await covers.first().textContent();
                 const shorter = page.getByText(/^1. Face, .* to 0.50 s/);
                 while ((await shorter.count()) === 0) { // the form is new once the film shows the cover's beginning
                   await page.getByLabel("Until second").fill("0.5");
                   await page.getByLabel("Until second").press("Tab");
                   await page.waitForTimeout(500);
                 }
                 if ((await covers.first().textContent()) === first) throw new Error("it is as long as before");
                 await page.getByRole("button", {name: "Remove number 2"}).click();
                 if ((await covers.count()) !== count - 1) throw new Error("it stays");
                 // A second tap brings back what was removed, and keeps what its owner has changed.
                 await page.getByRole("button", {name: "Suggest covers"}).click();
                 await page.waitForFunction(
                   (n) => document.querySelectorAll(".cover-list > li").length === n, count + 1, {timeout: 200000});
                 await shorter.waitFor();""",
        )
        assert people.browser.troubles("ana") == []


@pytest.mark.at_length("make test-browser")
def test_a_drawn_box_follows_and_its_owner_corrects_where_it_is_unsure(
    tmp_path: Path, footage: Path, looking: Looking
) -> None:
    """The program comes only then. `python -m bench follow` measures which labels such a cover hides."""
    require_browser()
    film = beginning_of(footage, 10, tmp_path / "short.avi")
    with a_house(tmp_path, film) as house, phones(house, tmp_path) as people:
        request = Home(house, people).asked("2026-75")
        people.open_request("ana", request)
        people.run(
            "ana",
            DRAW
            + OPEN_EDITOR
            + """const asked = [];
                 page.on("request", (each) => asked.push(new URL(each.url()).pathname));
                 await draw([0.45, 0.3], [0.55, 0.6]);
                 await page.getByLabel("What it covers").selectOption("area");
                 const follow = page.getByRole("button", {name: "Follow it"});
                 await follow.focus();
                 await page.keyboard.press("Enter");
                 await page.getByText(/^It was followed/).waitFor({timeout: 200000});
                 if (!asked.includes("/static/follow.js")) throw new Error(`asked for ${asked}`);
                 await page.getByText(/^It moves in straight lines between \\d+ places/).waitFor();
                 await page.waitForFunction(() => document.activeElement?.classList.contains("follow"));""",
        )
        looking.at(people, "ana", "cover-followed", full=False)
        people.run(
            "ana",
            DRAW
            + """const stretches = page.getByRole("button", {name: /^Unsure from/});
                 if ((await stretches.count()) === 0) throw new Error("it is sure of each picture");
                 await page.getByText("unsure in some stretches", {exact: true}).waitFor();
                 await stretches.first().click();
                 await page.locator(".cover.unsure").waitFor();
                 await page.waitForFunction(() => {
                   const film = document.querySelector("svg.covers").getBoundingClientRect();
                   return film.top >= 0 && film.bottom <= innerHeight;
                 });
                 await page.screenshot({path: `${args.folder}/cover-unsure.png`});
                 const marked = await stretches.first().textContent();
                 // Corrected there, the stretch begins elsewhere or is gone, and the owner's place stays.
                 await page.getByLabel("Left, %").fill("30");
                 await page.getByLabel("Left, %").press("Tab");
                 await page.getByRole("button", {name: "Follow it"}).click();
                 await page.waitForFunction((before) => {
                   const all = [...document.querySelectorAll(".following .row button")].map((one) => one.textContent);
                   return !document.querySelector(".cover-list").inert && !all.includes(before);
                 }, marked, {timeout: 200000});
                 await page.getByRole("button", {name: "Remove number 1"}).click();
                 await page.getByRole("button", {name: "Done"}).click();""",
            folder=str(looking.folder),
        )
        assert people.browser.troubles("ana") == []
