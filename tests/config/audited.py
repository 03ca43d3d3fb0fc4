"""`python -m tests.config.audited FOLDER COUNT`: injured files through the commands that read them, audited.

A third each: a configuration (`config check`), a fleet file (`provision`), a bundle (`take-bundle`). Every Python event
outside a short list of harmless ones is printed, and so is every write. A refused file may cause none, a correct one
only writes in the command's own folder. Prints one JSON document.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import agent.sentences  # noqa: F401 - an error imports it, and the audit must not count that
from agent.cli.app import doorward
from agent.cli.frame import run
from agent.config.fleet import bundle_bytes, bundles, load_fleet
from tests.config.injuries import mutate, untrue

CONFIG = Path(__file__).parents[2] / "config"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
LOOKS = frozenset({"os.listdir", "os.scandir", "sys._getframe", "object.__getattr__", "builtins.id"})
"""Operations that only read."""
CHANGES = frozenset({"os.mkdir", "os.remove", "os.rename", "os.chmod", "os.chown", "os.rmdir"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Auditor:
    """Keeps what happens while `watching`, which is True only inside of a command."""

    def __init__(self) -> None:
        self.watching = False
        self.written: list[str] = []
        self.seen: Counter[str] = Counter()
        # The readers of types compile only the annotations of our own classes.
        self._ours = {
            text.encode()
            for module in ("agent.config.settings", "agent.config.fleet", "firmware_bridge.settings")
            for each in vars(sys.modules[module]).values()
            if isinstance(each, type)
            for text in inspect.get_annotations(each).values()
            if isinstance(text, str)
        }
        self._compiled = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching or event in LOOKS:
            return
        if event == "compile" and arguments[0] in self._ours:
            self._compiled = True
        elif event == "exec" and self._compiled and arguments[0].co_filename == "<string>":
            self._compiled = False
        elif event == "open":
            path, mode, flags = arguments
            if not isinstance(path, int) and (set(mode or "") & set("wax+") or flags & _WRITING):
                self.written.append(str(path))
        elif event in CHANGES:
            self.written += [str(word) for word in arguments if isinstance(word, str | os.PathLike)]
        else:
            self.seen[f"{event} {str(arguments)[:80]}"] += 1


def main(folder: Path, count: int) -> None:
    fleet_text = (CONFIG / "fleet.example.toml").read_text()
    (folder / "fleet.toml").write_text(fleet_text)
    (folder / "broker.pem").write_text(CERTIFICATE)
    configuration = (CONFIG / "doorward.toml").read_text().replace("\n#: ", "\n")
    whole = bundle_bytes(next(bundles(*load_fleet(folder / "fleet.toml"))))
    auditor = Auditor()
    outcomes, wrong = Counter[str](), []
    for seed in range(-3, count):  # the first three are whole, and import what there is to import
        chance = random.Random(seed)
        name, own, arguments, data = _case(seed, folder, chance, configuration, fleet_text, whole)
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        path = folder / name if name == "fleet.toml" else own / name
        path.write_bytes(data)
        said = io.StringIO()
        if seed == 0:
            sys.addaudithook(auditor)
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            auditor.watching = True
            status = run(doorward, arguments)
            auditor.watching = False
        if seed < 0:
            assert status == 0, said.getvalue()
            continue
        outcomes[f"{name} {'refused' if status else 'right'}"] += 1
        if status:
            message, _, remedy = said.getvalue().removeprefix("Error: ").partition("\n  What to do: ")
            reason = untrue(message, path, data) or ("" if remedy.strip() else "it has no remedy")
            wrong += [(seed, reason, message)] if reason or status != 2 else []
        allowed = own if not status else Path("/nonexistent")
        wrong += [(seed, "written", each) for each in auditor.written if not Path(each).is_relative_to(allowed)]
        auditor.written.clear()
    told = dict(auditor.seen)
    auditor.watching = True  # would it have noticed?
    exec("pass")
    (folder / "noticed").write_text("")
    auditor.watching = False
    assert auditor.written == [str(folder / "noticed")], auditor.written
    assert dict(auditor.seen) != told
    print(json.dumps({"seen": told, "wrong": wrong, "outcomes": outcomes}))


def _case(
    seed: int, folder: Path, chance: random.Random, configuration: str, fleet: str, whole: bytes
) -> tuple[str, Path, list[str], bytes]:
    """(file's name, the folder it may write to, the command, the file's bytes)."""
    injured = mutate if seed >= 0 else lambda text, _: text.encode()
    own = folder / "own"
    if seed % 3 == 0:
        return "doorward.toml", own, ["config", "check", str(own / "doorward.toml")], injured(configuration, chance)
    if seed % 3 == 1:
        return "fleet.toml", own, ["provision", str(folder / "fleet.toml"), "--out", str(own)], injured(fleet, chance)
    data = whole
    if seed >= 0 and chance.random() < 0.5:
        made = json.loads(whole)
        made["configuration"] = injured(made["configuration"], chance).decode("utf-8", "replace")
        data = json.dumps(made, indent=1).encode()
    elif seed >= 0:
        at = chance.randrange(len(whole))
        data = whole[:at] + bytes(chance.randrange(256) for _ in range(3)) + whole[at + chance.randrange(20) :]
    return "doorward.bundle", own, ["take-bundle", str(own / "doorward.bundle"), "--etc", str(own)], data


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
