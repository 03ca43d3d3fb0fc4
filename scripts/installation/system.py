"""The system's part of an installation: users, folders, units, services. Each step can be repeated and undone."""

from __future__ import annotations

import errno
import grp
import json
import math
import os
import pwd
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from installation.places import BACKUP, BOARD_LIGHT, DROPINS, ENABLED, GUARD, JOIN, SERVICES, UNITS, USERS, Places
from installation.words import UnfitError, run, say

__all__ = ["System"]

_GROUPS = ("doorward-config", "doorward-vault")
_BORROWED_GROUPS = ("gpio", "render", "video")
"""Groups of the distribution, created only if they are missing."""
_HEALTHY_S = 90.0
_SETTLED_S = 30.0
_CAMERA_S = 60.0
_WIDE_PX = 1920 * 1080
"""Larger pictures need more memory than the recorder's unit allows."""


class System:
    """`alive` is false in a chroot or an image being built. Then services are prepared but not started."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._before: dict[str, str] = {}
        """Each service's run before `start`. It says nothing about the new version."""
        self.alive = places.root == Path("/") and Path("/run/systemd/system").is_dir()
        self.is_image = places.root == Path("/") and not self.alive

    # --- In

    def prepare(self) -> None:
        """Creates users, folders and unit links for the version that `current` names. The links follow `current`
        automatically. Links of units that this version does not have go."""
        places = self._places
        app = places.current / "app" / "systemd"
        missing = [group for group in _BORROWED_GROUPS if not _group_exists(group)]
        self._link(places.tmpfiles, app / "tmpfiles.d" / "doorward.conf")
        # Before systemd-tmpfiles, which gives its folders to these users.
        accounts = app / "sysusers.d" / "doorward.conf"
        if _missing_accounts(accounts):
            # With nothing to make, it still locks /etc/passwd, and so it fails on a read-only system.
            run(["systemd-sysusers", str(accounts)], "the roles' users could not be made")
        if missing:
            # `uninstall --purge` removes these groups and none that was here before the doorbell.
            record = places.state / "made-groups"
            record.parent.mkdir(exist_ok=True)
            before = record.read_text().split() if record.exists() else []
            record.write_text("\n".join(sorted({*before, *missing})) + "\n")
        # Ignore its warnings about other folders. The folders that matter are checked below.
        run(["systemd-tmpfiles", "--create", str(places.tmpfiles)], "", check=False)
        self._link(places.modules, app / "modules-load.d" / "doorward.conf")
        if self.alive and shutil.which("modprobe"):  # from the next boot on systemd does it
            # Optional: some kernels have no such module, and some systems have no kmod.
            run(["modprobe", "--quiet", "tcp_bbr"], "", check=False)
        self._unlink_gone()
        for unit in self._here(UNITS):
            self._link(places.units / unit, app / unit)
        self._link(places.command, places.current / "bin" / "doorward")
        for name in ("vault", "custodian"):
            if not (places.state / name).is_dir():
                raise RuntimeError(f"{places.state / name} was not made.")

    def require_system(self, version: Path) -> None:
        """Raises `UnfitError` if a version needs a link or an account that is missing on a system that is read-only.

        Such a version cannot be prepared after the switch. Only a new card or a new slot brings what it needs.
        """
        places, app = self._places, self._places.current / "app" / "systemd"
        needed = {
            places.tmpfiles: app / "tmpfiles.d" / "doorward.conf",
            places.modules: app / "modules-load.d" / "doorward.conf",
            **{places.units / unit: app / unit for unit in UNITS if (version / "app" / "systemd" / unit).is_file()},
            places.command: places.current / "bin" / "doorward",
        }
        tables = tomllib.loads(places.configuration.read_text(encoding="utf-8-sig"))
        options = self._option_links(version, tables)
        needed |= {link: target for link, target in options.items() if target is not None}
        missing = [link for link, target in needed.items() if not _leads_to(link, target)]
        for unit in ENABLED:
            if (version / "app" / "systemd" / unit).is_file():
                missing += [link for link in self._wants(version, unit) if not link.is_symlink()]
        for link in missing:
            if not _can_be_written(link.parent):
                raise UnfitError(
                    f"{version.name} needs {link}, which is not there, and its folder is read-only.",
                    "build a card with this version (docs/releasing.md).",
                )
        accounts = _missing_accounts(version / "app" / "systemd" / "sysusers.d" / "doorward.conf")
        if accounts and not _can_be_written(places.root / "etc"):
            raise UnfitError(
                f"{version.name} needs the user or group {accounts[0]}, which is not there, and /etc is read-only.",
                "build a card with this version (docs/releasing.md).",
            )

    def _here(self, units: tuple[str, ...]) -> tuple[str, ...]:
        """Returns those units that the version that `current` names has. An installer also goes back to an older one,
        and `systemctl enable` fails for all if one is missing."""
        return tuple(unit for unit in units if (self._places.current / "app" / "systemd" / unit).is_file())

    def _wants(self, version: Path, unit: str) -> list[Path]:
        """Returns the links that enable a unit of a version (systemd.unit(5), WantedBy=)."""
        targets = re.findall(r"(?m)^WantedBy=(.+)$", (version / "app" / "systemd" / unit).read_text())
        return [self._places.units / f"{target}.wants" / unit for each in targets for target in each.split()]

    def _unlink_gone(self) -> None:
        """Stops and unlinks units of another version that `current` does not have.

        A link that stays on a read-only system does no harm.
        """
        app = self._places.current / "app" / "systemd"
        for link in sorted(self._places.units.glob("doorward*")):
            # A link into `current` that leads nowhere is of a unit that this version lacks.
            if not link.is_symlink() or link.readlink().parent != app or link.exists():
                continue
            if self.alive:
                run(["systemctl", "stop", link.name], "", check=False)
            # Not "*.wants/NAME": before Python 3.12, glob leaves out a link that leads nowhere.
            for each in (*(folder / link.name for folder in self._places.units.glob("*.wants")), link):
                with suppress(OSError):
                    each.unlink()

    def apply_options(self) -> None:
        """Drop-ins and marks for what the configuration asks for, and only then. The units' folder stays unwritten if
        nothing changes."""
        tables = tomllib.loads(self._places.configuration.read_text(encoding="utf-8-sig"))
        for link, target in self._option_links(self._places.current, tables).items():
            if target is not None:
                self._link(link, target)
            elif link.is_symlink():
                _remove_option(link)
        self._write_update_source(tables.get("updates"))
        panel = self._places.etc / "panel"
        if "panel" in tables:
            panel.touch()
        else:
            panel.unlink(missing_ok=True)

    def _option_links(self, version: Path, tables: dict[str, Any]) -> dict[Path, Path | None]:
        """Returns each link that an option may have, with its target; None if `tables` do not ask for it."""
        wanted = {
            "custodian-page": "page" in tables,
            "recorder-sound": tables.get("sound", {"kind": ""}).get("kind", "alsa") == "alsa",
            "recorder-speaker": tables.get("speaker", {"kind": ""}).get("kind", "alsa") == "alsa",
            "recorder-object-detection": (version / "app" / "models").is_dir()
            and tables.get("object_detection", {}).get("use") != "off",
            "recorder-rtsp": tables.get("camera", {}).get("kind") == "rtsp",
            "recorder-wide": math.prod(tables.get("camera", {}).get("size", ())) > _WIDE_PX,
        }
        found = dict[Path, Path | None]()
        for name, service in DROPINS.items():
            target = self._places.current / "app" / "systemd" / "dropins" / f"{name}.conf"
            found[self._places.units / f"{service}.service.d" / f"{name}.conf"] = target if wanted[name] else None
        by_camera = tables.get("page", {}).get("setup_by_camera") is True
        has_light = "status_led" in tables.get("panel", {})
        asked = {JOIN: by_camera, BOARD_LIGHT: by_camera and not has_light, BACKUP: "backup" in tables}
        for unit, is_asked in asked.items():
            is_here = (version / "app" / "systemd" / unit).is_file()
            wants = self._places.units / "doorward.target.wants" / unit
            found[wants] = self._places.units / unit if is_asked and is_here else None
        return found

    def _write_update_source(self, table: dict[str, str] | None) -> None:
        """Tells the updater, which cannot read the configuration, where updates are and which root to trust first."""
        path = self._places.update_source
        shipped = self._places.current / "app" / "config" / "updates" / "root.json"
        root = self._places.etc / table["root"] if table and "root" in table else shipped
        if table is None or not root.is_file():
            if table is not None:
                say(
                    f"Updates are off: there is no {root}. Get it from a person you trust, and name it in updates.root."
                )
            path.unlink(missing_ok=True)
            return
        making = path.with_name(".updates.json.new")
        making.write_text(json.dumps({"v": 1, "source": table["source"], "root": root.read_text()}))
        making.chmod(0o644)
        making.replace(path)

    def make_device(self) -> None:
        """The device's own key, by the one user that may read it."""
        # A system that does not run is an image, and each of its copies would have the same key. There
        # `doorward-device-key.service` makes it at the first start.
        if not self.alive or (self._places.state / "custodian" / "device.key").exists():
            return
        run(
            ["setpriv", "--reuid=doorward-custodian", "--regid=doorward-custodian", "--init-groups", "--",
             str(self._places.current / "bin" / "doorward"), "init"],
            "the device's key could not be made",
        )  # fmt: skip

    def start(self, *, is_way_back: bool = False) -> None:
        """Starts the services. In an image that is being built, it only enables them for the first start.

        `is_way_back`: a failure does not stop it.
        """
        if self.alive:
            run(["systemctl", "daemon-reload"], "systemd did not read the units", check=not is_way_back)
        if self.alive or self.is_image:
            # On the way back a failure must not end this: without the restart, processes of the bad version would run
            # on.
            # On a read-only system `systemctl enable` fails, also if every link is there.
            asleep = [unit for unit in self._here(ENABLED) if not _are_there(self._wants(self._places.current, unit))]
            if asleep:
                enable = ["systemctl", "enable", "--quiet", *asleep]
                run(enable, "the units could not be enabled", check=not is_way_back)
        if self.alive:
            # Restarts of a failed version must not count against this one.
            run(["systemctl", "reset-failed", *(f"{name}.service" for name in SERVICES)], "", check=False)
            # Do not wait here: a role waits for its custodian, and the health check follows below.
            units = ("doorward.target", *(f"{name}.service" for name in SERVICES))
            self._before = {name: _property(f"{name}.service", "InvocationID") for name in SERVICES}
            run(["systemctl", "restart", "--no-block", *units], "", check=False)

    def reload(self) -> None:
        if self.alive:
            run(["systemctl", "daemon-reload"], "systemd did not read the units")

    def bring_to(self, version: Path) -> None:
        """Restarts the services that run another version, starts those that do not run, and leaves the others alone."""
        if self.alive:
            self.reload()
            for name in SERVICES:
                # Asked of the process, because `current` may have moved since it began.
                if _program_of(f"{name}.service") not in ("", str(version / "venv" / "bin" / "python")):
                    run(["systemctl", "restart", "--no-block", f"{name}.service"], "", check=False)
            run(["systemctl", "start", "--no-block", "doorward.target"], "", check=False)

    def restart_uplink(self) -> None:
        """Lets the uplink ask the custodian again which servers it may reach. One that is stopped stays stopped."""
        if self.alive:
            run(["systemctl", "try-restart", "--no-block", "doorward-uplink.service"], "", check=False)

    def start_guard(self) -> None:
        """Lets systemd wait for the end of this process. The first version that has the unit cannot be guarded yet."""
        if self.alive:
            run(["systemctl", "start", GUARD], "", check=False)

    def stop_guard(self) -> None:
        if self.alive:
            run(["systemctl", "stop", GUARD], "", check=False)

    @contextmanager
    def without_recorder(self) -> Iterator[None]:
        """Stops the recorder inside the block, so that another program can open the camera."""
        run(["systemctl", "stop", "doorward-recorder.service"], "the recorder could not be stopped")
        try:
            yield
        finally:
            run(["systemctl", "start", "--no-block", "doorward-recorder.service"], "", check=False)

    def is_healthy(self, *, settled: bool = False, films: bool = False) -> bool:
        """Returns whether every needed service runs without restarts and the custodian answers.

        `settled`: it must also stay so for half a minute, because a version can fail after its start.
        `films`: the recorder must also get pictures. A camera may take a minute longer than the services.
        """
        if not self.alive:
            return True
        ends_s = time.monotonic() + _HEALTHY_S + (_CAMERA_S if films else 0.0)
        well_since_s = None
        while time.monotonic() < ends_s:
            well = self._answers(films=films) and self._all_run()
            # One bad second begins the half minute again: a service that restarts each few seconds is active in
            # between.
            well_since_s = (well_since_s or time.monotonic()) if well else None
            if well_since_s is not None and (not settled or time.monotonic() - well_since_s >= _SETTLED_S):
                return True
            # A third restart is a version that fails again and again. Each minute of waiting is one without a recorder.
            if any(_property(f"{name}.service", "NRestarts") not in ("", "0", "1", "2") for name in SERVICES):
                return False
            time.sleep(1.0)
        return False

    def _all_run(self) -> bool:
        states = {name: _property(f"{name}.service", "ActiveState") for name in SERVICES}
        # The bridge starts only with a panel (`ConditionPathExists` in its unit).
        skipped = {name for name in SERVICES if _property(f"{name}.service", "ConditionResult") == "no"}
        # `restart --no-block` returns while the old processes run, and those are active as well.
        anew = {name for name in SERVICES if _property(f"{name}.service", "InvocationID") != self._before.get(name)}
        return all((state == "active" and name in anew) or name in skipped for name, state in states.items())

    def _answers(self, *, films: bool) -> bool:
        """`films`: with an owner, the recorder got pictures, is private, or has played its whole file."""
        command = [str(self._places.current / "bin" / "doorward"), "status", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            status = json.loads(done.stdout)
            recorder = status["recorder"]
            if done.returncode != 0 or recorder["state"] == "no recorder":
                return False
            if not films or not status["owners"] or recorder["state"] == "privacy":
                return True
            if recorder["frames"] > 0 or str(recorder["detail"]).endswith("to its end."):
                return True
            # A camera that was opened and gives nothing is "watching" until it is given up, so its frames are counted.
            # The small pictures of a network camera, which are counted, may be minutes apart.
            return recorder["state"] in ("watching", "recording") and self._has_network_camera()
        except (ValueError, KeyError, TypeError):
            return False

    def _has_network_camera(self) -> bool:
        try:
            camera = tomllib.loads(self._places.configuration.read_text(encoding="utf-8-sig"))["camera"]
        except (OSError, ValueError, KeyError):
            return False
        return bool(camera.get("kind") == "rtsp")

    # --- Out

    def remove(self) -> None:
        """Services, units, links, program.  Data, configuration and the users that own them stay."""
        if self.alive:
            run(["systemctl", "disable", "--now", "--quiet", *UNITS], "", check=False)
        for unit in UNITS:
            (self._places.units / unit).unlink(missing_ok=True)
        for name, service in DROPINS.items():
            folder = self._places.units / f"{service}.service.d"
            (folder / f"{name}.conf").unlink(missing_ok=True)
            _remove_empty(folder)
        for wants in ("doorward.target.wants", "multi-user.target.wants"):
            for unit in UNITS:
                (self._places.units / wants / unit).unlink(missing_ok=True)
            _remove_empty(self._places.units / wants)
        for path in (self._places.command, self._places.tmpfiles, self._places.modules):
            path.unlink(missing_ok=True)
            _remove_empty(path.parent)
        if self.alive:
            run(["systemctl", "daemon-reload"], "", check=False)
            run(["systemctl", "reset-failed", *UNITS], "", check=False)
        _remove_tree(self._places.runtime)

    def purge(self) -> None:
        """Everything else: data, configuration, users."""
        record = self._places.state / "made-groups"
        borrowed = record.read_text().split() if record.exists() else []
        say("Removing keys, trust, footage and configuration")
        _remove_tree(self._places.state)
        _remove_tree(self._places.etc)
        for user in USERS:
            if _user_exists(user):
                run(["userdel", user], "", check=False)
        for group in (*USERS, *_GROUPS, *(group for group in borrowed if group in _BORROWED_GROUPS)):
            if _group_exists(group):
                run(["groupdel", group], "", check=False)

    def _link(self, link: Path, target: Path) -> None:
        link.parent.mkdir(parents=True, exist_ok=True)
        # The system's partition of a card may be read-only, with all links in place.
        if _leads_to(link, target):
            return
        making = link.with_name(f".{link.name}.new")
        making.unlink(missing_ok=True)
        making.symlink_to(target)
        making.replace(link)


def _remove_option(link: Path) -> None:
    """Removes the link of an option that is no longer asked for. On a read-only system it stays, and that is said."""
    try:
        link.unlink()
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        say(f"{link} stays, because it is on a read-only system: it allows more than the configuration asks for.")
        return
    if link.parent.name.endswith(".service.d"):
        _remove_empty(link.parent)


def _are_there(links: list[Path]) -> bool:
    return bool(links) and all(link.is_symlink() for link in links)


def _leads_to(link: Path, target: Path) -> bool:
    return link.is_symlink() and link.readlink() == target


def _missing_accounts(path: Path) -> list[str]:
    """Returns the users, groups and memberships that this system lacks. `path`: a file of ours (sysusers.d(5))."""
    found = []
    for words in (line.split() for line in path.read_text().splitlines() if line[:1] in ("u", "g", "m")):
        kind, name, *more = words
        if kind == "m":
            group = more[0]
            if not (_group_exists(group) and name in grp.getgrnam(group).gr_mem):
                found.append(f"{name} ({group})")
        # A user has a group of the same name.
        elif not _group_exists(name) or (kind == "u" and not _user_exists(name)):
            found.append(name)
    return found


def _can_be_written(folder: Path) -> bool:
    """Root may write everywhere but on a read-only system. A missing folder would be made in the one above it."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _remove_tree(folder: Path) -> None:
    """Removes a tree with rm(1), which follows no links and handles any depth; shutil.rmtree keeps a descriptor open
    per level.

    The roles own the content. A compromised role can nest folders thousands deep.
    """
    run(["rm", "-rf", "--", str(folder)], "", check=False)


def _property(unit: str, name: str) -> str:
    done = subprocess.run(
        ["systemctl", "show", "--value", "-p", name, unit], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _program_of(unit: str) -> str:
    """Returns the first word of the command that the unit's main process runs; empty if it has none."""
    try:
        return Path("/proc", _property(unit, "MainPID"), "cmdline").read_text().partition("\0")[0]
    except OSError:
        return ""


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _remove_empty(folder: Path) -> None:
    """Removes only our folders, and only if they are empty. The system's own folders never stay empty."""
    if folder.name.endswith((".d", ".wants")) and folder.is_dir() and not any(folder.iterdir()):
        if folder.name in ("tmpfiles.d", "modules-load.d", "multi-user.target.wants"):
            return
        folder.rmdir()
