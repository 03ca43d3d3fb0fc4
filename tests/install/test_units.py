"""The units keep their sandboxes: a bound on each exposure, only words that systemd knows, a reason for each gap."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec.inspect
import pytest

from agent.config.settings import AlertsConfig
from agent.custodian.alerts.push_channels import MOST_BROWSERS

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation.places import DROPINS, Places  # noqa: E402
from installation.system import System  # noqa: E402

SYSTEMD = ROOT / "systemd"
EXPOSURE = {"recorder": 9, "custodian": 11, "uplink": 14, "bridge": 6, "updater": 14}
"""In tenths, as systemd-analyze's --threshold wants it."""
WITH_DROPIN = {
    "custodian-page": 15,
    "recorder-object-detection": 16,
    "recorder-rtsp": 18,
    "recorder-sound": 15,
    "recorder-speaker": 15,
    "recorder-wide": 15,
}
"""The cost of the owner's page, object detection, a network camera, a microphone, a speaker and large pictures."""
HARDENING = (
    "AmbientCapabilities", "CapabilityBoundingSet", "IPAddressDeny", "KeyringMode", "LockPersonality",
    "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateDevices", "PrivateIPC", "PrivateNetwork", "PrivateTmp",
    "PrivateUsers", "ProcSubset", "ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname",
    "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "RemoveIPC",
    "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "RootDirectory",
    "SystemCallArchitectures", "SystemCallFilter", "UMask",
)  # fmt: skip


def unit(role: str) -> Path:
    return SYSTEMD / f"doorward-{role}.service"


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize("role", EXPOSURE)
def test_no_role_is_more_exposed_than_it_may_be(role: str) -> None:
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE[role]}", "--no-pager"]
    done = subprocess.run([*words, str(unit(role))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


@needs_systemd
@pytest.mark.parametrize("role", ["recorder", "custodian", "uplink", "updater"])
def test_a_role_that_dates_what_it_does_may_ask_if_the_clock_is_synchronised(role: str) -> None:
    """Without adjtimex(2) the clock of a board without a battery stays `unknown`, also when it is synchronised."""
    allowed = set[str]()
    for line in unit(role).read_text().splitlines():
        if line == "ProtectClock=yes":
            pytest.fail("ProtectClock= blocks adjtimex(2), and no SystemCallFilter= allows it again.")
        if line.startswith("SystemCallFilter="):
            words = line.removeprefix("SystemCallFilter=").removeprefix("~").split()
            named = set().union(*(calls_of(word) for word in words))
            allowed = allowed - named if "=~" in line else allowed | named
    assert "adjtimex" in allowed
    assert "clock_settime" not in allowed


def calls_of(word: str) -> set[str]:
    """Returns the system calls of a name or a set of systemd's."""
    if not word.startswith("@"):
        return {word}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    inner = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return set().union(*(calls_of(each) for each in inner if each and not each.startswith("#")))


@needs_systemd
@pytest.mark.parametrize("dropin", WITH_DROPIN)
def test_what_an_option_opens_is_bounded_too(dropin: str, tmp_path: Path) -> None:
    made = tmp_path / unit(dropin.partition("-")[0]).name
    added = (SYSTEMD / "dropins" / f"{dropin}.conf").read_text().partition("[Service]")[2]
    before, service, after = unit(dropin.partition("-")[0]).read_text().partition("[Install]")
    made.write_text(f"{before}\n[Service]\nRestrictAddressFamilies=\n{added}\n{service}{after}")
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={WITH_DROPIN[dropin]}", "--no-pager"]
    done = subprocess.run([*words, str(made)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


@needs_systemd
def test_systemd_knows_every_word_of_the_units() -> None:
    files = [str(path) for path in [*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.target")]]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    # RestartSteps= is younger than Debian 12's systemd, which says so and goes on.
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line and "Restart" not in line]
    assert [line for line in said if "doorward" in line] == []


@needs_systemd
def test_systemd_knows_every_word_of_the_owners_timer(tmp_path: Path) -> None:
    """The example that exports clips, as a user's own manager reads it."""
    for path in (ROOT / "config" / "export").iterdir():
        # The machine may lack `doorward` and ssh.
        (tmp_path / path.name).write_text(
            re.sub(r"(?m)^(Exec\w+=-?)(doorward|ssh) ", r"\1/bin/true ", path.read_text())
        )
    files = sorted(str(path) for path in tmp_path.iterdir())
    words = ["systemd-analyze", "--user", "verify", *files]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("role", EXPOSURE)
def test_every_protection_is_taken_or_its_absence_has_a_reason(role: str) -> None:
    text = unit(role).read_text()
    settings, _, left_out = text.partition("# --- Left out, and why")
    for name in HARDENING:
        taken = re.search(rf"^{name}=", settings, re.MULTILINE)
        assert taken or f"{name}=" in left_out, f"{unit(role).name} neither sets {name}= nor says why not"


@needs_systemd
@pytest.mark.parametrize("role", EXPOSURE)
def test_whatever_systemd_still_finds_exposed_has_a_reason_in_the_unit(role: str) -> None:
    words = ["systemd-analyze", "security", "--offline=true", "--json=short", str(unit(role))]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = [each["name"] for each in json.loads(done.stdout) if each["set"] is False]
    assert found
    left_out = unit(role).read_text().partition("# --- Left out, and why")[2].partition("[Install]")[0]
    for name in found:
        word = re.sub(r"RestrictAddressFamilies=~AF_\(?(\w+).*", r"AF_\1", name).partition("/")[0]
        assert re.search(rf"^# (?:\w+, )?{word}", left_out, re.MULTILINE), f"{role}: {name}"


@pytest.mark.parametrize("role", sorted(EXPOSURE.keys() - {"updater"}))
def test_a_role_is_restarted_for_ever_and_watched(role: str) -> None:
    text = unit(role).read_text()
    always = ("Type=notify", "Restart=always", "StartLimitIntervalSec=0", "NotifyAccess=main")
    for line in (*always, "RestartSec=1", "RestartSteps=5", "RestartMaxDelaySec=20"):
        assert f"\n{line}\n" in text
    assert re.search(r"^WatchdogSec=\d+$", text, re.MULTILINE)


def test_an_updater_that_writes_all_the_time_uses_up_no_starts_of_roots_step() -> None:
    """systemd.unit(5): five starts in ten seconds are too many, and then the path unit fails until the next boot."""
    text = (SYSTEMD / "doorward-update.service").read_text()
    assert re.findall(r"^StartLimitIntervalSec=(.*)$", text.partition("[Service]")[0], re.MULTILINE) == ["0"]
    first, *_ = re.findall(r"^ExecStart\w*=(.*)$", text, re.MULTILINE)
    assert re.fullmatch(r"/usr/bin/sleep [3-9]", first), "before the files are read, so that none is missed"


@pytest.mark.parametrize("role", ["recorder", "custodian", "uplink", "updater"])
def test_what_a_role_has_in_memory_goes_neither_into_swap_nor_into_a_core_dump(role: str) -> None:
    texts = [unit(role).read_text(), *(path.read_text() for path in (SYSTEMD / "dropins").glob(f"{role}-*.conf"))]
    for word, value in (("MemorySwapMax", "0"), ("LimitCORE", "0")):
        assert re.findall(rf"^{word}=(.*)$", "".join(texts), re.MULTILINE) == [value]


@pytest.mark.parametrize(
    ("configuration", "dropins"),
    [
        ("[camera]\nsize = [1920, 1080]\n", []),
        ("[camera]\nsize = [2592, 1944]\n", ["recorder-wide"]),
        ("[camera]\nkind = 'rtsp'\n[page]\n", ["custodian-page", "recorder-rtsp"]),
        ("[sound]\n", ["recorder-sound"]),
        ("[sound]\nkind = 'file'\npath = 'a.wav'\n", []),
        ("[speaker]\n", ["recorder-speaker"]),
        ("[speaker]\nkind = 'file'\npath = 'a.wav'\n", []),
    ],
    ids=[
        "nothing",
        "large pictures",
        "network camera and page",
        "microphone",
        "sound from a file",
        "speaker",
        "speaker to a file",
    ],
)
def test_a_unit_is_opened_as_far_as_the_configuration_asks(
    configuration: str, dropins: list[str], tmp_path: Path
) -> None:
    places = Places(tmp_path)
    places.etc.mkdir(parents=True)
    for each in (
        "[sound]\n[speaker]\n[page]\n[camera]\nkind = 'rtsp'\nsize = [3840, 2160]\n",
        configuration,
    ):  # and back again
        places.configuration.write_text(each)
        System(places).apply_options()
    assert sorted(path.stem for path in places.units.glob("*.service.d/*.conf")) == dropins
    assert set(DROPINS) == {path.stem for path in (SYSTEMD / "dropins").glob("*.conf")} == set(WITH_DROPIN)


@pytest.mark.parametrize(
    ("page", "waits"), [("setup_by_camera = true", True), ("setup_by_camera = false", False), ("", False)]
)
def test_root_waits_for_a_set_up_code_only_if_the_configuration_asks_for_it(
    page: str, waits: bool, tmp_path: Path
) -> None:
    places = Places(tmp_path)
    places.etc.mkdir(parents=True)
    (places.current / "app").mkdir(parents=True)
    (places.current / "app" / "systemd").symlink_to(SYSTEMD)
    link = places.units / "doorward.target.wants" / "doorward-join.path"
    for each, expected in (("setup_by_camera = true", True), (page, waits)):
        places.configuration.write_text(f"[page]\n{each}\n")
        System(places).apply_options()
        assert link.is_symlink() is expected


@pytest.mark.parametrize(
    ("configuration", "shows"),
    [
        ("[page]\nsetup_by_camera = true\n", True),
        ("[page]\nsetup_by_camera = true\n[panel]\nrecording_led = 24\n", True),
        ("[page]\nsetup_by_camera = true\n[panel]\nstatus_led = 25\n", False),
        ("[page]\n", False),
    ],
)
def test_the_board_s_own_light_shows_the_set_up_only_without_a_status_led(
    configuration: str, shows: bool, tmp_path: Path
) -> None:
    places = Places(tmp_path)
    places.etc.mkdir(parents=True)
    (places.current / "app").mkdir(parents=True)
    (places.current / "app" / "systemd").symlink_to(SYSTEMD)
    link = places.units / "doorward.target.wants" / "doorward-board-light.service"
    for each, expected in (("[page]\nsetup_by_camera = true\n", True), (configuration, shows)):
        places.configuration.write_text(each)
        System(places).apply_options()
        assert link.is_symlink() is expected
    text = (SYSTEMD / "doorward-board-light.service").read_text()
    for line in ("ConditionPathExists=!/etc/doorward/owned", "PrivateNetwork=yes", "NoNewPrivileges=yes",
                 "CapabilityBoundingSet=CAP_DAC_READ_SEARCH", "ProtectSystem=strict"):  # fmt: skip
        assert f"\n{line}\n" in text


@pytest.mark.parametrize(("section", "runs"), [("[backup]\nfolder = '/media/stick'\n", True), ("", False)])
def test_backups_are_made_each_day_only_if_the_configuration_says_where(
    section: str, runs: bool, tmp_path: Path
) -> None:
    places = Places(tmp_path)
    places.etc.mkdir(parents=True)
    (places.current / "app").mkdir(parents=True)
    (places.current / "app" / "systemd").symlink_to(SYSTEMD)
    link = places.units / "doorward.target.wants" / "doorward-backup.timer"
    for each, expected in (("[backup]\n", True), (section, runs)):
        places.configuration.write_text(each)
        System(places).apply_options()
        assert link.is_symlink() is expected


def test_what_root_does_with_a_set_up_code_is_shut_in() -> None:
    """It reads a file of the custodian's, so it reaches only what it needs: no network, and a few folders to write."""
    text = (SYSTEMD / "doorward-join.service").read_text()
    for line in ("ProtectSystem=strict", "IPAddressDeny=any", "NoNewPrivileges=yes", "ProtectHome=yes"):
        assert f"\n{line}\n" in text
    written = " ".join(re.findall(r"^ReadWritePaths=(.*)$", text, re.MULTILINE)).split()
    assert "/var/lib/doorward" not in " ".join(written)
    assert "/etc" not in written
    assert {"-/boot/firmware", "-/boot", "-/bootfs"} <= set(written), "for the report about the code on the card"
    first = re.findall(r"^ReadWritePaths=(.*)$", (SYSTEMD / "doorward-first-boot.service").read_text(), re.MULTILINE)
    assert {"/run/doorward/card", "/run/doorward/network"} <= set(first[0].split())
    path = (SYSTEMD / "doorward-join.path").read_text()
    assert re.findall(r"^PathExists=(.*)$", path, re.MULTILINE) == [
        "/run/doorward/setup/code", "/run/doorward/setup/owned", "/run/doorward/card/code",
    ]  # fmt: skip


def test_only_the_uplink_may_call_out_and_only_the_custodian_may_be_called() -> None:
    assert "\nPrivateNetwork=yes\n" in unit("recorder").read_text()
    assert "\nPrivateNetwork=yes\n" in unit("bridge").read_text()
    assert "\nPrivateNetwork=yes\n" in unit("custodian").read_text()
    assert re.search(r"^SystemCallFilter=~.*\bconnect\b", unit("custodian").read_text(), re.MULTILINE)
    assert "\nSocketBindDeny=any\n" in unit("uplink").read_text()


def test_the_uplink_may_have_the_threads_of_all_channels_at_once() -> None:
    """A ring goes to all. A channel has a thread, one for the end of a message and one for the end of a request."""
    (channels,) = [each for each in msgspec.inspect.type_info(AlertsConfig).fields if each.name == "channels"]  # type: ignore[attr-defined]
    (most,) = re.findall(r"^TasksMax=(\d+)$", unit("uplink").read_text(), re.MULTILINE)
    assert int(most) >= 3 * channels.type.max_length + 2 * MOST_BROWSERS + 32


def test_each_role_has_a_user_of_its_own_and_no_folder_is_written_by_two() -> None:
    users = re.findall(r"^u (\S+)", (SYSTEMD / "sysusers.d" / "doorward.conf").read_text(), re.MULTILINE)
    assert sorted(users) == sorted(f"doorward-{role}" for role in EXPOSURE)
    for role in EXPOSURE:
        assert f"\nUser=doorward-{role}\n" in unit(role).read_text()
    written = [
        folder
        for role in EXPOSURE
        for line in re.findall(r"^BindPaths=(.*)$", unit(role).read_text(), re.MULTILINE)
        for folder in line.split()
    ]
    assert len(written) == len(set(written))
