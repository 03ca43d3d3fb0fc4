"""An installation into an image that is being built: no key of a device, and everything starts at the first boot."""

from __future__ import annotations

import errno
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation import __main__ as installer  # noqa: E402
from installation import system as installation  # noqa: E402
from installation.places import ENABLED, Places  # noqa: E402

KEY_UNIT = ROOT / "systemd" / "doorward-device-key.service"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    run = list[list[str]]()
    monkeypatch.setattr(installation, "run", lambda words, *_, **__: run.append(words))
    return run


def system(*, alive: bool, places: Places | None = None) -> installation.System:
    """As on a machine where systemd runs (`alive`), or in a chroot."""
    made = installation.System(places or Places())
    made.alive, made.is_image = alive, not alive
    return made


def test_an_image_gets_no_key_because_each_card_would_have_the_same(commands: list[list[str]]) -> None:
    system(alive=False).make_device()
    assert commands == []
    system(alive=True).make_device()
    assert [words[-1] for words in commands] == ["init"]


def test_in_an_image_the_units_are_enabled_and_nothing_is_started(commands: list[list[str]], tmp_path: Path) -> None:
    places = Places(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "systemd").symlink_to(ROOT / "systemd")
    places.opt.mkdir(parents=True)
    places.current.symlink_to(tmp_path)
    system(alive=False, places=places).start()
    assert commands == [["systemctl", "enable", "--quiet", *ENABLED]]


def test_a_system_below_another_root_is_left_alone(commands: list[list[str]], tmp_path: Path) -> None:
    made = installation.System(Places(tmp_path))
    made.start()
    made.make_device()
    assert commands == []


def test_the_first_start_makes_the_key_before_anything_needs_it_and_never_a_second_one() -> None:
    text = KEY_UNIT.read_text()
    assert KEY_UNIT.name in ENABLED
    assert "\nUser=doorward-custodian\n" in text
    assert "\nExecStart=/opt/doorward/current/bin/doorward init\n" in text
    conditions = re.findall(r"(?m)^ConditionPathExists=(.*)$", text)
    state = "/var/lib/doorward/custodian"
    assert conditions == [f"!{state}/device.key", f"!{state}/journal.sqlite"], "a lost key is not replaced"
    before = " ".join(re.findall(r"(?m)^Before=(.*)$", text)).split()
    assert {"doorward-first-boot.service", "doorward-custodian.service"} <= set(before)


def test_what_makes_the_key_is_shut_in() -> None:
    text = KEY_UNIT.read_text()
    lines = [
        "ProtectSystem=strict",
        "PrivateNetwork=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "UMask=0077",
    ]
    lines += ["RestrictAddressFamilies=AF_UNIX", "ReadWritePaths=/var/lib/doorward/custodian"]
    for line in lines:
        assert f"\n{line}\n" in text, line


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A doorbell with a page, on a system that refuses each write, also one that would change nothing."""
    places = Places(tmp_path)
    places.etc.mkdir(parents=True)
    places.configuration.write_text("[page]\nsetup_by_camera = true\n")
    installation.System(places).apply_options()

    def refuse(path: Path, *_: object, **__: object) -> None:
        if path.is_relative_to(places.units):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        raise AssertionError(path)

    for call in ("unlink", "symlink_to", "replace", "rmdir"):
        monkeypatch.setattr(Path, call, refuse)
    return places


def test_options_that_stay_need_no_write(read_only: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation.System, "_write_update_source", lambda *_: None)
    panel = read_only.etc / "panel"
    monkeypatch.setattr(Path, "unlink", lambda path, **_: None if path == panel else pytest.fail(str(path)))
    installation.System(read_only).apply_options()


def test_an_option_that_a_read_only_system_cannot_take_is_explained(
    read_only: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read_only.configuration.write_text("[page]\n[sound]\n")
    monkeypatch.setattr(installer, "Places", lambda: read_only)
    monkeypatch.setattr(installer.os, "geteuid", lambda: 0)
    monkeypatch.setattr(installer, "_alone", lambda *_: nullcontext())
    assert installer.main(["apply"]) == 1
    assert "is on a read-only system" in capsys.readouterr().err


@pytest.mark.parametrize(("is_image", "tried"), [(True, "--version"), (False, "self-test")])
def test_a_version_is_tested_on_the_machine_that_will_run_it(
    is_image: bool, tried: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under an emulator the self-test never ended, and a card image was never built."""
    ran = list[list[str]]()
    monkeypatch.setattr(installer, "run", lambda words, *_, **__: ran.append(words))
    monkeypatch.setattr(installer.environment, "build", lambda *_: None)
    monkeypatch.setattr(installer.integrity, "keep_hashes", lambda *_: None)
    source = tmp_path / "source"
    (source / "agent").mkdir(parents=True)
    (source / "agent" / "__init__.py").write_text("")
    installer._make(installer.Versions(Places(tmp_path)), "1", source, None, is_image=is_image)
    assert [words[-1] for words in ran] == [tried]


def test_what_an_option_allowed_stays_on_a_read_only_system_and_is_told(
    read_only: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new version may ask for less than the one before. It failed there, and every update with it."""
    monkeypatch.setattr(installation.System, "_write_update_source", lambda *_: None)
    read_only.configuration.write_text("[panel]\n")
    installation.System(read_only).apply_options()
    said = capsys.readouterr().out
    assert "custodian-page.conf stays, because it is on a read-only system" in said
    assert (read_only.etc / "panel").exists(), "what can be written is written"
