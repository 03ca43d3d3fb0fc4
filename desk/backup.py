"""`doorward-desk backup` and `restore`: the whole desk in one age file, made while it serves.

    age-keygen -pq -o desk-backup.key            # once, and kept away from the desk
    doorward-desk backup --to age1pq1… desk.age
    doorward-desk restore --identity desk-backup.key desk.age FOLDER

The file is a tar archive in an age file, so the stock tools `age` and `tar` open it as well. The database comes first:
what arrives while the folders are read is found by the receiver of the restored desk, as after a crash. Indexes stay
out, because the desk makes them again, and so do the keys of waiting tips (`neighbourhood.hour_keys`). The last member
closes the archive, so a cut one is refused.

Restored, the desk signs with numbers far above those of the backup. Doors drop a number that they have seen, so a desk
that counted on would be ignored. The retention clock deletes overdue footage again.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from agent.clients.opening import Identity, open_stream
from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.core.vault.age.recipients import Recipient
from agent.core.vault.age.sealing import Sealer
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.platform import files
from desk import __version__
from desk.config import DeskConfig, load
from desk.neighbourhood import hour_keys

__all__ = ["make_backup", "restore_backup", "wipe_copies"]

_CONFIGURATION: Final = "desk.toml"
_DATABASE: Final = "data/desk.sqlite3"
_END: Final = "end.json"
_COPY: Final = "database-copy-"
_LOCK: Final = "owner.lock"
_CUT_SUFFIXES: Final = (".part", "-wal", "-shm", "-journal", ".lock")
_BYTES: Final = 1 << 20
NUMBERS_SKIPPED: Final = 1_000_000_000
"""More than any organisation signs between two backups, and a millionth of the numbers there are."""
_MOST_END_BYTES: Final = 4096
_DATA_LINE: Final = re.compile(r"^data\s*=.*$", re.MULTILINE)
_UNUSUAL: Final = 'Write it as one line, data = "…", in the old desk and take another backup.'


# Making one


def make_backup(config: DeskConfig, configuration: Path, out: Path, recipients: Sequence[Recipient]) -> int:
    """Writes the backup to `out`, which must not exist. Returns the number of files in it.

    Raises `ConfigurationError` if the database is elsewhere, and `StorageError` if the disk fails. `out` appears whole
    or not at all.
    """
    if config.database.kind != "sqlite":
        raise ConfigurationError(
            "The database of this desk is in PostgreSQL, and this backup holds files only.",
            remedy="Use pg_dump for the database and a copy of the data folder, the database first.",
        )
    if files.is_there(out):
        raise ConfigurationError(f"{out} exists.", remedy="Choose another name.")
    written = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    with files.storage_errors(out):
        try:
            with written.open("xb") as file:
                # Before a byte is written, whatever the umask is.
                os.fchmod(file.fileno(), 0o600)
                count = _write(config, configuration, _SealedFile(file, recipients))
                os.fsync(file.fileno())
            written.rename(out)
            files.sync_folder(out.parent)
        finally:
            written.unlink(missing_ok=True)
    return count


class _SealedFile:
    """A file that seals what is written to it."""

    def __init__(self, file: BinaryIO, recipients: Sequence[Recipient]) -> None:
        self._file = file
        self._sealer = Sealer(secrets.token_bytes(16), recipients, nonce=secrets.token_bytes(16))
        file.write(self._sealer.header)

    def write(self, data: bytes) -> int:
        self._file.write(self._sealer.update(data))
        return len(data)

    def finish(self) -> None:
        self._file.write(self._sealer.finish())


def _write(config: DeskConfig, configuration: Path, sealed: _SealedFile) -> int:
    count = 0
    # typeshed wants a whole file object; a stream only writes.
    with tarfile.open(fileobj=sealed, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        _add_bytes(archive, _CONFIGURATION, configuration.read_bytes())
        with _copied(config.data / "desk.sqlite3") as database:
            archive.add(database, _DATABASE, recursive=False, filter=_plain)
        for path in _files_below(config.data):
            with contextlib.suppress(FileNotFoundError):  # the retention clock deletes meanwhile
                archive.add(path, f"data/{path.relative_to(config.data)}", recursive=False, filter=_plain)
                count += 1
        end = {"v": 1, "made_s": int(time.time()), "desk": __version__, "files": count}
        _add_bytes(archive, _END, json.dumps(end).encode())
    sealed.finish()
    return count


@contextlib.contextmanager
def _copied(database: Path) -> Iterator[Path]:
    """Yields a consistent copy of a database that others write to (sqlite.org/backup.html)."""
    wipe_copies(database.parent)
    with (
        tempfile.TemporaryDirectory(dir=database.parent, prefix=_COPY) as folder,
        (Path(folder) / _LOCK).open("wb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        copy = Path(folder) / database.name
        with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(copy)) as to:
            source.backup(to)
        yield copy


def wipe_copies(data: Path) -> None:
    """Deletes the copies of the database of backups that were killed. Words that the desk deletes would stay there."""
    for folder in data.glob(f"{_COPY}*"):
        with contextlib.suppress(OSError), (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel released the lock of a process that ended
            shutil.rmtree(folder, ignore_errors=True)


def _files_below(data: Path) -> Iterator[Path]:
    for path in files.below(data):
        if path.name.startswith("desk.sqlite3") or path.name.endswith(_CUT_SUFFIXES) or path.is_symlink():
            continue
        if not any(_is_made_again(folder) for folder in path.relative_to(data).parents):
            yield path


def _is_made_again(folder: Path) -> bool:
    """Returns True for the folders that hold what is open for a moment, and for indexes."""
    match folder.parts:
        case ["cache" | hour_keys.FOLDER] | ["organisations", _, "index"]:
            return True
        case [name]:
            return name.startswith(_COPY)
    return False


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leaves out who owned the file on this machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(data))


# Putting it back


def restore_backup(backup: Path, folder: Path, identities: Sequence[Identity]) -> int:
    """Makes a desk in `folder` from a backup. Returns the time at which the backup was made (UTC s).

    Raises `OpenError` if no identity opens it, `FormatError` if it is not a whole backup, and `ConfigurationError` if
    the folder has a desk. Without success the folder is as it was.
    """
    if files.is_there(folder / _CONFIGURATION) or files.is_there(folder / "data"):
        raise ConfigurationError(f"{folder} has a desk.", remedy="Choose an empty folder.")
    files.make_folder(folder)
    with files.storage_errors(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".restore-") as made:
        with backup.open("rb") as sealed:
            made_s = _extract(_Opened(open_stream(sealed, identities)), Path(made))
        data = Path(made) / "data"
        data.chmod(0o700)
        _skip_numbers(data)
        _use_own_data(Path(made) / _CONFIGURATION)  # before the files move: a bad one is named and nothing is changed
        data.rename(folder / "data")
        (Path(made) / _CONFIGURATION).rename(folder / _CONFIGURATION)
        files.sync_folder(folder)
    return made_s


class _Opened:
    """The opened bytes of an age file, to read in pieces."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def drain(self) -> None:
        """Reads to the end. Only then is it sure that the file is whole."""
        for _chunk in self._chunks:
            pass


def _extract(opened: _Opened, into: Path) -> int:
    end: dict[str, int] = {}
    try:
        # typeshed wants a whole file object; a stream is only read.
        with tarfile.open(fileobj=opened, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                # Only plain files, and nothing behind the last member: a link or a device could lead out of the folder.
                if content is None or end:
                    raise _not_ours(member.name)
                if member.name == _END:
                    end = json.loads(content.read(_MOST_END_BYTES))
                    continue
                _put(into, member, content)
        # The tag of the last chunk is verified only at the end, so a cut file shows here.
        opened.drain()
    except (tarfile.TarError, ValueError) as error:
        raise FormatError("This file holds no backup of a desk.", remedy="Give a file of 'backup'.") from error
    if end.get("v") != 1 or not files.is_file(into / _CONFIGURATION) or not files.is_file(into / _DATABASE):
        raise FormatError("This backup is not whole.", remedy="Take another one.")
    return int(end["made_s"])


def _put(into: Path, member: tarfile.TarInfo, content: BinaryIO) -> None:
    """Writes one file below `into`. A name that leads elsewhere is refused: the archive may come from an attacker."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.name == _CONFIGURATION or name.parts[0] == "data"):
        raise _not_ours(member.name)
    path = into / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A name that comes twice is refused, and no right is given to the group or to others.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, member.mode & 0o700)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file, _BYTES)
        os.fsync(file.fileno())
    os.utime(path, (member.mtime, member.mtime))


def _use_own_data(configuration: Path) -> None:
    """Lets the configuration name the folder `data` beside it. An absolute path would be that of the old desk."""
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(_DATA_LINE.sub('data = "data"', text, count=1), encoding="utf-8")
    if load(configuration).data.resolve() != (configuration.parent / "data").resolve():
        raise FormatError("The configuration in this backup names its data in an unusual way.", remedy=_UNUSUAL)


def _skip_numbers(data: Path) -> None:
    """Lets each organisation go on above every number that it may have used after the backup."""
    organisations = data / "organisations"
    for name in files.names_in(organisations):
        with contextlib.suppress(StorageError):  # a damaged counter stays one: the desk says so when it signs
            SequenceCounter(FolderNotes(organisations / name)).skip(NUMBERS_SKIPPED)


def _not_ours(name: str) -> FormatError:
    return FormatError(f"This is no backup of a desk: {name!r} is in it.", remedy="Give a file of 'backup'.")
