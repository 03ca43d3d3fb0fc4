"""Doorbells of one street, each a process with its own owner, who shares what a request matches."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from agent.clients.owner.decisions import approve
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import IdentityKind, OwnerKeys
from agent.clients.owner.review import RequestReview
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle
from agent.errors import DeviceError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import ListRequests, ListSegments
from demo.stage import DOOR, Stage

__all__ = ["Door"]

_ROOT = Path(__file__).resolve().parents[1]
_START_S = 120.0
_STEP_DEGREES = 0.0003
_CAMERA = 'kind = "scripted"\nrealtime = false\nsize = [640, 360]\nfps = 10'
"""Smaller than a doorbell's pictures, because several doorbells play their scene at full speed beside the desk."""


class Door:
    """One doorbell and its owner. `start` runs its process; `stop` ends it."""

    def __init__(self, stage: Stage, number: int) -> None:
        self._folder = stage.folder / f"door-{number}"
        self._folder.mkdir()
        self._state = self._folder / "device"
        position = (DOOR[0] + number * _STEP_DEGREES, DOOR[1])
        stage.door(self._folder / "doorward.toml", self._state, position, _CAMERA)
        self._owner = OwnerKeys.create(self._folder / "owner", name=f"owner-{number}", kind=IdentityKind.HYBRID)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process and waits for its control socket. Raises `DeviceError`."""
        with (self._folder / "device.log").open("ab") as log:
            command = [sys.executable, "-m", "agent.cli", "run", "--config", str(self._folder / "doorward.toml")]
            self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until_s = time.monotonic() + _START_S
        while not (self._state / "control.sock").exists():
            if self._process.poll() is not None or time.monotonic() > until_s:
                raise DeviceError("A doorbell did not start.", remedy=f"Read its log: {self._folder}/device.log")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def trust(self, root: str, bundle: bytes) -> None:
        """The owner enrols, which starts the recording, and trusts the root's requesters."""
        with DeviceLink(self._state / "control.sock") as link:
            enrol(link, self._owner)
            add_trust_root(link, self._owner, root)
            offer_bundle(link, self._owner, bundle)

    def has_filmed(self, from_ms: int, to_ms: int) -> bool:
        """Returns True if the doorbell holds two segments of that span."""
        with DeviceLink(self._state / "control.sock") as link:
            return len(link.ask(ListSegments(from_ms, to_ms)).segments) > 1

    def share(self, request_id: str) -> bool:
        """The owner shares all matching footage but the first segment. Returns False if the request is not here yet."""
        with DeviceLink(self._state / "control.sock") as link:
            waiting = {each["id"]: each for each in link.document(ListRequests())["requests"]}
            if request_id not in waiting or waiting[request_id]["state"] != "pending":
                return False
            review = RequestReview.fetch(link, self._owner, request_id)
            if not review.segments:
                return False
            shared = review.segments[1:] or review.segments
            approve(link, self._owner, review, tuple(segment.id for segment in shared))
            return True
