"""The life of an installation, a step at a time: each says what it measured, or raises what failed.

Steps build on the ones before, in the order of `run.STEPS`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.config.test_fleet import fifty
from tests.install.camera import CAMERAS, put_camera
from tests.install.container import ROOT, Container, copy_source, wheelhouse
from tests.install.dummy_package import make_archive
from tests.install.update_server import CLIENTS, UpdateServer
from tests.install.way_back import OWNER, ways_back

ROLES = ("custodian", "recorder", "uplink")
ANSWERS = """\
[device]
name = "front-door"
position = { latitude = 52.0902, longitude = 5.1115 }
[camera]
CAMERA
[clips]
longest_clip_s = 20.0
[panel]
backend = "simulated"
socket = "/run/doorward/bridge/bridge.sock"
start = false
agent_user = "doorward-recorder"
[log]
format = "json"
"""
OUTSIDE = ("198.51.100.1/32",)
"""An address of the internet's (RFC 5737), lent to the loopback while the probes run."""
NARROWED = "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost\n"
"""The addition that the uplink's unit offers to operators; here the broker is on this machine."""
PLANTED = {
    "custodian": (
        ("custodian/push.json", "/root/victim/secret"),
        ("custodian/page", "/root/victim"),
        ("custodian/alerts.sqlite", "/root/victim"),
        ("outbox/x", "/root/victim"),
        ("outbox/y", "/root/victim/secret"),
    ),
    "recorder": (
        ("recorder/recorder.sqlite", "/root/victim/secret"),
        ("recorder/x", "/root/victim"),
        ("vault/manifest.0", "/root/victim/secret"),
        ("vault/segments", "/root/victim"),
        ("vault/x", "/root/victim/secret"),
    ),
}
"""Role → the links that it makes in its own folders, and where each leads."""
NOT_OURS = re.compile(
    r"^/(var/log|var/lib/systemd|var/lib/private|var/cache|var/tmp|root|etc/(passwd|shadow|group|gshadow)-?$|etc/\.pwd\.lock"
    r"|etc/subuid-?$|etc/subgid-?$|etc/machine-id|etc/mosquitto|var/lib/mosquitto|etc/resolv.conf|etc/ssl|etc/ld.so.cache)"
)
"""Files that a running system changes on its own, the account files (their lines are compared), and the test's own
broker."""


class Story:
    """One container, and what was found out in it."""

    def __init__(self, box: Container) -> None:
        self.box = box
        self.suite = box.suite
        self.answers = ""
        self.kill_count = int(os.environ.get("DOORWARD_KILLS", "100"))
        self.injections = 0
        self.before: dict[str, str] = {}
        self.accounts = ""
        self.roles = (*ROLES, "bridge")

    # --- Steps, in this order

    def prepare(self, camera: str) -> None:
        """Prepares an installer's luggage: the release, its wheels, and the answers."""
        copy_source(self.box.root / "root" / "src")
        shutil.copytree(wheelhouse(), self.box.root / "root" / "src" / "wheelhouse")
        # The commands of owners and brokers, and the part of the tests that runs inside.
        copy_source(self.box.root / "root" / "repo", tests=True)
        self.answers = ANSWERS.replace("CAMERA", camera)
        (self.box.root / "root" / "answers.toml").write_text(self.answers)

    def install(self) -> str:
        if not self.answers:
            self.prepare(put_camera(self.suite, self.box.root))
            self.box.run("python3", "-m", "compileall", "-q", "/usr/lib/python3/dist-packages", check=False)
        self.before, self.accounts = self.box.files(), self._accounts()
        seconds = self._install()
        program = self.box.root / "opt/doorward/current/app/agent"
        assert not (program / "clients").exists(), "a doorbell holds a client"
        refused = self.box.run("doorward", "owner", "status", check=False)
        assert "is not installed here" in refused.stderr, refused.stderr
        return f"without a network, from the wheelhouse: {seconds:.0f} s; custodian, recorder and bridge active"

    def first_clip(self) -> str:
        self._inside("enrol")
        found = self._inside("record", "1")
        seen = CAMERAS[self.suite]
        return f"first sealed segment {found['seconds']} s after the owner enrolled; filmed: {seen}"

    def broker(self) -> str:
        run = self.box.run
        run("systemctl", "stop", "mosquitto")
        run(*CLIENTS.split(), "broker", "init", "--host", "localhost", "--host", "127.0.0.1", "--address", "127.0.0.1")
        run("doorward", "link", "request")
        device = json.loads(run("doorward", "status", "--json").stdout)["device_id"]
        run(*CLIENTS.split(), "broker", "add-device", device, "--csr", "/etc/doorward/tls/device.csr")
        folder = "/etc/mosquitto/doorward"
        run("doorward", "link", "accept", "--host", "localhost", "--ca", f"{folder}/authorities/broker.pem",
            "--certificate", f"{folder}/clients/{device}.pem")  # fmt: skip
        run("chown", "-R", "mosquitto:", folder)
        run("systemd-run", "-q", "--unit=broker", "mosquitto", "-c", f"{folder}/mosquitto.conf")
        run("systemctl", "restart", "doorward.target", *(f"doorward-{role}" for role in ROLES))
        self._until(lambda: self._status()["link"]["link"] == "connected", "the link")
        return "own authority, signing request, certificate; the uplink is connected over TLS 1.3"

    def request(self) -> str:
        found = self._inside("ask")
        return f"{found['segments']} segments asked for, approved, uploaded, received, opened and verified"

    def home(self) -> str:
        """The uplink's other broker: a home's, with no certificate, from the same sandbox."""
        (self.box.root / "etc/mosquitto/home.conf").write_text("listener 1884 127.0.0.1\nallow_anonymous true\n")
        self.box.run("systemd-run", "-q", "--unit=home-broker", "mosquitto", "-c", "/etc/mosquitto/home.conf")
        path = self.box.root / "etc/doorward/doorward.toml"
        before = path.read_text()
        path.write_text(before + '\n[home_assistant]\nhost = "127.0.0.1"\nport = 1884\n')
        self.box.run("doorward", "apply")
        asked = (
            "from paho.mqtt import subscribe; "
            "print(subscribe.simple('homeassistant/device/+/config', hostname='127.0.0.1', port=1884).payload.decode())"
        )
        python = "/opt/doorward/current/venv/bin/python"
        told = json.loads(self.box.run("timeout", "90", python, "-c", asked).stdout)
        path.write_text(before)
        self.box.run("doorward", "apply")
        self.box.run("systemctl", "stop", "home-broker")
        self._until(lambda: self._status()["link"].get("link") == "connected", "the link, again")
        return f"Home Assistant's broker was told of {len(told['components'])} entities"

    def weight(self) -> str:
        """PSS and CPU of each role while it records."""
        pids = self._pids()
        before, started = {role: self._cpu_s(pid) for role, pid in pids.items()}, time.monotonic()
        self._inside("record", "3")
        passed_s = time.monotonic() - started
        pss = {role: self._pss_mb(pid) for role, pid in pids.items()}
        cpu = {role: (self._cpu_s(pid) - before[role]) / passed_s * 100 for role, pid in pids.items()}
        told = ", ".join(f"{role} {pss[role]:.0f} MB and {cpu[role]:.1f} %" for role in self.roles)
        return f"PSS and CPU of a core over {passed_s:.0f} s: {told}; together {sum(pss.values()):.0f} MB"

    def doctor(self) -> str:
        found = json.loads(self.box.run("doorward", "doctor", "--json", check=False).stdout)["findings"]
        faults = [f"{each['subject']}: {each['message']}" for each in found if each["health"] == "bad"]
        assert not faults, faults
        assert all(each["remedy"] for each in found if each["health"] != "fine")
        camera = next(each["message"] for each in found if each["subject"] == "camera")
        return f"{len(found)} things looked at, no fault; the camera: {camera}"

    def page(self) -> str:
        path = self.box.root / "etc/doorward/doorward.toml"
        path.write_text(path.read_text() + "\n[page]\n")
        self.box.run("doorward", "apply")
        self._until(lambda: self.box.run("doorward", "page", "code", "--json", check=False).returncode == 0, "the page")
        asked = (
            "import ssl, urllib.request as u; "
            "print(u.urlopen('https://127.0.0.1:8443/', context=ssl._create_unverified_context()).status)"
        )
        status = self.box.run("python3", "-c", asked).stdout.strip()
        said = self.box.run("python3", "/root/src/scripts/installation", "install").stdout
        assert "https://front-door.local:8443/" in said, said
        assert "▀" in said, said
        path.write_text(path.read_text().replace("\n[page]\n", ""))
        self.box.run("doorward", "apply")
        self._until(lambda: self._status()["link"].get("link") == "connected", "the doorbell without a page")
        assert self.box.property("doorward-custodian", "PrivateNetwork") == "yes"
        return (
            f"with [page] the custodian answers on the local network ({status}), and the installer ends with its "
            "address and QR code; without it, it has no network again"
        )

    def probes(self) -> str:
        shutil.copy(ROOT / "tests" / "install" / "probes.py", self.box.root / "opt" / "probes.py")
        for address in OUTSIDE:
            self.box.run("ip", "address", "add", address, "dev", "lo")
        dropins = ROOT / "systemd" / "dropins"
        tried = dict.fromkeys(self.roles, "")
        tried |= {name: (dropins / f"{name}.conf").read_text() for name in ("custodian-page", "recorder-rtsp")}
        tried |= {"uplink-narrowed": NARROWED, "updater": ""}
        (self.box.root / "etc/doorward/updates.json").touch(mode=0o644)
        with ThreadPoolExecutor(4) as pool:  # most of it is waiting for answers that do not come
            counts = list(pool.map(self._probed, tried, tried.values()))
        for address in OUTSIDE:
            self.box.run("ip", "address", "del", address, "dev", "lo")
        (self.box.root / "opt/probes.py").unlink()
        (self.box.root / "etc/doorward/updates.json").unlink()
        return "succeeded: " + "; ".join(counts)

    def _probed(self, name: str, dropin: str) -> str:
        """Try them from a copy of the role's unit, and as root without one."""
        role = name.partition("-")[0]
        python = "/opt/doorward/current/venv/bin/python"
        text = (ROOT / "systemd" / f"doorward-{role}.service").read_text()
        text = re.sub(r"^ExecStart=.*$", f"ExecStart={python} -I /opt/probes.py {name}", text, flags=re.MULTILINE)
        text = re.sub(r"^Type=notify$", "Type=oneshot", text, flags=re.MULTILINE)
        words = "Watchdog|Restart|PartOf|After|Wants|NotifyAccess|Condition"
        text = re.sub(rf"^({words}).*\n", "", text, flags=re.MULTILINE)
        text = text.partition("[Install]")[0].replace("TimeoutStartSec=infinity", "TimeoutStartSec=60") + dropin
        unit = f"probe-{name}"
        self.box.run("sh", "-c", 'printf %s "$1" > "/run/systemd/system/$0.service"', unit, text)
        self.box.run("systemctl", "daemon-reload")
        ended = self.box.run("systemctl", "start", unit, check=False).returncode
        self.box.run("journalctl", "--sync")  # on a busy machine the journal is late
        told = self.box.run("journalctl", "-u", unit, "-o", "cat", "--no-pager").stdout
        assert ended == 0, f"{unit} ended with {ended}: {told[-2000:]}"
        said = self._probes_of(told)
        free = self._probes_of(self.box.run(python, "-I", "/opt/probes.py", name).stdout)
        succeeded = [probe for probe, word in said.items() if word == "SUCCEEDED"]
        assert not succeeded, f"{name}: {succeeded}"
        assert name != role or len(said) >= 25, f"{role}: only {len(said)} probes"
        could = sum(word == "SUCCEEDED" for word in free.values())
        return f"{name} 0 of {len(said)} ({could} as unconfined root)"

    def watchdog(self) -> str:
        """Stops every role at once, as in an endless loop, which only systemd can detect."""
        before = self._pids()
        started = time.monotonic()
        self.box.run("sh", "-c", "kill -STOP $@", "sh", *before.values())
        back: dict[str, float] = {}

        def all_are_back() -> bool:
            for role in self.roles:
                if role not in back and self._runs_anew(role, before[role]):
                    back[role] = time.monotonic() - started
            return len(back) == len(self.roles)

        self._until(all_are_back, "every role to be restarted")
        self.injections += len(back)
        told = ", ".join(f"{role} {seconds:.0f} s" for role, seconds in back.items())
        return f"a stopped process is found, ended and replaced: {told}"

    def kills(self) -> str:
        """First one role at a time, and the others must not notice; then two, three or all at once."""
        count = self.kill_count - self.injections
        rng = random.Random(7)
        slowest, alone, together = 0.0, 0, 0
        while alone + together < count:
            few = alone < min(count, 5 * len(self.roles))
            size = 1 if few else min(rng.randint(2, len(self.roles)), count - alone - together)
            hit = [self.roles[alone % len(self.roles)]] if few else rng.sample(self.roles, size)
            before = self._pids()
            # The pause before a restart grows with each; what is measured here is the restart.
            self.box.run("systemctl", "reset-failed", *(f"doorward-{role}" for role in self.roles))
            started = time.monotonic()
            self.box.run("sh", "-c", "kill -KILL $@", "sh", *(before[role] for role in hit))
            for role in hit:
                self._until(partial(self._runs_anew, role, before[role]), f"{role}, killed with {hit}")
            slowest = max(slowest, time.monotonic() - started)
            noticed = [role for role, pid in self._pids().items() if role not in hit and pid != before[role]]
            assert not noticed, f"{hit} were killed, and {noticed} restarted"
            alone, together = (alone + 1, together) if few else (alone, together + len(hit))
        self._inside("record", "1")
        verified = self.box.run("doorward", "vault", "verify", check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        self.injections += alone + together
        return (
            f"{alone} roles killed alone, {together} in twos, threes and fours, with the watchdog's {self.injections} "
            f"in all: every one back (slowest {slowest:.1f} s), the others untouched; recording goes on, vault verifies"
        )

    def changed_program(self) -> str:
        """A line more in the consent table and a module that runs at each start, as a thief of the card could leave."""
        run = self.box.run
        run("systemctl", "start", "doorward-integrity.service")
        assert self._status()["program"] is None, self._status()["program"]
        version = self.box.root / "opt/doorward/versions" / self._installed()
        with (version / "app/agent/core/consent.py").open("a") as file:
            file.write("# more\n")
        (next((version / "venv/lib").glob("python3.*")) / "site-packages/sitecustomize.py").write_text("")
        begun = self._installed()
        run("systemctl", "start", "doorward-integrity.service")
        self._until(lambda: self._status()["link"]["link"] == "off", "the uplink to leave the broker")
        assert self._status()["program"]["changed"] == 2, self._status()["program"]
        summed = run("sh", "-c", "cd /opt/doorward/current && sha256sum --check --quiet SHA256SUMS", check=False)
        assert "app/agent/core/consent.py" in summed.stdout, summed.stdout
        assert "program" in run("doorward", "doctor", check=False).stdout
        run("systemctl", "restart", "doorward.target", *(f"doorward-{role}" for role in ROLES))
        self._until(lambda: self._status()["program"] is not None, "the same after a start")
        seconds = self._install()
        assert self._installed() == f"{begun}-2"
        self._until(lambda: self._status()["link"]["link"] == "connected", "the link")
        assert self._status()["program"] is None
        return (
            "two changed files found, told and kept from the broker, also after a start; "
            f"installed again beside them in {seconds:.0f} s, and connected"
        )

    def upgrade(self) -> str:
        segments = self._status()["vault"]["segments"]
        self._set_version("0.2.0")
        seconds = self._install()
        assert self._installed().startswith("0.2.0-")
        assert self._status()["vault"]["segments"] >= segments
        return f"{seconds:.0f} s, data kept ({segments} segments)"

    def roll_back(self) -> str:
        before = self._installed()
        broken = self.box.root / "root/src/agent/custodian/custodian_process.py"
        whole = broken.read_text()
        self._set_version("0.2.1")
        starts = "        self._owned.start()"
        assert starts in whole
        broken.write_text(whole.replace(starts, "        raise SystemExit(9)", 1))
        started = time.monotonic()
        done = self.box.run("python3", "/root/src/scripts/installation", "install", check=False)
        assert done.returncode == 3, done.stdout
        assert self._installed() == before, done.stderr
        self._until(lambda: self._status()["recorder"]["state"] in ("watching", "recording"), "the old version")
        broken.write_text(whole)
        self._set_version("0.2.0")
        return f"a version that does not run is replaced by the one before, after {time.monotonic() - started:.0f} s"

    def updates(self) -> str:
        """An owner chooses a signed update, which the updater fetched over HTTP. One from a file does not run, so the
        version before comes back. One with a single signature is refused. In between, the ways back.
        """
        before = self._installed()
        with UpdateServer(self) as server:
            server.publish("0.2.1")
            self.box.run("systemctl", "start", "doorward-updater.service", timeout_s=600)
            self._until(lambda: self._heard() == "0.2.1", f"the offer; the state: {self._update()}", 300)
            assert '"GET /metadata/timestamp.json' in server.asked_for()
            assert (
                self.box.run("stat", "-c", "%U", "/var/lib/doorward/updater/report.json").stdout == "doorward-updater\n"
            )
            started = time.monotonic()
            self._until(lambda: self._offered(OWNER) == "0.2.1", "the custodian to hear of the offer")
            self.box.run(*CLIENTS.split(), "owner", "update", "--install", "--yes", "--keys", OWNER)
            self._until(lambda: self._installed().startswith("0.2.1-"), "the owner's choice to be installed", 900)
            self._until(lambda: self._update().get("outcome", {}).get("result") == "installed", "its outcome", 300)
            installed_s = time.monotonic() - started
            self._until(self._films, "the new version")
            # The new version runs on trial until root's step ends, and a second update is refused meanwhile.
            ended = ("inactive", "failed")
            self._until(lambda: self.box.property("doorward-update", "ActiveState") in ended, "the end of root's step")
            told = ways_back(self, server, before, self._installed())
            self.box.run("systemctl", "stop", "update-server")
            server.publish("0.2.3", runs=False)
            started = time.monotonic()
            done = self._from(server.write_file())
            assert done.returncode == 1, done.stderr
            assert self._installed() == before
            assert self._update()["outcome"]["result"] == "rolled back"
            back_s = time.monotonic() - started
            self._until(self._films, "the version before")
            server.publish("0.2.4", wheels=False)
            server.repository.write_targets(signers=server.repository.keys["targets"][:1])
            server.repository.write_snapshot()
            server.repository.write_timestamp()
            refused = self._from("/srv/updates")
            assert "not what its makers signed" in refused.stderr, refused.stderr
            assert self._installed() == before
        return (
            "fetched over HTTP by the updater, verified by root, chosen by the owner, installed in "
            f"{installed_s:.0f} s; {told}; from a file, without a server, one that does not run went back after "
            f"{back_s:.0f} s; one with one signature was refused"
        )

    def cuts(self) -> str:
        """SIGKILL the installer at moments spread over an upgrade; afterwards a whole version runs or can."""
        count = int(os.environ.get("DOORWARD_CUTS", "10"))
        outcomes: dict[str, int] = {"old": 0, "new": 0}
        self._set_version("0.3.0")
        old = self._installed()
        started = time.monotonic()
        self._install()
        whole_s = time.monotonic() - started
        new = self._installed()
        for number in range(count):
            self.box.run("ln", "-sfn", f"versions/{old}", "/opt/doorward/current")
            self.box.run("rm", "-rf", f"/opt/doorward/versions/{new}")
            limit = f"{whole_s * (number + 0.5) / count:.2f}"
            words = ("timeout", "-s", "KILL", limit, "python3", "/root/src/scripts/installation", "install")
            self.box.run(*words, check=False)
            self._until(self._guard_has_ended, "the end of what the killed installer left")
            now = self._installed()
            assert now in (old, new), now
            outcomes["new" if now == new else "old"] += 1
            assert self.box.run("doorward", "--version").returncode == 0
        self._install()
        left = f"{outcomes['old']} left the old version, {outcomes['new']} the new"
        return f"{count} kills over {whole_s:.0f} s of upgrade: {left}"

    def _guard_has_ended(self) -> bool:
        # It holds the installers' lock meanwhile, and the next installer would only say that another one runs.
        is_active = self.box.run("systemctl", "is-active", "--quiet", "doorward-install-guard.service", check=False)
        return is_active.returncode != 0

    def uninstall(self) -> str:
        data = {name for name in self.box.files() if name.startswith(("/var/lib/doorward", "/etc/doorward"))}
        self.box.run("doorward", "uninstall", "--yes")
        left = {name for name in self._difference() if not name.startswith(("/var/lib/doorward", "/etc/doorward"))}
        assert not left, sorted(left)[:20]
        kept = {name for name in self.box.files() if name.startswith(("/var/lib/doorward", "/etc/doorward"))}
        segments = [name for name in kept if name.endswith(".age")]
        assert segments
        assert {name for name in data if name.endswith(".age")} <= kept
        return f"nothing is left but data: {len(segments)} sealed files and the configuration"

    def reinstall(self) -> str:
        seconds = self._install()
        self._until(lambda: self._status()["owners"] == ["owner-1"], "the owner to be known")
        return f"{seconds:.0f} s; owner, ledger and footage are there again"

    def hand_over(self) -> str:
        """To a new owner, who starts with an empty doorbell; and back, from the backup that its first owner opened."""
        run, state = self.box.run, self.box.root / "var/lib/doorward"
        before = self._status()
        run("doorward", "backup", "/root/door.backup")
        told = run("doorward", "reset", "--yes", check=False)
        assert told.returncode == 2, told.stdout
        assert "sudo systemctl stop doorward.target 'doorward-*'" in told.stderr, told.stderr
        self._reset()
        left = [str(path) for path in state.rglob("*") if path.is_file() and path.name != "made-groups"]
        assert not left, left
        run("doorward", "init")
        run("systemctl", "start", "doorward.target")
        self._until(lambda: self._status()["recorder"]["state"] != "", "the doorbell of nobody")
        anew = self._status()
        assert (anew["owners"], anew["vault"]["segments"]) == ([], 0), anew
        assert anew["device_id"] != before["device_id"]
        self._reset()
        piped = f"{CLIENTS} owner open-backup /root/door.backup --keys /root/people/owner | doorward restore -"
        assert "Next:  sudo doorward apply" in run("sh", "-c", piped).stdout
        run("doorward", "apply")
        self._until(lambda: self._status()["link"].get("link") == "connected", "the doorbell from the backup")
        after = self._status()
        assert [after[name] for name in ("device_id", "owners")] == [before[name] for name in ("device_id", "owners")]
        self._inside("record", "1")
        return (
            "reset: nothing of its owner in any folder, a new key, without an owner; restored from the backup: the "
            "same doorbell, connected and filming"
        )

    def _reset(self) -> None:
        self.box.run("systemctl", "stop", "doorward.target", "doorward-*")
        said = self.box.run("doorward", "reset", "--yes").stdout
        assert "Flash memory keeps copies" in said, said

    def tidying_up(self) -> str:
        """Each role, taken over, plants what it can in its folder; then root backs up, looks, resets and restores."""
        run, root = self.box.run, self.box.root
        state = root / "var/lib/doorward"
        (root / "root/victim").mkdir(mode=0o755)
        (root / "root/victim/secret").write_text("as it was")
        run("chmod", "755", "/root")  # so that a link is worth following
        run("doorward", "backup", "/root/honest.backup")
        opened = f"{CLIENTS} owner open-backup /root/honest.backup --keys /root/people/owner > /root/honest.tar"
        run("sh", "-c", opened)
        run("systemctl", "stop", "doorward.target", "doorward-*")
        for role, links in PLANTED.items():
            for link, target in links:
                plant = ("rm", "-rf", "--", f"/var/lib/doorward/{link}")
                run("setpriv", f"--reuid=doorward-{role}", f"--regid=doorward-{role}", "--init-groups", *plant)
                plant = ("ln", "-s", target, f"/var/lib/doorward/{link}")
                run("setpriv", f"--reuid=doorward-{role}", f"--regid=doorward-{role}", "--init-groups", *plant)
        before = run("stat", "-c", "%n %U %G %a %s %Y", "/root/victim", "/root/victim/secret").stdout
        run("doorward", "vault", "stats", check=False)
        run("doorward", "vault", "verify", check=False)
        run("doorward", "vault", "export", "/root/exported", check=False)
        assert run("doorward", "restore", "/root/honest.tar", check=False).returncode == 2
        run("doorward", "reset", "--yes")
        after = run("stat", "-c", "%n %U %G %a %s %Y", "/root/victim", "/root/victim/secret").stdout
        assert after == before, (before, after)
        assert (root / "root/victim/secret").read_text() == "as it was"
        left = [str(path) for path in state.rglob("*") if not path.is_dir() and path.name != "made-groups"]
        assert not left, left
        run("doorward", "restore", "/root/honest.tar")
        users = run("find", "/var/lib/doorward/custodian", "-printf", "%U\n").stdout.split()
        assert set(users) == {run("id", "-u", "doorward-custodian").stdout.strip()}
        run("doorward", "apply")
        self._until(lambda: self._status()["owners"] == ["owner-1"], "the doorbell from the backup")
        count = sum(map(len, PLANTED.values()))
        return f"{count} links planted by three roles: root followed none, nothing stayed, and the backup came back"

    def camera_packages(self) -> str:
        """Raspberry Pi OS Lite: no picamera2 at first, then an apt that has it."""
        run, root = self.box.run, self.box.root
        self.prepare('kind = "usb"\ndevice = "/dev/video-that-is-not-there"')
        install = ("python3", "/root/src/scripts/installation", "install", "--answers", "/root/answers.toml")
        # Offline, apt would try Debian's archive again and again.
        shutil.rmtree(root / "etc/apt/sources.list.d", ignore_errors=True)
        (root / "etc/apt/sources.list").write_text("")
        said = run(*install).stdout
        assert "There is no /dev/video-that-is-not-there." in said, said
        before = self._installed()
        sees = ("/opt/doorward/current/venv/bin/python", "-c", "import picamera2")
        assert run(*sees, check=False).returncode == 1
        path = root / "etc/doorward/doorward.toml"
        path.write_text(path.read_text().replace('kind = "usb"', 'kind = "pi"'))
        without = run(*install, check=False)
        assert without.returncode == 1
        assert "apt could not install python3-picamera2" in without.stderr, without.stderr
        assert self._installed() == before
        make_archive(root / "root/archive", self.suite)
        (root / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/root/archive ./\n")
        run("chmod", "-R", "a+rX", "/root")  # apt reads as a separate user
        said = run(*install).stdout
        assert self._installed() != before, "the same environment, on another system"
        run(*sees)
        assert "camera" in said.lower(), said
        assert "picamera2 is not here" not in said, said
        return "without picamera2 nothing is changed, and it is said why; with it the environment is built again on it"

    def bundle(self) -> str:
        """A bundle on the boot partition, as a fleet's installer leaves it, applied by the unit that runs first, and
        only once."""
        run, boot = self.box.run, self.box.root / "boot/firmware"
        run("mkdir", "/root/fleet")
        run("cp", "/root/src/config/fleet.example.toml", "/root/fleet/fleet.toml")
        run("cp", "/etc/mosquitto/doorward/authorities/broker.pem", "/root/fleet/broker.pem")
        run("doorward", "provision", "/root/fleet/fleet.toml", "--out", "/root/fleet/out")
        fifty_s = self._fifty()
        boot.mkdir()
        configuration = self.box.root / "etc/doorward/doorward.toml"
        for taken, name in ((True, "mill-lane-1"), (False, "mill-lane-3")):
            shutil.copy(self.box.root / f"root/fleet/out/{name}.bundle", boot / "doorward.bundle")
            run("systemctl", "restart", "doorward-first-boot")
            assert (f'name = "{name}"' in configuration.read_text()) == taken
            assert (boot / "doorward.bundle").exists() != taken
        report = run("doorward", "trust-report").stdout
        assert "broker.example:8883" in report
        assert "ed25519:" in report
        shutil.rmtree(boot)
        return (
            "one is taken at the start and shows what it trusts; a second one stays where it is; fifty bundles from "
            f"one file in {fifty_s:.1f} s, the same bytes the second time"
        )

    def _fifty(self) -> float:
        """Returns the time for fifty bundles."""
        (self.box.root / "root/fleet/fifty.toml").write_text(fifty())
        started = time.monotonic()
        self.box.run("doorward", "provision", "/root/fleet/fifty.toml", "--out", "/root/fleet/a")
        seconds = time.monotonic() - started
        self.box.run("doorward", "provision", "/root/fleet/fifty.toml", "--out", "/root/fleet/b")
        assert len(list((self.box.root / "root/fleet/a").glob("*.bundle"))) == 50
        self.box.run("diff", "-r", "/root/fleet/a", "/root/fleet/b")
        return seconds

    def purge(self) -> str:
        self.box.run("doorward", "uninstall", "--purge", "--yes")
        left = self._difference()
        assert not left, sorted(left.items())[:20]
        assert self._accounts() == self.accounts
        return f"file-system difference before and after: none in {len(self.before)} paths; users and groups as before"

    def deb(self) -> str:
        """The same from a Debian package: install, run, remove, purge."""
        sys.path.insert(0, str(ROOT / "scripts"))
        from release import deb
        from wheelhouse import fetch

        wheels = wheelhouse()
        with tempfile.TemporaryDirectory(prefix="doorward-again-") as name:
            again = Path(name)
            fetch("amd64", again / "wheels")
            assert _bytes_of(again / "wheels") == _bytes_of(wheels), "two wheelhouses differ"
            made = deb("amd64", wheels, self.box.root / "root")
            assert deb("amd64", again / "wheels", again).read_bytes() == made.read_bytes(), "two packages differ"
        (self.box.root / "etc/doorward").mkdir(mode=0o750)
        (self.box.root / "etc/doorward/doorward.toml").write_text(self.answers)
        started = time.monotonic()
        self.box.run("dpkg", "-i", f"/root/{made.name}")
        self._until(lambda: self._status()["recorder"]["state"] != "", "the packaged doorbell")
        seconds = time.monotonic() - started
        self.box.run("dpkg", "-r", "doorward")
        assert (self.box.root / "var/lib/doorward/custodian/device.key").exists()
        self.box.run("dpkg", "-P", "doorward")
        left = {name: word for name, word in self._difference().items() if not name.startswith("/var/lib/dpkg")}
        assert not left, sorted(left.items())[:20]
        assert self._accounts() == self.accounts
        return (
            f"{made.stat().st_size / 1e6:.0f} MB, the same bytes from wheels fetched again; runs after {seconds:.0f} "
            "s; removed keeps data, purged leaves nothing"
        )

    # --- What the steps share

    def _install(self) -> float:
        started = time.monotonic()
        self.box.run("python3", "/root/src/scripts/installation", "install", "--answers", "/root/answers.toml")
        return time.monotonic() - started

    def _inside(self, *words: str) -> dict[str, Any]:
        python = ("env", "PYTHONPATH=/root/repo", "/opt/doorward/current/venv/bin/python", "-B")
        done = self.box.run(*python, "-m", "tests.install.inside", *words)
        return dict(json.loads(done.stdout.partition("INSIDE ")[2]))

    def _status(self) -> dict[str, Any]:
        done = self.box.run("doorward", "status", "--json", check=False)
        if done.returncode:
            return {"link": {"link": ""}, "recorder": {"state": ""}, "vault": {"segments": 0}, "owners": []}
        return dict(json.loads(done.stdout))

    def _installed(self) -> str:
        return self.box.run("readlink", "/opt/doorward/current").stdout.strip().removeprefix("versions/")

    def _from(self, file: str) -> Any:
        return self.box.run("doorward", "update", "--file", file, "--yes", check=False, timeout_s=900)

    def _offered(self, keys: str) -> str | None:
        """Returns the version that the custodian offers its owners."""
        words = (*CLIENTS.split(), "owner", "update", "--json", "--keys", keys)
        done = self.box.run(*words, check=False)
        offer = json.loads(done.stdout)["offer"] if done.returncode == 0 else None
        return None if offer is None else str(offer["version"])

    def _films(self) -> bool:
        return self._status()["recorder"]["state"] in ("watching", "recording")

    def _heard(self) -> str | None:
        """Returns the version on offer, or the reason why there is none; None as long as root's step has not run."""
        state = self._update()
        return (state.get("offer") or {}).get("version") or state.get("trouble")

    def _update(self) -> dict[str, Any]:
        done = self.box.run("doorward", "update", "--json", check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def _set_version(self, version: str) -> None:
        path = self.box.place("root/src/agent/__init__.py")
        text = path.read_text()
        path.write_text(re.sub(r'^__version__ = ".*"$', f'__version__ = "{version}"', text, flags=re.MULTILINE))

    def _pid(self, role: str) -> str:
        return self.box.property(f"doorward-{role}.service", "MainPID")

    def _pss_mb(self, pid: str) -> float:
        rollup = self.box.run("cat", f"/proc/{pid}/smaps_rollup").stdout
        return int(re.findall(r"^Pss: +(\d+)", rollup, re.MULTILINE)[0]) / 1024

    def _cpu_s(self, pid: str) -> float:
        fields = self.box.run("cat", f"/proc/{pid}/stat").stdout.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _pids(self) -> dict[str, str]:
        return {role: self._pid(role) for role in self.roles}

    def _runs_anew(self, role: str, before: str) -> bool:
        active = self.box.property(f"doorward-{role}.service", "ActiveState") == "active"
        return active and self._pid(role) not in ("0", before)

    def _accounts(self) -> str:
        return "\n".join(sorted((self.box.root / "etc" / name).read_text() for name in ("passwd", "group")))

    def _difference(self) -> dict[str, str]:
        now = self.box.files()
        return {
            name: f"{self.before.get(name)} → {now.get(name)}"
            for name in now.keys() | self.before.keys()
            if now.get(name) != self.before.get(name) and not NOT_OURS.match(name)
        }

    def _probes_of(self, text: str) -> dict[str, str]:
        return dict(json.loads(next(line for line in text.splitlines() if line.startswith("PROBES "))[7:]))

    def _until(self, condition: Callable[[], Any], what: str, patience_s: float = 300) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline:
                said = self.box.run("journalctl", "-u", "doorward-*", "-n", "30", "-o", "cat", "--no-pager").stdout
                raise TimeoutError(f"waited in vain for {what}\n{said}")
            time.sleep(0.5)


def _bytes_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.whl")}
