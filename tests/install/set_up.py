"""Set-up by the phone in an installed, booted container: from the installation to the first sealed clip that opens.

The camera is a film that the phone's side exchanges: a hallway, then a QR code held in front of it, then people. The
container has no radio, and its NetworkManager says so in its own words. Only the test's own Wi-Fi is a program that
answers as NetworkManager does: `NMCLI`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.core.setup_code import SetupCode
from tests.install.container import CAMERA, PACKAGES, ROOT, Container
from tests.install.phone import PASSWORD, WIFI
from tests.install.story import Story
from tests.setup_films import hallway, make_film

__all__ = ["set_up"]

FILM = 'kind = "file"\npath = "/srv/camera/film.mp4"\nrealtime = false\n'
PAGE = '\n[page]\nhost = "127.0.0.1"\naddresses = ["127.0.0.1"]\nmdns = false\nsetup_by_camera = true\n'
NMCLI = """\
#!/usr/bin/python3 -I
import os, sys
if "up" in sys.argv:
    with open("/etc/NetworkManager/system-connections/doorward.nmconnection") as file:
        lines = dict(line.strip().split("=", 1) for line in file if "=" in line)
    ssid = bytes(int(part) for part in lines["ssid"].split(";") if part).decode()
    psk = lines.get("psk", "").replace("\\\\s", " ").replace("\\\\\\\\", "\\\\")
    if ssid == {wifi!r} and psk == {password!r}:
        sys.exit(0)
    if ssid == {wifi!r}:
        sys.exit("Error: Connection activation failed: Secrets were required, but not provided.")
os.execv("/usr/bin/nmcli", ["nmcli", *sys.argv[1:]])
"""
PHONE_S = 1800
ZONE = "Europe/Amsterdam"
"""The zone of the phone (tests/browser/driver.mjs)."""
BY_LOCAL_TIME = tuple(f"doorward-{role}.service" for role in ("recorder", "bridge", "custodian"))


def set_up(suite: str) -> str:
    with Container(suite, PACKAGES + CAMERA.get(suite, "") + ",network-manager,tzdata") as box:
        return _set_up(Story(box))


def _set_up(story: Story) -> str:
    box = story.box
    film = box.root / "srv" / "camera" / "film.mp4"
    film.parent.mkdir()
    make_film(film, [hallway()])
    story.prepare(FILM)
    answers = story.answers.replace('name = "front-door"', 'name = "doorward"', 1) + PAGE
    (box.root / "root" / "answers.toml").write_text(answers)
    program = box.root / "usr/local/bin/nmcli"
    program.write_text(NMCLI.format(wifi=WIFI, password=PASSWORD))
    program.chmod(0o755)
    started = time.monotonic()
    story._install()
    installed_s = time.monotonic() - started
    story._until(lambda: story._status()["recorder"]["state"] != "", "the doorbell of nobody")
    assert box.property("NetworkManager.service", "ActiveState") == "active"
    box.run("ln", "-sfn", "/usr/share/zoneinfo/Etc/UTC", "/etc/localtime")
    began = {each: box.property(each, "InvocationID") for each in BY_LOCAL_TIME}
    assert _time_zone(box)["health"] == "poor", _time_zone(box)
    found = _by_phone(box, film)
    assert len(found["steps"]) <= 7, found["steps"]
    joined = (box.root / "etc/NetworkManager/system-connections/doorward.nmconnection").read_text()
    assert f"ssid={''.join(f'{byte};' for byte in WIFI.encode())}" in joined
    assert 'name = "front-door"' in (box.root / "etc/doorward/doorward.toml").read_text()
    assert f'time_zone = "{ZONE}"' in (box.root / "etc/doorward/doorward.toml").read_text()
    zone = _time_zone(box)
    assert (zone["health"], ZONE in zone["message"]) == ("fine", True), zone
    for unit, before in began.items():
        assert box.property(unit, "InvocationID") != before, f"{unit} counts by the zone of before"
    said = box.run("journalctl", "-u", "doorward-join", "-o", "cat", "--no-pager").stdout
    own_words = re.search(r"No suitable device found[^\n]{0,60}", said)
    assert own_words, said
    status = story._status()
    assert status["owners"], status
    assert status["vault"]["segments"], status
    _refuses_strangers(story)
    return (
        f"installed after {installed_s:.0f} s; {len(found['steps'])} steps, {found['seconds']:.0f} s from the set-up "
        f"page to the first opened clip in Chromium; tries: {'; '.join(found['tries'])}; with an owner, a stranger's "
        f"code is refused; UTC, of which the doctor warned, became the phone's zone {ZONE}; NetworkManager itself, "
        f"without a radio: {own_words[0]!r}"
    )


def _time_zone(box: Container) -> dict[str, str]:
    """Returns what the doctor finds about the time zone of the hours."""
    words = ("doorward", "doctor", "--json", "--config", "/etc/doorward/doorward.toml")
    report = json.loads(box.run(*words, check=False).stdout)
    (found,) = [each for each in report["findings"] if each["subject"] == "local time"]
    return dict(found)


def _by_phone(box: Container, film: Path) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory(prefix="doorward-phone-") as folder:
        words = [*box.in_network(sys.executable, "-m", "tests.install.phone"), str(film)]
        words += [f"/proc/{box.pid}/root/run/doorward/network/outcome", folder]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PHONE_S, check=False
        )
    if done.returncode:
        said = box.run("journalctl", "-u", "doorward-*", "-n", "40", "-o", "cat", "--no-pager").stdout
        raise AssertionError(f"{done.stdout[-1000:]}\n{done.stderr[-3000:]}\n{said}")
    return dict(json.loads(done.stdout.partition("PHONE ")[2]))


def _refuses_strangers(story: Story) -> None:
    """As a custodian that was taken over would: root itself knows that there is an owner."""
    box = story.box
    story._until((box.root / "etc/doorward/owned").exists, "root to know of the owner")
    code = SetupCode(bytes(range(16)), "stranger", "12345678", "front-door").text()
    box.run("sh", "-c", 'printf %s "$0" > /run/doorward/setup/code', code)

    def refused() -> bool:
        return "has an owner" in box.run("journalctl", "-u", "doorward-join", "-o", "cat", "--no-pager").stdout

    story._until(refused, "root to refuse the stranger")
    joined = (box.root / "etc/NetworkManager/system-connections/doorward.nmconnection").read_text()
    assert "".join(f"{byte};" for byte in b"stranger") not in joined
