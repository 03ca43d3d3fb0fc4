"""A house for the browser tests: a real door with its page, a real broker, requesters, and phones with a browser."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.config import load
from agent.core.timebase import BootNs, seconds
from agent.platform.system_clock import SystemClock
from agent.ports import Camera, CameraEnd, Microphone
from agent.recorder.capture.camera_file import FileCamera
from agent.solo import Solo
from agent.wire.control import Frame
from demo.ringing import RingingCamera
from tests.browser.browser import Browser
from tests.scenarios.street import NO_CAMERA, Street, a_street, probe_seconds

PASSPHRASE = "correct horse battery"
PHONE = {"viewport": {"width": 390, "height": 844}, "hasTouch": True, "isMobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}

PAGE = """
[page]
host = "{address}"
port = {port}
addresses = ["{address}"]
name = "{name}"
mdns = false
"""


class House:
    """One door and its page. The person who claims it in a browser is the owner."""

    def __init__(
        self,
        street: Street,
        footage: Path | None,
        *,
        broker_port: int | None = None,
        open_microphone: Callable[[], Microphone] | None = None,
        more: str = "",
        rings_s: tuple[int, ...] = (10,),
        name: str = "front-door",
        address: str = "127.0.0.1",
        device: str = "scenario",
    ) -> None:
        """`rings_s`: when the button is pressed, in seconds of the footage. `address`: where the page listens.

        `device`: the doorbell's name, as the page shows it.
        """
        self.rings_s = rings_s
        self.camera: Camera | None = None
        """In place of the footage, from the next recording on."""
        self._device = device
        self._address = address
        self._name = name
        self.street = street
        self.footage = footage
        self._open_microphone = open_microphone
        self._more = more
        self._broker_port = broker_port
        self._page_port = 0
        self.kit = ""
        self.solo = self._build()

    def _build(self) -> Solo:
        path = self.street.configuration(NO_CAMERA, port=self._broker_port)
        named = path.read_text().replace('name = "scenario"', f'name = "{self._device}"')
        path.write_text(named + self._page_section() + self._more)
        if self.footage is None:
            solo = Solo(load(path), open_microphone=self._open_microphone)
        else:
            solo = Solo(
                load(path),
                open_camera=self._camera,
                open_microphone=self._open_microphone,
            )
        # The limit on questions about one time has its own test; here all requests are about the last hour.
        solo.custodian.custodian_state.deps.journal.requests_about = lambda *_: 0  # type: ignore[method-assign]
        solo.start()
        assert solo.page is not None
        self._page_port = solo.page.port
        return solo

    def _page_section(self) -> str:
        return PAGE.format(port=self._page_port, name=self._name, address=self._address)

    def _camera(self) -> Camera:
        if self.camera is not None:
            return self.camera
        assert self.footage is not None
        camera: Camera = FileCamera(self.footage)
        for ring_s in self.rings_s:
            camera = RingingCamera(camera, seconds(ring_s), self.solo.press_button)
        return camera

    def restart(self, *, broker_port: int | None = None) -> None:
        """Off and on again, on the same port."""
        self.close()
        self._broker_port = broker_port or self._broker_port
        self.solo = self._build()

    def close(self) -> None:
        self.solo.stop()
        self.solo.close()

    def answer_to(self, hosts: frozenset[str]) -> None:
        """Lets the page answer to a proxy's port too, as if an attacker were in between."""
        from agent.custodian.page.request_guard import HostGuard

        server = self.solo.page._server  # type: ignore[union-attr]
        assert server is not None
        app = server.config.loaded_app
        while not isinstance(app, HostGuard):
            app = app.app
        own = app._hosts
        app._hosts = lambda: own() | hosts

    def record(self) -> None:
        """Plays the footage to its end as if it were live, with a press of the button."""
        assert self.footage is not None
        length_ns = seconds(probe_seconds(self.footage))
        first = BootNs(SystemClock().now().boot_ns - length_ns)
        assert self.solo.record(first) is CameraEnd.END_OF_FOOTAGE

    @property
    def url(self) -> str:
        assert self.solo.page is not None
        return self.solo.page.url.rstrip("/")

    @property
    def port(self) -> int:
        return self._page_port

    def control(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Returns the control socket's answer, to see the door from its other side."""
        assert self.solo.page is not None
        return dict(self.solo.page.answer(Frame({"op": op, **arguments})).head["result"])

    def code(self) -> str:
        return str(self.control("page_code")["code"])

    @property
    def authority(self) -> bytes:
        assert self.solo.page is not None
        return self.solo.page.certificates.authority_der

    def state_of(self, request: str) -> str:
        listed = self.control("requests", all=True)["requests"]
        return next((str(each["state"]) for each in listed if each["id"] == request), "")


class Phones:
    """People's actions on their phones, by the page's texts."""

    def __init__(self, house: House, browser: Browser) -> None:
        self.house = house
        self.browser = browser
        self.through_port = 0
        """Port of a proxy in between, 0 for none."""

    def run(self, who: str, script: str, /, **args: Any) -> Any:
        return self.browser.run(f"const page = pages[args.who];\n{script}", who=who, **args)

    def pair(self, who: str, *, device: dict[str, Any] | None = None) -> None:
        """Open the page on a new phone and type the code."""
        self.browser.open(who, **(device or PHONE))
        self.run(
            who,
            """await page.goto(args.url + "/");
               await page.getByLabel("Code").fill(args.code);
               await page.getByRole("button", {name: "Continue"}).click();
               await page.waitForURL("**/timeline");
               await page.getByRole("heading", {level: 1}).waitFor();""",
            url=f"https://front-door.local:{self.through_port}" if self.through_port else self.house.url,
            code=self.house.code(),
        )

    def make_keys(self, who: str, button: str = "Make my keys") -> None:
        self.run(
            who,
            """await page.locator("#new-passphrase").fill(args.passphrase);
               await page.getByLabel("The passphrase again").fill(args.passphrase);
               await page.getByRole("button", {name: args.button}).click();""",
            passphrase=PASSPHRASE,
            button=button,
        )

    def claim(self, who: str) -> str:
        """Go through the set-up; the recovery key that was printed."""
        self.make_keys(who)
        kit = self.run(
            who,
            """await page.locator(".kit").waitFor();
               const kit = (await page.locator(".secret").innerText()).replaceAll(/\\s/g, "");
               await page.getByRole("button", {name: "I have it on paper"}).click();
               await page.getByLabel("The last 6 characters").fill(kit.slice(-6));
               await page.getByRole("button", {name: "Test and begin"}).click();
               await page.getByRole("heading", {name: "It is yours"}).waitFor();
               return kit;""",
        )
        self.house.kit = str(kit)
        return self.house.kit

    def trust(self, who: str, root: str, bundle: bytes, name: str) -> None:
        """Choose a root and give it its list, in the settings."""
        self.go(who, "/settings")
        self.run(
            who,
            """await page.getByText("Trust a root", {exact: true}).first().click();
               await page.getByLabel("The root's key").fill(args.root);
               await page.locator("form", {has: page.locator("#root")}).getByRole("button").click();""",
            root=root,
        )
        self.sign(who, "Trust a root")
        self.run(
            who,
            """await page.locator("#bundle").waitFor({state: "attached"});
               await page.locator("code", {hasText: args.id}).waitFor();
               await page.getByText("Give it a list of requesters").first().click();
               const file = {name: "bundle", mimeType: "application/json", buffer: Buffer.from(args.bundle)};
               await page.locator("#bundle").setInputFiles(file);
               await page.getByRole("button", {name: "Take it over"}).click();
               await page.getByText(args.name).first().waitFor();""",
            bundle=bundle.decode(),
            id="",
            name=name,
        )

    def come_in(self, who: str, button: str = "Not now") -> None:
        """Answer the question about the trust roots of the household, then see the timeline."""
        self.run(
            who,
            """await page.getByRole("heading", {name: "Whom your household trusts"}).waitFor();
               await page.getByRole("button", {name: args.button}).click();
               await page.waitForURL("**/timeline");
               await page.locator("body[data-bare=false]").waitFor();""",
            button=button,
        )

    def sign(self, who: str, button: str) -> None:
        """Type the passphrase into the dialog that asks for it, and wait until it is done."""
        self.run(
            who,
            """const dialog = page.getByRole("dialog");
               await dialog.getByLabel("Passphrase").fill(args.passphrase);
               await dialog.getByRole("button", {name: args.button, exact: true}).click();
               await dialog.waitFor({state: "detached"});""",
            passphrase=PASSPHRASE,
            button=button,
        )

    def remove_owner(self, who: str, name: str) -> None:
        """Takes another owner off the list, and leaves what the page says about the kit for later."""
        self.run(
            who,
            """await page.getByRole("button", {name: "Remove " + args.name}).click();
               const dialog = page.getByRole("dialog");
               await dialog.getByLabel("Passphrase").fill(args.passphrase);
               await dialog.getByRole("button", {name: "Remove", exact: true}).click();
               await dialog.getByText("What may be left?").waitFor();
               await dialog.getByRole("button", {name: "Later"}).click();
               await dialog.waitFor({state: "detached"});""",
            name=name,
            passphrase=PASSPHRASE,
        )

    def sign_in_vain(self, who: str, button: str) -> None:
        """The same while there is no connection: it is said, and the dialog waits."""
        self.run(
            who,
            """await page.context().setOffline(true);
               const dialog = page.getByRole("dialog");
               await dialog.getByLabel("Passphrase").fill(args.passphrase);
               await dialog.getByRole("button", {name: args.button}).click();
               await dialog.getByText("The doorbell does not answer").waitFor();
               await page.context().setOffline(false);""",
            passphrase=PASSPHRASE,
            button=button,
        )

    def unlock(self, who: str) -> None:
        self.run(
            who,
            """await page.getByLabel("Passphrase").fill(args.passphrase);
               await page.getByRole("button", {name: "Unlock", exact: true}).click();
               await page.locator("body[data-bare=false]").waitFor();""",
            passphrase=PASSPHRASE,
        )

    def go(self, who: str, path: str) -> None:
        """Through the page's own links where there is one: a reload would lock the keys."""
        self.run(
            who,
            """await page.evaluate(() => document.querySelector("main > .page")?.setAttribute("data-left", ""));
               const link = page.locator(`nav a[href="${args.path}"]`);
               if (await link.isVisible()) await link.click();
               else {
                 await page.evaluate((path) => {
                   const link = Object.assign(document.createElement("a"), {href: path});
                   document.body.append(link);
                   link.click();
                   link.remove();
                 }, args.path);
               }
               await page.waitForURL("**" + args.path);
               // Of the page that is shown now: it may be the same one anew.
               await page.locator("main > .page:not([data-left]) h1").first().waitFor();""",
            path=path,
        )

    def open_request(self, who: str, request: str) -> None:
        self.go(who, f"/requests/{request}")

    def tick_first_clip(self, who: str) -> None:
        self.run(who, 'await page.getByRole("checkbox", {name: /Share this clip/}).first().check();')

    def share(self, who: str) -> None:
        self.run(who, 'await page.getByRole("button", {name: "Share what I chose"}).click();')
        self.sign(who, "Sign and share")


def years_of_events(house: House, count: int) -> None:
    """That many more events in the list, as years leave them; their stills are the one that is there."""
    assert house.solo.page is not None
    timeline = house.solo.page._operations._timeline
    timeline.events(0, 2**53)
    known, still = next((event, event.poster) for event in timeline._events.values() if event.poster)
    kinds = ("motion", "button", "pir")
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    for number in reversed(range(count)):
        name = "".join(secrets.choice(alphabet) for _ in range(26))
        start = known.start_ms - (count - number) * 900_000
        timeline._events[name] = replace(
            known, start_ms=start, end_ms=start + 20_000, label=kinds[number % 3], segments=[still]
        )
        timeline._events.move_to_end(name, last=False)


@contextmanager
def a_house(folder: Path, footage: Path | None, **options: Any) -> Iterator[House]:
    with a_street(folder) as street:
        house = House(street, footage, **options)
        try:
            yield house
        finally:
            house.close()


@contextmanager
def phones(
    house: House,
    folder: Path,
    kind: str = "chromium",
    *,
    flags: tuple[str, ...] = (),
    authorities: tuple[bytes, ...] = (),
) -> Iterator[Phones]:
    """`authorities`: others than the doorbell's that the browser trusts, in DER."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    with Browser(home, house.authority, *authorities, kind=kind, flags=flags) as browser:
        yield Phones(house, browser)


__all__ = ["DESKTOP", "PASSPHRASE", "PHONE", "House", "Phones", "a_house", "phones", "years_of_events"]
