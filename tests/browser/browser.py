"""A real browser for the tests, driven by playwright-core: Chromium, that trusts what its owner has installed, or Firefox."""

from __future__ import annotations

import functools
import json
import re
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BROWSERS = {
    kind: next(filter(None, map(shutil.which, commands)), None)
    for kind, commands in {
        "chromium": ("chromium", "chromium-browser", "google-chrome"),
        "firefox": ("firefox-esr", "firefox"),
    }.items()
}


_OLDEST_FIREFOX = 143
"""The first with the commands of WebDriver BiDi that playwright-core sends to each (network.addDataCollector)."""
_OLDEST_NODE = 20
"""The version that playwright-core needs; Debian 12 has 18."""


_FIREFOX_POLICIES = "/usr/share/firefox-esr/distribution"


def require_browser(kind: str = "chromium") -> None:
    """Skip, and say what is missing."""
    if BROWSERS[kind] is None:
        pytest.skip(f"no {kind} here: apt-get install {'firefox-esr' if kind == 'firefox' else kind}")
    if kind == "firefox" and (version := _version_of(BROWSERS[kind])) < _OLDEST_FIREFOX:
        pytest.skip(f"Firefox {version} is too old for its driver: {_OLDEST_FIREFOX} or newer")
    if (version := _version_of(shutil.which("node"))) < _OLDEST_NODE:
        pytest.skip(f"Node.js {version or 'is not here'}: playwright-core needs {_OLDEST_NODE} or newer")
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        pytest.skip("playwright-core is not installed: run `npm ci` in tests/browser")


@functools.cache
def _version_of(program: str | None) -> int:
    """The first number that it says of itself; 0 when it is missing."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout if program else ""
    found = re.search(r"\d+", said)
    return int(found[0]) if found else 0


class Browser:
    """One browser with a separate home. `flags`: more of Chromium's, or settings of Firefox, each `[name, value]` in
    JSON.

    `authorities`: certificates that Chromium trusts, as if its user had installed them. Firefox is told to ignore the
    fault.
    """

    def __init__(
        self,
        home: Path,
        *authorities: bytes,
        kind: str = "chromium",
        timeout_ms: int = 20_000,
        flags: tuple[str, ...] = (),
    ) -> None:
        require_browser(kind)
        self.trusts = kind == "chromium" and bool(authorities) and _install(home, authorities)
        settings = {
            "kind": kind,
            "executable": BROWSERS[kind],
            "home": str(home),
            "timeout_ms": timeout_ms,
            "flags": list(flags),
        }
        self._log = (home / "driver.log").open("w")
        trusting = _trusting_firefox(home, authorities) if kind == "firefox" and len(authorities) > 1 else []
        self._process = subprocess.Popen(
            [*trusting, "node", HERE / "driver.mjs", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=HERE,
        )
        try:
            self.version = self._answer()["ready"]
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=60)
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def run(self, script: str, /, **args: Any) -> Any:
        """Returns the result of the function body. Fails with the browser's message."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"code": script, "args": args}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def open(self, name: str, **options: Any) -> None:
        """A page in a separate browser profile: another phone."""
        options.setdefault("ignoreHTTPSErrors", not self.trusts)
        self.run("await open(args.name, args.options)", name=name, options=options)

    def close_pages(self) -> None:
        """Closes each page with its browser profile, so that another test can use this browser."""
        self.run(
            """
            for (const [name, page] of Object.entries(pages)) {
              await page.context().close();
              delete pages[name];
              delete troubles[name];
            }
            """
        )

    def troubles(self, name: str) -> list[str]:
        """Returns all complaints of the page until now."""
        return list(self.run("return troubles[args.name]", name=name))

    def acts(self, name: str) -> list[tuple[str, str, float]]:
        """Returns what was done since the last call on a page that was opened with `counts`.

        Each act: its kind ("press", "field", "scan" or "install"), the words on the thing, and the Unix time in seconds.
        """
        return [(kind, words, at_s) for kind, words, at_s in self.run("return acts[args.name].splice(0)", name=name)]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the browser's driver ended"
        found: dict[str, Any] = json.loads(line)
        return found


def _trusting_firefox(home: Path, authorities: tuple[bytes, ...]) -> list[str]:
    """The beginning of a command. Its Firefox trusts these. Its exceptions do not count for WebSockets of a worker.

    Firefox installs certificates that its policies name. They are mounted over those of the machine for this process.
    """
    folder = home / "policies"
    folder.mkdir()
    files = []
    for number, authority in enumerate(authorities):
        file = folder / f"authority-{number}.pem"
        file.write_text(ssl.DER_cert_to_PEM_cert(authority))
        files.append(str(file))
    (folder / "policies.json").write_text(json.dumps({"policies": {"Certificates": {"Install": files}}}))
    mounted = f'mount --bind "$0" {_FIREFOX_POLICIES} && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, str(folder)]


def _install(home: Path, authorities: tuple[bytes, ...]) -> bool:
    """Put these among those this home's browsers trust; False where the tool for it is missing."""
    certutil = shutil.which("certutil")
    if certutil is None:
        return False
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    subprocess.run([certutil, "-d", f"sql:{store}", "-N", "--empty-password"], check=True, capture_output=True)
    for number, authority in enumerate(authorities):
        file = home / f"authority-{number}.crt"
        file.write_bytes(authority)
        command = [certutil, "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", f"doorward {number}", "-i", str(file)]
        subprocess.run(command, check=True, capture_output=True)
    return True
