"""Which package a doorbell takes, and when: each rule alone, and the files of an update as whole values."""

from __future__ import annotations

import fcntl
import platform
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.core.updates import MAX_NOTES_BYTES, Offer, Package, newest_for, numbers, rollout_delay_ms
from agent.errors import ConfigurationError, FormatError, UpdateError
from agent.updater import machine, root_step
from agent.updater.machine import Machine, UpdateFolders, output_of, this_machine

DAY = "2026-12-01"


def package(version: str = "0.3.0", **changes: Any) -> Package:
    values = {"kind": "package", "version": version, "architecture": "arm64", "released": DAY, "debian": ("12", "13")}
    return Package(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"kind": "source"}, False),
        ({"architecture": "amd64"}, False),
        ({"debian": ("12",)}, False),
        ({"debian": ()}, False),
        ({"version": "0.2.0"}, False),
        ({"version": "0.1.9"}, False),
        ({"version": "0.2.1"}, True),
        ({"version": "0.10.0"}, True),
        ({"upgrade_from": "0.2.0"}, True),
        ({"upgrade_from": "0.2.1"}, False),
        ({"upgrade_from": "0.1.10"}, True),
    ],
)
def test_a_package_fits_if_each_of_its_rules_holds(changes: dict[str, Any], fits: bool) -> None:
    assert package(**changes).fits("0.2.0", "arm64", "13") is fits


def test_the_newest_package_that_fits_is_taken_by_its_numbers() -> None:
    assert (numbers("0.10.0"), numbers("12.3.45")) == ((0, 10, 0), (12, 3, 45))
    packages = [package("0.9.9"), package("0.10.0"), package("0.11.0", kind="source"), package("0.2.5")]
    assert newest_for(packages, "0.2.0", "arm64", "13") is packages[1]
    assert newest_for(packages, "0.10.0", "arm64", "13") is None
    assert packages[1].name == "doorward_0.10.0_arm64.deb"


def test_notes_have_at_most_4096_bytes_in_all_languages_together() -> None:
    half = "ü" * (MAX_NOTES_BYTES // 4)
    assert package(notes={"de": half, "en": half})
    with pytest.raises(FormatError) as refused:
        package(notes={"de": half, "en": half + "x"})
    assert str(refused.value) == "notes: more than 4096 bytes."


def test_doorbells_take_an_offer_spread_over_its_hours_and_each_at_its_own_time() -> None:
    def delay_ms(device: str, hours: int, version: str = "0.3.0") -> int:
        offer = Offer(version=version, sha256="0" * 64, length=1, released=DAY, rollout_hours=hours)
        return rollout_delay_ms(device, offer)

    assert delay_ms("0123456789abcdef", 0) == 0
    assert [delay_ms("0123456789abcdef", hours) for hours in (1, 2, 168)] == [2_781_199, 5_562_398, 467_241_444]
    assert delay_ms("0123456789abcdef", 168, "0.3.1") == 539_023_625
    delays = [delay_ms(f"{number:016x}", 10) for number in range(400)]
    assert 0 <= min(delays) < 2 * 360_000
    assert 36_000_000 - 2 * 360_000 < max(delays) < 36_000_000


def test_each_process_of_an_update_has_its_folder() -> None:
    folders = UpdateFolders(Path("/base"))
    found = (folders.source, folders.staging, folders.store, folders.wishes, folders.opt)
    assert [str(each) for each in found] == [
        "/base/etc/doorward/updates.json",
        "/base/var/lib/doorward/updater",
        "/base/var/lib/doorward/update",
        "/base/run/doorward/update",
        "/base/opt/doorward",
    ]
    assert UpdateFolders().opt == Path("/opt/doorward")


def test_a_machine_is_what_debian_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def output(words: list[str]) -> str:
        asked.append(words)
        return "arm64\n"

    release = {"VERSION_ID": "13"}
    monkeypatch.setattr(machine, "output_of", output)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    assert this_machine("0.2.0") == Machine("0.2.0", "arm64", "13")
    assert asked == [["dpkg", "--print-architecture"]]
    release.clear()
    assert this_machine("0.2.0") == Machine("0.2.0", "arm64", "")

    def missing() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    with pytest.raises(ConfigurationError) as refused:
        this_machine("0.2.0")
    assert str(refused.value) == "/etc/os-release cannot be read. Upgrade with git."


def test_a_tool_of_debian_is_read_as_text_and_its_refusal_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = SimpleNamespace(returncode=0, stdout="fields\n", stderr="")
    options: dict[str, Any] = {}

    def run(words: list[str], **given: Any) -> Any:
        assert words == ["dpkg-deb", "--field", "x.deb"]
        options.update(given)
        return done

    monkeypatch.setattr(subprocess, "run", run)
    assert output_of(["dpkg-deb", "--field", "x.deb"]) == "fields\n"
    assert options == {"capture_output": True, "text": True, "errors": "replace", "check": False}
    done.returncode, done.stderr = 2, f"  no archive {'x' * 300}\n"
    with pytest.raises(UpdateError) as refused:
        output_of(["dpkg-deb", "--field", "x.deb"])
    assert refused.value.message == f"dpkg-deb refuses the package: no archive {'x' * 189}"
    monkeypatch.undo()
    with pytest.raises(ConfigurationError) as missing:
        output_of(["no-such-tool-of-debian"])
    assert str(missing.value) == "no-such-tool-of-debian is not here: this is no Debian. Upgrade with git."


def test_an_update_is_at_work_while_its_lock_is_held(tmp_path: Path) -> None:
    assert root_step.is_at_work(tmp_path) is False, "none was ever installed"
    lock = tmp_path / root_step._LOCK
    lock.touch()
    assert root_step.is_at_work(tmp_path) is False
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert root_step.is_at_work(tmp_path) is True
        fcntl.flock(held, fcntl.LOCK_SH)
        assert root_step.is_at_work(tmp_path) is False, "another one that asks"
