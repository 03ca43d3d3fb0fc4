"""An attacker who has taken over a role plants links in its folder. Root's commands follow none, and print no control
characters."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import sqlite3
import stat
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.config import load
from agent.core.timebase import ClockQuality
from agent.core.vault.entries import VaultEntry
from agent.core.vault.fields import SHARDS, Stamp
from agent.core.vault.manifest import ChainHead, sign_record
from agent.core.vault.records import BootRecord
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError, StorageError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetPageFacts
from agent.platform.disk import RealDisk
from agent.platform.privileges import PrivilegedFolder, as_owner_of, as_self, read_regular
from agent.platform.sqlite_snapshot import open_snapshot
from agent.vault.index_sqlite import SqliteIndex
from agent.wire.control import Frame, read_frame, write_frame
from agent.wire.identities import private_key_from_seed
from tests.cli.conftest import Seen
from tests.contracts.test_index import entry as an_entry
from tests.vaults import SECOND

ROLE = 54_321
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be lent another user's rights")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may pass through, as /var/lib/doorward is."""
    made = Path(tempfile.mkdtemp(prefix="doorward-roles-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def config(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with a folder for each role."""
    monkeypatch.setattr("agent.custodian.state_folder.RUNTIME", place / "run")
    state = place / "state"
    for name in ("custodian", "vault/segments/0", "vault/aside", "outbox", "recorder"):
        (state / name).mkdir(parents=True)
    path = place / "etc" / "doorward.toml"
    path.parent.mkdir()
    path.write_text(f'[device]\nstate_dir = "{state}"\n[camera]\nkind = "scripted"\n[page]\n')
    assert run(doorward, ["init", "--config", str(path)]) == 0
    return path


@pytest.fixture
def victim(place: Path) -> Path:
    """A folder of root's, with a file in it."""
    made = place / "victim"
    made.mkdir()
    (made / "secret").write_text("as it was")
    (made / "secret").chmod(0o600)
    return made


def is_whole(victim: Path) -> bool:
    told = victim.stat()
    return (
        [path.name for path in victim.iterdir()] == ["secret"]
        and (victim / "secret").read_text() == "as it was"
        and told.st_uid == os.geteuid()
    )


def test_a_reset_follows_no_link_and_removes_them_all(config: Path, victim: Path) -> None:
    state = load(config).device.state_dir
    for link, target in (
        ("custodian/push.json", victim / "secret"),
        ("custodian/page", victim),
        ("custodian/journal.sqlite", victim),
        ("vault/manifest.0", victim / "secret"),
        ("vault/segments/0/x.age", victim / "secret"),
        ("vault/segments/1", victim),
        ("outbox/x", victim),
        ("recorder/recorder.sqlite", victim / "secret"),
    ):
        (state / link).symlink_to(target)
    assert run(doorward, ["reset", "--yes", "--config", str(config)]) == 0
    assert is_whole(victim)
    assert sorted(path.name for path in state.rglob("*")) == ["custodian", "outbox", "recorder", "vault"]


def test_a_reset_lets_root_forget_the_owners_and_keeps_what_it_knows_of_updates(config: Path) -> None:
    update = load(config).device.state_dir / "update"
    update.mkdir()
    for name in ("owners.json", "state.json"):
        (update / name).write_text("{}")
    assert run(doorward, ["reset", "--yes", "--config", str(config)]) == 0
    assert [path.name for path in update.iterdir()] == ["state.json"]


def test_a_reset_leaves_root_no_list_of_the_former_owners_to_believe(config: Path, place: Path) -> None:
    shown = place / "run" / "update"
    shown.mkdir(parents=True)
    for name in ("owners", "wish.json", "back.dsse"):
        (shown / name).write_text("the former owner's")
    assert run(doorward, ["reset", "--yes", "--config", str(config)]) == 0
    assert not list(shown.iterdir())


def test_a_reset_writes_over_no_file_that_has_another_name_elsewhere(config: Path, victim: Path) -> None:
    os.link(victim / "secret", load(config).device.state_dir / "custodian" / "push.json")
    assert run(doorward, ["reset", "--yes", "--config", str(config)]) == 0
    assert is_whole(victim)


def test_nothing_that_a_role_plants_keeps_the_device_key(
    config: Path, victim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    custodian = load(config).device.state_dir / "custodian"
    os.mkfifo(custodian / "alerts.sqlite")
    with (custodian / "journal.sqlite").open("wb") as sparse:
        sparse.truncate(1 << 42)
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(custodian / "a.sock"))
    inner = os.open(custodian, os.O_RDONLY)
    for _ in range(2000):  # deeper than a process may have descriptors, or Python may recurse
        os.mkdir("deep", dir_fd=inner)
        below = os.open("deep", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = below
    os.close(inner)
    (custodian / "away").symlink_to(victim)
    assert run(doorward, ["reset", "--yes", "--config", str(config)]) == 0, capsys.readouterr().err
    assert list(custodian.iterdir()) == []
    assert is_whole(victim)


def test_a_device_key_that_is_a_link_to_a_folder_is_removed_with_the_rest(
    config: Path, victim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    custodian = load(config).device.state_dir / "custodian"
    (custodian / "device.key").unlink()
    (custodian / "device.key").symlink_to(victim)
    (custodian / "push.json").write_text("a key")
    assert run(doorward, ["reset", "--yes", "--config", str(config)]) == 0
    assert "This receipt is unsigned" in capsys.readouterr().out
    assert list(custodian.iterdir()) == []
    assert is_whole(victim)


def test_what_cannot_be_removed_is_named_and_keeps_nothing_else(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    custodian = load(config).device.state_dir / "custodian"
    (custodian / "b\x1b[31m").mkdir()
    (custodian / "z").write_text("")
    rmdir = os.rmdir

    def busy(name: str, **options: Any) -> None:
        if name.startswith("b"):
            raise OSError(16, "Device or resource busy")
        rmdir(name, **options)

    monkeypatch.setattr(os, "rmdir", busy)
    assert run(doorward, ["reset", "--yes", "--config", str(config)]) == 5
    said = capsys.readouterr()
    assert "Not everything could be removed: b\N{REPLACEMENT CHARACTER}[31m." in said.err
    assert '"not_removed"' in said.out
    assert [path.name for path in custodian.iterdir()] == ["b\x1b[31m"]


def test_in_one_users_folder_a_reset_touches_nothing_beside_it_and_says_what_a_link_led_to(
    place: Path, victim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = place / "doorward.toml"
    config.write_text(f'[device]\nstate_dir = "{place / "mine"}"\n[camera]\nkind = "scripted"\n')
    assert run(doorward, ["init", "--config", str(config)]) == 0
    (place / "recorder").mkdir()
    (place / "recorder" / "somebody else's").write_text("")
    (place / "mine" / "vault").symlink_to(victim)
    assert run(doorward, ["reset", "--yes", "--config", str(config)]) == 5
    assert "what 'vault' was a link to" in capsys.readouterr().err
    assert is_whole(victim)
    assert (place / "recorder" / "somebody else's").exists()
    assert list((place / "mine").iterdir()) == []


def archive(place: Path) -> str:
    with tarfile.open(place / "opened.tar", "w") as tar:
        for name in ("own/device.key", "own/journal.sqlite", "own/page/ca.key"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"mine"))
    return str(place / "opened.tar")


def test_a_restore_neither_writes_through_a_link_nor_gives_away_what_it_leads_to(
    config: Path, place: Path, victim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    custodian = load(config).device.state_dir / "custodian"
    (custodian / "page").symlink_to(victim)
    if os.geteuid() == 0:
        os.chown(custodian, ROLE, ROLE)
    assert run(doorward, ["restore", "--config", str(config), archive(place)]) == 2
    assert "'page' in the state folder is not a folder" in capsys.readouterr().err
    assert is_whole(victim)
    (custodian / "page").unlink()
    (custodian / "device.key").unlink()
    (custodian / "device.key").symlink_to(victim / "secret")
    assert run(doorward, ["restore", "--config", str(config), archive(place)]) == 0
    assert is_whole(victim)
    for path in (custodian / "device.key", custodian / "page", custodian / "page" / "ca.key"):
        told = path.lstat()
        assert told.st_uid == custodian.stat().st_uid, path
        assert not told.st_mode & 0o077, path


def test_a_restore_makes_the_folder_that_is_missing(place: Path) -> None:
    config = place / "doorward.toml"
    config.write_text(f'[device]\nstate_dir = "{place / "not" / "there"}"\n[camera]\nkind = "scripted"\n')
    assert run(doorward, ["restore", "--config", str(config), archive(place)]) == 0
    assert (place / "not" / "there" / "page" / "ca.key").read_bytes() == b"mine"
    assert stat.S_IMODE((place / "not" / "there").stat().st_mode) == 0o700


@contextmanager
def custodian_that_says(path: Path, answer: dict[str, Any]) -> Iterator[list[int]]:
    """A custodian that has been taken over; collects the users that call it."""
    callers: list[int] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line, line.makefile("rb") as reader:
                    callers.append(int.from_bytes(line.getsockopt(socket.SOL_SOCKET, 17, 12)[4:8], "little"))
                    while read_frame(reader) is not None:
                        line.sendall(write_frame(Frame(answer)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield callers
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


STEERING = "\x1b[2J\x1b]0;root\x07\x9b31m\r\u202ehttps://evil/"


def test_the_code_of_the_page_cannot_steer_roots_terminal(config: Path, tool: Callable[..., Seen]) -> None:
    control = StateFolder(load(config).device.state_dir).control
    result = {
        "url": STEERING,
        "urls": [STEERING],
        "install": STEERING,
        "code": STEERING,
        "life_s": 900,
        "fingerprint": STEERING,
    }
    with custodian_that_says(control, {"ok": True, "result": result}):
        said = tool("page", "code", "--no-qr", "--config", config)
        as_json = tool("page", "code", "--json", "--config", config)
    assert said.status == 0
    for text in (said.out, as_json.out):
        assert "https://evil/" in text
        assert all(each.isprintable() or each == "\n" for each in text), ascii(text)


def test_an_error_of_the_custodian_cannot_steer_roots_terminal(config: Path, tool: Callable[..., Seen]) -> None:
    control = StateFolder(load(config).device.state_dir).control
    answer = {"ok": False, "kind": "RequestError", "error": STEERING, "remedy": STEERING}
    with custodian_that_says(control, answer):
        said = tool("page", "code", "--config", config)
    assert said.status == 3
    assert said.err.count("https://evil/") == 2
    assert all(each.isprintable() or each == "\n" for each in said.err), ascii(said.err)


def test_texts_that_steer_nothing_stay_as_they_are() -> None:
    from agent.ipc.control_client import _legible

    whole = {"a": ["Ünïcode, 漢字", 1, None, True, {"two\nlines": "with\ttab"}]}
    assert _legible(whole) == whole


def test_what_the_custodian_reads_of_the_vault_is_no_link_and_no_pipe(place: Path, victim: Path) -> None:
    (place / "link").symlink_to(victim / "secret")
    os.mkfifo(place / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError):  # noqa: PT011 — two kinds of it
            RealDisk().read(place / name, 0, 4)
        with pytest.raises(OSError):  # noqa: PT011
            list(RealDisk().chunks(place / name))


# --- As root, with the rights of the role


@only_root
def test_in_a_roles_folder_root_has_the_roles_rights_and_gets_its_own_back(place: Path, victim: Path) -> None:
    (place / "role").mkdir()
    os.chown(place / "role", ROLE, ROLE)
    groups = os.getgroups()
    with as_owner_of(place / "role"):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (ROLE, ROLE, [ROLE])
        assert os.getuid() == 0  # what is not the role's process cannot be signalled by it
        with pytest.raises(PermissionError):
            (victim / "secret").read_text()
        with as_self():
            assert (victim / "secret").read_text() == "as it was"
        assert os.geteuid() == ROLE
        with pytest.raises(ConfigurationError), as_owner_of(place):  # root's own: nothing changes
            raise ConfigurationError("x")
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)


@only_root
def test_what_root_asks_of_the_vault_it_asks_with_the_recorders_rights(
    config: Path, victim: Path, tool: Callable[..., Seen]
) -> None:
    state = load(config).device.state_dir
    (victim / "secret").write_bytes(b"SQLite format 3\0" + bytes(84))  # something that SQLite would mend
    before = (victim / "secret").read_bytes()
    for role in ("vault", "recorder"):
        for path in (state / role, *(state / role).rglob("*")):
            os.chown(path, ROLE, ROLE)
    (state / "recorder" / "recorder.sqlite").symlink_to(victim / "secret")
    victim.chmod(0o755)
    tool("vault", "stats", "--config", config)
    assert (victim / "secret").read_bytes() == before
    assert [path.name for path in victim.iterdir()] == ["secret"]
    (state / "recorder" / "recorder.sqlite").unlink(missing_ok=True)
    assert tool("vault", "stats", "--config", config).status == 0
    # A recorder that runs has its index locked, so root reads a copy in memory and leaves nothing there.
    assert list((state / "recorder").iterdir()) == []


def plant_rows(state: Path, *rows: VaultEntry) -> None:
    """The index of a recorder that was taken over; each row points to a line of the manifest that can be read."""
    at = Stamp(boot="0" * 32, at_us=1, utc_ms=1, quality=ClockQuality.HELD)
    boot = BootRecord(at=at, device="0" * 16, device_mldsa=SECOND.key, epoch=0)
    line = sign_record(boot, ChainHead(), private_key_from_seed(bytes(32)).sign)
    (state / "vault" / "manifest.0").write_bytes(line.line + b"\n")
    index = SqliteIndex(state / "recorder" / "recorder.sqlite")
    # The index ends where the manifest ends, so that a reader takes its rows as they are.
    planted = [replace(row, line_offset=0, line_size=len(line.line)) for row in rows]
    index.apply(planted, [], ChainHead().after(line))
    index.close()


@pytest.mark.parametrize("through", ["a path", "a link"])
def test_a_copy_of_the_vault_writes_nothing_beside_it_whatever_the_index_says(
    config: Path, place: Path, victim: Path, tool: Callable[..., Seen], through: str
) -> None:
    state = load(config).device.state_dir
    secret = victim / "secret"
    secret.rename(victim / "secret.age")
    if through == "a link":
        (state / "vault" / "to.age").symlink_to(victim / "secret.age")
    named = (state / "vault" / "to") if through == "a link" else secret
    plant_rows(state, replace(an_entry(1), id=str(named)))
    assert tool("vault", "export", place / "out", "--config", config).status != 0
    assert (victim / "secret.age").read_text() == "as it was"


@pytest.mark.parametrize("as_json", [True, False])
def test_what_lies_in_the_vault_cannot_steer_roots_terminal(
    config: Path, tool: Callable[..., Seen], as_json: bool
) -> None:
    state = load(config).device.state_dir
    names = ["\x1b[2J", "\x9b31m", "\u202egpj", os.fsdecode(b"\x9b31m")]
    for shard in SHARDS:
        (state / "vault" / "segments" / shard).mkdir()
    for name in names:
        (state / "vault" / "segments" / "a" / name).touch()
    plant_rows(state)
    said = tool("vault", "verify", *["--json"][: int(as_json)], "--config", config)
    assert said.status == 1, said.err
    for text in (said.out, said.err):
        assert all(each.isprintable() or each == "\n" for each in text), ascii(text)
    if as_json:
        assert len(json.loads(said.out)["unknown"]) == len(names)


def test_an_error_that_is_shown_with_its_trace_cannot_steer_roots_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def fails() -> None:
        raise StorageError(f"{STEERING} is no name of ours.")

    monkeypatch.setenv("DOORWARD_DEBUG", "1")
    assert run(fails, []) == 5
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert all(each.isprintable() or each == "\n" for each in err), ascii(err)


@only_root
def test_root_calls_the_custodian_as_the_custodian_and_a_link_leads_to_nothing_of_roots(
    config: Path, place: Path
) -> None:
    control = StateFolder(load(config).device.state_dir).control
    os.chown(control.parent, ROLE, ROLE)
    with custodian_that_says(control, {"ok": True, "result": {}}) as callers, DeviceLink(control) as link:
        link.ask(GetPageFacts())
    assert callers == [ROLE]
    control.unlink()
    with custodian_that_says(place / "manager", {"ok": True, "result": {}}) as callers:
        (place / "manager").chmod(0o600)
        control.symlink_to(place / "manager")
        from agent.errors import NetworkError

        with pytest.raises(NetworkError):
            DeviceLink(control)
    assert callers == []


@only_root
def test_a_key_that_root_makes_belongs_to_the_role(place: Path) -> None:
    state = place / "state"
    (state / "custodian").mkdir(parents=True)
    os.chown(state / "custodian", ROLE, ROLE)
    config = place / "doorward.toml"
    config.write_text(f'[device]\nstate_dir = "{state}"\n[camera]\nkind = "scripted"\n')
    assert run(doorward, ["init", "--config", str(config)]) == 0
    told = (state / "custodian" / "device.key").stat()
    assert (told.st_uid, stat.S_IMODE(told.st_mode)) == (ROLE, 0o600)


def test_a_backup_takes_nothing_that_a_link_leads_to(config: Path, victim: Path) -> None:
    from agent.cli.change_of_owner import _own_files

    folder = StateFolder(load(config).device.state_dir)
    sqlite3.connect(folder.journal).close()
    (folder.root / "push.json").symlink_to(victim / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        dict(_own_files(folder))
    (folder.root / "push.json").unlink()
    (folder.root / "page").symlink_to(victim)
    with pytest.raises(OSError, match="Not a directory"):
        dict(_own_files(folder))


@pytest.mark.parametrize("planted", ["a pipe", "a device", "a hole of a terabyte"])
def test_a_database_that_is_none_takes_neither_memory_nor_time(
    config: Path, tool: Callable[..., Seen], planted: str
) -> None:
    state = load(config).device.state_dir
    for path in (state / "recorder" / "recorder.sqlite", state / "custodian" / "journal.sqlite"):
        if planted == "a pipe":
            os.mkfifo(path)
        elif planted == "a device":
            path.symlink_to("/dev/zero")
        else:
            with path.open("wb") as sparse:
                sparse.truncate(1 << 40)
        with pytest.raises(StorageError, match="cannot be read"):
            open_snapshot(path)
    assert tool("vault", "stats", "--config", config).status == 0


def test_only_a_regular_file_is_read(place: Path) -> None:
    os.mkfifo(place / "pipe")
    (place / "long").write_bytes(bytes(5))
    for name in ("pipe", "long"):
        with PrivilegedFolder(place) as folder, pytest.raises(OSError):  # noqa: PT011 — three kinds of it
            folder.read(name, 4)
    assert read_regular(place / "long", 5) == bytes(5)
