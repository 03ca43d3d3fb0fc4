"""A separate Debian, booted by systemd-nspawn on its own systemd: an environment for real installations.

The root is made once by mmdebstrap and kept below `.cache/`; each container is a fresh copy, offline. `run` enters the
container's namespaces with nsenter(1), because such a container has no login of ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "install"
PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,python3,python3-venv,ca-certificates,mosquitto,util-linux,passwd,iproute2,libbpf1,"
    "python3-numpy"
)
"""libbpf1: systemd loads it to hold SocketBindDeny=.  numpy: what a Pi's camera packages bring on both systems."""
SMALL = "systemd,systemd-sysv,dbus,python3,python3-venv,util-linux,passwd"
"""For the installation in small that every run of the tests tries, on SMALL_SUITE."""
SMALL_SUITE = "trixie"
KERNEL = "agent/core/motion/passes/kernel.c"
"""Compiled into the wheelhouse."""
CAMERA = {"trixie": ",python3-libcamera,libcamera-ipa"}
"""Debian 12 has no binding of libcamera's."""
ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
MEMORY = Path("/sys/fs/cgroup/memory")
"""Version 1's memory controller, where the host has it there: version 2 is then without one."""
CGROUP_V2 = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
"""Places of the host's hierarchy: alone, or beside version 1."""


def base(suite: str, architecture: str = "amd64", packages: str | None = None) -> Path:
    """The tar of a minimal system; made when missing (about 20 s, arm64 some minutes)."""
    made = base_place(suite, architecture, packages)
    if not made.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = made.with_suffix(f".{os.getpid()}.tar")
        words = ["mmdebstrap", "-q", "--variant=minbase", f"--architectures={architecture}"]
        words.append(f"--include={_packages(suite, packages)}")
        subprocess.run([*words, suite, str(part)], check=True)
        part.rename(made)
    return made


def base_place(suite: str, architecture: str = "amd64", packages: str | None = None) -> Path:
    named = hashlib.sha256(_packages(suite, packages).encode()).hexdigest()[:8]
    return CACHE / f"{suite}-{architecture}-{named}.tar"


def _packages(suite: str, packages: str | None) -> str:
    return packages or PACKAGES + CAMERA.get(suite, "")


def wheelhouse(architecture: str = "amd64") -> Path:
    made = wheelhouse_place(architecture)
    if not made.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = made.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        python = os.environ.get("PYTHON_FOR_WHEELS", str(ROOT / ".venv" / "bin" / "python"))
        subprocess.run([python, str(ROOT / "scripts" / "wheelhouse.py"), architecture, str(part)], check=True)
        part.rename(made)
    return made


def wheelhouse_place(architecture: str = "amd64") -> Path:
    made_by = ("requirements/run.txt", "scripts/wheelhouse.py", "scripts/installation/kernel.py", KERNEL)
    pins = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in made_by)).hexdigest()[:8]
    return CACHE / f"wheels-{architecture}-{pins}"


def copy_source(target: Path, *, tests: bool = False) -> None:
    """Copies the files of a release (and the tests that run inside)."""
    names = ["agent", "firmware_bridge", "config", "systemd", "requirements", "scripts"]
    names += ["tests", "demo"] if tests else []
    ignore = shutil.ignore_patterns("__pycache__", "node_modules", "*.avi")
    for name in names:
        shutil.copytree(ROOT / name, target / name, ignore=ignore, dirs_exist_ok=True)
    for name in ("LICENSE", "README.md", "SECURITY.md", "CHANGELOG.md"):
        shutil.copyfile(ROOT / name, target / name)


def why_not() -> str:
    """Why no container can be booted here; empty if one can."""
    if os.geteuid() != 0:
        return "only root can boot a container"
    missing = [name for name in ("systemd-nspawn", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if subprocess.run(["systemd-detect-virt", "--container", "--quiet"], check=False).returncode == 0:
        return "this is a container itself"
    return ""


def _own_cgroup(name: str, places: tuple[Path, ...]) -> Path | None:
    """A group below our own, so that each container's units have a separate place; None without cgroup v2."""
    ours = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), "/")
    for place in places:
        if (place / "cgroup.controllers").exists():
            made = place / ours.lstrip("/") / name
            made.mkdir()
            return made
        if place == MEMORY and place.is_dir():
            made = place / name
            made.mkdir()
            return made
    return None


def why_no_memory() -> str:
    """Why no container can hold a limit of memory here; empty if one can."""
    if any("memory" in (place / "cgroup.controllers").read_text().split() for place in _v2()):
        return ""
    return "" if MEMORY.is_dir() else "the kernel has no controller of memory"


def _v2() -> list[Path]:
    return [place for place in map(Path, CGROUP_V2) if (place / "cgroup.controllers").exists()]


class Container:
    """A context manager around one booted system.  `root` is its file system, seen from outside."""

    def __init__(self, suite: str, packages: str | None = None, *, memory: bool = False, network: bool = False) -> None:
        """`memory`: with limits of memory that hold; on a host with `MEMORY` that costs the rules about addresses.
        `network`: this machine's own, instead of none.
        """
        self.limit_bytes: int | None = None
        """From the next boot on, for all of the container: only with `MEMORY`."""
        self._folder = Path(tempfile.mkdtemp(prefix="doorward-install-", dir=os.environ.get("DOORWARD_INSTALL_DIR")))
        self.root = self._folder / "root"
        self.suite = suite
        self._packages = packages
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._cgroup: Path | None = None
        self._network = ["--resolv-conf=copy-host"] if network else ["--private-network"]
        self.more_words: list[str] = []
        """More arguments of systemd-nspawn, from the next boot on."""
        self._version_1 = memory and not any("memory" in (place / "cgroup.controllers").read_text() for place in _v2())

    def __enter__(self) -> Container:
        self.root.mkdir()
        self.unpack(self.root)
        self.boot()
        return self

    def unpack(self, root: Path) -> None:
        """Fills an empty folder with the system."""
        subprocess.run(["tar", "-xf", str(base(self.suite, packages=self._packages)), "-C", str(root)], check=True)
        for unit in ("systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount"):
            # The host's list of interpreters is the kernel's only one: a container that halts would empty it.
            (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
        hosts = root / "etc/hosts"
        if not hosts.exists() or "localhost" not in hosts.read_text():  # Debian's installer would write it
            name = (root / "etc/hostname").read_text().strip() if (root / "etc/hostname").exists() else "debian"
            hosts.write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.halt()
        shutil.rmtree(self._folder, ignore_errors=True)

    def boot(self) -> None:
        name = f"doorward-{secrets.token_hex(4)}"
        words = ["systemd-nspawn", "-q", "-D", str(self.root), "--boot", "--register=no", "--keep-unit"]
        words.append(f"--machine={name}")
        words += [*self._network, "--console=read-only", *self.more_words]
        # systemd needs these to hold rules about addresses, ports and devices: BPF programs, attached to cgroup v2.
        words += ["--system-call-filter=bpf", "--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN"]
        environment = dict(os.environ)
        self._cgroup = _own_cgroup(name, (MEMORY,) if self._version_1 else tuple(map(Path, CGROUP_V2)))
        if self._cgroup and self.limit_bytes is not None:
            (self._cgroup / "memory.limit_in_bytes").write_text(str(self.limit_bytes))
            (self._cgroup / "memory.swappiness").write_text("0")
        if self._cgroup:
            environment["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "0" if self._version_1 else "1"
            words = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self._cgroup), *words]
        if not self._cgroup or self._version_1:
            words.append("--setenv=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1")
        with (self._folder / "boot.log").open("ab") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
            )
        deadline = time.monotonic() + 240
        while True:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            self._pid = int(children[0]) if children else 0
            if self._pid and self._is_up():
                break
            if time.monotonic() > deadline:
                raise TimeoutError((self._folder / "boot.log").read_text()[-2000:])
            time.sleep(0.2)
        if self._version_1:  # nspawn mounts it for reading only, and systemd looks once what it may use
            self.run("mount", "-o", "remount,bind,rw", str(MEMORY))
            self.run("systemctl", "daemon-reexec")

    def _is_up(self) -> bool:
        said = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return said in ("running", "degraded")

    def halt(self) -> None:
        """In good order, or else as a power cut."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGRTMIN + 4)  # systemd(1): poweroff
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._remove_cgroup()

    def cut(self) -> None:
        """Kills every process at once. The disk is the host's, so it keeps all that was written."""
        process, self._process = self._process, None
        assert process is not None
        os.kill(self._pid, signal.SIGKILL)  # the kernel ends all others of its process namespace
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._remove_cgroup()

    def _remove_cgroup(self) -> None:
        if self._cgroup:
            for folder, _, _ in os.walk(self._cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()

    def charged(self, name: str) -> int:
        """Returns a number of its memory controller, for example `memory.max_usage_in_bytes`, for all of it."""
        assert self._cgroup is not None
        return int((self._cgroup / name).read_text())

    def counters(self, name: str) -> dict[str, int]:
        """Returns the numbers of a file with one on each line, for example `memory.stat`, for all of it."""
        assert self._cgroup is not None
        return {word: int(value) for word, value in map(str.split, (self._cgroup / name).read_text().splitlines())}

    @property
    def pid(self) -> int:
        """The first process of the container, as this machine numbers it."""
        return self._pid

    def in_network(self, *command: str) -> list[str]:
        """Returns the words that run a program of this machine in the container's network."""
        return ["nsenter", "-t", str(self._pid), "-n", "--", *command]

    def place(self, path: str) -> Path:
        """Returns where a file of the running system is on this machine. `path`: without its first slash."""
        return self.root / path

    def words(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self._pid), "-a", "--", "/usr/bin/env", "-i", *ENVIRONMENT, *command]

    def run(self, *command: str, check: bool = True, timeout_s: float = 1200) -> subprocess.CompletedProcess[str]:
        words = self.words(*command)
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
        )
        if check and done.returncode:
            said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{said}")
        return done

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def files(self) -> dict[str, str]:
        """Every path on its disk, with type, mode, owner and, for links, the target; contents for small files."""
        found: dict[str, str] = {}
        for folder, folders, files in os.walk(self.root):
            relative = folder.removeprefix(str(self.root)) or "/"
            if relative.startswith(("/proc", "/sys", "/dev", "/run", "/tmp")):
                folders.clear()
                continue
            for name in (*folders, *files):
                path = Path(folder, name)
                told = path.lstat()
                link = path.readlink() if path.is_symlink() else ""
                size = told.st_size if name in files else 0
                found[f"{relative.rstrip('/')}/{name}"] = f"{told.st_mode:o} {told.st_uid}:{told.st_gid} {size} {link}"
        return found


def small_is_there() -> bool:
    """Returns True if everything that `test_in_a_container.py` needs is there; that test fetches nothing itself."""
    return base_place(SMALL_SUITE, packages=SMALL).exists() and wheelhouse_place().is_dir()


if __name__ == "__main__":  # of set-up: "wanting" says whether there is something to prepare
    if sys.argv[1:] == ["wanting"]:
        print("" if why_not() or small_is_there() else "yes", end="")
    else:
        base(SMALL_SUITE, packages=SMALL)
        wheelhouse()
