"""Counts the files of the three walks of docs/architecture.md: `python -m tests.scenarios.walks` (make walks).

`--files` lists them.

The real processes of a door do the main job (`test_roles_apart.py`): they record, are asked, are told "yes" through the
page, and upload. Meanwhile each process notes the functions of `agent` and `firmware_bridge` that it executes, with
their threads (`in_walks/sitecustomize.py`).

A file belongs to a walk if one of its functions is executed while the walk goes on, in a process and on a thread that
carry it (`WALKS`). A file that holds only values, such as classes without methods, is not counted. The threads of
timers, live view, status and object detection are not counted, but a function that the carrying threads call on the way
is: so the figures are upper bounds. Files that are only imported are not counted, nor is `agent/cli`, which started the
process.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from agent.ipc.control_operations import SubmitStatement
from agent.ipc.rpc import Request, read_answer, request_frame
from agent.wire.control import write_frame
from tests.custodian.page.door import Client
from tests.scenarios.in_walks import sitecustomize as in_walks
from tests.scenarios.street import ROOT, until

AnswerT = TypeVar("AnswerT")
_PLACE: Final = re.compile(r"`((?:agent|firmware_bridge)/[\w/.-]+\.py)`:\s+((?:`[\w.]+`(?:(?:,| and|, and)\s+)?)+)")
Notes = Mapping[str, Mapping[str, list[str]]]
"""File -> function -> threads, of one process in one window."""


@dataclass(frozen=True)
class Walk:
    """`title` in the document, `windows` in which it goes on, and `carried_by`: a pattern of threads by process."""

    title: str
    windows: tuple[str, ...]
    carried_by: Mapping[str, str]
    at_most: int
    """More files in this walk fail the test. A frame's branches differ from run to run by some files."""


WALKS: Final = (
    Walk(
        "How a frame becomes a committed segment",
        ("frame",),
        {"recorder": r"camera-.*|MainThread|analysis|writer", "custodian": r"ipc-client"},
        86,
    ),
    Walk(
        "How a request becomes an upload",
        ("request", "upload"),
        {"uplink": r"MainThread|bus-.*", "custodian": r"ipc-client|messages"},
        67,
    ),
    Walk(
        "How an approval gets from the page to the outbox",
        ("approval",),
        {"custodian": r"page|AnyIO worker thread"},
        59,
    ),
)  # fmt: skip


class Tracer:
    """Opens windows for the processes that have `environment`."""

    def __init__(self, folder: Path, pids: Callable[[], Mapping[str, int]]) -> None:
        """`pids`: role -> process id, of those that run."""
        folder.mkdir()
        self._folder = folder
        self._pids = pids
        self._seen: dict[tuple[str, str], Notes] = {}
        self._say("")

    @property
    def works(self) -> bool:
        """Python 3.11 cannot note anything."""
        return hasattr(sys, "monitoring")

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(Path(in_walks.__file__).parent), str(ROOT)))
        return {"PYTHONPATH": path, in_walks.FOLDER: str(self._folder)}

    @contextmanager
    def window(self, name: str) -> Iterator[None]:
        """Notes under `name` the functions that the running processes execute meanwhile."""
        self._say(name)
        yield
        self._say("")
        for role, pid in self._pids().items():
            if (notes := self._folder / f"{name}.{pid}").exists():
                self._seen[name, role] = json.loads(notes.read_text())

    def _say(self, window: str) -> None:
        (self._folder / "said").write_text(window)
        (self._folder / "said").rename(self._folder / "window")
        if not self.works:
            return
        for role, pid in self._pids().items():
            follows = self._folder / f"follows.{pid}"
            until(lambda at=follows: at.exists() and at.read_text() == window, f"{role} to note")  # type: ignore[misc]

    def files_of(self, walk: Walk) -> frozenset[str]:
        files = {path for path, _ in self._functions(walk.windows, walk.carried_by)}
        return frozenset(each for each in files if not each.startswith("agent/cli/"))

    def functions_of(self, walk: Walk) -> frozenset[tuple[str, str]]:
        """(file, qualified name) of the walk. An upload's begins with the approval."""
        windows = {*walk.windows, "approval"} if "upload" in walk.windows else walk.windows
        carried_by = {**walk.carried_by, "custodian": ".*"}
        return frozenset(self._functions(windows, carried_by))

    def not_executed(self, walk: Walk) -> list[tuple[str, str]]:
        """The places that the document names for the walk, and that are not executed in it."""
        executed = self.functions_of(walk)
        return [
            (path, name)
            for path, name in named_in(walk.title)
            if not any(path == file and (each == name or each.startswith(f"{name}.")) for file, each in executed)
        ]

    def _functions(self, windows: Any, carried_by: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for (window, role), notes in self._seen.items():
            if window in windows and role in carried_by:
                for path, functions in notes.items():
                    for name, threads in functions.items():
                        if any(re.fullmatch(carried_by[role], thread) for thread in threads):
                            yield path, name


class PageLink:
    """A `DeviceChannel` over HTTPS to the page, as the worker in a browser asks."""

    def __init__(self, client: Client, cookie: str, around_statement: Callable[[], Any]) -> None:
        """`around_statement`: a context manager around the submission of a statement."""
        self._client = client
        self._cookie = cookie
        self._around_statement = around_statement

    def ask(self, request: Request[AnswerT], *, body: bytes = b"") -> AnswerT:
        return self.fetch(request, body=body)[0]

    def fetch(self, request: Request[AnswerT], *, body: bytes = b"") -> tuple[AnswerT, bytes]:
        if isinstance(request, SubmitStatement):
            with self._around_statement():
                return self._fetch(request, body)
        return self._fetch(request, body)

    def _fetch(self, request: Request[AnswerT], body: bytes) -> tuple[AnswerT, bytes]:
        frame = request_frame(request, body)
        answer = self._client.ask("POST", f"/api/{frame.head['op']}", write_frame(frame), cookie=self._cookie)
        return read_answer(type(request), answer.frame.head), answer.frame.body


def named_in(title: str) -> list[tuple[str, str]]:
    """(file, function or class) that docs/architecture.md names for the device's part of a walk."""
    text = (ROOT / "docs" / "architecture.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [
        (path, name)
        for path, names in _PLACE.findall(text)
        for name in re.findall(r"`([\w.]+)`", names)
        if not path.startswith("agent/clients/")
    ]


def folder_of(path: str) -> str:
    """`agent/core/motion/lens.py` is in `agent/core`, and a file of the page in `agent/custodian/page`."""
    parts = path.split("/")
    return "/".join(parts[: 3 if parts[:3] == ["agent", "custodian", "page"] else 2])


def table(tracer: Tracer) -> str:
    lines = []
    for walk in WALKS:
        files = tracer.files_of(walk)
        lines.append(f"{walk.title}: {len(files)} files (at most {walk.at_most})")
        folders = Counter(map(folder_of, files))
        lines += [f"  {count:3} {folder}" for folder, count in folders.most_common()]
    return "\n".join(lines)


def main() -> None:
    from tests.scenarios.street import a_street
    from tests.scenarios.test_roles_apart import Apart, the_main_job

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for role in ("custodian", "recorder"):
            (folder / "device" / role).mkdir(parents=True, mode=0o700)
        with a_street(folder) as street, Apart.of(street, folder) as apart:
            the_main_job(street, apart)
            print(table(apart.tracer))
            if sys.argv[1:] == ["--files"]:
                for walk in WALKS:
                    print(f"\n{walk.title}", *sorted(apart.tracer.files_of(walk)), sep="\n  ")


if __name__ == "__main__":
    main()
