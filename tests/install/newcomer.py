"""A newcomer with a fresh Debian, the README's section "Install it" typed as it stands, until the first clip is opened.

The root has what a fresh system has (systemd, sudo) and git and make; it is booted and shares this machine's network,
because the installer fetches what it needs.  The installer's four questions are answered on a terminal.
"""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.install.container import Container

PACKAGES = "systemd,systemd-sysv,dbus,udev,sudo,git,make,ca-certificates"
QUESTIONS = (
    ("What is this doorbell called?", "front-door"),
    ("Where is it", "52.0902, 5.1115"),
    ("Which camera", "scripted"),
    ("A page for your browser", "no"),
)
"""No camera is in a container: the drawn scene, which the installer offers, is filmed, and goes the same way."""
PATIENCE_S = 120.0


class Newcomer:
    """A person at a terminal of `box`, all of it kept in `log`."""

    def __init__(self, box: Container, log: Path, lent: list[str]) -> None:
        self._box = box
        self._lent = lent
        self._log = log
        log.write_text("")

    def types(self, line: str, answers: tuple[tuple[str, str], ...] = (), patience_s: float = 1200) -> str:
        """Returns the command's output. Gives each of `answers` after its question."""
        words = self._box.words(*self._lent, "sh", "-c", f"cd /root/doorward && {line}")
        ours, theirs = pty.openpty()
        process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        said, waiting, answered = "", list(answers), 0
        deadline = time.monotonic() + patience_s
        try:
            while time.monotonic() < deadline:
                if not select.select([ours], [], [], 1.0)[0]:
                    continue
                try:
                    said += os.read(ours, 65536).decode(errors="replace")
                except OSError:  # the last of them has closed its side
                    break
                if waiting and waiting[0][0] in said[answered:] and said.endswith("] "):
                    answered = len(said)
                    os.write(ours, waiting.pop(0)[1].encode() + b"\n")
            status = process.wait(10)
        finally:
            process.kill()
            os.close(ours)
            with self._log.open("a") as log:
                log.write(f"$ {line}\n{said}\n")
        assert status == 0, f"{line}: {status}\n{said[-3000:]}"
        assert not waiting, f"nobody asked: {waiting[0][0]}"
        return said

    def sees_status(self) -> dict[str, Any]:
        said = self.types("sudo doorward status --json")
        return dict(json.loads(said[said.index("{") :]))  # sudo may have a word to say about the host's name first


def first_clip(box: Container, log: Path, lent: list[str]) -> str:
    """From a fresh system to a clip that its owner has opened; how long each part of it took."""
    person = Newcomer(box, log, lent)
    started = time.monotonic()
    person.types("sudo --preserve-env make install", QUESTIONS)
    installed_s = time.monotonic() - started
    person.types("make setup")
    person.types(".venv/bin/doorward owner keygen")
    person.types("sudo .venv/bin/doorward owner enrol --yes")
    enrolled = time.monotonic()
    while not person.sees_status()["vault"]["segments"]:
        assert time.monotonic() - enrolled < PATIENCE_S, "nothing was filmed"
        time.sleep(0.5)
    sealed = time.monotonic()
    person.types("sudo doorward doctor")
    person.types("sudo doorward status")
    person.types("sudo .venv/bin/doorward owner open --from 2020-01-01T00:00 --out /root/clips")
    opened = sorted((box.root / "root/clips").rglob("*.mp4"))
    assert opened, "no clip was opened"
    person.types("sudo doorward uninstall --yes")
    return (
        f"installed after {installed_s:.0f} s, owned after {enrolled - started:.0f} s, first sealed clip after "
        f"{sealed - started:.0f} s, opened by its owner"
    )
