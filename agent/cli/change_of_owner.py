"""`doorward reset`, `backup` and `restore`: change the owner of a doorbell, or replace a lost card.

All three run as root in folders of the roles, so they follow no links there (`agent.platform.privileges`).

A backup holds everything except footage, sealed to the owners, so the doorbell cannot open it. An owner opens it on
their machine with `doorward owner open-backup` or another age implementation, and pipes it into the restore.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.frame import config_option
from agent.cli.join_network import forget_set_up
from agent.cli.language import confirm, in_words, say
from agent.cli.words import plain
from agent.platform import files
from agent.platform.privileges import PrivilegedFolder, as_owner_of

if TYPE_CHECKING:
    from agent.custodian.state_folder import StateFolder

__all__ = ["SealedBackup", "backup", "reset", "restore", "seal_backup"]

_CHUNK = 1 << 16
_MOST_BYTES = 1 << 30
_LEAST_BYTES = 1 << 20
_OWN = ("device.key", "push.json")
_JOURNAL = "journal.sqlite"
_PAGE = "page"
_PLAIN = re.compile(r"manifest\.[0-9]+(\.part)?|recorder\.sqlite(-wal)?")
"""Plain files that show recording times. They are overwritten; the sealed files are too many for that."""
_OF_A_HOUSEHOLD = ("broker", "remote", "alerts", "home_assistant", "installer", "witness", "backup", "roots")
"""Tables with addresses, passwords or people of a household. For example, [installer] would go on hearing how the next
owner's doorbell is."""
_BESIDE = (
    "tls/ca.pem",
    "tls/device.pem",
    "tls/device.key",
    "tls/broker.password",
    "bundle-taken.json",
    "trust-report.txt",
)
"""Files in the configuration's folder: the link to the broker, and the fleet installer's files."""


@click.command()
@config_option
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), required=False)
def backup(config: Path, out: Path | None) -> None:
    """Write keys, journal, ledger, page and configuration to OUT, sealed to the owners. It holds no footage.

    Without OUT, write it into the folder of [backup], and remove the oldest there. You may run it while the doorbell
    runs.  Only an owner can open it, on their own machine:

    \b
    doorward owner open-backup OUT | ssh doorbell sudo doorward restore -
    """
    from agent.cli.own_backups import keep_backup
    from agent.errors import ConfigurationError

    if out is not None and out.exists():
        raise ConfigurationError(f"{out} already exists.", remedy="Choose another name, or remove it first.")
    sealed = seal_backup(config)
    if out is None:
        out = keep_backup(config, sealed.data)
    else:
        files.write(out, sealed.data, secret=True)
    say(f"{out} is sealed to {', '.join(map(plain, sealed.owners))} and the recovery identity.")


@dataclass(frozen=True, slots=True)
class SealedBackup:
    """A backup, and the names of the owners that can open it."""

    data: bytes
    owners: tuple[str, ...]


def seal_backup(config: Path) -> SealedBackup:
    """Returns a backup of this doorbell while its custodian runs. Raises `ConfigurationError` if it has no owner."""
    import secrets

    from agent.config import load
    from agent.core.vault.age.recipients import parse_recipient
    from agent.core.vault.age.sealing import Sealer
    from agent.custodian.state_folder import StateFolder
    from agent.errors import ConfigurationError
    from agent.ipc.control_client import DeviceLink
    from agent.ipc.control_operations import GetEnrolment
    from agent.wire import strictjson
    from agent.wire.statements import STATEMENT_LIMIT_BYTES, Enrolment, read_statement

    folder = StateFolder(load(config).device.state_dir)
    # From the running custodian, which has verified the list: a file could name other owners.
    with DeviceLink(folder.control) as link:
        enrolment = link.ask(GetEnrolment()).envelope
    if enrolment is None:
        raise ConfigurationError(
            "This doorbell has no owner yet, so a backup could never be opened.", remedy="Enrol first."
        )
    payload = read_statement(enrolment.encode()).payload
    owners = strictjson.decode(payload, Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
    recipients = [parse_recipient(text) for text in (*(each.recipient for each in owners.recipients), owners.recovery)]
    sealer = Sealer(secrets.token_bytes(16), recipients, nonce=secrets.token_bytes(16))
    pieces = [sealer.header, *(sealer.update(piece) for piece in _archive(folder, config)), sealer.finish()]
    return SealedBackup(b"".join(pieces), tuple(owner.name for owner in owners.recipients))


@click.command()
@config_option
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
def restore(config: Path, archive: Path) -> None:
    """Make this machine the doorbell of the opened backup ARCHIVE ("-" reads it from a pipe).

    \b
    On the owner's machine:  doorward owner open-backup BACKUP | ssh doorbell sudo doorward restore -
    The owner's key stays on the owner's machine.  A backup holds no footage; the rest of the vault is kept.
    """
    from agent.config import load, parse
    from agent.custodian.state_folder import StateFolder
    from agent.errors import ConfigurationError, FormatError

    data = sys.stdin.buffer.read(_MOST_BYTES) if str(archive) == "-" else archive.read_bytes()
    folder = StateFolder(load(config).device.state_dir)
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            # Into memory: a name with ".." or a link in the archive cannot reach a file, and each name is checked
            # below.
            members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            found = {name: file.read() for name, file in members.items() if file is not None}
    except tarfile.TarError as error:
        remedy = "Open it first, on the owner's machine:  doorward owner open-backup BACKUP"
        raise FormatError("This is not an opened backup.", remedy=remedy) from error
    unknown = [name for name in found if not _is_ours(name)]
    if unknown or "own/device.key" not in found:
        raise FormatError(
            f"This is not a doorbell's backup: {plain(unknown[0])} is in it."
            if unknown
            else "This is not a doorbell's backup: it has no key.",
            remedy="Use the output of 'doorward owner open-backup'.",
        )
    # Parsed before anything is written: half a doorbell could neither run nor be restored again.
    text = found["doorward.toml"].decode("utf-8-sig", "replace") if "doorward.toml" in found else None
    if text is not None:
        parse(text, config)
    files.make_folder(folder.root)
    with files.storage_errors(folder.root), PrivilegedFolder(folder.root) as own:
        if _JOURNAL in own.names():
            raise ConfigurationError(
                f"{folder.root} has a journal: this machine is already a doorbell.",
                remedy="To make it the doorbell of the archive, run sudo doorward reset, which removes its keys, trust "
                "and footage permanently. Then restore.",
            )
        _put_own(own, {name: content for name, content in found.items() if name != f"own/{_JOURNAL}"})
        for name in _BESIDE:
            if (content := found.get(f"beside/{name}")) is not None:
                target = config.parent / name
                files.make_folder(target.parent)
                files.write(target, content, secret=True)
        if text is not None:
            files.write(config, text.encode(), like=config)
        # Last, because it says that this machine is a doorbell: after a cut, the same restore goes on to the end.
        if f"own/{_JOURNAL}" in found:
            own.put(_JOURNAL, found[f"own/{_JOURNAL}"])
    # The restored configuration may use a page or pins that this machine's units do not allow yet.
    say(f"This machine is that doorbell again.  Next:  {'sudo doorward apply' if folder.divided else 'doorward run'}")


def _put_own(own: PrivilegedFolder, found: Mapping[str, bytes]) -> None:
    """Raises `ConfigurationError` if a link has the name of the page's folder."""
    from agent.errors import ConfigurationError

    inside = {name.removeprefix("own/"): content for name, content in found.items() if name.startswith("own/")}
    pages = {name.removeprefix(f"{_PAGE}/"): content for name, content in inside.items() if "/" in name}
    if pages:
        try:
            folder = own.inside(_PAGE, make=True)
        except OSError as error:
            raise ConfigurationError(
                f"'{_PAGE}' in the state folder is not a folder: {error.strerror}.",
                remedy="Run sudo doorward reset, which removes it and keeps its target. Then restore.",
            ) from error
        with folder:
            for name, content in pages.items():
                folder.put(name, content)
    for name, content in inside.items():
        if "/" not in name:
            own.put(name, content)


@click.command()
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--receipt", type=click.Path(path_type=Path, dir_okay=False), help="Also write the receipt to this file.")
def reset(config: Path, yes: bool, receipt: Path | None) -> None:
    """Hand this doorbell to a new owner: its keys, its trust and its footage go, and a receipt says so."""
    import datetime

    from agent.config import load
    from agent.custodian.state_folder import StateFolder
    from agent.errors import StorageError
    from agent.wire import envelope
    from agent.wire.identities import public_key_of

    folder = StateFolder(load(config).device.state_dir)
    if not yes:
        confirm("Permanently remove this doorbell's keys, trust and footage?")
    folder.claim()  # a doorbell that runs would write on
    key = _key_of(folder)  # before it is removed, because it signs the receipt as its last act
    sealed = _count_sealed(folder.vault)
    device = "unknown: its key could not be read" if key is None else public_key_of(key).text
    remaining = _remove_everything(folder, config)
    forgot_network = forget_set_up(config.parent)
    folder.release()
    told: dict[str, object] = {
        "device": device,
        "reset_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "removed": [
            "device key",
            "journal, ledger and trust",
            "page",
            "outbox",
            f"{sealed} sealed files",
            "TLS key and password",
        ],
        "cannot_promise": "Flash memory keeps copies of what was removed where no program reaches them. The footage "
        "among them stays sealed to its owners' keys, which were never here. The device's key among them could sign as "
        "this doorbell: believe nothing it signs from now on, and have its broker revoke it.",
    }
    if remaining:
        told["not_removed"] = [plain(name) for name in remaining]
    click.echo(json.dumps(told, indent=2))
    if key is None:
        say("\nThis receipt is unsigned, because the doorbell's key could not be read.")
    else:
        statement = json.dumps(told, sort_keys=True).encode()
        signed = envelope.sign("application/vnd.doorward.reset-receipt+json", statement, key)
        say("\nSigned by the removed key:")
        click.echo(signed.decode())
        if receipt is not None:
            files.write(receipt, signed + b"\n")
    if forgot_network:
        say("\nThe Wi-Fi of the set-up is removed. This doorbell leaves it at the next start.")
    if left := _left_in(config):
        say(f"\n{config} stays, with {left}. Remove your data from it.")
    if remaining:
        raise StorageError(
            f"Not everything could be removed: {', '.join(map(plain, remaining))}.",
            remedy="Stop what writes there (sudo systemctl stop doorward.target 'doorward-*'), remove a link's "
            "target by hand if it is yours, and run reset again.",
        )
    say("\nFor its next owner:")
    then = "sudo doorward init; sudo systemctl start doorward.target" if folder.divided else "doorward init"
    click.echo(f"  {then}")


def _left_in(config: Path) -> str:
    """Returns the parts of a configuration that reveal the former owner, or still serve that household."""
    tables = tomllib.loads(config.read_text(encoding="utf-8-sig"))
    found = [in_words("its place")] if "position" in tables.get("device", {}) else []
    found += [f"[{name}]" for name in _OF_A_HOUSEHOLD if name in tables]
    keys = (("camera", "url"), ("page", "domain"), ("speaker", "replies"))
    return ", ".join([*found, *(f"{table}.{key}" for table, key in keys if key in tables.get(table, {}))])


def _archive(folder: StateFolder, config: Path) -> Iterator[bytes]:
    """A tar with fixed owners and times, in pieces."""
    with files.storage_errors(folder.root):
        held = {f"own/{name}": data for name, data in _own_files(folder)}
    held["doorward.toml"] = config.read_bytes()
    held |= {f"beside/{name}": path.read_bytes() for name in _BESIDE if (path := config.parent / name).is_file()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(held.items()):
            member = tarfile.TarInfo(name)
            # No user and no time: the archive must not tell when which file was changed.
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))
    # Padded to a power of two, because a journal's length tells the keeper of the backups that requests came. A tar
    # ends with zeros.
    view = buffer.getvalue()
    view = view.ljust(max(_LEAST_BYTES, 1 << (len(view) - 1).bit_length()), b"\0")
    for start in range(0, len(view), _CHUNK):
        yield view[start : start + _CHUNK]


def _own_files(folder: StateFolder) -> Iterator[tuple[str, bytes]]:
    """Yields the files with the rights of the folder's owner, so a link can only reach files that this user may
    read."""
    from agent.custodian.journal_sqlite import copy_for_backup

    with as_owner_of(folder.root), PrivilegedFolder(folder.root) as own:
        yield _JOURNAL, copy_for_backup(folder.journal)
        names = own.names()
        for name in _OWN:
            if name in names:
                yield name, own.read(name, _MOST_BYTES)
        if _PAGE in names:
            with own.inside(_PAGE) as pages:
                for name in pages.names():
                    yield f"{_PAGE}/{name}", pages.read(name, _MOST_BYTES)


def _is_ours(name: str) -> bool:
    top, _, inner = name.partition("/")
    if top == "own":
        folder, _, file = inner.rpartition("/")
        return inner in (*_OWN, _JOURNAL) or (folder == _PAGE and file not in ("", ".", ".."))
    return name == "doorward.toml" or (top == "beside" and inner in _BESIDE)


def _key_of(folder: StateFolder) -> Any:
    """Returns the device's key; None if the folder holds data and its key is unreadable."""
    from agent.errors import ConfigurationError

    try:
        return folder.device_key()
    except ConfigurationError:
        if not any(folder.root.iterdir()):
            raise
        return None


def _count_sealed(vault: Path) -> int:
    with contextlib.suppress(OSError), as_owner_of(vault):
        return sum(1 for _ in vault.glob("segments/*/*.age"))
    return 0


def _remove_everything(folder: StateFolder, config: Path) -> list[str]:
    """Removes all of an owner's state, but keeps the folders that an installation made.

    It removes keys first and continues after a failure. Returns the remaining paths.
    """
    left: list[str] = []
    # If the roles run apart, root owns the parent of these folders. Otherwise they are names in the owner's folder.
    roles = [folder.vault, folder.outbox, folder.recorders_index.parent] if folder.divided else []
    inner = () if folder.divided else (folder.vault.name, folder.outbox.name)
    with PrivilegedFolder(folder.root) as own:
        # Keys first: if the power goes now, what is left opens and signs nothing.
        left += own.clear(overwrite=True, keep=inner, first=(*_OWN, _PAGE))
        for name in inner:
            left += _empty(own, name)
    for path in roles:
        if path.is_dir():
            with PrivilegedFolder(path) as role:
                _overwrite_plain(role)
                left += role.clear(overwrite=False)
    # Root believes the owners of this list (`agent.updater.pinned_owners`), and the next owner is another.
    if folder.divided and folder.update.is_dir():
        with PrivilegedFolder(folder.update) as update:
            update.remove("owners.json", overwrite=True)
    if folder.divided and folder.wish.parent.is_dir():  # root would believe the lists there
        with PrivilegedFolder(folder.wish.parent) as shown:
            left += shown.clear(overwrite=False)
    for name in (*_BESIDE, "tls/device.csr"):
        path = config.parent / name
        if path.parent.is_dir():
            with PrivilegedFolder(path.parent) as beside:
                beside.remove(path.name, overwrite=True)
    return left


def _overwrite_plain(folder: PrivilegedFolder) -> None:
    for name in filter(_PLAIN.fullmatch, folder.names()):
        folder.remove(name, overwrite=True)


def _empty(own: PrivilegedFolder, name: str) -> list[str]:
    """Removes what is in the folder `name`.  A link goes as a link, and counts as left: its target stays."""
    if name not in own.names():
        return []
    try:
        with own.inside(name) as within:
            _overwrite_plain(within)
            return within.clear(overwrite=False)
    except OSError:
        own.remove(name, overwrite=False)
        return [f"what '{name}' was a link to"]
