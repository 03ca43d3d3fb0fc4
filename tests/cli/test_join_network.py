"""Root's part of the set-up: joins one Wi-Fi, keeps the earlier one if that fails, and obeys nothing with an owner."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.card_report import REPORT
from agent.cli.join_network import forget_set_up, join_network, keyfile
from agent.config import load
from agent.core.setup_code import SetupCode, parse_setup_code

MINE = SetupCode(b"m" * 16, "Huis", "correct horse", "front-door", "NL")
ABROAD = replace(MINE, zone="America/New_York")
CONFIGURATION = """\
[device]
# The name that owners see.
name = "doorward"
[camera]
kind = "usb"
[[motion.zones]]
name = "street"
corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
"""
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> {folder}/called
case "$*" in *" up "*) cat {folder}/said >&2; exit "$(cat {folder}/status)";; esac
"""


@dataclass
class Machine:
    """Root's folders, and programs of the system that note how they were called."""

    folder: Path

    def join(self) -> str:
        paths = {"--run": "run", "--etc": "etc", "--connections": "connections"}
        words = [str(word) for option, name in paths.items() for word in (option, self.folder / name)]
        done = CliRunner().invoke(join_network, words, catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    def start_with_card(self, text: str) -> str:
        """A start with `doorward.setup` on the boot partition, up to the path unit."""
        (self.folder / "boot").mkdir(exist_ok=True)
        (self.folder / "boot" / "doorward.setup").write_text(text)
        return self.take_card() + self.join()

    def take_card(self) -> str:
        paths = {"--run": "run", "--etc": "etc", "--boot": "boot"}
        words = [str(word) for option, name in paths.items() for word in (option, self.folder / name)]
        done = CliRunner().invoke(join_network, [*words, "--take-card"], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    def ask(self, text: str) -> str:
        (self.folder / "run" / "setup" / "code").write_text(text)
        return self.join()

    def nmcli_says(self, words: str, status: int) -> None:
        (self.folder / "said").write_text(words)
        (self.folder / "status").write_text(str(status))

    @property
    def report(self) -> str:
        path = self.folder / "boot" / REPORT
        return path.read_text(encoding="utf-8-sig") if path.exists() else ""

    @property
    def card_outcome(self) -> str:
        path = self.folder / "run" / "network" / "card-outcome"
        return path.read_text() if path.exists() else ""

    @property
    def called(self) -> list[str]:
        path = self.folder / "called"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def outcome(self) -> str:
        return (self.folder / "run" / "network" / "outcome").read_text()

    @property
    def connection(self) -> Path:
        return self.folder / "connections" / "doorward.nmconnection"

    @property
    def configuration(self) -> Path:
        return self.folder / "etc" / "doorward.toml"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in ("run/setup", "run/network", "etc", "connections", "bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("nmcli", "systemctl", "iw", "raspi-config"):
        (tmp_path / "bin" / name).write_text(PROGRAM.format(folder=tmp_path))
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "etc" / "doorward.toml").write_text(CONFIGURATION)
    found = Machine(tmp_path)
    found.nmcli_says("", 0)
    return found


def test_it_joins_names_the_doorbell_and_says_so(machine: Machine) -> None:
    before = os.umask(0o077)  # as in the unit
    said = machine.ask(MINE.text())
    os.umask(before)
    assert machine.outcome == f"{MINE.id} joined\n"
    assert (machine.folder / "run" / "network" / "outcome").stat().st_mode & 0o777 == 0o644
    assert "correct horse" not in said
    assert machine.connection.read_text() == keyfile(MINE)
    assert machine.connection.stat().st_mode & 0o777 == 0o600
    assert machine.configuration.read_text() == CONFIGURATION.replace('"doorward"', '"front-door"')
    assert "raspi-config nonint do_wifi_country NL" in machine.called
    assert (machine.folder / "etc/wifi-country").read_text() == "NL\n", (
        "raspi-config cannot keep it on a read-only card"
    )
    assert machine.called[-1] == "systemctl --no-block restart doorward-custodian.service"
    assert not (machine.folder / "run" / "setup" / "code").exists()
    assert "password" not in " ".join(machine.called)
    assert "correct horse" not in " ".join(machine.called)


def test_the_password_and_the_name_of_a_wifi_cannot_mean_anything_else_in_the_keyfile() -> None:
    text = keyfile(SetupCode(bytes(16), "a;b=[x] ü", r"  a\nb;c=#[wifi]", "door"))
    lines = text.splitlines()
    assert "ssid=97;59;98;61;91;120;93;32;195;188;" in lines
    assert r"psk=\s\sa\\nb;c=#[wifi]" in lines
    assert [line for line in lines if line.startswith("[")] == [
        "[connection]", "[wifi]", "[wifi-security]", "[ipv4]", "[ipv6]",
    ]  # fmt: skip
    assert "wifi-security" not in keyfile(SetupCode(bytes(16), "open", "", "door"))


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("Error: Connection activation failed: Secrets were required, but not provided.", "wrong-password"),
        ("Error: Connection activation failed: The 802.1X supplicant took too long", "wrong-password"),
        ("Error: Connection activation failed: The Wi-Fi network could not be found", "no-network"),
        ("Error: Connection activation failed: No suitable device found for this connection", "no-network"),
        ("Error: Connection activation failed: IP configuration could not be reserved", "no-address"),
        ("Error: Timeout expired (60 seconds)", "failed"),
        ("", "failed"),
    ],
)
def test_a_failure_has_its_reason_and_leaves_the_earlier_network(machine: Machine, said: str, state: str) -> None:
    machine.ask(MINE.text())
    machine.nmcli_says(said, 4)
    other = SetupCode(b"o" * 16, "Elsewhere", "another one", "other-name")
    machine.ask(other.text())
    assert machine.outcome == f"{other.id} {state}\n"
    assert machine.connection.read_text() == keyfile(MINE)
    assert machine.called[-1] == "nmcli connection reload"
    assert "other-name" not in machine.configuration.read_text()


def test_a_first_failure_leaves_no_network(machine: Machine) -> None:
    machine.nmcli_says("Secrets were required", 4)
    machine.ask(MINE.text())
    assert not machine.connection.exists()


def test_a_system_without_network_manager_is_a_failure(machine: Machine) -> None:
    for name in ("nmcli", "systemctl", "iw", "raspi-config"):
        (machine.folder / "bin" / name).unlink()
    machine.ask(MINE.text())
    assert machine.outcome.split()[1] in ("failed", "no-network", "wrong-password")
    assert not machine.connection.exists()


def test_a_doorbell_with_a_cable_needs_no_wifi(machine: Machine) -> None:
    code = SetupCode(b"k" * 16, "", "", "front-door")
    machine.ask(code.text())
    assert machine.outcome == f"{code.id} joined\n"
    assert not machine.connection.exists()
    assert [line.split()[0] for line in machine.called] == ["systemctl"]


def test_the_same_name_needs_no_restart(machine: Machine) -> None:
    machine.ask(SetupCode(b"m" * 16, "Huis", "correct horse", "doorward").text())
    assert not any("systemctl" in line for line in machine.called)


def test_a_configuration_that_the_name_would_break_stays(machine: Machine) -> None:
    machine.configuration.write_text(CONFIGURATION + "[no-such-section]\n")
    machine.ask(MINE.text())
    assert '"doorward"' in machine.configuration.read_text()
    assert machine.outcome == f"{MINE.id} joined\n"


MOVED = [
    "systemctl --no-block try-restart doorward-recorder.service doorward-bridge.service",
    "systemctl --no-block restart doorward-custodian.service",
]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CONFIGURATION, CONFIGURATION.replace("[device]\n", '[device]\ntime_zone = "America/New_York"\n')),
        (
            CONFIGURATION.replace("[camera]", '  time_zone="" # of the house\n[camera]'),
            CONFIGURATION.replace("[camera]", '  time_zone="America/New_York" # of the house\n[camera]'),
        ),
        ("\ufeff[device]\n", '[device]\ntime_zone = "America/New_York"\n'),
        ('[camera]\nkind = "usb"\n', '[camera]\nkind = "usb"\n\n[device]\ntime_zone = "America/New_York"\n'),
        (
            '[device] # mine\n[page]\nname = "x"\n',
            '[device] # mine\ntime_zone = "America/New_York"\n[page]\nname = "x"\n',
        ),
    ],
)
def test_private_hours_are_by_the_time_of_the_phone_that_sets_it_up(machine: Machine, before: str, after: str) -> None:
    """The image's time zone is Europe/London."""
    (machine.folder / "etc" / "owned").touch()
    machine.configuration.write_text(before)
    machine.start_with_card(ABROAD.text())
    assert machine.configuration.read_text() == after
    assert load(machine.configuration).device.time_zone == "America/New_York"
    assert machine.called[-2:] == MOVED
    machine.start_with_card(replace(ABROAD, secret=b"n" * 16).text())
    assert machine.called.count(MOVED[0]) == 1, "the same zone restarts nothing"


def test_a_new_doorbell_takes_name_and_time_zone_of_a_qr_code(machine: Machine) -> None:
    machine.ask(ABROAD.text())
    found = load(machine.configuration).device
    assert (found.name, found.time_zone) == ("front-door", "America/New_York")
    assert machine.called[-2:] == MOVED


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "Europe"])
def test_a_time_zone_that_the_machine_does_not_know_changes_nothing(machine: Machine, zone: str) -> None:
    """The C library would take it for UTC."""
    said = machine.ask(replace(MINE, zone=zone).text())
    assert (f"does not know the time zone {zone} of the set-up code" in said) is bool(zone)
    assert (f"Set device.time_zone in {machine.configuration}" in said) is bool(zone)
    assert "time_zone" not in machine.configuration.read_text()
    assert MOVED[0] not in machine.called


@pytest.mark.parametrize("text", ["", "DW1:", "x" * 10_000, MINE.text() + "\n", "\xff"])
def test_anything_but_a_code_changes_nothing(machine: Machine, text: str) -> None:
    machine.ask(text)
    assert machine.called == []
    assert not machine.connection.exists()
    assert not (machine.folder / "run" / "setup" / "code").exists()


def test_a_link_or_a_pipe_of_a_custodian_that_was_taken_over_is_not_followed(machine: Machine) -> None:
    target = machine.folder / "secret"
    target.write_text(MINE.text())
    wish = machine.folder / "run" / "setup" / "code"
    wish.symlink_to(target)
    machine.join()
    os.mkfifo(wish)
    machine.join()
    assert machine.called == []
    assert target.read_text() == MINE.text()
    assert not wish.exists()


def test_with_an_owner_no_code_changes_anything_any_more(machine: Machine) -> None:
    (machine.folder / "run" / "setup" / "owned").write_text("owned\n")
    machine.join()
    assert (machine.folder / "etc" / "owned").exists()
    assert not (machine.folder / "run" / "setup" / "owned").exists()
    assert "has an owner" in machine.ask(MINE.text())
    assert machine.called == []
    assert not (machine.folder / "run" / "network" / "outcome").exists()
    assert machine.configuration.read_text() == CONFIGURATION


def test_without_a_code_there_is_nothing_to_do(machine: Machine) -> None:
    assert "nothing is changed" in machine.join()


@pytest.mark.parametrize("owned", [False, True])
def test_a_code_on_the_card_changes_the_network_also_with_an_owner_and_then_no_name(
    machine: Machine, owned: bool
) -> None:
    if owned:
        (machine.folder / "etc" / "owned").touch()
    machine.start_with_card(f"{MINE.text()}\r\n")
    assert machine.connection.read_text() == keyfile(MINE)
    told = parse_setup_code((machine.folder / "run" / "network" / "card").read_text())
    assert (told.secret, told.ssid, told.password) == (MINE.secret, "", "")
    assert (machine.folder / "run" / "network" / "card").stat().st_mode & 0o777 == 0o640
    assert ('"front-door"' in machine.configuration.read_text()) is not owned
    assert not (machine.folder / "boot" / "doorward.setup").exists()
    assert not (machine.folder / "run" / "card" / "code").exists()


def test_a_code_on_the_card_counts_once_also_on_a_card_that_cannot_be_written(machine: Machine) -> None:
    machine.start_with_card(MINE.text())
    machine.connection.unlink()
    assert "taken before" in machine.start_with_card(MINE.text())
    assert not machine.connection.exists()


def test_a_code_on_the_card_that_does_not_join_lets_nothing_in(machine: Machine) -> None:
    machine.nmcli_says("Secrets were required", 4)
    machine.start_with_card(MINE.text())
    assert not (machine.folder / "run" / "network" / "card").exists()
    assert not machine.connection.exists()


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        ("Secrets were required", "wrong-password", "The Wi-Fi refused the password"),
        ("The Wi-Fi network could not be found", "no-network", "found no Wi-Fi of the name"),
        ("IP configuration could not be reserved", "no-address", "gave the doorbell no address"),
        ("Timeout expired", "failed", "could not join the Wi-Fi"),
    ],
)
def test_the_card_and_the_light_say_why_its_code_did_not_join_and_the_same_file_is_tried_again(
    machine: Machine, said: str, state: str, words: str
) -> None:
    machine.nmcli_says(said, 4)
    before = os.umask(0o077)  # as in the unit
    machine.start_with_card(MINE.text())
    os.umask(before)
    assert words in machine.report
    assert machine.report.startswith("English\n")
    assert "Deutsch" in machine.report
    assert "العربية" in machine.report
    assert not any(secret in machine.report for secret in (MINE.password, MINE.ssid, MINE.name, MINE.pairing_code))
    assert machine.card_outcome == f"{MINE.id} {state}\n"
    assert (machine.folder / "run" / "network" / "card-outcome").stat().st_mode & 0o777 == 0o640
    machine.nmcli_says("", 0)
    assert "joined" in machine.start_with_card(MINE.text())
    assert machine.connection.exists()
    assert (machine.report, machine.card_outcome) == ("", "")
    assert "taken before" in machine.start_with_card(MINE.text())
    assert "was used before" in machine.report


def test_a_qr_code_that_joins_ends_what_the_light_says_of_the_card(machine: Machine) -> None:
    machine.nmcli_says("Secrets were required", 4)
    machine.start_with_card(MINE.text())
    machine.nmcli_says("", 0)
    machine.ask(SetupCode(b"q" * 16, "Huis", "another one", "front-door").text())
    assert machine.card_outcome == ""


def test_a_card_that_takes_no_report_stops_nothing(machine: Machine) -> None:
    machine.nmcli_says("Secrets were required", 4)
    (machine.folder / "boot" / REPORT).mkdir(parents=True)
    assert "cannot be written" in machine.start_with_card(MINE.text())
    assert machine.card_outcome.endswith("wrong-password\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Line 1 of doorward.setup is no set-up code"),
        ("DW1:", "Line 1 of doorward.setup is no set-up code"),
        ("x" * 10_000, "Line 1 of doorward.setup is no set-up code"),
        ("\xff", "Line 1 of doorward.setup is no set-up code"),
        (MINE.text()[:-1], "Line 1 of doorward.setup is no set-up code"),
        (f"{MINE.text()}\n\nssid=Huis\n", "Line 3 of doorward.setup does not belong there"),
    ],
)
def test_another_file_on_the_card_changes_nothing_and_the_card_says_which_line_is_wrong(
    machine: Machine, text: str, fault: str
) -> None:
    machine.start_with_card(text)
    assert machine.called == []
    assert not (machine.folder / "run" / "card" / "code").exists()
    assert fault in machine.report
    assert machine.card_outcome == "- failed\n"
    assert MINE.password not in machine.report
    machine.start_with_card(MINE.text())
    assert machine.connection.exists()
    assert (machine.report, machine.card_outcome) == ("", "")


def test_a_start_without_a_code_on_the_card_changes_nothing(machine: Machine) -> None:
    assert machine.take_card() == ""


def test_for_a_new_owner_the_former_ones_wifi_goes_and_codes_count_again(machine: Machine) -> None:
    machine.start_with_card(MINE.text())
    (machine.folder / "etc" / "owned").touch()
    (machine.folder / "etc" / "wifi-country").write_text("DE\n")
    assert forget_set_up(machine.folder / "etc", machine.connection.parent)
    assert not machine.connection.exists()
    assert not (machine.folder / "etc" / "owned").exists()
    assert not (machine.folder / "etc" / "wifi-country").exists()
    machine.ask(SetupCode(b"n" * 16, "New home", "another one", "front-door").text())
    assert machine.connection.exists()
    assert not forget_set_up(machine.folder / "etc", machine.folder / "run")
