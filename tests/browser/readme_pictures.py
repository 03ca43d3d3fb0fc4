"""Takes the pictures of the owner's page that README.md shows: `make pictures`.

A drawn porch is filmed a few times, a requester asks, and a phone shows what its owner sees. The pictures replace those
in docs/page. Look at them before you commit them.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av

from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.platform.system_clock import SystemClock
from agent.ports import CameraEnd
from agent.recorder.capture.camera_scripted import PorchScene, ScriptedCamera, Visit
from agent.wire.fields import Kind
from tests.browser.house import House, Phones, a_house, phones
from tests.browser.test_covering_a_film import DRAW, OPEN_EDITOR
from tests.scenarios.street import Asker, until

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "page"
SIZE_PX = (960, 540)
FRAMES_PER_S = 10
FILM_S = 14
RING_S = 6
"""The visitor is at the door by then."""
COATS = ((52, 66, 178), (150, 104, 46), (70, 120, 60), (60, 60, 60), (40, 130, 190), (120, 60, 120))
"""The coat of each visitor: blue, green, red."""
RANG = (0, 3, 5)
"""The visitors that press the button, by their number."""


def draw_film(path: Path, coat: tuple[int, int, int], seed: int) -> None:
    """Encode a film of one visitor, as a camera with H.264 would."""
    scene = PorchScene(*SIZE_PX, (Visit(from_s=2.0, walk_s=3.0, stand_s=4.0, coat=coat),), seed=seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_S, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
        for number in range(FILM_S * FRAMES_PER_S):
            picture = scene.picture(number * NS_PER_S // FRAMES_PER_S, number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def film_visitors(house: House, films: Sequence[Path], pause_s: float) -> None:
    """Record the films one after another, the last one just now, with `pause_s` between their beginnings."""
    now_ns = SystemClock().now().boot_ns
    for number, film in enumerate(films):
        house.footage = film
        house.rings_s = (RING_S,) if number in RANG else ()
        ago_s = (len(films) - 1 - number) * pause_s + FILM_S
        assert house.solo.record(BootNs(now_ns - seconds(ago_s))) is CameraEnd.END_OF_FOOTAGE


_COVER_THE_FACE = """
const moment = page.getByLabel("Moment of the film");
const before = await page.locator(".moment").textContent();
await moment.evaluate((slider) => {
  slider.value = String(Math.round(slider.max * 0.46)); // the visitor stands at the door
  slider.dispatchEvent(new Event("input", {bubbles: true}));
});
await page.waitForFunction((words) => document.querySelector(".moment").textContent !== words, before);
await draw([0.585, 0.28], [0.675, 0.44]);
await page.locator("svg.covers").evaluate((film) => film.scrollIntoView({block: "center"}));
"""


@contextmanager
def filming(house: House) -> Iterator[None]:
    """The camera goes on with an empty porch, so that no page says that nothing is recorded."""
    house.camera = ScriptedCamera((), size_px=SIZE_PX, frames_per_s=FRAMES_PER_S, paced=True, repeats=True)
    recording = threading.Thread(target=house.solo.record, args=(SystemClock().now().boot_ns,), name="pictures")
    recording.start()
    try:
        yield
    finally:
        house.camera.stop()
        recording.join()


def take_pictures(house: House, people: Phones, films: Sequence[Path]) -> None:
    people.pair("ana")
    people.claim("ana")
    people.run("ana", 'await page.getByRole("button", {name: "See the timeline"}).click();')
    boot_s = SystemClock().now().boot_ns / NS_PER_S
    film_visitors(house, films, pause_s=min(480.0, boot_s / (len(films) + 1)))
    with filming(house):
        police = Asker(house.street, "rijnstad-police", Kind.POLICE, called="Rijnstad Police")
        people.trust("ana", police.root.text, police.bundle, "Rijnstad Police")
        refuse(house, people, police, "2026-0409")
        share(house, people, police, "2026-0412")
        take(house, people, asked(house, police, "2026-0417"))
    assert people.browser.troubles("ana") == []


def asked(house: House, police: Asker, case: str) -> str:
    """Returns the id of a request that waits for the owner."""
    request = police.ask(case)
    until(lambda: house.state_of(request.id) == "pending", "the request to match")
    return request.id


def refuse(house: House, people: Phones, police: Asker, case: str) -> None:
    people.open_request("ana", asked(house, police, case))
    people.run("ana", 'await page.getByRole("button", {name: "Say no", exact: true}).click();')
    people.sign("ana", "Sign my no")


def share(house: House, people: Phones, police: Asker, case: str) -> None:
    request = asked(house, police, case)
    people.open_request("ana", request)
    people.tick_first_clip("ana")
    people.share("ana")
    with police.receiving([]):
        until(lambda: house.state_of(request) == "sent", "the receipt")


def take(house: House, people: Phones, request: str) -> None:
    """Take a picture of each page."""
    people.go("ana", "/timeline")
    _picture(
        people,
        "timeline-phone-light",
        ready="""await page.waitForFunction(() => {
                   const tiles = [...document.querySelectorAll(".tile")].slice(0, 4);
                   return tiles.length === 4 && tiles.every((tile) => tile.querySelector("img[src^=blob]")?.complete);
                 });""",
    )
    people.open_request("ana", request)
    _picture(people, "review-phone-light", ready='await page.locator(".clip img[src^=blob]").first().waitFor();')
    _picture(people, "cover-phone-light", ready=DRAW + OPEN_EDITOR + _COVER_THE_FACE)
    people.run("ana", 'await page.getByRole("button", {name: "Done"}).click();')
    people.go("ana", "/history")
    _picture(people, "history-phone-dark", ready='await page.locator("main li").nth(1).waitFor();', scheme="dark")


def _picture(people: Phones, name: str, *, ready: str = "", scheme: str = "light") -> None:
    people.run(
        "ana",
        f"""await page.emulateMedia({{colorScheme: args.scheme}});
            {ready}
            await page.waitForFunction(() => !document.querySelector("#said")?.textContent);
            await page.screenshot({{path: args.path}});""",
        path=str(PICTURES / f"{name}.png"),
        scheme=scheme,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = [folder / f"visitor-{number}.mp4" for number in range(len(COATS))]
        for number, film in enumerate(films):
            draw_film(film, COATS[number], seed=number)
        with a_house(folder, films[0], device="Front door") as house, phones(house, folder) as people:
            take_pictures(house, people, films)
    print(f"Look at the pictures in {PICTURES.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
