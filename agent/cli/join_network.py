"""`doorward join-network`: root's part of the set-up by the camera (systemd/doorward-join.service).

Reads the code that the custodian left, joins the Wi-Fi with NetworkManager, gives the doorbell its name, and says what
became of it. It believes nothing but what the strict parser of `agent.core.setup_code` returns, and it does nothing on
a doorbell that has an owner: the custodian asked for `owned` once, and only `doorward reset` removes it.

A code on the memory card (`doorward.setup` on the boot partition) counts with an owner too, for a new router or a lost
phone: a person with the card can change the software anyway. It gives no name, because the phones know the present one.
If such a file does not work, a text beside it says why (`agent.cli.card_report`), and the board's light flashes. A code
that did not join counts again, so the same file can be tried again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from agent.cli import card_report
from agent.cli.frame import BOOT_FOLDERS
from agent.core.setup_code import SetupCode, parse_setup_code
from agent.core.setup_state import LONGEST_TEXT, SetupState
from agent.platform import files
from agent.platform.privileges import read_regular
from firmware_bridge.time_zone import is_zone

__all__ = ["forget_set_up", "join_network", "keyfile"]

_RUN = Path("/run/doorward")
_ETC = Path("/etc/doorward")
_CODES: Final = "card-codes"
"""A file in /etc/doorward: the ids of codes that were on the card, each of which counts once."""
_MOST_IDS_BYTES: Final = 1 << 16
_CARD_OUTCOME: Final = "card-outcome"
"""A file in /run/doorward/network: why the file of the card did not work, for the board's light."""
_FOLDER: Final = "folder"
"""A file in /run/doorward/card: the folder in which the file of the card was."""
_MOST_ON_CARD_BYTES: Final = 4096
_COUNTRY: Final = "wifi-country"
"""A file in /etc/doorward: the Wi-Fi's country, for cards whose boot partition is read-only."""
_CONNECTIONS = Path("/etc/NetworkManager/system-connections")
OWNED: Final = "owned"
"""A file in /etc/doorward. It says: this doorbell has an owner, so no code changes its network."""
_CONNECTION: Final = "doorward"
_UUID: Final = "8d6f1f0e-6f6b-4b42-9d0e-64f6f6f22d01"
"""The connection's. It is the same on each doorbell and names no network."""
_WAIT_S: Final = 60
_MOST_KEYFILE_BYTES: Final = 4096
_NAME: Final = re.compile(r"(?m)^(\s*name\s*=\s*)(\"[^\"\n]*\")")
"""The first name of the file, which is that of [device]."""
_DEVICE: Final = re.compile(r"(?m)^[ \t]*\[[ \t]*device[ \t]*\][^\n]*\n")
_SECTION: Final = re.compile(r"(?m)^[ \t]*\[")
_TIME_ZONE: Final = re.compile(r"(?m)^([ \t]*time_zone[ \t]*=[ \t]*)\"[^\"\n]*\"")
_CUSTODIAN: Final = "doorward-custodian.service"
_BY_LOCAL_TIME: Final = ("doorward-recorder.service", "doorward-bridge.service")
"""Private hours and the chime's quiet hours. Those of alerts are the custodian's."""
_FAULTS: Final[tuple[tuple[str, SetupState], ...]] = (
    ("secrets were required", SetupState.WRONG_PASSWORD),
    ("802.1x supplicant", SetupState.WRONG_PASSWORD),
    ("network could not be found", SetupState.NO_NETWORK),
    ("no suitable device", SetupState.NO_NETWORK),
    ("no network with ssid", SetupState.NO_NETWORK),
    ("ip configuration could not be reserved", SetupState.NO_ADDRESS),
)
"""Answers of nmcli (NetworkManager, src/libnm-client-aux-extern/nm-libnm-aux.c, reasons of a device), lower case."""


@click.command("join-network")
@click.option("--run", "run_", type=click.Path(path_type=Path, file_okay=False), default=_RUN, hidden=True)
@click.option("--etc", type=click.Path(path_type=Path, file_okay=False), default=_ETC, hidden=True)
@click.option("--connections", type=click.Path(path_type=Path, file_okay=False), default=_CONNECTIONS, hidden=True)
@click.option("--take-card", is_flag=True, help="Only take the code from the boot partition, once, at a start.")
@click.option(
    "--boot", type=click.Path(path_type=Path, file_okay=False), multiple=True, default=BOOT_FOLDERS, hidden=True
)
def join_network(run_: Path, etc: Path, connections: Path, take_card: bool, boot: tuple[Path, ...]) -> None:
    """Join the Wi-Fi of a set-up code: a QR code that the camera has read, or one on the card. systemd runs this.

    A doorbell with an owner ignores every QR code.
    """
    if take_card:
        _take_card(boot, run_, etc / _CODES)
        return
    by_card = _code_in(run_ / "card" / "code")
    if by_card is not None:
        _join_by_card(by_card, run_, etc, connections)
    # Before the code is looked at: the owner may have come while it was on its way.
    if (run_ / "setup" / "owned").exists():
        files.write(etc / OWNED, b"This doorbell has an owner. No QR code changes its network.\n")
        (run_ / "setup" / "owned").unlink(missing_ok=True)
    code = _code_in(run_ / "setup" / "code")
    if code is None:
        click.echo("There is no set-up code; nothing is changed.")
    elif (etc / OWNED).exists():
        click.echo("This doorbell has an owner, so no code changes its network.")
    else:
        state = _join(code, etc, connections)
        renamed = state is SetupState.JOINED and _rename(etc / "doorward.toml", code.name)
        moved = state is SetupState.JOINED and _set_time_zone(etc / "doorward.toml", code.zone)
        _report(run_ / "network" / "outcome", code, state)
        (run_ / "network" / _CARD_OUTCOME).unlink(missing_ok=True)
        click.echo(f"Set-up code {code.id}: {state.value}.")
        _restart(renamed=renamed, moved=moved)


def forget_set_up(etc: Path, connections: Path | None = None) -> bool:
    """Lets a new owner set the doorbell up. Returns True if a Wi-Fi of the former one was removed.

    The connection itself lasts until the next start: this command may have come over it.
    """
    for name in (OWNED, _CODES, _COUNTRY):
        (etc / name).unlink(missing_ok=True)
    path = (connections or _CONNECTIONS) / f"{_CONNECTION}.nmconnection"
    known = path.is_file()
    path.unlink(missing_ok=True)
    return known


def _take_card(boot: tuple[Path, ...], run_: Path, known: Path) -> None:
    """Takes the file from the boot partition. Each code counts once, also if the partition cannot be written."""
    from agent.errors import FormatError

    folder = next((each for each in boot if (each / card_report.ON_CARD).is_file()), None)
    if folder is None:
        return
    source, waiting = folder / card_report.ON_CARD, run_ / "card" / "code"
    told = ""
    try:
        told = read_regular(source, _MOST_ON_CARD_BYTES).decode(
            "ascii"
        )  # a file of several lines is longer than a code
        text = told.strip()
        code = parse_setup_code(text)
    except (OSError, UnicodeDecodeError, FormatError) as error:
        click.echo(f"{source} is no set-up code: {error}", err=True)
        _tell_card(folder, card_report.faults_in(told) or card_report.NO_CODE)
        _note(run_ / "network" / _CARD_OUTCOME, f"- {SetupState.FAILED.value}\n".encode())
        return
    before = _codes_in(known)
    if code.id in before:
        click.echo("This set-up code was taken before; nothing is changed.")
        _tell_card(folder, card_report.USED_BEFORE)
        return
    # Noted before it is used: after a power cut in between, the code does not count a second time.
    files.write(known, "\n".join([*before[-100:], code.id, ""]).encode(), secret=True)
    waiting.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write(waiting.with_name(_FOLDER), os.fsencode(folder))
    files.write(waiting, text.encode("ascii"), secret=True)
    try:
        source.unlink()  # it holds the password of the Wi-Fi
    except OSError as error:
        click.echo(f"{source} cannot be removed ({error.strerror}). Remove it: it holds your password.", err=True)


def _codes_in(known: Path) -> list[str]:
    return (files.read_if_there(known, _MOST_IDS_BYTES) or b"").decode("ascii").split()


def _tell_card(folder: Path, said: tuple[str, str] | None) -> None:
    """Writes the report beside the file, or removes that of an earlier start if there is nothing to say."""
    try:
        if said is None:
            card_report.remove_report(folder)
        else:
            card_report.write_report(folder, said)
    except OSError as error:
        click.echo(f"{folder / card_report.REPORT} cannot be written ({error.strerror}).", err=True)


def _join_by_card(code: SetupCode, run_: Path, etc: Path, connections: Path) -> None:
    state, network = _join(code, etc, connections), run_ / "network"
    click.echo(f"Set-up code {code.id} of the card: {state.value}.")
    folder = run_ / "card" / _FOLDER
    has_joined = state is SetupState.JOINED
    with contextlib.suppress(OSError):
        said = None if has_joined else card_report.state_in_words(state)
        _tell_card(Path(os.fsdecode(folder.read_bytes())), said)
        folder.unlink()
    if not has_joined:
        # The same file may be tried again, for example after the router has been switched on.
        left = [each for each in _codes_in(etc / _CODES) if each != code.id]
        files.write(etc / _CODES, "\n".join([*left, ""]).encode(), secret=True)
        _note(network / _CARD_OUTCOME, f"{code.id} {state.value}\n".encode())
        return
    (network / _CARD_OUTCOME).unlink(missing_ok=True)
    _note(network / "card", replace(code, ssid="", password="").text().encode("ascii"))
    renamed = not (etc / OWNED).exists() and _rename(etc / "doorward.toml", code.name)
    _restart(renamed=renamed, moved=_set_time_zone(etc / "doorward.toml", code.zone))


def _restart(*, renamed: bool, moved: bool) -> None:
    """Lets the services that use the name or the time zone read the configuration again."""
    if moved:
        _run("systemctl", "--no-block", "try-restart", *_BY_LOCAL_TIME)
    if renamed or moved:
        _run("systemctl", "--no-block", "restart", _CUSTODIAN)


def _note(path: Path, data: bytes) -> None:
    """Writes a file that the custodian may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, data, secret=True)
    os.chown(path, -1, path.parent.stat().st_gid)  # the custodian's group
    path.chmod(0o640)


def _code_in(path: Path) -> SetupCode | None:
    """Returns the code, and removes its file, which holds the password of the Wi-Fi."""
    from agent.errors import FormatError

    try:
        # The custodian owns the folder, so an attacker there may put a link, a pipe or a long file in place.
        text = read_regular(path, LONGEST_TEXT).decode("ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        text = ""
    path.unlink(missing_ok=True)
    try:
        return parse_setup_code(text)
    except FormatError as error:
        click.echo(f"The set-up code is refused: {error.message}", err=True)
        return None


def _join(code: SetupCode, etc: Path, connections: Path) -> SetupState:
    """Joins, and keeps the network only if that worked: an earlier one comes back."""
    if not code.ssid:
        return SetupState.JOINED
    _set_country(code.country, etc)
    path = connections / f"{_CONNECTION}.nmconnection"
    # A wrong password in a new code must not cost the network that works.
    before = files.read_if_there(path, _MOST_KEYFILE_BYTES)
    files.write(path, keyfile(code).encode(), secret=True)
    _run("nmcli", "connection", "load", str(path))
    done = _run("nmcli", "--wait", str(_WAIT_S), "connection", "up", "id", _CONNECTION)
    if done.returncode == 0:
        return SetupState.JOINED
    click.echo(done.stderr, err=True)
    if before is None:
        path.unlink(missing_ok=True)
    else:
        files.write(path, before, secret=True)
    _run("nmcli", "connection", "reload")
    said = f"{done.stdout}{done.stderr}".lower()
    return next((state for words, state in _FAULTS if words in said), SetupState.FAILED)


def keyfile(code: SetupCode) -> str:
    """Writes a connection for NetworkManager (nm-settings-keyfile(5)).

    The SSID is a list of bytes, so no character of it can mean anything. "wpa-psk" is WPA2 and WPA3 personal.
    """
    lines = ["[connection]", f"id={_CONNECTION}", f"uuid={_UUID}", "type=wifi", "autoconnect-priority=10", ""]
    lines += ["[wifi]", "mode=infrastructure", f"ssid={''.join(f'{byte};' for byte in code.ssid.encode())}", ""]
    if code.password:
        lines += ["[wifi-security]", "key-mgmt=wpa-psk", f"psk={_escaped(code.password)}", ""]
    lines += ["[ipv4]", "method=auto", "", "[ipv6]", "method=auto", "addr-gen-mode=stable-privacy", ""]
    return "\n".join(lines)


def _escaped(value: str) -> str:
    """As GKeyFile reads a string: only a backslash and spaces at the beginning mean anything in printable ASCII."""
    text = value.replace("\\", "\\\\")
    # GKeyFile drops leading spaces, and they may belong to the password.
    bare = text.lstrip(" ")
    return "\\s" * (len(text) - len(bare)) + bare


def _set_country(country: str, etc: Path) -> None:
    """Allows the radio. Raspberry Pi OS blocks it until a country is set."""
    if country:
        files.write(etc / _COUNTRY, f"{country}\n".encode())
    if country and shutil.which("raspi-config"):
        _run("raspi-config", "nonint", "do_wifi_country", country)
    elif country and shutil.which("iw"):
        _run("iw", "reg", "set", country)
    _run("nmcli", "radio", "wifi", "on")


def _rename(path: Path, name: str) -> bool:
    """Writes the doorbell's name into the configuration. Returns False if it has it, or the file would break."""
    before = path.read_text(encoding="utf-8-sig")
    return _replace(path, before, _NAME.sub(lambda found: f"{found[1]}{json.dumps(name)}", before, count=1))


def _set_time_zone(path: Path, zone: str) -> bool:
    """Writes the phone's time zone into the configuration. Otherwise private hours would be by that of the image."""
    if not is_zone(zone):
        if zone:
            said = f"This machine does not know the time zone {zone} of the set-up code, so its hours stay as they are."
            click.echo(f"{said} Set device.time_zone in {path}, then run:  sudo doorward apply", err=True)
        return False
    text = before = path.read_text(encoding="utf-8-sig")
    if _DEVICE.search(text) is None:
        text += "\n[device]\n"
    begin = _DEVICE.search(text)
    assert begin is not None  # noqa: S101 — it was added above
    after = _SECTION.search(text, begin.end())
    end = len(text) if after is None else after.start()
    section, known = _TIME_ZONE.subn(lambda found: f'{found[1]}"{zone}"', text[begin.end() : end], count=1)
    return _replace(
        path, before, text[: begin.end()] + ("" if known else f'time_zone = "{zone}"\n') + section + text[end:]
    )


def _replace(path: Path, before: str, text: str) -> bool:
    from agent.config import load
    from agent.errors import ConfigurationError

    if text == before:
        return False
    files.write(path, text.encode(), like=path)
    try:
        load(path)
    except ConfigurationError as error:
        click.echo(f"The configuration is not changed: {error.message}", err=True)
        files.write(path, before.encode(), like=path)
        return False
    return True


def _report(path: Path, code: SetupCode, state: SetupState) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, f"{code.id} {state.value}\n".encode())
    path.chmod(0o644)  # the umask of the unit hides it from the custodian otherwise


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs a program of the system, without a shell. A program that is missing fails like one that refuses."""
    # The words of `_FAULTS` are compared with nmcli's answers, which it translates otherwise.
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(  # noqa: S603 — our own words; the only one from outside is a country of two letters
            words, capture_output=True, text=True, check=False, env=environment, timeout=_WAIT_S + 30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 127, "", str(error))
