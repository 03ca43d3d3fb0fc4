"""`python3 scripts/installation`: install or upgrade, and uninstall."""

from __future__ import annotations

import argparse
import errno
import fcntl
import grp
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from installation import answers, camera, environment, integrity
from installation.places import Places
from installation.system import System
from installation.versions import Versions, numbers_of, tree_digest
from installation.words import FailedError, UnfitError, fail, in_words, legible, run, say, tell_failure

SOURCE = Path(__file__).resolve().parents[2]
_ROLLED_BACK = 3
"""Exit status if the new version failed here and the version before runs (agent/updater/root_step.py)."""
_BOOTS_ON_TRIAL = 2
_FAILURES = (FailedError, OSError, RuntimeError, ValueError)
"""Errors of a step after the switch, for example on a read-only system. The version before comes back then."""
_ENDED_BY_THE_MACHINE = (5, -signal.SIGKILL, -signal.SIGTERM)
"""A self-test that ends so says nothing of its version: a fault of the disk (5 in `agent/cli/frame.py`), no memory,
or a shutdown."""


def main(arguments: list[str]) -> int:
    wanted = _parser().parse_args(arguments)
    if os.geteuid():
        tell_failure("only root may do this.", "put sudo in front.")
        return 1
    try:
        # These two take no lock here: the guard waits for its holder, and a comparison of minutes must not stop an
        # update.
        if wanted.what == "guard":
            return guard(Places())
        if wanted.what == "verify":
            return verify(Places())
        with _alone(Places()):
            if wanted.what == "apply":
                System(Places()).apply_options()
                System(Places()).reload()
                return 0
            if wanted.what == "back":
                return go_back(Places())
            if wanted.what == "judge":
                return judge(Places())
            if wanted.what == "install":
                return install(Places(), wanted.source, wanted.wheelhouse, wanted.answers, is_update=wanted.update)
            return uninstall(Places(), purge=wanted.purge)
    except FailedError as error:
        tell_failure(error.message, error.remedy)
        return _ROLLED_BACK if isinstance(error, UnfitError) else 1
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        tell_failure(
            f"{error.filename} is on a read-only system, so this option cannot be changed here.",
            "build the card with the option in its configuration (docs/releasing.md).",
        )
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="installation", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    install_ = commands.add_parser("install", help="install, or upgrade to this version")
    install_.add_argument("--source", type=Path, default=SOURCE, help="the tree to install")
    install_.add_argument("--wheelhouse", type=Path, help="a folder of wheels: then no network is needed")
    install_.add_argument("--answers", type=Path, help="a doorward.toml to begin with, instead of questions")
    install_.add_argument("--update", action="store_true", help="refuse a version that fails with the camera")
    commands.add_parser("guard", help="wait for the end of an installation; end what it left if it was killed")
    commands.add_parser("judge", help="watch the version on trial after a power cut; go back if it fails")
    commands.add_parser("back", help="run the version before again; it stays only if it runs well")
    commands.add_parser("apply", help="open or close what the configuration asks for: page, panel, network camera")
    commands.add_parser("verify", help="compare the running version with the hashes that were kept")
    remove = commands.add_parser("uninstall", help="remove the program; keep the data")
    remove.add_argument("--purge", action="store_true", help="remove keys, trust, footage, configuration and users too")
    return parser


@contextmanager
def _alone(places: Places, *, wait: bool = False) -> Iterator[None]:
    """Two installers at once would sweep each other's versions away. `wait`: for the other one instead of a failure."""
    # The file stays: if it were removed, a program that waits for it and one that makes it again would both have a
    # lock. The kernel releases the lock if its holder is killed.
    with places.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fail("Another installation runs.", "wait for it to end.")
        yield


@contextmanager
def _guarded(system: System) -> Iterator[None]:
    """Inside the block, a unit of systemd waits for the end of this process, and ends what a kill leaves."""
    system.start_guard()
    try:
        yield
    except FailedError:
        system.stop_guard()
        raise
    system.stop_guard()


def install(
    places: Places, source: Path, wheelhouse: Path | None, answer_file: Path | None, *, is_update: bool = False
) -> int:
    """Installs or upgrades. `is_update`: no person watches, so the camera must work with the new version too."""
    versions, system = Versions(places), System(places)
    text = _configuration(places, source, answer_file)
    camera.install_packages(camera.configured_kind(text))
    name = _sound_name(versions, _name_of(source))
    if versions.current() != name:
        versions.sweep()
    is_new = not versions.is_complete(name)
    _make(versions, name, source, wheelhouse or _wheelhouse_beside(source), is_image=system.is_image)
    before = versions.current()
    if before in (None, name):
        return _switch(places, name, text, is_update=is_update)
    with _guarded(system):
        try:
            system.require_system(versions.folder(name))
            films = is_update and _compare_cameras(versions, system, name, places)
        except FailedError:
            if is_new:
                shutil.rmtree(versions.folder(name), ignore_errors=True)
            raise
        # Before the switch: a power cut between them ends in a trial of nothing. The other order would leave a version
        # that runs unwatched.
        versions.begin_trial(name, films=films)
        return _switch(places, name, text, is_update=is_update)


def go_back(places: Places) -> int:
    """Runs the version before again, on trial like a new one: if it does not run well, the present one comes back.

    Only root starts this: a person, or root's step after it has verified an owner's signature. A way back for the
    custodian would be a way to an old fault for a thief of it (docs/updates.md).
    """
    versions, system = Versions(places), System(places)
    now, before = versions.current(), versions.previous()
    if now is None or before is None or before == now or not versions.is_complete(before):
        fail("There is no version before this one.", "nothing has changed.")
    if numbers_of(before) > numbers_of(now):
        fail(
            f"{before} is newer than {now}: this doorbell went back already.",
            "install it with: doorward update install",
        )
    if not (versions.folder(before) / "SHA256SUMS").is_file():
        fail(f"{before} has no hashes, so changes to it would not be seen.", "install it again from its package.")
    if integrity.changes_of(versions.folder(before)):
        fail(f"Files of {before} were changed since it was installed.", "install it again from its package.")
    text = _configuration(places, versions.folder(before) / "app", None)
    with _guarded(system):
        system.require_system(versions.folder(before))
        films = _compare_cameras(versions, system, before, places)
        versions.begin_trial(before, is_way_back=True, films=films)
        return _switch(places, before, text, is_update=True)


def _switch(places: Places, name: str, text: str, *, is_update: bool) -> int:
    """Runs `name` instead of the version before, and goes back if it does not run well."""
    versions, system = Versions(places), System(places)
    before = versions.current()
    versions.switch(name)
    try:
        runs_well = _start(places, system, text, is_update=is_update)
    except _FAILURES as error:
        if before in (None, name):
            raise
        _tell(error)
        runs_well = False
    if not runs_well:
        return _roll_back(versions, system, before, name)
    versions.end_trial()
    if before is not None:
        versions.sweep()
        say(
            f"{before} was replaced by {name}; it stays for a roll-back." if before != name else f"{name} is installed."
        )
    if not is_update:
        _farewell(places, system)
    return 0


def _start(places: Places, system: System, text: str, *, is_update: bool) -> bool:
    """Starts the version that `current` names. Returns whether it runs well."""
    system.prepare()
    _configure(places, text)
    system.apply_options()
    if not is_update:
        _try_camera(places, system)
        _tell_notes(places, system)
    system.make_device()
    system.start()
    return system.is_healthy(settled=is_update, films=Versions(places).must_film())


def judge(places: Places) -> int:
    """Ends a trial that a power cut interrupted. The version before runs this, at boot."""
    versions, system = Versions(places), System(places)
    found = versions.trial()
    if found is None:
        return 0
    name = found[0]
    if versions.current() != name:
        versions.end_trial()
        return 0
    films = versions.must_film()
    # Counted durably before the watch: a version that takes the board down ends this process, too. After two such
    # boots it gets no third chance.
    runs_well = versions.count_boot() <= _BOOTS_ON_TRIAL and system.is_healthy(settled=True, films=films)
    return _end_trial(versions, system, name, runs_well=runs_well)


def guard(places: Places) -> int:
    """Waits for the installer that started this, and ends what it left: a killed one stops this no more.

    A killed installer leaves, for example, the recorder stopped, or a new version on trial while processes of the one
    before run. The version before runs this, because the installer starts it before the switch.
    """
    with _alone(places, wait=True):
        versions, system = Versions(places), System(places)
        found, current = versions.trial(), versions.current()
        if current is None:
            return 0
        if found is not None and found[0] == current:
            return _resume_trial(places, versions, system, current)
        if found is not None:  # cut before the switch, or on the way back
            _prepare_way_back(system)
        system.bring_to(versions.folder(current))
        versions.end_trial()
        versions.sweep()
        return 0


def verify(places: Places) -> int:
    """Compares the running version with its hashes. The uplink begins again if the outcome has changed."""
    if integrity.verify(places):
        System(places).restart_uplink()
    return 0


def _resume_trial(places: Places, versions: Versions, system: System, name: str) -> int:
    try:
        text = places.configuration.read_text(encoding="utf-8-sig", errors="replace")
        runs_well = versions.count_boot() <= _BOOTS_ON_TRIAL and _start(places, system, text, is_update=True)
    except _FAILURES as error:
        _tell(error)
        runs_well = False
    return _end_trial(versions, system, name, runs_well=runs_well)


def _end_trial(versions: Versions, system: System, name: str, *, runs_well: bool) -> int:
    if not runs_well:
        return _roll_back(versions, system, versions.previous(), name)
    versions.end_trial()
    say(f"{name} runs well.")
    return 0


def _make(versions: Versions, name: str, source: Path, wheelhouse: Path | None, *, is_image: bool) -> None:
    """Makes a complete version beside the running one, unless it is there.

    `is_image`: it will run on another machine.
    """
    if versions.is_complete(name):
        version = versions.folder(name)
        environment.put_kernel(version, wheelhouse, lambda file, made: integrity.add_hash(version, file, made))
        return
    say(f"Making version {name}")
    folder = versions.begin(name, source)
    environment.build(folder, wheelhouse)
    say("Testing it before anything is changed")
    # For an image, a self-test would test the computer that builds it, and an emulator there takes minutes or never
    # ends.
    test = "--version" if is_image else "self-test"
    try:
        run([str(folder / "bin" / "doorward"), test], "this version does not work on this machine")
    except FailedError as error:
        # As unfit, the version would be withdrawn here for good, and a full disk would keep out a security update.
        if error.status in _ENDED_BY_THE_MACHINE:
            raise
        raise UnfitError(error.message, error.remedy) from error
    # Before the mark of a complete version: one without hashes would count as changed at the next comparison.
    integrity.keep_hashes(folder)
    versions.complete(name)


def _compare_cameras(versions: Versions, system: System, name: str, places: Places) -> bool:
    """Refuses a version that gets no pictures from the configured camera, if the running version gets some.

    Returns whether the version gets pictures.
    """
    before = versions.current()
    if not system.alive or before in (None, name):
        return False
    say("Testing the camera with it; recording pauses")
    # Only one program can have the camera. The version before is the measure: a lens cap or a pulled cable fails both,
    # and says nothing of the new one.
    with system.without_recorder():
        fine = {each: _camera_works(versions.folder(each), places) for each in (name, str(before))}
        if fine[str(before)] and not fine[name]:
            # The recorder has only just let go of the camera: a camera that needs some seconds fails the first try.
            fine[name] = _camera_works(versions.folder(name), places)
    if fine[str(before)] and not fine[name]:
        raise UnfitError(
            f"{name} gets no pictures from this camera, and {before} does.", "keep this version and report it."
        )
    return fine[name]


def _camera_works(version: Path, places: Places) -> bool:
    words = ["self-test", "--camera", "--opened", "--config", str(places.configuration)]
    return subprocess.run([str(version / "bin" / "doorward"), *words], capture_output=True, check=False).returncode == 0


def _roll_back(versions: Versions, system: System, before: str | None, name: str) -> int:
    _show_journal()
    is_way_back = versions.is_way_back()
    if before is None or before == name or versions.roll_back() is None:
        fail(
            f"{name} is installed but does not run well.", "look at:  journalctl -u 'doorward-*' -n 50; doorward doctor"
        )
    versions.end_trial()
    _prepare_way_back(system)
    system.start(is_way_back=True)
    well = "runs" if system.is_healthy() else "does not run well either"
    print(f"\n{in_words('Error:')} {in_words(f'{name} did not run well on this machine.')}", file=sys.stderr)
    print(f"  {in_words(f'{before} is back, and {well}.')}", file=sys.stderr)
    if not is_way_back:  # a version that ran before stays: this may have been its only bad minute
        shutil.rmtree(versions.folder(name), ignore_errors=True)
    return _ROLLED_BACK


def _prepare_way_back(system: System) -> None:
    """A step that fails is told, and the next one is done: the services of the bad version must not run on."""
    for step in (system.prepare, system.apply_options):
        try:
            step()
        except _FAILURES as error:
            _tell(error)


def _tell(error: Exception) -> None:
    say(f"{error.message} {error.remedy}" if isinstance(error, FailedError) else str(error))


def uninstall(places: Places, *, purge: bool) -> int:
    system = System(places)
    system.remove()
    leave_home(places)
    if purge:
        system.purge()
    # Last: Home Assistant is told by the program in this folder.
    shutil.rmtree(places.opt, ignore_errors=True)
    if purge:
        say(
            "Doorward and everything it kept is gone.  What flash memory keeps of removed files no program can promise."
        )
    else:
        say(f"Doorward is gone.  Kept: {places.state} and {places.etc}, and the users they belong to.")
    return 0


def leave_home(places: Places) -> None:
    """Removes the doorbell from Home Assistant, if it is there. An unreachable broker does not stop the removal."""
    try:
        configured = "home_assistant" in tomllib.loads(places.configuration.read_text(encoding="utf-8-sig"))
    except (OSError, tomllib.TOMLDecodeError):
        return
    if not configured:
        return
    command = [str(places.current / "bin" / "doorward"), "home-assistant", "remove", "--config"]
    try:
        done = run([*command, str(places.configuration)], "", check=False)
    except OSError as error:
        say(f"Home Assistant still shows this doorbell ({error.strerror}). Delete it there, under MQTT.")
        return
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[0].removeprefix("Error: ")
        say(f"Home Assistant still shows this doorbell: {why} Delete it there, under MQTT.")
    else:
        say(done.stdout.strip())


def _name_of(source: Path) -> str:
    """The version, and a hash of its source and of what its environment will rest on."""
    made_of = tree_digest(source) + environment.foundation()
    return f"{_version_of(source)}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def _sound_name(versions: Versions, name: str) -> str:
    """Returns the name, or one with a number if files of that version were changed since it was installed.

    Services run from the changed folder, so the version is made again beside it.
    """
    for each in (name, *(f"{name}-{number}" for number in range(2, 100))):
        if not versions.is_complete(each) or not integrity.changes_of(versions.folder(each)):
            return each
        say(f"Files of {each} were changed since it was installed. It is made again, beside them.")
    raise FailedError(
        "Every copy of it was changed.", "find out who changes them. Then remove the folder /opt/doorward."
    )


def _configuration(places: Places, source: Path, answer_file: Path | None) -> str:
    """The text that is there, or that will be: asked for before anything is made, because the camera decides what."""
    if places.configuration.exists():
        return places.configuration.read_text(encoding="utf-8-sig", errors="replace")
    return answers.configuration((source / "config" / "doorward.toml").read_text(), answer_file)


def _try_camera(places: Places, system: System) -> None:
    """Opens the configured camera and reports its faults. The installation continues, because the camera may be plugged
    in later."""
    if not system.alive:
        return
    command = [str(places.current / "bin" / "doorward"), "self-test", "--camera", "--config", str(places.configuration)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    for line in (done.stdout + done.stderr).strip().splitlines():
        say(line)


def _tell_notes(places: Places, system: System) -> None:
    """Says what is right in the configuration and may surprise. For example, that private hours count by UTC."""
    if not system.alive:
        return
    command = [str(places.current / "bin" / "doorward"), "config", "check", "--json", str(places.configuration)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    with suppress(ValueError, LookupError, TypeError):  # an older version may answer with other words
        for note in json.loads(done.stdout)["notes"]:
            print(f"  {in_words('Note:')} {in_words(legible(note))}")


def _configure(places: Places, text: str) -> None:
    """Writes a configuration if there is none, and checks it with the version that will read it."""
    group = grp.getgrnam("doorward-config").gr_gid
    if not places.configuration.exists():
        answers.write(places.configuration, text, group)
    check = [str(places.current / "bin" / "doorward"), "config", "check", str(places.configuration)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"{places.configuration} is not right: {done.stderr.strip()}", "mend it, then run the same command again.")


def _version_of(source: Path) -> str:
    for line in (source / "agent" / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise FailedError(f"{source} is no Doorward.", "give --source the folder of a release.")


def _wheelhouse_beside(source: Path) -> Path | None:
    beside = source / "wheelhouse"
    return beside if beside.is_dir() else None


def _show_journal() -> None:
    words = ["journalctl", "-u", "doorward-*", "-n", "15", "--no-pager", "-o", "cat"]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    print(legible(done.stdout[-3000:]), file=sys.stderr)


def _farewell(places: Places, system: System) -> None:
    tables = tomllib.loads(places.configuration.read_text(encoding="utf-8-sig"))
    page = tables.get("page")
    state = (
        "Doorward is installed and runs." if system.alive else "Doorward is installed; it starts with the next boot."
    )
    print(f"\n{in_words(state)}")
    print(f"\n{in_words('Next, in this order:')}")
    enrol = ("doorward owner enrol", "become its owner, on your own computer: docs/install.md")
    if page is not None:
        enrol = ("sudo doorward page code", "the page for your browser, where you enrol")
    for command, meaning in (
        ("doorward owner keygen", "make your keys, on your own computer, not here"),
        enrol,
        ("sudo doorward doctor", "is everything well?"),
        ("sudo doorward status", "what is it doing?"),
    ):
        print(f"  {command:30} {in_words(meaning)}")
    if page is not None:
        name = page.get("name") or tables.get("device", {}).get("name", "front-door").lower().replace(" ", "-")
        url = f"https://{name}.local:{page.get('port', 8443)}/"
        print(f"\n{url}   ({in_words(f'this machine is {socket.gethostname()}')})\n")
        _show_qr(places, url)


def _show_qr(places: Places, url: str) -> None:
    python = places.current / "venv" / "bin" / "python"
    code = "import sys, segno; segno.make(sys.argv[1], error='m').terminal(compact=True)"
    subprocess.run([str(python), "-I", "-B", "-c", code, url], check=False)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
