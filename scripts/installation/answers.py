"""The configuration of a new installation: from an answer file, from questions at a terminal, or from the defaults.

An answer file is a `doorward.toml`, with the same keys and checks. The terminal asks only for facts that a doorbell
cannot find out: its name, its position, its camera, and whether its owner wants a page.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from installation.camera import pi_cameras
from installation.words import fail, in_words

__all__ = ["configuration"]

_CAMERAS = ("pi", "usb", "scripted")
_INTRODUCTION = "Four questions.  Press Enter to accept the answer in brackets.  You can change every answer later."


def configuration(template: str, answers: Path | None) -> str:
    """The text of /etc/doorward/doorward.toml."""
    if answers is not None:
        try:
            # An editor of Windows may begin the file with a byte order mark, which TOML does not allow.
            return answers.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"The answers {answers} cannot be read: {error}.", "give the path of a TOML file.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return template
    print(f"\n{in_words(_INTRODUCTION)}\n")
    name = _ask("What is this doorbell called?", "front-door", r"[\w -]{1,64}")
    place = _ask(
        "Where is it (latitude, longitude)? Requests can match only with it.", "", r"-?\d+(\.\d+)?, *-?\d+(\.\d+)?|"
    )
    kind = _ask(f"Which camera ({', '.join(_CAMERAS)})?", "pi" if pi_cameras() else "usb", "|".join(_CAMERAS))
    yes, no = in_words("yes", typed=True), in_words("no", typed=True)
    page = _ask("A page for your browser, on your own network (yes, no)?", yes, f"yes|no|{yes}|{no}")
    text = _set(template, "name", json.dumps(name, ensure_ascii=False))
    text = _set(text, "kind", json.dumps(kind))
    if place:
        latitude, longitude = (float(part) for part in place.split(","))
        text = text.replace(
            "#: position = { latitude = 52.3731, longitude = 4.8926 }",
            f"position = {{ latitude = {latitude}, longitude = {longitude} }}",
        )
    return text.replace("#: [page]", "[page]") if page in ("yes", yes) else text


def write(path: Path, text: str, group: int) -> None:
    """Writes the whole file or nothing. Root may write it, the group may read it."""
    making = path.with_name(f".{path.name}.new")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chown(making, 0, group)
    making.replace(path)


def _ask(question: str, default: str, pattern: str) -> str:
    while True:
        answer = input(f"  {in_words(question)} [{default}] ").strip() or default
        if re.fullmatch(pattern, answer):
            return answer
        print(f"    {in_words('That is not one of the answers.')}")


def _set(text: str, key: str, value: str) -> str:
    """The first line that sets `key`, set to `value`."""
    return re.sub(rf"^{key} = .*$", lambda _: f"{key} = {value}", text, count=1, flags=re.MULTILINE)
