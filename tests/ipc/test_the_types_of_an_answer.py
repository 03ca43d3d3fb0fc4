"""mypy refuses an unknown request, a wrong argument and a wrong use of an answer, at both sockets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

HEAD: Final = """\
from pathlib import Path

from agent.clients.owner.sync import DeviceChannel
from agent.ipc import control_operations as ops
from agent.ipc import protocol
from agent.ipc.control_client import DeviceLink
from agent.ipc.rpc_client import RpcClient

link = DeviceLink(Path("s"))
role = RpcClient(Path("s"), frozenset())
channel: DeviceChannel = link
"""
RIGHT: Final = """\
state: str = link.ask(ops.GetStatus()).recorder.state
names: list[str] = [each.id for each in channel.ask(ops.ListSegments(0, 1)).segments]
answer, data = channel.fetch(ops.GetSegment("a"))
record: str = answer.record
held: int | None = role.ask(protocol.GetHeldSegments(3)).now_ms
"""
MISTAKES: Final = {
    "an operation that does not exist": ("link.ask(ops.GetStatuses())", "attr-defined"),
    "an operation's name for its request": ('link.ask("status")', "arg-type"),
    "a request's class for a request": ("link.ask(ops.GetStatus)", "arg-type"),
    "a missing argument": ("link.ask(ops.GetSegment())", "call-arg"),
    "an argument that the operation does not have": ("link.ask(ops.GetStatus(all=True))", "call-arg"),
    "an argument of another type": ("link.ask(ops.ListSegments('0', 1))", "arg-type"),
    "arguments beside the request": ('link.ask(ops.GetSegment("a"), id="b")', "call-arg"),
    "a field that the answer does not have": ("link.ask(ops.GetStatus()).recording", "attr-defined"),
    "a field taken for another type": ("size: int = link.ask(ops.GetDevice()).device_id", "assignment"),
    "a value taken for granted that may be missing": ("link.ask(ops.GetEnrolment()).envelope.encode()", "union-attr"),
    "an answer taken for a dictionary": ('link.ask(ops.GetStatus())["recorder"]', "index"),
    "the answer of another operation": ("one: ops.TipsAnswer = channel.ask(ops.GetKept())", "assignment"),
    "bytes left on the answer": ("channel.fetch(ops.GetSegment('a')).record", "attr-defined"),
    "a role's answer taken for another": ("two: protocol.Signature = role.ask(protocol.GetRecipients())", "assignment"),
    "a role's argument of another type": ("role.ask(protocol.Sign('text'))", "arg-type"),
    "an answer sent as a request": ("role.ask(protocol.Ack())", "arg-type"),
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[int, set[str]]:
    """The codes of the errors by line: mypy runs once on all lines, which takes seconds."""
    source = tmp_path_factory.mktemp("planted") / "planted.py"
    source.write_text(HEAD + RIGHT + "".join(f"{line}\n" for line, _ in MISTAKES.values()), encoding="utf-8")
    root = Path(__file__).parents[2]
    # Only the planted file is reported; the cache of `make lint` has the rest.
    options = ["--config-file", str(root / "setup.cfg"), "--follow-imports", "silent"]
    # In a separate process: mypy raises Python's limit on recursion, and later tests meet that limit.
    command = [sys.executable, "-m", "mypy", *options, str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert ran.stderr == ""
    found: dict[int, set[str]] = {}
    for line in ran.stdout.splitlines():
        if match := re.search(r"planted\.py:(\d+): error: .*\[([a-z-]+)\]$", line):
            found.setdefault(int(match[1]), set()).add(match[2])
    return found


def test_the_right_lines_pass(errors: dict[int, set[str]]) -> None:
    first_mistake = len((HEAD + RIGHT).splitlines()) + 1
    assert min(errors) == first_mistake


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused(errors: dict[int, set[str]], mistake: str) -> None:
    line = len((HEAD + RIGHT).splitlines()) + 1 + list(MISTAKES).index(mistake)
    assert MISTAKES[mistake][1] in errors.get(line, set()), MISTAKES[mistake][0]
