"""Whole agents among the doorbells of a run: `doorward run` with a film as its camera, and an owner's client for each.

`WholeAgent` is the program. It films one visit as it starts, and then listens and answers as any doorbell. `Owners` is
a process (`python -m tests.scale.whole_agents FILE`) that looks at each agent every few seconds. It shares the first
segment of each request, after an approval that waits for a minute (`requests.delay_minutes`), so the witness knows the
sealed parts before any of them leaves. The entries in the book are what the agents tell their owners.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.clients.owner.bulletins import read_bulletins
from agent.clients.owner.decisions import ShareChoice, approve
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.review import RequestReview
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle
from agent.config import load
from agent.core.timebase import NS_PER_MS
from agent.custodian.state_folder import StateFolder
from agent.errors import DoorwardError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetStatus, GetTrust, ListRequests
from agent.media.fmp4 import FragmentedMp4Writer
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.solo import Solo
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.trust import TrustStore
from agent.wire.trust_keys import parse_trust_key
from tests.cameras import gops_of, play
from tests.scale.promises import Book, Sent, sha256_of
from tests.scale.shards import ROOT, Shard

__all__ = ["LinkNotes", "Owners", "OwnersClient", "WholeAgent", "enter_told", "make_film"]

_SEEDS = 1 << 65
"""Where the seeds of the whole agents' keys begin."""
_LOOK_EVERY_S = 2.0
_CONFIGURATION = """\
[device]
name = "whole {number}"
state_dir = "{state}"
position = {{ latitude = 52.25, longitude = {longitude} }}
[camera]
{camera}
[object_detection]
use = "off"
[vault]
free_floor = 0.01
[requests]
requests_per_requester_per_day = 50
requests_per_day = 200
delay_minutes = 1
[broker]
host = "{host}"
port = {port}
ca = "{ca}"
certificate = "{certificate}"
key = "{key}"
session_hours = {session_hours}
"""
_BREAKS = (b'"link_down"', b'"lists_down"')
"""Events of the agent's log: with a session it has two connections."""


def make_film(path: Path) -> None:
    """Writes twelve seconds of the drawn porch with one visit, small and at five pictures a second."""
    camera = ScriptedCamera([Visit(4.0)], duration_s=12, size_px=(320, 180), frames_per_s=5)
    description, received = play(camera)
    gops = gops_of(received, 200 * NS_PER_MS)
    writer = FragmentedMp4Writer(description)
    path.write_bytes(writer.begin(gops[0]) + b"".join(map(writer.add, gops[1:])))


class WholeAgent:
    """One doorbell of that shard. `enrol` before the first `start`."""

    def __init__(self, folder: Path, number: int, shard: Shard, film: Path) -> None:
        folder.mkdir()
        self.folder, self.shard = folder, shard
        key = private_key_from_seed((_SEEDS + number).to_bytes(32, "big"))
        self.state = StateFolder(folder / "state")
        self.state.initialise(key)
        self.device = public_key_of(key).id
        self._settings = shard.settings(self.device)
        self._number, self._film = number, film
        self._process: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return f"whole agent {self.device}"

    def enrol(self, root: str, package: bytes) -> None:
        """Makes the owner's keys, who trusts this root and its newest list."""
        owner = OwnerKeys.create(self.folder / "owner", name="owner-1")
        solo = Solo(load(self._configure('kind = "usb"\ndevice = "/dev/video-that-is-not-there"')))
        solo.start()
        try:
            with DeviceLink(self.state.control) as link:
                enrol(link, owner)
                add_trust_root(link, owner, root)
                offer_bundle(link, owner, package)
        finally:
            solo.stop()
            solo.close()
        self._configure(f'kind = "file"\npath = "{self._film}"\nrealtime = false')

    def start(self) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "run", "--config", str(self.folder / "doorward.toml")],
                env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """Ends it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _configure(self, camera: str) -> Path:
        path, settings = self.folder / "doorward.toml", self._settings
        path.write_text(
            _CONFIGURATION.format(
                number=self._number, state=self.folder / "state", longitude=self.shard.west + 0.25, camera=camera,
                host=settings.host, port=settings.port, ca=settings.authority, certificate=settings.certificate,
                key=settings.key, session_hours=settings.session_s // 3600,
            )
        )  # fmt: skip
        return path


class Owners:
    """The parent's side: starts the process of the owners, and enters in the book what they tell."""

    def __init__(self, file: Path, root: str, agents: Sequence[WholeAgent], answers: Path, book: Book) -> None:
        told = {"root": root, "answers": str(answers), "agents": [[a.device, str(a.folder)] for a in agents]}
        file.write_text(json.dumps(told))
        self.failures: list[str] = []
        self._book, self._log = book, file.with_suffix(".log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.scale.whole_agents", str(file)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self._stopping = False
        self._reader = threading.Thread(target=self._read, name="owners")
        self._reader.start()

    def stop(self) -> None:
        if self._log.closed:
            return
        self._stopping = True
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._log.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if told := enter_told(line, self._book):
                self.failures.append(told)
        if not self._stopping:
            self.failures.append("the process of the owners ended")


def enter_told(line: str, book: Book) -> str:
    """Enters what the owners told. Returns what is no entry, or ""."""
    match line.rstrip("\n").split("\t"):
        case ["heard", message, door, at_s]:
            book.hear(message, door, float(at_s))
        case ["blocked", payload_sha256, door, at_s]:
            book.block(payload_sha256, door, float(at_s))
        case ["up", door, at_s]:
            book.links[door].begin(float(at_s))
        case ["down", door, at_s]:
            book.links[door].end(float(at_s))
        case ["sent", disclosure, request, *sha256]:
            with book.lock:
                book.sent[disclosure] = Sent(request, tuple(sha256))
        case ["delivered", disclosure]:
            sent = book.sent[disclosure]
            sent.acknowledged = set(range(len(sent.sha256)))
            sent.state = "complete"
        case other:
            return " ".join(other)
    return ""


class LinkNotes:
    """Tells when an agent is connected: what its owner sees at each look, and what it logged since the look before.

    An agent that loses its broker may be back before the next look. By the looks alone it would then seem to believe in
    the connection of a killed broker, and the book would count nothing that it hears or misses afterwards.
    """

    def __init__(self, device: str, log: Path, say: Callable[..., None]) -> None:
        self._device, self._log, self._say = device, log, say
        self._read_bytes = 0

    def note(self, *, up: bool, looked_s: float) -> None:
        """Tells it each time: an agent that was killed may be back before the next look. `up`: at `looked_s`."""
        breaks_s = self._breaks_s()
        for at_s in breaks_s:
            self._say("down", self._device, at_s)
        if not up:
            self._say("down", self._device, looked_s)
        elif all(at_s < looked_s for at_s in breaks_s):
            self._say("up", self._device, looked_s)

    def _breaks_s(self) -> list[float]:
        """Returns when the agent noticed that a connection was down, by the monotonic clock, since the last call."""
        if not self._log.exists():
            return []  # before its first start
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            lines = log.read()
        lines = lines[: lines.rfind(b"\n") + 1]
        self._read_bytes += len(lines)
        ahead_s = time.time() - time.monotonic()
        found = [json.loads(line) for line in lines.splitlines() if any(each in line for each in _BREAKS)]
        return [datetime.datetime.fromisoformat(each["at"]).timestamp() - ahead_s for each in found]


class OwnersClient:
    """The client of one agent's owner, which says yes. `tell`: takes the fields of a line."""

    def __init__(self, device: str, folder: Path, root: str, answers: Path, tell: Callable[..., None]) -> None:
        self._device, self._tell = device, functools.partial(_once, tell, set())
        self._say = tell
        self._link = LinkNotes(device, folder / "agent.log", tell)
        self._state, self._owner = StateFolder(folder / "state"), OwnerKeys.load(folder / "owner")
        self._store, self._answers = TrustStore().with_root(parse_trust_key(root)), answers
        self._version = 0
        self._said: dict[str, Any] = {}
        self._read: set[str] = set()
        """Packages that were read."""

    def look(self) -> None:
        """Tells what is new, and shares what waits for the owner."""
        try:
            with DeviceLink(self._state.control) as link:
                looked_s = time.monotonic()
                self._link.note(up=link.ask(GetStatus()).link.link == "connected", looked_s=looked_s)
                self._hear(link)
                asked = link.document(ListRequests(all=True))
                listed = asked["requests"]
                self._log({"counters": asked["counters"], "blocked": asked["blocked"]})
                now_s = time.monotonic()
                for each in listed:
                    self._tell("heard", each["id"], self._device, now_s)
                for each in asked["blocked"]:
                    self._tell("blocked", each["payload_sha256"], self._device, now_s)
                for each in listed:
                    self._answer(link, each)
        except DoorwardError as error:
            self._link.note(up=False, looked_s=time.monotonic())
            self._log({"error": str(error)})

    def _log(self, said: dict[str, Any]) -> None:
        """Writes what the agent refused or dropped, for a person who looks for a cause."""
        if said != self._said:
            self._said = said
            print(f"{time.strftime('%H:%M:%S')} {self._device}: {json.dumps(said)}", file=sys.stderr, flush=True)

    def _hear(self, link: DeviceLink) -> None:
        for posted in read_bulletins(link, self._owner):
            self._tell("heard", posted.bulletin.id, self._device, time.monotonic())
        answer = link.ask(GetTrust())
        for text in {*answer.bundles, *answer.heard}:
            if text in self._read:
                continue
            self._read.add(text)
            made = self._store.accept(text.encode())[0]
            version = max((bundle.version for bundle in made.bundles.values()), default=0)
            for number in range(self._version + 1, version + 1):
                self._tell("heard", f"list {number}", self._device, time.monotonic())
            self._version = max(self._version, version)

    def _answer(self, link: DeviceLink, listed: dict[str, Any]) -> None:
        disclosure, state = listed.get("disclosure"), listed["state"]
        if disclosure and not (self._answers / disclosure).exists():
            self._keep(disclosure, listed)
        if disclosure and state == "sent":
            self._tell("delivered", disclosure)
        if state == "pending":
            review = RequestReview.fetch(link, self._owner, listed["id"])
            approve(link, self._owner, review, ShareChoice((review.segments[0].id,)))

    def _keep(self, disclosure: str, listed: dict[str, Any]) -> None:
        """Copies the sealed parts for the witness. They wait in the outbox."""
        outbox = self._state.outbox / disclosure
        parts = [(outbox / str(number)).read_bytes() for number in range(len(list(outbox.iterdir())))]
        new = self._answers / f"new-{disclosure}"
        new.mkdir()
        (new / "to").write_text(f"{listed['requester']} {self._device}")
        for number, part in enumerate(parts):
            (new / str(number)).write_bytes(part)
        new.rename(self._answers / disclosure)
        self._say("sent", disclosure, listed["id"], *map(sha256_of, parts))


def _once(tell: Callable[..., None], told: set[tuple[str, str]], *words: Any) -> None:
    if (key := (words[0], words[1])) not in told:
        told.add(key)
        tell(*words)


def main(file: Path) -> int:
    told = json.loads(file.read_text())

    def tell(*words: Any) -> None:
        print(*words, sep="\t", flush=True)

    clients = [
        OwnersClient(device, Path(folder), told["root"], Path(told["answers"]), tell)
        for device, folder in told["agents"]
    ]
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, name="end", daemon=True).start()
    while not over.wait(_LOOK_EVERY_S):
        for each in clients:
            each.look()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
