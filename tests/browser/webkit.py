"""WebKit, the engine of every browser on an iPhone, over WebDriver: WebKitGTK's MiniBrowser on a virtual screen.

playwright-core drives only a patched WebKit, which Debian does not have. This is Debian's WebKit, driven by W3C
WebDriver with only HTTP and JSON. Actions use the browser's mouse and keyboard; scripts only read.

Sources: W3C WebDriver (https://www.w3.org/TR/webdriver2/); WebKitGTK's capability `webkitgtk:browserOptions`.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

PATIENCE_S = 60.0
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key that marks a reference to an element (W3C WebDriver, 12.1)."""
_LOOK = """
    const shown = (one) => one.checkVisibility({ visibilityProperty: true });
    const words = (one) => (one.getAttribute("aria-label") ?? one.innerText ?? "").trim();
    const named = (kind, name) => [...document.querySelectorAll(kind)].find((one) => shown(one) && words(one) === name);
    const labelled = (name) => [...document.querySelectorAll("label")]
        .find((one) => words(one).startsWith(name) && one.control && shown(one.control))?.control;
"""

_WHERE = """
    args[0].scrollIntoView({ block: "center" });
    const at = args[0].getBoundingClientRect();
    return [at.x, at.y, at.width, at.height];
"""
_COMING_TOGETHER = ("stale element reference", "element not interactable", "element click intercepted")


def require_webkit() -> None:
    """Skip, and say what is missing."""
    if None in (shutil.which("WebKitWebDriver"), shutil.which("Xvfb"), _mini_browser()):
        pytest.skip("no WebKit here: apt-get install webkit2gtk-driver xvfb gstreamer1.0-libav")


def _mini_browser() -> Path | None:
    return next(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"), None)


class WebKitError(AssertionError):
    """The driver's answer."""


class WebKit:
    """One browser with a separate home, in a window of a phone's size. `settings`: more of MiniBrowser's."""

    def __init__(self, home: Path, *settings: str) -> None:
        require_webkit()
        self._settings = settings
        home.mkdir(mode=0o700, exist_ok=True)
        self._home = home
        self._session = ""
        self._after = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            log = undo.enter_context((home / "driver.log").open("wb"))
            environment = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "GDK_BACKEND": "x11"}
            environment |= {"DISPLAY": self._screen(undo, log), "LIBGL_ALWAYS_SOFTWARE": "1", "NO_AT_BRIDGE": "1"}
            self._port = free_port()
            self._run(undo, ["WebKitWebDriver", f"--port={self._port}", "--host=127.0.0.1"], log, env=environment)
            self.version = self._begin()
            self._after = undo.pop_all()

    def __enter__(self) -> WebKit:
        return self

    def __exit__(self, *_: object) -> None:
        with self._after, contextlib.suppress(WebKitError, OSError):
            self._ask("DELETE", "")

    # -- what a person does ------------------------------------------------------------------------------------------

    def go(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def click(self, name: str, kind: str = "button, a[href], summary") -> None:
        """Presses the element with this name as soon as it is visible and enabled."""
        self._click(f"{_LOOK} const found = named(args[0], args[1]); return found?.disabled ? null : found", kind, name)

    def unfold(self, name: str) -> None:
        """Opens the section with these words. Tries again if elements above have moved it away from the mouse."""
        while not self.until(f"{_LOOK} const found = named('summary', args[0]); return found && [found.parentElement.open]",
                             name)[0]:  # fmt: skip
            self.click(name, "summary")

    def press(self, selector: str) -> None:
        """The first of these that is shown."""
        self._click(f"{_LOOK} return [...document.querySelectorAll(args[0])].find(shown)", selector)

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draws with the mouse on the first of these, from one place to another, as shares of its width and height."""
        found = self.until(f"{_LOOK} return [...document.querySelectorAll(args[0])].find(shown)", selector)
        left, top, width, height = self.script(_WHERE, found)
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        moves = [
            {"type": "pointerMove", "duration": 50, "x": round(left + x * width), "y": round(top + y * height)}
            for x, y in (start, middle, end)
        ]
        down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        acts = {"type": "pointer", "id": "mouse", "actions": [moves[0], down, *moves[1:], up]}
        self._ask("POST", "/actions", {"actions": [acts]})

    def choose(self, selector: str, file: Path) -> None:
        """A file, for an input that need not be shown."""
        self._do("value", {"text": str(file)}, "return document.querySelector(args[0])", selector)

    def fill(self, label: str, text: str) -> None:
        """Type into what is labelled so."""
        self._do("value", {"text": text}, f"{_LOOK} return labelled(args[0])", label)

    # -- what is looked at -------------------------------------------------------------------------------------------

    def until(self, script: str, *args: object) -> Any:
        """Returns the value of the function body `script` for `args` as soon as it is true."""
        until_s = time.monotonic() + PATIENCE_S
        while not (found := self.script(script, *args)):
            if time.monotonic() > until_s:
                self.screenshot(self._home / "failed.png")
                raise WebKitError(f"not there after {PATIENCE_S:.0f} s: {args or script}\n{self.text()}")
            time.sleep(0.1)
        return found

    def script(self, script: str, *args: object) -> Any:
        return self._ask("POST", "/execute/sync", {"script": f"const args = arguments;\n{script}", "args": list(args)})

    def reads(self, text: str) -> None:
        """Wait until the page says so."""
        self.until("return document.body.innerText.includes(args[0])", text)

    def text(self) -> str:
        return str(self.script("return location.pathname + '\\n' + document.body.innerText"))

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def _click(self, script: str, *args: object) -> None:
        self._do("click", {}, script, *args)

    def _do(self, what: str, body: dict[str, str], script: str, *args: object) -> None:
        """Moves to the element that `script` finds as soon as it stops moving, because a page may still draw."""
        until_s, place = time.monotonic() + PATIENCE_S, None
        while True:
            found = self.until(script, *args)
            try:
                if place == (place := self.script(_WHERE, found)):
                    self._ask("POST", f"/element/{found[_ELEMENT]}/{what}", body)
                    return
            except WebKitError as error:
                if time.monotonic() > until_s or not str(error).startswith(_COMING_TOGETHER):
                    raise
            time.sleep(0.2)

    # -- how it is driven --------------------------------------------------------------------------------------------

    def _screen(self, undo: contextlib.ExitStack, log: Any) -> str:
        """A virtual screen: Xvfb chooses its number and reports it when it is ready."""
        reading, writing = os.pipe()
        with os.fdopen(reading) as said:
            try:
                words = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x1200x24", "-nolisten", "tcp"]
                self._run(undo, words, log, pass_fds=[writing])
            finally:
                os.close(writing)
            number = said.readline().strip()
        assert number, "the screen did not start"
        return f":{number}"

    def _run(self, undo: contextlib.ExitStack, words: list[str], log: Any, **options: Any) -> None:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)

        def end() -> None:
            process.terminate()
            process.wait(30)

        undo.callback(end)

    def _begin(self) -> str:
        options = {"binary": str(_mini_browser()), "args": ["--automation", *self._settings]}
        wanted = {"acceptInsecureCerts": True, "webkitgtk:browserOptions": options}
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                begun = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}}, of_session=False)
                break
            except ConnectionRefusedError:  # the driver has only just been started
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.1)
        self._session = f"/session/{begun['sessionId']}"
        self._ask("POST", "/window/rect", {"x": 0, "y": 0, "width": 420, "height": 900})
        return str(begun["capabilities"]["browserVersion"])

    def _ask(self, method: str, path: str, body: object = None, *, of_session: bool = True) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2 * PATIENCE_S)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, self._session + path if of_session else path, data)
            answer = connection.getresponse()
            value = json.loads(answer.read())["value"]
        if answer.status != http.client.OK:
            raise WebKitError(f"{value['error']}: {value['message']}")
        return value
