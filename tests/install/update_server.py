"""A makers' server inside the container, with a real repository of updates, and a doorbell that looks there.

The server speaks HTTP on the loopback interface. A preloaded function gives updater and root's step a synchronised
clock, because the containers share the clock of a host that may have no time server.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tests.update_repositories import Repository, package

if TYPE_CHECKING:
    from tests.install.story import Story

__all__ = ["CLIENTS", "UpdateServer"]

CLIENTS = "env PYTHONPATH=/root/repo /opt/doorward/current/venv/bin/python -m agent.cli"
"""The commands of owners and brokers, from the source: nothing of them is installed on a doorbell."""
CLOCK = Path(__file__).with_name("synchronised_clock.c")
CLOCK_PLACE = "/usr/local/lib/synchronised_clock.so"
VIRTUAL_CAMERA = "/usr/local/lib/virtual_camera.so"
PORT = 8099
UNITS = ("doorward-updater.service", "doorward-update.service", "doorward-custodian.service")
"""They take nothing in and believe no signature of an owner without a synchronised clock."""
SERVER = "update-server"
Break = tuple[str, str, str]
"""A file of the program, a line of it, and the text in its place."""
DOES_NOT_RUN: Break = (
    "agent/custodian/custodian_process.py", "        self._owned.start()", "        raise SystemExit(9)",
)  # fmt: skip


class UpdateServer:
    """Use as a context manager; it leaves the doorbell without `[updates]` and without what it trusted."""

    def __init__(self, story: Story) -> None:
        self._story, self._box = story, story.box
        self._root = story.box.root
        shutil.rmtree(self._root / "srv" / "updates", ignore_errors=True)
        self.repository = Repository(self._root / "srv" / "updates")
        self._configuration = self._box.place("etc/doorward/doorward.toml")
        self._before = ""

    def __enter__(self) -> UpdateServer:
        library = self._root / CLOCK_PLACE[1:]
        words = ["gcc", "-shared", "-fPIC", "-nostdlib", "-o", str(library), str(CLOCK)]
        subprocess.run(words, check=True)
        for unit in UNITS:
            dropin = self._dropin(unit)
            dropin.parent.mkdir(exist_ok=True)  # the installer's own may be there
            dropin.write_text(f"[Service]\nEnvironment=LD_PRELOAD={CLOCK_PLACE}{self._camera(unit)}\n")
        self._box.place("etc/doorward/update-root.json").write_bytes(self.repository.first_root)
        self._before = self._configuration.read_text()
        updates = f'\n[updates]\nsource = "http://127.0.0.1:{PORT}"\nroot = "update-root.json"\n'
        self._configuration.write_text(self._before + updates)
        self.serve()
        self._box.run("doorward", "apply")
        self._box.run("systemctl", "restart", "doorward-custodian.service")  # with that clock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return  # the container stays as it is, for a look
        self._configuration.write_text(self._before)
        for unit in UNITS:
            self._dropin(unit).unlink()
            with contextlib.suppress(OSError):  # others are in it
                self._dropin(unit).parent.rmdir()
        (self._root / CLOCK_PLACE[1:]).unlink()
        self._box.place("etc/doorward/update-root.json").unlink()
        self._box.run("systemctl", "stop", SERVER, check=False)
        self._box.run("sh", "-c", "rm -rf /var/lib/doorward/update/* /var/lib/doorward/updater/*")
        shutil.rmtree(self._root / "srv/updates")
        self._box.run("doorward", "apply")
        self._box.run("systemctl", "restart", "doorward-custodian.service")
        self._box.run("systemctl", "reset-failed")

    def serve(self) -> None:
        server = ("python3", "-m", "http.server", str(PORT), "--bind", "127.0.0.1", "--directory", "/srv/updates")
        self._box.run("systemd-run", "-q", f"--unit={SERVER}", *server)

    def asked_for(self) -> str:
        """Returns what the server has logged."""
        return self._box.run("journalctl", "-u", SERVER, "-o", "cat", "--no-pager").stdout

    def publish(
        self, version: str, *, runs: bool = True, wheels: bool = True, broken: Break | None = None, **more: Any
    ) -> str:
        """Publishes a package of this tree as `version`. Returns its SHA-256.

        `runs`: the custodian starts. `broken`: another line that is exchanged. `wheels`: without them it is small, and
        only a version that is already built can be installed from it. `more`: of what its makers say about it
        (tests/update_repositories.py).
        """
        source = self._box.place("root/src")
        self._story._set_version(version)
        broken = broken if runs else DOES_NOT_RUN
        if broken is not None:
            file, line, instead = broken
            whole = (source / file).read_text()
            assert line in whole
            (source / file).write_text(whole.replace(line, instead, 1))
        (source / "no-wheels").mkdir(exist_ok=True)
        build = "import sys; sys.path.insert(0, 'scripts'); import release; from pathlib import Path; "
        build += f"release.deb('amd64', Path('{'wheelhouse' if wheels else 'no-wheels'}'), Path('/root/dist'))"
        self._box.run("sh", "-c", f'cd /root/src && SOURCE_DATE_EPOCH=1780000000 python3 -c "{build}"')
        if broken is not None:
            (source / file).write_text(whole)
        data = self._box.place(f"root/dist/doorward_{version}_amd64.deb").read_bytes()
        self.repository.release(data, package(version, **more))
        return self.repository.files[f"doorward_{version}_amd64.deb"].hashes["sha256"]

    def write_file(self) -> str:
        """Writes the whole repository into one file, as makers hand it out for offline doorbells.

        The format is that of `scripts/releasing/update_file.py`: a doorbell refuses the extended headers of Python's
        default format.
        """
        path = self._box.place("root/stick.update")
        with tarfile.open(path, "w:", format=tarfile.USTAR_FORMAT) as tar:
            for part in ("metadata", "targets"):
                for each in sorted((self.repository.folder / part).iterdir()):
                    tar.add(each, f"{part}/{each.name}")
        return "/root/stick.update"

    def wish(self, version: str, sha256: str) -> None:
        """Writes what the custodian writes if an owner has chosen an update; a path unit starts root's step."""
        change = self._story._update().get("change")
        text = json.dumps({"v": 1, "id": secrets.token_hex(16), "version": version, "sha256": sha256, "change": change})
        self._box.run("sh", "-c", 'printf %s "$0" > /run/doorward/update/wish.json', text)

    def _camera(self, unit: str) -> str:
        """Root's step tries the camera with a new version: where that is the virtual one, it needs the missing parts of
        the pipeline, as the recorder does (tests/install/camera.py)."""
        is_virtual = unit == "doorward-update.service" and (self._root / VIRTUAL_CAMERA[1:]).exists()
        return f":{VIRTUAL_CAMERA}" if is_virtual else ""

    def _dropin(self, unit: str) -> Path:
        return self._root / "etc/systemd/system" / f"{unit}.d" / "clock.conf"
