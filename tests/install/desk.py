"""`make test-install-desk`: the desk's installation in a booted Debian, on its own systemd, with the machine's network.

Installs, opens the first admin's page over TLS, upgrades to a version that cannot start (rolled back), backs up as the
service's user, loses everything, restores, and serves again.
"""

from __future__ import annotations

import re
import shutil
import socket
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.install.clean import lend  # noqa: E402
from tests.install.container import Container, copy_source  # noqa: E402

PACKAGES = (
    "systemd,systemd-sysv,dbus,python3,python3-venv,ca-certificates,curl,passwd,util-linux,procps,age,"
    "libpango-1.0-0,libpangoft2-1.0-0,libharfbuzz-subset0"
)
INSTALL = ("/usr/bin/python3", "/source/scripts/install_desk.py")
DESK = ("setpriv", "--reuid=doorward-desk", "--regid=doorward-desk", "--init-groups", "--", "doorward-desk")
CONFIG = ("--config", "/etc/doorward-desk/desk.toml")
_PATIENCE_S = 120
_PORT = "\nport = 8444\n"
"""In desk.toml. The container has this machine's network, where another desk may run."""


def tell(text: str) -> None:
    print(f"  {time.monotonic() - BEGAN_S:6.1f} s  {text}", flush=True)


BEGAN_S = time.monotonic()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(container: Container) -> bool:
    named = re.search(r"(?m)^port = (\d+)$", (container.root / "source/desk/desk.toml").read_text())
    assert named
    done = container.run("curl", "-sk", f"https://localhost:{named[1]}/bulletins", check=False)
    return "<h1>Bulletins</h1>" in done.stdout


def wait_for_answer(container: Container) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while not answers(container):
        if time.monotonic() > end_s:
            raise AssertionError(container.run("journalctl", "-u", "doorward-desk", "--no-pager").stdout[-4000:])
        time.sleep(1)


def live_through(container: Container) -> None:
    install = ("env", *lend(container.root), *INSTALL)
    copy_source(container.root / "source")
    shutil.copytree(
        ROOT / "desk", container.root / "source/desk", ignore=shutil.ignore_patterns("node_modules", "__pycache__")
    )
    settings = container.root / "source/desk/desk.toml"
    text = settings.read_text()
    assert text.count(_PORT) == 1
    settings.write_text(text.replace(_PORT, f"\nport = {free_port()}\n"))
    container.run(*install, timeout_s=1200)
    wait_for_answer(container)
    said = container.run("journalctl", "-u", "doorward-desk", "--no-pager", "-o", "cat").stdout
    assert "/link/" in said, said
    tell("installed: pages over TLS, the first admin's link is in the journal")
    data = container.root / "var/lib/doorward-desk"
    assert data.stat().st_mode & 0o777 == 0o700
    assert container.property("doorward-desk", "User") == "doorward-desk"
    score = container.run("systemd-analyze", "security", "doorward-desk", "--no-pager").stdout.splitlines()[-1]
    tell(f"sandboxed: {score.strip('→ ')}")

    entry = container.root / "source/desk/server.py"
    good = entry.read_text()
    entry.write_text(good + "\nraise RuntimeError('a bad release')\n")
    done = container.run(*install, check=False, timeout_s=1200)
    assert done.returncode == 1, done.stdout
    assert "the version before runs again" in done.stderr, done.stderr
    wait_for_answer(container)
    entry.write_text(good)
    tell("a version that cannot start was rolled back")

    container.run("age-keygen", "-o", "/root/backup.key")
    recipient = container.run("age-keygen", "-y", "/root/backup.key").stdout.strip()
    container.run("install", "-d", "-o", "doorward-desk", "/backup")
    container.run(*DESK, *CONFIG, "backup", "--to", recipient, "/backup/desk.age")
    tell("backed up while it served")
    container.run("systemctl", "stop", "doorward-desk")
    container.run("sh", "-c", "rm -rf /var/lib/doorward-desk/*")
    container.run("install", "-m", "0400", "-o", "doorward-desk", "/root/backup.key", "/backup/key")
    restored = "/var/lib/doorward-desk/restored"
    container.run(*DESK, "restore", "--identity", "/backup/key", "/backup/desk.age", restored)
    named = f's|^data = .*|data = "{restored}/data"|'
    container.run("sed", "-i", named, "/etc/doorward-desk/desk.toml")
    container.run("systemctl", "start", "doorward-desk")
    wait_for_answer(container)
    tell("restored, and it serves again")


def main() -> None:
    for suite in sys.argv[1:] or ["trixie", "bookworm"]:
        print(suite, flush=True)
        with Container(suite, PACKAGES, network=True) as container:
            try:
                live_through(container)
            except AssertionError:
                print(container.run("journalctl", "-u", "doorward-desk", "--no-pager").stdout[-6000:], file=sys.stderr)
                raise


if __name__ == "__main__":
    main()
