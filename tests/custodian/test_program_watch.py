"""Owners are told once if files of the program were changed, and what cannot be read counts as a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.checks.finding import CheckStatus
from agent.cli.checks.program import check_program
from agent.core.alerts.kinds import AlertKind, alert_named
from agent.custodian.program_watch import ProgramWatch


class Owner:
    """A `Notifier` that remembers, and drops what it was told before."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self.told.append((kind, once))


def write(path: Path, since_ms: int, *names: str) -> None:
    path.write_text(json.dumps({"v": 1, "since_ms": since_ms, "count": len(names), "files": names}))


def test_the_owners_are_told_once_for_each_report(tmp_path: Path) -> None:
    report, owner = tmp_path / "changed.json", Owner()
    watch = ProgramWatch(report, owner)
    watch.on_time()
    assert (owner.told, watch.changes, watch.status()) == ([], None, None)
    write(report, 5, "app/agent/core/consent.py")
    watch.on_time()
    watch.on_time()
    assert owner.told == [("program", "program 5")]
    assert watch.status() == {"changed": 1, "files": ["app/agent/core/consent.py"]}
    ProgramWatch(report, owner).on_time()
    assert owner.told[1:] == [("program", "program 5")], "after a restart the notifier drops it by its name"
    report.unlink()
    watch.on_time()
    assert watch.status() is None
    write(report, 9, "bin/doorward")
    watch.on_time()
    assert owner.told[2:] == [("program", "program 9")]
    assert alert_named("program").kind is AlertKind.TAMPER


@pytest.mark.parametrize("data", [b"", b"{}", b'{"v": 1}', b"\xff", b"[" * 70_000])
def test_a_report_that_cannot_be_read_is_one(tmp_path: Path, data: bytes) -> None:
    report, owner = tmp_path / "changed.json", Owner()
    report.write_bytes(data)
    watch = ProgramWatch(report, owner)
    watch.on_time()
    assert watch.status() == {"changed": 1, "files": []}
    assert len(owner.told) == 1


def test_the_doctor_names_the_first_files_and_what_to_do_also_before_there_is_an_owner(tmp_path: Path) -> None:
    report = tmp_path / "changed.json"
    assert list(check_program(report)) == []
    write(report, 5, *(f"app/{n}\x1b.py" for n in range(7)))
    (found,) = check_program(report)
    assert (found.subject, found.health) == ("program", CheckStatus.BAD)
    assert found.message.startswith("Files were changed since it was installed (7): app/0")
    assert "\x1b" not in found.message
    assert "app/5" not in found.message
    assert found.remedy == "Find out who changed them, then install again. See: docs/troubleshooting.md."
