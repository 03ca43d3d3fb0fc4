"""`make desk`: a requester's desk with a broker, five doorbells and three cases, until Ctrl-C.

It rebuilds `playground-desk/` at each start. The broker, the doorbells, the owners and the desk are the real ones, and
all traffic stays on this machine. The owners share what the first case asks for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.errors import DeviceError, DoorwardError
from demo.ending import like_ctrl_c
from demo.stage import Stage
from demo.street import Door
from demo.telling import Teller
from desk import cli, config

_ROOT = Path(__file__).resolve().parents[1]
_PATIENCE_S = 300.0
_AGENCY = "rijnstad-police"
_NAME = "Rijnstad Police"


def prepare(stage: Stage, folder: Path, port: int) -> Path:
    """Makes the desk's folder and database. Returns its configuration."""
    folder.mkdir()
    path = folder / "desk.toml"
    broker = f'[broker]\nhost = "{stage.broker.host}"\nport = {stage.broker.requester_port}\n'
    map_and_public = "[map]\nlatitude = 52.09\nlongitude = 5.11\nzoom = 15.0\n\n[public]\ntips = true\n"
    path.write_text(f"[web]\nport = {port}\n\n{broker}\n{map_and_public}")
    os.environ[config.ENVIRONMENT] = str(path)
    cli.prepare_data(config.load(path).data)
    cli.start_django()
    cli.migrate()
    return path


@contextmanager
def served(path: Path) -> Iterator[None]:
    """Runs the desk's service."""
    with (path.parent / "desk.log").open("ab") as log:
        command = [sys.executable, "-m", "desk", "serve"]
        process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
        if process.poll() is not None:
            raise DeviceError("The desk did not start.", remedy=f"Read its log: {path.parent}/desk.log")
    finally:
        process.terminate()
        process.wait(30)


def fill(stage: Stage, doors: list[Door], path: Path, tell: Teller, stack: ExitStack) -> dict[str, str]:
    """Fills the desk with three cases, one of them answered by each door. Returns a link for each person."""
    from demo.desk_cases import Cases

    tell.act("Set up an organisation with four people, and a root that vouches for it")
    cases = Cases(_AGENCY, _NAME)
    root = stage.root(_AGENCY)
    bundle = stage.vouch(cases.requester, _NAME)
    cases.connect(root.text, bundle, lambda request: stage.sign_certificate(_AGENCY, request))

    tell.act(f"Start {len(doors)} doorbells, whose owners trust that root")
    began_s = int(time.time())
    for door in doors:
        stack.callback(door.stop)
        door.start()
        door.trust(root.text, bundle)
    tell.say("Each films the same drawn porch, and seals it to its owner.")

    tell.act("Ask for footage of a burglary: written by one person, approved by another")
    cases.write_two_more()
    stack.enter_context(served(path))
    from_ms = began_s * 1000
    _wait(lambda: all(door.has_filmed(from_ms, _now_ms()) for door in doors), "The doorbells do not record.")
    request_id = cases.ask(began_s - 900, int(time.time()))
    waiting = list(doors)
    _wait(lambda: _share(waiting, request_id), "The owners have not shared: read the doorbells' logs.")
    tell.say("The owners have seen who asks, why, and how long the footage is kept. They share it.")
    _wait(lambda: cases.complete() >= len(doors), "The answers have not arrived: read desk.log.")
    tell.say(f"{len(doors)} answers have arrived at the desk, sealed and verified.")
    return cases.links()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _share(waiting: list[Door], request_id: str) -> bool:
    waiting[:] = [door for door in waiting if not door.share(request_id)]
    return not waiting


def _wait(condition: Callable[[], bool], words: str) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > until_s:
            raise DeviceError(words, remedy="Look into the folder of the desk.")
        time.sleep(0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make desk", description="A filled desk to try.")
    parser.add_argument("--folder", type=Path, default=_ROOT / "playground-desk")
    parser.add_argument("--doors", type=int, default=5)
    parser.add_argument("--port", type=int, default=8444)
    parser.add_argument("--once", action="store_true", help="End as soon as the desk is filled.")
    options = parser.parse_args(arguments)
    tell = Teller()
    try:
        with ExitStack() as stack:
            stage = Stage(options.folder.resolve())
            stack.callback(stage.broker.stop)
            stage.broker.start()
            tell.title("Doorward's desk", "A broker, doorbells and a requester's desk, all on this machine.")
            path = prepare(stage, stage.folder / "desk", options.port)
            doors = [Door(stage, number) for number in range(1, options.doors + 1)]
            links = fill(stage, doors, path, tell, stack)
            print(f"\nThe desk: {config.load(path).address}/   (its authority: {path.parent}/data/tls/authority.pem)\n")
            for words, link in links.items():
                print(f"  {words:44} {link}")
            print(f"  {'anyone, with a tip':44} {config.load(path).address}/tip-to/{_AGENCY}")
            print(
                "\nEach link works once and lets you choose how to sign in. Ctrl-C here stops everything.", flush=True
            )
            while not options.once:
                time.sleep(1)
    except DoorwardError as error:
        print(f"Error: {error.message}\n  What to do: {error.remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


if __name__ == "__main__":
    like_ctrl_c()
    raise SystemExit(main())
