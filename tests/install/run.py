"""`run.py SUITE [STEP …]`: the life of an installation in a booted container, each step told with what it measured.

    PYTHONPATH=. python -m tests.install.run trixie            everything, and RESULTS.md
    PYTHONPATH=. python -m tests.install.run bookworm install probes

Steps build on the ones before.  Exit status 0 only when every one held.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from tests.install.container import ROOT, Container, copy_source, wheelhouse

ROLES = ("custodian", "recorder", "uplink")
RESULTS = ROOT / "tests" / "install" / "RESULTS.md"
ANSWERS = """\
[device]
name = "front-door"
position = { latitude = 52.0902, longitude = 5.1115 }
[camera]
kind = "scripted"
size = [320, 240]
fps = 10
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
NOT_OURS = re.compile(
    r"^/(var/log|var/lib/systemd|var/lib/private|var/cache|var/tmp|root|etc/(passwd|shadow|group|gshadow)-?$|etc/\.pwd\.lock"
    r"|etc/subuid-?$|etc/subgid-?$|etc/machine-id|etc/mosquitto|var/lib/mosquitto|etc/resolv.conf|etc/ssl|etc/ld.so.cache)"
)
"""What a running system changes by itself, the account files (their lines are compared), and the test's own broker."""


class Story:
    """One container, and what was found out in it."""

    def __init__(self, box: Container) -> None:
        self.box = box
        self.told: list[tuple[str, str]] = []
        self.before: dict[str, str] = {}
        self.accounts = ""
        self.roles = (*ROLES, "bridge")

    # --- Steps, in this order

    def install(self) -> str:
        copy_source(self.box.root / "root" / "src")
        shutil.copytree(wheelhouse(), self.box.root / "root" / "src" / "wheelhouse")
        (self.box.root / "root" / "answers.toml").write_text(ANSWERS)
        self.before, self.accounts = self.box.files(), self._accounts()
        seconds = self._install()
        return f"without a network, from the wheelhouse: {seconds:.0f} s; custodian, recorder and bridge active"

    def first_clip(self) -> str:
        copy_source(self.box.root / "root" / "repo", tests=True)
        self._inside("enrol")
        found = self._inside("record", "1")
        return f"first sealed segment {found['seconds']} s after the owner enrolled"

    def broker(self) -> str:
        run = self.box.run
        run("systemctl", "stop", "mosquitto")
        run("doorward", "broker", "init", "--host", "localhost", "--host", "127.0.0.1", "--address", "127.0.0.1")
        run("doorward", "link", "request")
        device = json.loads(run("doorward", "status", "--json").stdout)["device_id"]
        run("doorward", "broker", "add-device", device, "--csr", "/etc/doorward/tls/device.csr")
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
        path.write_text(path.read_text().replace("\n[page]\n", ""))
        self.box.run("doorward", "apply")
        self._until(lambda: self._status()["link"].get("link") == "connected", "the doorbell without a page")
        assert self.box.property("doorward-custodian", "PrivateNetwork") == "yes"
        return f"with [page] the custodian answers on the local network ({status}); without it, it has no network again"

    def probes(self) -> str:
        shutil.copy(ROOT / "tests" / "install" / "probes.py", self.box.root / "opt" / "probes.py")
        python = "/opt/doorward/current/venv/bin/python"
        counts = []
        for role in self.roles:
            unit = (self.box.root / "opt/doorward/current/app/systemd" / f"doorward-{role}.service").resolve()
            text = (self.box.root / "opt/doorward" / "versions").joinpath(
                *unit.parts[unit.parts.index("versions") + 1 :]
            ).read_text() if "versions" in unit.parts else unit.read_text()  # fmt: skip
            text = re.sub(r"^ExecStart=.*$", f"ExecStart={python} -I /opt/probes.py {role}", text, flags=re.MULTILINE)
            text = re.sub(r"^Type=notify$", "Type=oneshot", text, flags=re.MULTILINE)
            text = re.sub(r"^(Watchdog|Restart|PartOf|After|Wants|NotifyAccess).*\n", "", text, flags=re.MULTILINE)
            text = text.partition("[Install]")[0].replace("TimeoutStartSec=infinity", "TimeoutStartSec=60")
            (self.box.root / "run").mkdir(exist_ok=True)
            name = f"probe-{role}"
            self.box.run("sh", "-c", 'printf %s "$1" > "/run/systemd/system/$0.service"', name, text)
            self.box.run("systemctl", "daemon-reload")
            self.box.run("systemctl", "start", name)
            said = self._probes_of(self.box.run("journalctl", "-u", name, "-o", "cat", "--no-pager").stdout)
            free = self._probes_of(self.box.run(python, "-I", "/opt/probes.py", role).stdout)
            succeeded = [probe for probe, word in said.items() if word == "SUCCEEDED"]
            assert not succeeded, f"{role}: {succeeded}"
            could = sum(word == "SUCCEEDED" for word in free.values())
            assert len(said) >= 25, f"{role}: only {len(said)} probes"
            counts.append(f"{role} 0 of {len(said)} ({could} of them as unconfined root)")
        return "succeeded: " + "; ".join(counts)

    def watchdog(self) -> str:
        told = []
        for role in self.roles:
            unit = f"doorward-{role}.service"
            before = self.box.property(unit, "MainPID")
            started = time.monotonic()
            self.box.run("sh", "-c", "kill -STOP $0", before)
            self._until(lambda u=unit, b=before: self._runs_anew(u, b), f"{role} to be restarted")  # type: ignore[misc]
            told.append(f"{role} {time.monotonic() - started:.0f} s")
        return "a stopped process is found, ended and replaced: " + ", ".join(told)

    def kills(self) -> str:
        count = int(os.environ.get("DOORWARD_KILLS", "12"))
        slowest = 0.0
        for number in range(count):
            unit = f"doorward-{self.roles[number % len(self.roles)]}.service"
            before = self.box.property(unit, "MainPID")
            started = time.monotonic()
            self.box.run("sh", "-c", "kill -KILL $0", before)
            self._until(lambda u=unit, b=before: self._runs_anew(u, b), f"{unit} after kill {number}")  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - started)
        self._inside("record", "1")
        verified = self.box.run("doorward", "vault", "verify", check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        return f"{count} kills, every role back each time (slowest {slowest:.1f} s), recording goes on, vault verifies"

    def upgrade(self) -> str:
        segments = self._status()["vault"]["segments"]
        self._set_version("0.1.1")
        seconds = self._install()
        assert self._installed().startswith("0.1.1-")
        assert self._status()["vault"]["segments"] >= segments
        return f"{seconds:.0f} s, data kept ({segments} segments)"

    def roll_back(self) -> str:
        before = self._installed()
        broken = self.box.root / "root/src/agent/roles/custodian.py"
        whole = broken.read_text()
        self._set_version("0.1.2")
        broken.write_text(whole.replace("        self.custodian.start()", "        raise SystemExit(9)", 1))
        started = time.monotonic()
        done = self.box.run("python3", "/root/src/scripts/installation", "install", check=False)
        assert done.returncode == 1, done.stdout
        assert self._installed() == before, done.stderr
        self._until(lambda: self._status()["recorder"]["state"] in ("watching", "recording"), "the old version")
        broken.write_text(whole)
        self._set_version("0.1.1")
        return f"a version that does not run is replaced by the one before, after {time.monotonic() - started:.0f} s"

    def cuts(self) -> str:
        """SIGKILL the installer at moments spread over an upgrade; afterwards a whole version runs or can."""
        count = int(os.environ.get("DOORWARD_CUTS", "10"))
        outcomes: dict[str, int] = {"old": 0, "new": 0}
        self._set_version("0.2.0")
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
            now = self._installed()
            assert now in (old, new), now
            outcomes["new" if now == new else "old"] += 1
            assert self.box.run("doorward", "--version").returncode == 0
        self._install()
        left = f"{outcomes['old']} left the old version, {outcomes['new']} the new"
        return f"{count} kills over {whole_s:.0f} s of upgrade: {left}"

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

    def purge(self) -> str:
        self.box.run("doorward", "uninstall", "--purge", "--yes")
        (self.box.root / "opt/probes.py").unlink(missing_ok=True)
        left = self._difference()
        assert not left, sorted(left.items())[:20]
        assert self._accounts() == self.accounts
        return f"file-system difference before and after: none in {len(self.before)} paths; users and groups as before"

    def deb(self) -> str:
        """The same from a Debian package: install, run, remove, purge."""
        sys.path.insert(0, str(ROOT / "scripts"))
        from release import deb

        made = deb("amd64", wheelhouse(), self.box.root / "root")
        (self.box.root / "etc/doorward").mkdir(mode=0o750)
        (self.box.root / "etc/doorward/doorward.toml").write_text(ANSWERS)
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
            f"{made.stat().st_size / 1e6:.0f} MB, runs after {seconds:.0f} s; removed keeps data, purged leaves nothing"
        )

    # --- What the steps share

    def _install(self) -> float:
        started = time.monotonic()
        self.box.run("python3", "/root/src/scripts/installation", "install", "--answers", "/root/answers.toml")
        return time.monotonic() - started

    def _inside(self, *words: str) -> dict[str, Any]:
        python = ("env", "PYTHONPATH=/root/repo", "/opt/doorward/current/venv/bin/python")
        done = self.box.run(*python, "-m", "tests.install.inside", *words)
        return dict(json.loads(done.stdout.partition("INSIDE ")[2]))

    def _status(self) -> dict[str, Any]:
        done = self.box.run("doorward", "status", "--json", check=False)
        if done.returncode:
            return {"link": {"link": ""}, "recorder": {"state": ""}, "vault": {"segments": 0}, "owners": []}
        return dict(json.loads(done.stdout))

    def _installed(self) -> str:
        return self.box.run("readlink", "/opt/doorward/current").stdout.strip().removeprefix("versions/")

    def _set_version(self, version: str) -> None:
        path = self.box.root / "root/src/agent/__init__.py"
        text = path.read_text()
        path.write_text(re.sub(r'^__version__ = ".*"$', f'__version__ = "{version}"', text, flags=re.MULTILINE))

    def _runs_anew(self, unit: str, before: str) -> bool:
        now = self.box.property(unit, "MainPID")
        return self.box.property(unit, "ActiveState") == "active" and now not in ("0", before)

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

    def _until(self, condition: Callable[[], Any], what: str, patience_s: float = 120) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline:
                said = self.box.run("journalctl", "-u", "doorward-*", "-n", "30", "-o", "cat", "--no-pager").stdout
                raise TimeoutError(f"waited in vain for {what}\n{said}")
            time.sleep(0.5)


STEPS: dict[str, Callable[[Story], str]] = {
    "install": Story.install,
    "broker": Story.broker,
    "first sealed clip": Story.first_clip,
    "request to opened footage": Story.request,
    "page": Story.page,
    "probes": Story.probes,
    "watchdog": Story.watchdog,
    "kills": Story.kills,
    "upgrade": Story.upgrade,
    "roll-back": Story.roll_back,
    "cuts": Story.cuts,
    "uninstall": Story.uninstall,
    "install again": Story.reinstall,
    "purge": Story.purge,
    "deb": Story.deb,
}


def main(arguments: list[str]) -> int:
    suite, *wanted = arguments
    failed = False
    rows = []
    with Container(suite) as box:
        story = Story(box)
        for name, step in STEPS.items():
            if wanted and name not in wanted:
                continue
            started = time.monotonic()
            try:
                said = step(story)
            except Exception as error:  # noqa: BLE001 — the step that failed is the result
                traceback.print_exc()
                said, failed = f"FAILED: {str(error)[:300]}", True
            rows.append((name, said, time.monotonic() - started))
            print(f"{rows[-1][2]:6.0f} s  {name}: {said}", flush=True)
            if failed and os.environ.get("DOORWARD_KEEP"):
                print(f"The container stays for a look: {' '.join(box.words('bash'))}", flush=True)
                os._exit(1)
            if failed:
                break
    if not wanted:
        write_results(suite, rows)
    return 1 if failed else 0


def write_results(suite: str, rows: list[tuple[str, str, float]]) -> None:
    """Replace this suite's section of RESULTS.md."""
    text = RESULTS.read_text() if RESULTS.exists() else "# Installation, as measured\n\n`make test-install`\n"
    today = datetime.datetime.now(datetime.UTC).date()
    section = f"## {suite}, amd64, nspawn, {today}\n\n| step | result | s |\n|---|---|---|\n"
    section += "".join(f"| {name} | {said.splitlines()[0]} | {seconds:.0f} |\n" for name, said, seconds in rows)
    text = re.sub(rf"\n## {suite}, amd64, nspawn.*?(?=\n## |\Z)", "", text, flags=re.DOTALL)
    RESULTS.write_text(text.rstrip() + "\n\n" + section)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main(sys.argv[1:]))
