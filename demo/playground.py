"""`make playground`: a broker, a doorbell and a requester that run until you stop them. Use it to try each command.

It rebuilds `playground/` at each start, and all traffic stays on this machine. The doorbell waits for its owner: you,
in a second terminal. `STEPS` are the commands to type there. A test types them too.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.clients.requester.roots import KnownRoots
from agent.errors import DeviceError, DoorwardError
from agent.wire.fields import Kind
from demo.ending import like_ctrl_c
from demo.stage import DOOR, Stage, toml_text
from demo.telling import Teller

_ROOT = Path(__file__).resolve().parents[1]
_VTEST = _ROOT / ".cache" / "vtest.avi"
_START_S = 60.0
_END_S = 30.0
_PAGE = """
[page]
host = "127.0.0.1"
port = 0
name = "playground"
addresses = ["127.0.0.1"]
mdns = false

[[roots]]
name = "Rijnstad"
means = "The police of Rijnstad may ask you for footage."
key = "{root}"
"""
"""The owner's page on a free port, for browsers of this machine. It offers the root of the police."""
_CIRCLE = f"{DOOR[0] + 0.001:.4f},{DOOR[1]:.4f},300"


@dataclass(frozen=True, slots=True)
class Step:
    """One command to type. `answers` is a person's reply to its questions; the test gives the same reply."""

    says: str
    command: str
    answers: str = ""


STEPS: tuple[Step, ...] = (
    Step("Make your keys. The doorbell never sees the private halves.", "doorward owner keygen"),
    Step("Become the owner. The doorbell then starts to record.", "doorward owner enrol", "y\n"),
    Step("Trust a requester's root. A new doorbell trusts none.", 'doorward owner trust add-root "$ROOT_KEY"', "y\n"),
    Step("Review the requesters of that root and accept them.", 'doorward owner trust bundle "$BUNDLE"', "y\n"),
    Step("List the stored footage. It is sealed, so the list has only names and times.", "doorward vault list"),
    Step(
        "As the police, send a request to the neighbourhood.",
        "doorward requester request --case 2026/17 --incident vandalism --description 'A car was scratched.' "
        f"--contact-name 'Desk 4' --contact-email desk4@police.example --circle {_CIRCLE} "
        "--retention-days 90 --onward court,defence --language en "
        '--from "$(date -u -d \'-20 min\' +%FT%TZ)" --to "$(date -u +%FT%TZ)"',
    ),
    Step("As the owner, list the requests. REQUEST below is the id or its first letters.", "doorward owner review"),
    Step(
        "Open the matching footage in your client and watch it.",
        "doorward owner review REQUEST --out playground/look",
    ),
    Step("Share the first two segments only.", "doorward owner approve REQUEST --segments 1,2", "y\n"),
    Step("As the police, receive the footage.", "doorward requester receive --count 1"),
    Step("Verify and open it. The command prints where the films and the report are.", "doorward requester open"),
    Step("As the owner, read the doorbell's ledger and verify that it is complete.", "doorward owner ledger"),
)


class Playground:
    """A context manager that runs the broker and the device in `folder`."""

    def __init__(self, folder: Path, video: Path | None) -> None:
        camera = f'kind = "file"\npath = {toml_text(video)}' if video else 'kind = "scripted"'
        self.folder = folder
        self._stage = Stage(folder)
        self._configuration, self.device = self._stage.device(camera)
        self.asker = self._stage.asker("rijnstad-police", "Rijnstad Police", Kind.POLICE)
        self._socket = self._stage.state_dir / "control.sock"
        self._process: subprocess.Popen[bytes] | None = None
        with (folder / "doorward.toml").open("a") as file:
            file.write(_PAGE.format(root=self.asker.root.text))
        (folder / "bundle.dsse").write_bytes(self.asker.bundle)
        KnownRoots(self.asker.requester).accept(self.asker.root.text, self.asker.bundle, int(time.time()))
        (folder / "env").write_text("".join(f"export {k}={shlex.quote(v)}\n" for k, v in self.environment.items()))

    @property
    def environment(self) -> Mapping[str, str]:
        """Returns the variables that keep the commands of the second terminal short; also in `playground/env`."""
        return {
            "PATH": f"{_ROOT / '.venv' / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "DOORWARD_CONFIG": f"{self.folder / 'doorward.toml'}",
            "DOORWARD_OWNER": f"{self.folder / 'owner'}",
            "DOORWARD_DEVICE": f"{self._socket}",
            "DOORWARD_REQUESTER": f"{self.asker.requester.folder}",
            "DOORWARD_BROKER": f"{self._stage.broker.host}:{self._stage.broker.requester_port}",
            "ROOT_KEY": self.asker.root.text,
            "BUNDLE": f"{self.folder / 'bundle.dsse'}",
        }

    def __enter__(self) -> Playground:
        self._stage.broker.start()
        with (self.folder / "device.log").open("ab") as log:
            command = [sys.executable, "-m", "agent.cli", "run", "--config", str(self.folder / "doorward.toml")]
            self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until_s = time.monotonic() + _START_S
        while not self._socket.exists():
            if self._process.poll() is not None or time.monotonic() > until_s:
                self.__exit__()
                raise DeviceError("The device did not start.", remedy=f"Read its log: {self.folder}/device.log")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._process is not None:
                self._process.terminate()
                self._process.wait(_END_S)
        finally:
            if self._process is not None:
                self._process.kill()  # one that hangs; nothing may be left behind
                self._process.wait()
            self.asker.bus.stop()
            self._stage.broker.stop()

    def wait(self) -> int:
        """Until the device ends, or Ctrl-C."""
        return self._process.wait() if self._process else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make playground", description="A doorbell on which to try every command.")
    parser.add_argument("--folder", type=Path, default=_ROOT / "playground")
    parser.add_argument("--video", type=Path, default=os.environ.get("VIDEO") or (_VTEST if _VTEST.exists() else None))
    options = parser.parse_args(arguments)
    tell = Teller()
    try:
        with Playground(options.folder.resolve(), options.video and options.video.resolve()) as playground:
            tell.title(
                "Doorward's playground", f"A broker and a doorbell are running. Log: {options.folder}/device.log"
            )
            print(f"\nThe doorbell's id is {playground.device.id}: 'enrol' asks whether it is yours.")
            print(f"\nIn a second terminal:\n\n  cd {_ROOT} && . {options.folder}/env\n", flush=True)
            for number, step in enumerate(STEPS, start=1):
                print(f"{number:2}. {step.says}\n      {step.command}", flush=True)
            print("\nOr be the owner in a browser here, in place of steps 1 to 5. The police's list is $BUNDLE.")
            print("This prints the page's address and a code:\n      doorward page code", flush=True)
            print("\nCtrl-C here stops the doorbell and the broker.", flush=True)
            return playground.wait()
    except DoorwardError as error:
        print(f"Error: {error.message}\n  What to do: {error.remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


if __name__ == "__main__":
    like_ctrl_c()
    raise SystemExit(main())
