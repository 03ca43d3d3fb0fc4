"""`python -m tests.install.quick_kills SUITE …`: two hundred kills of an update in a small system, in minutes.

The system is a Debian's files in a mount and process namespace, without systemd. Real are root's step and the updater
with their signatures, dpkg-deb, the package's own installer with users, folders, units, its environment by venv and
pip, and its guard. Stand-ins are systemctl (tests/install/kills/systemctl) and the program of a version: its roles
sleep, and the waits for its health are seconds. `update_kills.py` does the same with a whole doorbell in a booted
container, where each kill takes minutes.

Half of the kills come at a counted step: right before a change of the disk, of a child process or of a lock. The others
come after a random time, so that they also hit dpkg-deb, venv and pip. After each kill, and without help, one whole
version runs; then the next try succeeds. Three of four kills find the new version built, so that more of them fall
into the switch, as in `update_kills.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.install.container import ENVIRONMENT, ROOT, SMALL, base, wheelhouse
from tests.install.kills.digests import digest
from tests.install.run import QUICK_KILLS, write_row
from tests.update_repositories import Repository, package

HERE = Path(__file__).with_name("kills")
SUITES = ("trixie", "bookworm")
NUMBERS = {"trixie": "13", "bookworm": "12"}
OLD, NEW = "0.2.0", "0.2.1"
TOOLS = (
    "cffi", "click", "cryptography", "markdown-it-py", "mdurl", "msgspec", "pycparser", "pygments", "rich",
    "securesystemslib", "structlog", "tuf", "typing-extensions", "urllib3",
)  # fmt: skip
"""The packages of requirements/run.txt that updater and root's step import."""
PINNED = "segno"
"""The package that a version's environment has."""
ROLES = ("custodian", "recorder", "uplink", "bridge")
CONFIGURATION = """\
[device]
name = "front-door"
position = { latitude = 52.0902, longitude = 5.1115 }
[camera]
kind = "file"
path = "/srv/film.mp4"
[updates]
source = "/srv/UPDATES"
root = "root.json"
"""
WAITS = {"_HEALTHY_S = 90.0": "_HEALTHY_S = {healthy}", "_SETTLED_S = 30.0": "_SETTLED_S = 1.5"}
"""The installer's waits are shorter, and nothing else of it is changed."""
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Plan:
    """Names the counted processes, and says if one, both or all die: at step `at`, or without it, after that share of
    an update's time."""

    counted: str
    who: str
    at: int = 0
    share: float = 0.0
    breaks: bool = False
    """The new version does not run, so the update goes back."""
    built: bool = False
    """The new version was built before."""
    again_s: float | None = None
    """A second kill this long after the first: of what mends it, or another power cut."""

    def __str__(self) -> str:
        moment = f"step {self.at} of {self.counted}" if self.at else f"{self.share:.0%} of {self.counted}'s time"
        told = f"{self.who} at {moment}{', a version that does not run' if self.breaks else ''}"
        return told if self.again_s is None else f"{told}, and again after {self.again_s:.1f} s"


class Prepared:
    """A suite's files with version 0.2.0 installed, which no kill changes."""

    def __init__(self, suite: str, folder: Path) -> None:
        self.suite, self.folder = suite, folder
        self.lower, self.installed = folder / "debian", folder / "installed"
        self.lower.mkdir(parents=True)
        self.installed.mkdir()
        self.digests: dict[str, str] = {}
        subprocess.run(["tar", "-xf", str(base(suite, packages=SMALL)), "-C", str(self.lower)], check=True)
        self._put_tools()
        architecture = subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name, runs in (("updates", True), ("broken-updates", False)):
            repository = Repository(self.lower / "srv" / name)
            data = self._deb(NEW, architecture, folder / name, runs=runs)
            repository.release(data, package(NEW, architecture))
            (self.lower / "srv" / f"{name}.root.json").write_bytes(repository.first_root)
        self._tree(self.lower / "srv" / "old", OLD, runs=True)
        (self.lower / "srv" / "film.mp4").touch()
        with SmallSystem(self, self.installed) as system:
            system.configure("updates")
            installer = "/srv/old/scripts/installation"
            system.run("/usr/bin/python3", "-I", "-B", installer, "install", "--source", "/srv/old")
            system.until_whole("the installation")
            assert system.step("fetch") == 0
            assert system.step("take") == 0
            self.old = system.current()

    def _put_tools(self) -> None:
        lower = self.lower
        ignore = shutil.ignore_patterns("__pycache__", "node_modules", "src")
        shutil.copytree(ROOT / "agent", lower / "srv/source/agent", ignore=ignore)
        shutil.copytree(HERE, lower / "srv/kills")
        wheels = lower / "srv/wheels"
        wheels.mkdir()
        for path in wheelhouse().glob("*.whl"):
            if path.name.partition("-")[0].lower().replace("_", "-") in TOOLS:
                shutil.copyfile(path, wheels / path.name)
        chroot = ["chroot", str(lower), "/usr/bin/env", "-i", *ENVIRONMENT]
        subprocess.run([*chroot, "python3", "-m", "venv", "/opt/tools"], check=True)
        pip = ["/opt/tools/bin/python", "-m", "pip", "install", "-q", "--no-index", "--find-links", "/srv/wheels"]
        subprocess.run([*chroot, *pip, "--no-deps", *TOOLS], check=True)
        site = next((lower / "opt/tools/lib").glob("python3.*/site-packages"))
        (site / "source.pth").write_text("/srv/source\n")
        systemctl = lower / "usr/bin/systemctl"
        systemctl.unlink(missing_ok=True)
        shutil.copy(HERE / "systemctl", systemctl)
        own = next(lower.glob("etc/python3.*"))
        (own / "sitecustomize.py").write_text((HERE / "hook.py").read_text())

    def _tree(self, tree: Path, version: str, *, runs: bool) -> None:
        """A release's files: everything real but the program."""
        ignore = shutil.ignore_patterns("__pycache__")
        for name in ("systemd", "config", "scripts/installation"):
            shutil.copytree(ROOT / name, tree / name, ignore=ignore)
        system = tree / "scripts/installation/system.py"
        text = system.read_text()
        for before, after in WAITS.items():
            assert before in text, before
            text = text.replace(before, after.format(healthy=60.0 if runs else 5.0))
        system.write_text(text)
        (tree / "agent/cli").mkdir(parents=True)
        (tree / "firmware_bridge").mkdir()
        (tree / "firmware_bridge/__init__.py").touch()
        (tree / "agent/__init__.py").write_text(f'__version__ = "{version}"\n')
        (tree / "agent/cli/__init__.py").touch()
        program = (HERE / "stand_in.py").read_text()
        assert "RUNS = True" in program
        (tree / "agent/cli/__main__.py").write_text(program.replace("RUNS = True", f"RUNS = {runs}"))
        kernel = tree / "agent/core/motion/passes"
        kernel.mkdir(parents=True)
        shutil.copy(ROOT / "agent/core/motion/passes/kernel.c", kernel)
        (tree / "requirements").mkdir()
        pins = (ROOT / "requirements/run.txt").read_text()
        begin = pins.index(f"\n{PINNED}==") + 1
        lines = pins[begin:].splitlines()
        rest = next(number for number, line in enumerate(lines[1:], 1) if not line.startswith(" "))
        (tree / "requirements/run.txt").write_text("\n".join(lines[:rest]) + "\n")
        (tree / "wheelhouse").mkdir()
        for path in (*wheelhouse().glob(f"{PINNED}-*.whl"), *wheelhouse().glob("motion-kernel.so")):
            shutil.copy(path, tree / "wheelhouse")
        self.digests[version if runs else f"{version} broken"] = digest(tree)

    def _deb(self, version: str, architecture: str, folder: Path, *, runs: bool) -> bytes:
        self._tree(folder / "usr/lib/doorward", version, runs=runs)
        (folder / "DEBIAN").mkdir()
        fields = f"Package: doorward\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: x\nDescription: y\n"
        (folder / "DEBIAN/control").write_text(fields)
        made = folder.with_suffix(".deb")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(folder), str(made)], check=True, stdout=2)
        return made.read_bytes()


@dataclass
class SmallSystem:
    """One machine on a copy of the prepared files. Use as a context manager."""

    prepared: Prepared
    upper: Path
    built: Path | None = None
    """A layer in which the new version is built."""
    pid: int = 0
    root: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.root = self.upper.with_name(f"{self.upper.name}.root")
        self._work = self.upper.with_name(f"{self.upper.name}.work")

    def __enter__(self) -> SmallSystem:
        for each in (self.upper, self._work, self.root):
            each.mkdir(exist_ok=True)
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self._work, ignore_errors=True)

    def boot(self) -> None:
        """Starts the first process. `/run` is empty, as after a power cut."""
        prepared = self.prepared
        below = [] if self.upper == prepared.installed else [prepared.installed]
        lower = ":".join(map(str, [*([self.built] if self.built else []), *below, prepared.lower]))
        script = (
            f"mount -t overlay -o 'lowerdir={lower},upperdir={self.upper},workdir={self._work}' o '{self.root}' && "
            f"mount -t tmpfs run '{self.root}/run' && mount -t proc proc '{self.root}/proc' && "
            f"mount --bind /dev '{self.root}/dev' && mkdir -p '{self.root}/run/systemd/system' && "
            f"exec chroot '{self.root}' /usr/bin/env -i {' '.join(ENVIRONMENT)} /usr/bin/python3 -I /srv/kills/init.py"
        )
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        until(lambda: self._process is not None and bool(children.read_text().split()), "the first process")
        self.pid = int(children.read_text().split()[0])
        self.root_seen = Path(f"/proc/{self.pid}/root")
        until((self.root_seen / "run/ready").exists, "the start of the small system")
        self.run("systemd-tmpfiles", "--create", "--prefix=/run/doorward", check=False)

    def cut(self) -> None:
        """Ends every process at once. Written files stay: the disk is this machine's."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            process.wait()

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        inside = self.words(*words)
        done = subprocess.run(inside, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done

    def words(self, *words: str) -> list[str]:
        enter = ["nsenter", "-t", str(self.pid), "--mount", "--pid", "--root"]
        return [*enter, "--", "/usr/bin/env", "-i", "-C", "/", *ENVIRONMENT, *words]

    # --- A doorbell's life

    def configure(self, updates: str) -> None:
        """Chooses the repository. `updates.json` is what `doorward apply` writes from the configuration."""
        etc, root = self.root_seen / "etc/doorward", (self.root_seen / f"srv/{updates}.root.json").read_text()
        etc.mkdir(exist_ok=True)
        (etc / "root.json").write_text(root)
        (etc / "doorward.toml").write_text(CONFIGURATION.replace("UPDATES", updates))
        (etc / "updates.json").write_text(json.dumps({"v": 1, "source": f"/srv/{updates}", "root": root}))

    def start(self, step: str) -> subprocess.Popen[bytes]:
        words = self.words("/opt/tools/bin/python", "-I", "-B", "/srv/kills/step.py", step)
        log = (self.root_seen / "run/step.log").open("ab")
        with log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def step(self, step: str) -> int:
        return self.start(step).wait(PATIENCE_S)

    def forget_staged(self) -> None:
        """Has the updater fetch again."""
        for name in ("repository", "trusted"):
            shutil.rmtree(self.root_seen / "var/lib/doorward/updater" / name)

    def wish(self) -> bool:
        """As the custodian: an owner chose what is on offer. Returns False if nothing is."""
        state = self.state()
        offer = state.get("offer")
        if offer is None:
            return False
        wish = {"v": 1, "id": secrets.token_hex(16), "version": offer["version"], "sha256": offer["sha256"]}
        wish["change"] = state.get("change")  # a yes after it counts also for a version that was interrupted
        (self.root_seen / "run/doorward/update/wish.json").write_text(json.dumps(wish))
        return True

    def state(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.root_seen / "var/lib/doorward/update/state.json").read_text()))
        except FileNotFoundError:
            return {}

    def boot_units(self) -> None:
        """Starts the roles, then the unit that ends a trial, as systemd does at a boot after a power cut."""
        self.run("systemctl", "start", "doorward.target")
        if (self.root_seen / "opt/doorward/trial").exists():
            judge = "/opt/doorward/previous/app/scripts/installation"
            self.run("/usr/bin/python3", "-I", "-B", judge, "judge", check=False)

    def current(self) -> str:
        return (self.root_seen / "opt/doorward/current").readlink().name

    def processes(self, *parts: str) -> list[tuple[int, list[str]]]:
        """Returns this machine's number and the words of each process inside whose words have one of `parts`."""
        namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        found = []
        for each in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if each.name.isdigit() and (each / "ns/pid").readlink() == namespace:
                    words = (each / "cmdline").read_text(errors="replace").split("\0")
                    if any(part in word for part in parts for word in words):
                        found.append((int(each.name), words))
        return found

    def fault(self) -> str:
        """Returns what one whole, settled version lacks; empty if one runs."""
        opt = self.root_seen / "opt/doorward"
        if at_work := self.processes("scripts/installation", "kills/step.py", "kills/guard"):
            return f"{at_work[0][1]} works"
        if (opt / "trial").exists():
            return "a version is on trial"
        now = self.current()
        folder = opt / "versions" / now
        if not (folder / "complete").exists():
            return f"{now} is current and not complete"
        released = {self.prepared.digests[each] for each in self.prepared.digests if now.startswith(each.split()[0])}
        if digest(folder / "app") not in released:
            return f"the files of {now} are not those of its release"
        if self.run("/opt/doorward/current/bin/doorward", "self-test", check=False).returncode:
            return f"{now} does not start"
        runs = {words[5]: words[0] for _, words in self.processes("agent.cli") if "run" in words}
        for role in ROLES:
            if runs.get(f"doorward-{role}.service") != f"/opt/doorward/versions/{now}/venv/bin/python":
                return f"{role} runs {runs.get(f'doorward-{role}.service')!r}, and {now} is current"
        return ""

    def until_whole(self, what: str) -> None:
        try:
            until(lambda: not self.fault(), what)
        except TimeoutError:
            logs = [self.root_seen / "run" / name for name in ("step.log", "guard.log")]
            told = "\n".join(path.read_text(errors="replace")[-2000:] for path in logs if path.exists())
            raise AssertionError(f"no whole version after {what}: {self.fault()}\n{told}") from None

    # --- One kill

    def plan(self, plan: Plan) -> None:
        folder = self.root_seen / "run/kills"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "plan").write_text(f"{plan.counted} {plan.at} {plan.who}\n")

    def steps(self) -> list[str]:
        log = self.root_seen / "run/kills/log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def no_plan(self) -> None:
        shutil.rmtree(self.root_seen / "run/kills", ignore_errors=True)


def until(condition: Any, what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.05)


class Kills:
    """All kills of one suite."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self._built = prepared.folder / "measure-works"
        self.steps: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def system(self, name: str, *, built: bool = False) -> Iterator[SmallSystem]:
        """A booted system on a copy of the prepared files; the copy is removed at the end."""
        upper = self.prepared.folder / name
        with SmallSystem(self.prepared, upper, self._built if built else None) as system:
            system.boot_units()
            system.until_whole("the start")
            yield system
        if upper != self._built:
            shutil.rmtree(upper, ignore_errors=True)

    def measure(self) -> None:
        """Counts the steps of an update that is not killed, and of one that goes back."""
        for key in ("works", "built", "breaks"):
            with self.system(f"measure-{key}", built=key == "built") as system:
                if key == "breaks":
                    system.configure("broken-updates")
                if key == "breaks":
                    assert system.step("fetch") == 0
                    assert system.step("take") == 0
                if key == "works":
                    system.forget_staged()
                    system.plan(Plan("updater", "self"))
                    assert system.step("fetch") == 0
                    self.steps["updater"] = system.steps()
                assert system.wish(), system.state()
                system.plan(Plan("root,installer", "self"))
                started = time.monotonic()
                assert system.step("take") == 0
                self.seconds[key], self.steps[key] = time.monotonic() - started, system.steps()
                system.no_plan()
                system.until_whole("the update that is not killed")
                expected = OLD if key == "breaks" else NEW
                assert system.current().startswith(f"{expected}-"), system.current()
                assert system.state()["outcome"]["result"] == ("rolled back" if key == "breaks" else "installed")
                if key == "works":
                    self._go_back(system)

    def _go_back(self, system: SmallSystem) -> None:
        """Leaves the old version current and the new one beside it, as after going back by hand."""
        opt, new = system.root_seen / "opt/doorward", system.current()
        for link, version in (("previous", new), ("current", self.prepared.old)):
            (opt / link).unlink()
            (opt / link).symlink_to(f"versions/{version}")
        system.run("/usr/bin/python3", "-I", "-B", "/opt/doorward/current/app/scripts/installation", "guard")
        assert system.step("fetch") == 0
        assert system.step("take") == 0
        system.until_whole("going back")

    def plans(self, count: int, seed: int) -> list[Plan]:
        """A tenth each: the updater, and a version that fails to run. Half of the others at a counted step, and each
        fifth is killed again while it is being mended."""
        rng = random.Random(seed)
        made: list[Plan] = []
        for number in range(count):
            breaks = number % 10 == 9
            built = not breaks and number % 4 != 0
            key = "breaks" if breaks else "built" if built else "works"
            if number % 10 == 4:
                made.append(Plan("updater", "self", at=rng.randint(1, len(self.steps["updater"]))))
                continue
            who = ("self", "both", "everything")[number % 3]
            again_s = rng.uniform(0, 3) if number % 5 == 0 else None
            if number % 2:
                made.append(Plan("root,installer", who, 0, rng.random(), breaks, built, again_s))
                continue
            # A third of the counted ones after all files were copied, where the versions change places.
            steps = self.steps[key]
            copied = [at for at, line in enumerate(steps, 1) if line.startswith("installer open ") and "/app/" in line]
            first = max(copied, default=1) if number % 3 == 0 else 1
            made.append(Plan("root,installer", who, rng.randint(first, len(steps)), 0.0, breaks, built, again_s))
        return made

    def kill(self, number: int, plan: Plan) -> str:
        """Returns what ran after it."""
        with self.system(f"kill-{number}", built=plan.built) as system:
            if plan.breaks:
                system.configure("broken-updates")
            if plan.counted == "updater":
                system.forget_staged()
                system.plan(plan)
                assert system.step("fetch") != 0, f"{plan} hit nothing"
                system.no_plan()
            else:
                self._kill_update(system, plan)
            system.until_whole(str(plan))
            found = "new" if system.current().startswith(f"{NEW}-") else "old"
            assert not (plan.breaks and found == "new"), f"a version that does not run stays after {plan}"
            self._next_try(system, plan)
            return found

    def _kill_update(self, system: SmallSystem, plan: Plan) -> None:
        if plan.breaks:
            assert system.step("fetch") == 0
            assert system.step("take") == 0
        assert system.wish(), system.state()
        system.plan(plan)
        process = system.start("take")
        if plan.at:
            until(lambda: process.poll() is not None or len(system.steps()) >= plan.at, str(plan))
        else:
            key = "breaks" if plan.breaks else "built" if plan.built else "works"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.seconds[key] * plan.share)
            if plan.who == "everything":
                system.cut()
            else:
                victims = system.processes("kills/step.py", "scripts/installation")
                victims = [each for each in victims if each[1][-2] not in ("guard", "judge")]
                for pid, _ in victims if plan.who == "both" else victims[-1:]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)
        if plan.who == "everything":
            system.cut()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            system.boot()
            if plan.again_s is not None:
                with ThreadPoolExecutor(1) as pool:
                    booting = pool.submit(system.boot_units)
                    time.sleep(plan.again_s)
                    system.cut()
                    booting.exception()
                system.boot()
            system.boot_units()
            return
        process.wait(PATIENCE_S)
        # systemd ends what is left of a unit's processes if its first one is killed.
        if process.returncode != 0:
            for pid, words in system.processes("scripts/installation"):
                if words[-2] not in ("guard", "judge"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 15)
        system.no_plan()
        if plan.again_s is not None:
            time.sleep(plan.again_s)
            for pid, words in system.processes("scripts/installation"):
                if words[-2] == "guard":
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)

    def _next_try(self, system: SmallSystem, plan: Plan) -> None:
        """The next look for updates, and the owner's next yes."""
        assert system.step("fetch") == 0, (system.root_seen / "run/step.log").read_text()[-2000:]
        assert system.step("take") == 0
        if system.wish():
            assert system.step("take") == 0
        system.until_whole(f"the next try after {plan}")
        expected = OLD if plan.breaks else NEW
        assert system.current().startswith(f"{expected}-"), f"{system.current()} after the next try, {plan}"
        state = system.state()
        assert state.get("trouble") is None, state


def main(arguments: list[str]) -> int:
    count = int(os.environ.get("DOORWARD_UPDATE_KILLS", "200"))
    seed = int(os.environ.get("DOORWARD_UPDATE_SEED", "19"))
    workers = int(os.environ.get("DOORWARD_KILL_WORKERS", "2"))
    suites = [word for word in arguments if word in SUITES] or list(SUITES)
    failed = 0
    for suite in suites:
        started = time.monotonic()
        told, faults = one_suite(suite, count // len(suites), seed, workers)
        failed += faults
        print(f"{suite}: {told}", flush=True)
        if not faults and "--record" in arguments:
            write_row(suite, (QUICK_KILLS, told, time.monotonic() - started))
    print(f"{count} kills on {' and '.join(suites)}: {failed} left no whole version, or a next try that failed")
    return int(failed > 0)


def one_suite(suite: str, count: int, seed: int, workers: int) -> tuple[str, int]:
    """Returns what to tell, and how many kills failed."""
    with tempfile.TemporaryDirectory(prefix="doorward-kills-", dir=os.environ.get("DOORWARD_INSTALL_DIR")) as name:
        kills = Kills(Prepared(suite, Path(name)))
        kills.measure()
        counted = ", ".join(f"{key}: {len(steps)} steps" for key, steps in kills.steps.items())
        print(f"{suite}: {counted}", flush=True)
        found: Counter[str] = Counter()
        faults: list[str] = []

        def one(numbered: tuple[int, Plan]) -> None:
            number, plan = numbered
            started = time.monotonic()
            try:
                said = kills.kill(number, plan)
                found[f"{'the updater' if plan.counted == 'updater' else plan.who}: {said}"] += 1
            except Exception as error:  # noqa: BLE001 — the others go on
                traceback.print_exc()
                faults.append(f"{plan}: {error}")
                said = "FAILED"
            print(f"    {suite} {number + 1}: {plan}: {said} ({time.monotonic() - started:.0f} s)", flush=True)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, enumerate(kills.plans(count, seed))))
    told = ", ".join(f"{what} {times}" for what, times in sorted(found.items()))
    held = f"not after {len(faults)} of them" if faults else "one whole version after each"
    return f"{count} kills, {held}: {told}", len(faults)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
