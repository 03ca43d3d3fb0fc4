"""Back-up and restore of a desk, as an operator does both: made while the desk serves, and put back elsewhere."""

from __future__ import annotations

import fcntl
import io
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.clients.opening import HybridIdentity
from agent.clients.requester.identity import Requester
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import ConfigurationError, FormatError, OpenError, StorageError
from agent.platform import files
from agent.wire.fields import Kind
from desk.backup import make_backup, restore_backup
from desk.cli import restore
from desk.config import load
from tests.damage import listing, refused
from tests.desk.test_serve import empty_desk, run, served
from tests.lengths import LONG

IDENTITY = HybridIdentity(b"b" * 32)
OTHER = HybridIdentity(b"o" * 32)


@pytest.fixture
def old(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk with one organisation in its folder, a sealed answer and what is open for a moment."""
    folder = tmp_path / "old"
    shutil.copytree(empty_desk(tmp_path_factory), folder)
    data = folder / "data"
    requester = Requester.create(data / "organisations" / "index-police", "index-police", Kind.POLICE)
    assert [requester.next_number() for _ in range(3)] == [1, 2, 3]
    answer = files.make_folder(files.make_folder(requester.folder / "disclosures") / ("a" * 32))
    files.write(answer / "0.age", b"sealed")
    files.write(answer / "1.part", b"half a part")
    files.write(files.make_folder(data / "cache") / "opened.mp4", b"an opened film")
    files.write(files.make_folder(data / "tip-hours") / "497222", b"k" * 32)
    return folder


def backed_up(folder: Path, to: Path) -> Path:
    done = run("backup", "--to", str(IDENTITY.recipient()), str(to), folder=folder)
    assert done.returncode == 0, done.stderr
    return to


def test_a_folder_that_cannot_be_read_fails_the_backup_and_leaves_no_file(old: Path, tmp_path: Path) -> None:
    closed = old / "data" / "organisations" / "index-police" / "disclosures" / ("a" * 32)
    out = tmp_path / "desk.age"
    with listing(closed, refused), pytest.raises(StorageError, match=f"{closed.name}: Permission denied"):
        make_backup(load(old / "desk.toml"), old / "desk.toml", out, [IDENTITY.recipient()])
    assert not list(tmp_path.glob("*desk.age*"))


def key_file(folder: Path, identity: HybridIdentity = IDENTITY) -> Path:
    files.write(folder / "backup.key", identity.secret_text().encode(), secret=True)
    return folder / "backup.key"


def opened(backup: Path) -> dict[str, bytes]:
    from agent.clients.opening import open_bytes

    with tarfile.open(fileobj=io.BytesIO(open_bytes(backup.read_bytes(), [IDENTITY]))) as archive:
        return {each.name: (archive.extractfile(each) or io.BytesIO()).read() for each in archive}


def sealed(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(data) if kind == tarfile.REGTYPE else 0, "/etc/passwd"
            archive.addfile(member, io.BytesIO(data))
    return seal_bytes(out.getvalue(), [IDENTITY.recipient()], file_key=b"f" * 16, nonce=b"n" * 16)


@pytest.mark.parametrize("serving", [pytest.param(served, marks=LONG), nullcontext], ids=["serves", "at rest"])
def test_a_desk_comes_back_elsewhere_and_signs_with_higher_numbers(
    old: Path, tmp_path: Path, serving: Callable[[Path], AbstractContextManager[object]]
) -> None:
    with serving(old):
        backup = backed_up(old, tmp_path / "desk.age")
    assert backup.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(old)
    done = run("restore", "--identity", str(key_file(tmp_path)), str(backup), "new", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    requester = Requester.open(tmp_path / "new" / "data" / "organisations" / "index-police")
    assert requester.next_number() > 1_000_000
    assert (requester.folder / "disclosures" / ("a" * 32) / "0.age").read_bytes() == b"sealed"
    assert (requester.folder / "signing.key").stat().st_mode & 0o777 == 0o600
    with serving(tmp_path / "new"):
        pass


def test_a_backup_holds_no_opened_footage_no_half_part_and_no_index(old: Path, tmp_path: Path) -> None:
    found = opened(backed_up(old, tmp_path / "desk.age"))
    assert b"an opened film" not in found.values()
    assert b"half a part" not in found.values()
    assert not [name for name in found if "/tip-hours/" in name], "with a copy of the database they would link tips"
    assert not [name for name in found if "/index/" in name or name.endswith((".lock", "-wal"))]
    assert next(iter(found)) == "desk.toml"
    assert list(found)[-1] == "end.json"
    assert "data/organisations/index-police/signing.key" in found
    assert "data/secret.key" in found
    (tmp_path / "copy.sqlite3").write_bytes(found["data/desk.sqlite3"])
    with closing(sqlite3.connect(tmp_path / "copy.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_next_backup_deletes_the_copy_of_the_database_of_one_that_was_killed(old: Path, tmp_path: Path) -> None:
    """Words that the desk deletes later would stay in it."""
    killed, running = (files.make_folder(old / "data" / f"database-copy-{name}") for name in ("killed", "running"))
    for folder in (killed, running):
        files.write(folder / "desk.sqlite3", b"a notice that is removed")
        files.write(folder / "owner.lock", b"")
    with (running / "owner.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_backup(load(old / "desk.toml"), old / "desk.toml", tmp_path / "desk.age", [IDENTITY.recipient()])
    assert [path.name for path in (old / "data").glob("database-copy-*")] == [running.name]
    assert not [name for name in opened(tmp_path / "desk.age") if "database-copy" in name]


def test_the_stock_tools_open_a_backup(old: Path, tmp_path: Path) -> None:
    """age of Debian opens X25519 recipients only, so this backup is made for one."""
    if shutil.which("age") is None:
        pytest.skip("stock age is not installed: apt-get install age")
    key = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True)
    (tmp_path / "x.key").write_text(key.stdout)
    recipient = next(line.split()[-1] for line in key.stdout.splitlines() if "public key" in line)
    assert run("backup", "--to", recipient, "desk.age", folder=old).returncode == 0
    tar = subprocess.run(["age", "-d", "-i", tmp_path / "x.key", old / "desk.age"], capture_output=True, check=True)
    names = subprocess.run(["tar", "-t"], input=tar.stdout, capture_output=True, check=True).stdout.decode().split()
    assert "data/desk.sqlite3" in names


def test_a_restored_desk_says_so_in_its_custody_log(old: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(old / "data" / "desk.sqlite3")) as database:
        columns = {row[1]: row for row in database.execute("PRAGMA table_info(people_organisation)")}
        given = {"requester_id": "index-police", "name": "Index Police", "kind": "police"}
        values = {
            name: given.get(name, "2026-11-28" if row[2] in ("datetime", "date") else 30 if "int" in row[2] else "")
            for name, row in columns.items()
            if name != "id" and (row[3] or name in given)
        }
        names = ", ".join(values)
        database.execute(
            f"INSERT INTO people_organisation ({names}) VALUES ({', '.join('?' * len(values))})",
            list(values.values()),
        )
        database.commit()
    backup = backed_up(old, tmp_path / "desk.age")
    done = run("restore", "--identity", str(key_file(tmp_path)), str(backup), "new", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "new" / "data" / "desk.sqlite3")) as database:
        rows = database.execute("SELECT * FROM custody_entry").fetchall()
    assert len(rows) == 1
    assert "desk.restored" in str(rows[0])
    audited = run("--config", str(tmp_path / "new" / "desk.toml"), "audit", folder=tmp_path)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_a_restored_desk_uses_its_own_data_even_if_the_old_path_was_absolute(old: Path, tmp_path: Path) -> None:
    path = old / "desk.toml"
    path.write_text(path.read_text().replace('data = "data"', f'data = "{old / "data"}"'))
    backup = backed_up(old, tmp_path / "desk.age")
    restore_backup(backup, tmp_path / "new", [IDENTITY])
    assert load(tmp_path / "new" / "desk.toml").data == tmp_path / "new" / "data"


# Bad input


def test_a_backup_of_another_key_opens_nothing_and_leaves_the_folder_empty(old: Path, tmp_path: Path) -> None:
    backup = backed_up(old, tmp_path / "desk.age")
    with pytest.raises(OpenError):
        restore_backup(backup, tmp_path / "new", [OTHER])
    assert list((tmp_path / "new").iterdir()) == []


def test_a_wrong_key_is_named_with_the_remedy(old: Path, tmp_path: Path) -> None:
    """The command said that "this" cannot be opened, and nothing of the file, the key or what to do."""
    key, sealed = tmp_path / "key", backed_up(old, tmp_path / "desk.age")
    key.write_text(OTHER.secret_text())
    wrong = CliRunner().invoke(restore, ["--identity", str(key), str(sealed), str(tmp_path / "new")])
    assert isinstance(wrong.exception, ConfigurationError)
    assert wrong.exception.message == f"{sealed} does not open with the key in {key}."
    assert "was cut or changed" in str(wrong.exception.remedy)
    no_key = CliRunner().invoke(restore, ["--identity", str(old / "desk.toml"), str(sealed), str(tmp_path / "new")])
    assert isinstance(no_key.exception, ConfigurationError)
    assert no_key.exception.message.startswith(f"{old / 'desk.toml'}: ")
    assert no_key.exception.remedy == "Give the file that age-keygen wrote."


def test_a_cut_backup_is_refused_wherever_it_is_cut_and_leaves_the_folder_empty(old: Path, tmp_path: Path) -> None:
    whole = backed_up(old, tmp_path / "desk.age").read_bytes()
    cut = tmp_path / "cut.age"
    for size in (len(whole) - 1, len(whole) - 65_536, len(whole) // 2, 3000, 10, 0):
        cut.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            restore_backup(cut, tmp_path / "new", [IDENTITY])
        assert list((tmp_path / "new").iterdir()) == [], size


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../x", "data/../../x", "elsewhere/x", "data"])
def test_an_archive_with_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.age").write_bytes(sealed({name: b"x", "end.json": b'{"v": 1}'}))
    with pytest.raises((FormatError, ConfigurationError)):
        restore_backup(tmp_path / "bad.age", tmp_path / "new", [IDENTITY])
    assert not (tmp_path / "x").exists()
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_an_archive_with_a_link_a_folder_or_a_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "bad.age").write_bytes(sealed({"data/x": b"x"}, kind))
    with pytest.raises(FormatError):
        restore_backup(tmp_path / "bad.age", tmp_path / "new", [IDENTITY])
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    "members",
    [
        {"end.json": b'{"v": 1, "made_s": 1}'},
        {"desk.toml": b"", "data/desk.sqlite3": b"x"},
        {"desk.toml": b"", "data/desk.sqlite3": b"x", "end.json": b"{"},
        {"desk.toml": b"", "end.json": b'{"v": 1, "made_s": 1}', "data/desk.sqlite3": b"x"},
        {"desk.toml": b"unknown = 1", "data/desk.sqlite3": b"x", "end.json": b'{"v": 1, "made_s": 1}'},
    ],
)
def test_an_archive_that_lacks_something_or_goes_on_after_its_end_is_refused(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    (tmp_path / "bad.age").write_bytes(sealed(members))
    with pytest.raises((FormatError, ConfigurationError)):
        restore_backup(tmp_path / "bad.age", tmp_path / "new", [IDENTITY])
    assert list((tmp_path / "new").iterdir()) == []


def test_neither_a_backup_nor_a_desk_is_overwritten(old: Path, tmp_path: Path) -> None:
    backup = backed_up(old, tmp_path / "desk.age")
    before = backup.read_bytes()
    again = run("backup", "--to", str(IDENTITY.recipient()), str(backup), folder=old)
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert backup.read_bytes() == before
    with pytest.raises(ConfigurationError, match="has a desk"):
        restore_backup(backup, old, [IDENTITY])


def test_a_desk_on_postgresql_is_told_how_to_back_up(old: Path, tmp_path: Path) -> None:
    path = old / "desk.toml"
    path.write_text(path.read_text().replace('kind = "sqlite"', 'kind = "postgresql"\nhost = "localhost"'))
    assert load(path).database.kind == "postgresql"
    done = run("backup", "--to", str(IDENTITY.recipient()), str(tmp_path / "desk.age"), folder=old)
    assert done.returncode == 2
    assert "pg_dump" in done.stderr
    assert not (tmp_path / "desk.age").exists()


@pytest.mark.parametrize("at", ["copy", "write", "sync", "rename"])
def test_a_backup_that_stops_at_any_step_leaves_no_file(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    import desk.backup as module

    def stops(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    places: dict[str, Callable[[], None]] = {
        "copy": lambda: monkeypatch.setattr(module, "_copied", stops),
        "write": lambda: monkeypatch.setattr(module, "_files_below", stops),
        "sync": lambda: monkeypatch.setattr(module.os, "fsync", stops),
        "rename": lambda: monkeypatch.setattr(Path, "rename", stops),
    }
    places[at]()
    with pytest.raises(KeyboardInterrupt):
        module.make_backup(load(old / "desk.toml"), old / "desk.toml", tmp_path / "desk.age", [IDENTITY.recipient()])
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert not [path for path in (old / "data").iterdir() if path.name.startswith("database-copy-")]
