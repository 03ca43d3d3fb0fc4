"""Light doorbells in a separate process, because one process may open 20 000 files and has one Python thread.

`DoorProcess` is the parent's side. The child (`python -m tests.scale.door_process FILE`) tells each connection and each
message that it heard, a line each, with its time: all processes of a machine share the monotonic clock.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

from agent.mqtt import BusSettings
from agent.wire.trust import TrustStore
from agent.wire.trust_keys import parse_trust_key
from tests.scale.light_bus import Switchboard
from tests.scale.light_doorbells import Judge, LightDoorbell
from tests.scale.promises import SLOW_S, Book, Spans
from tests.scale.shards import ROOT

__all__ = ["Door", "DoorProcess", "ToldBook", "enter", "raise_file_limit"]

_FLUSH_S = 0.05
_TRIM_S = 120.0
"""After a storm of connections, a fifth of the memory of a process of doorbells was free and not given back."""
_SYNCED = "synced"
_RARE_COLLECTIONS = (200_000, 50, 100)
"""Thresholds of the garbage collector. With Python's, it searched 5 000 doorbells 300 times in 20 s of a storm, for
1.5 s at most and 5 s together, and all doorbells of the process stood still meanwhile."""


@dataclass(frozen=True, slots=True)
class Door:
    """A doorbell that listens, as its process gets it."""

    device: str
    cell: str
    host: str
    port: int
    authority: str
    certificate: str
    key: str
    session_s: int

    @staticmethod
    def of(settings: BusSettings, cell: str) -> Door:
        files = (str(settings.authority), str(settings.certificate), str(settings.key))
        return Door(settings.name, cell, settings.host, settings.port, *files, settings.session_s)

    def settings(self) -> BusSettings:
        files = (Path(self.authority), Path(self.certificate), Path(self.key))
        return BusSettings(self.host, self.port, self.device, *files, session_s=self.session_s)


class DoorProcess:
    """The parent's side. Its doorbells are in the book of the run, as those of process `number`."""

    def __init__(self, file: Path, root_key: str, doors: Sequence[Door], book: Book, number: int) -> None:
        file.write_text(json.dumps({"root": root_key, "doors": [asdict(each) for each in doors]}))
        self.failures: list[str] = []
        self._book, self._number, self._synced = book, number, threading.Event()
        book.process_of.update(dict.fromkeys((each.device for each in doors), number))
        self._log = file.with_suffix(".log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.scale.door_process", str(file)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self._stopping = False
        self._reader = threading.Thread(target=self._read, name="doors")
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        self._say("start")

    def sync(self) -> None:
        """Returns once all that happened before is in the book."""
        self._synced.clear()
        self._say("sync")
        if not self._synced.wait(120):
            self.failures.append("a process of doorbells does not answer")

    def stop(self) -> None:
        self._stopping = True
        with suppress(OSError):
            self._say("stop")
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._log.close()
        for each in (self._process.stdin, self._process.stdout):
            assert each is not None
            with suppress(OSError):
                each.close()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = enter(line, self._book, self._number)
            if told == _SYNCED:
                self._synced.set()
            elif told:
                self.failures.append(told)
        if not self._stopping:
            self.failures.append("a process of doorbells ended")


def enter(line: str, book: Book, process: int) -> str:
    """Enters what this process told. Returns what is no entry, or ""."""
    match line.rstrip("\n").split("\t"):
        case ["heard", message, door, at_s]:
            book.hear(message, door, float(at_s))
        case ["up", door, at_s]:
            book.links[door].begin(float(at_s))
        case ["down", door, at_s]:
            book.links[door].end(float(at_s))
        case ["stood still", begins_s, ends_s]:
            book.stalls.setdefault(process, []).append((float(begins_s), float(ends_s)))
        case ["subscribed", after_s]:
            book.subscribes(float(after_s))
        case other:
            return " ".join(other)
    return ""


class ToldBook(Book):
    """Tells each entry once, too."""

    def __init__(self, doors: Sequence[str]) -> None:
        super().__init__(dict.fromkeys(doors, 0))
        self.told: SimpleQueue[str] = SimpleQueue()
        self.links = {door: _ToldSpans(door, self.told) for door in doors}

    def hear(self, message: str, door: str, at_s: float) -> None:
        if door not in self.heard.get(message, {}):
            super().hear(message, door, at_s)
            self.told.put(f"heard\t{message}\t{door}\t{at_s}\n")

    def subscribes(self, after_s: float) -> None:
        if after_s > SLOW_S:
            self.told.put(f"subscribed\t{after_s}\n")


class _ToldSpans(Spans):
    def __init__(self, door: str, told: SimpleQueue[str]) -> None:
        super().__init__()
        self._door, self._told = door, told

    def begin(self, at_s: float) -> None:
        if not self.is_open:
            self._told.put(f"up\t{self._door}\t{at_s}\n")
        super().begin(at_s)

    def end(self, at_s: float) -> None:
        if self.is_open:
            self._told.put(f"down\t{self._door}\t{at_s}\n")
        super().end(at_s)


def raise_file_limit() -> int:
    """Returns the number of files that this process may open from now on."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _tell(book: ToldBook, board: Switchboard, stop: threading.Event) -> None:
    failures = late = 0
    trim, trim_s = ctypes.CDLL(None).malloc_trim, time.monotonic() + _TRIM_S
    while True:
        if time.monotonic() >= trim_s:
            trim(0)
            trim_s = time.monotonic() + _TRIM_S
        last = stop.is_set()
        lines = []
        with suppress(Empty):
            while True:
                lines.append(book.told.get_nowait())
        lines += [f"failed\t{each!r}\n" for each in board.failures[failures:]]
        failures = len(board.failures)
        more = board.late[late:]
        lines += [f"stood still\t{begins_s}\t{ends_s}\n" for begins_s, ends_s in more]
        late += len(more)
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
        if last:
            return
        time.sleep(_FLUSH_S)


def main(file: Path) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    raise_file_limit()
    gc.set_threshold(*_RARE_COLLECTIONS)
    told = json.loads(file.read_text())
    doors = [Door(**each) for each in told["doors"]]
    book = ToldBook([each.device for each in doors])
    judge = Judge(TrustStore().with_root(parse_trust_key(told["root"])), book)
    board, stop = Switchboard(), threading.Event()
    bells = [LightDoorbell(each.settings(), each.cell, board, judge) for each in doors]
    board.start()
    teller = threading.Thread(target=_tell, args=(book, board, stop), name="teller")
    teller.start()
    for line in sys.stdin:
        match line.strip():
            case "start":
                for each in bells:
                    board.do(each.start)
            case "sync":
                # The lines of all before it are in the queue already.
                board.do(lambda: book.told.put(_SYNCED + "\n"))
            case _:
                break
    judge.stop()
    ended = threading.Event()

    def end() -> None:
        for each in bells:
            each.stop()
        ended.set()

    board.do(end)
    ended.wait(45)
    stop.set()
    teller.join()
    board.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
