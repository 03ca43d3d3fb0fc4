"""`doorward reset`, `backup` and `restore`: a doorbell's end with one owner, and its second life after a lost card.

A backup is everything but footage, sealed to the owners: the doorbell itself cannot open it again.  So it is restored
from what an owner opened, on their own machine, with `doorward owner open-backup` or any age implementation.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from agent import files
from agent.cli.frame import config_option

__all__ = ["backup", "reset", "restore"]

_CHUNK = 1 << 16
_MOST_BYTES = 1 << 30
_OWN = ("device.key", "page", "push.json")
_BESIDE = ("tls/ca.pem", "tls/device.pem", "tls/device.key", "bundle-taken.json", "trust-report.txt")
"""What lies in the configuration's folder: the link to the broker, and what a fleet's installer gave."""


@click.command()
@config_option
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def backup(config: Path, out: Path) -> None:
    """Write keys, journal, ledger, page and configuration to OUT, sealed to the owners.  No footage is in it.

    \b
    It may be taken while the doorbell runs.  Only an owner can open it, on their own machine:
    doorward owner open-backup OUT | ssh doorbell sudo doorward restore -
    """
    import secrets

    from agent.adapters.state_folder import StateFolder
    from agent.config import load
    from agent.core.vault.age.recipients import parse_recipient
    from agent.core.vault.age.sealing import Sealer
    from agent.errors import ConfigurationError
    from agent.owner.link import DeviceLink
    from agent.wire import envelope, strictjson
    from agent.wire.statements import STATEMENT_ENVELOPE_LIMIT_BYTES, STATEMENT_LIMIT_BYTES, Enrolment

    if out.exists():
        raise ConfigurationError(f"{out} is there already.", remedy="Give another name, or remove it first.")
    folder = StateFolder(load(config).device.state_dir)
    with DeviceLink(folder.control) as link:
        enrolment = link.ask("enrolment")["envelope"]
    if enrolment is None:
        raise ConfigurationError("Nobody owns this doorbell yet, so nobody could open a backup.", remedy="Enrol first.")
    payload = envelope.read_unverified(enrolment.encode(), limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES).payload
    owners = strictjson.decode(payload, Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
    recipients = [parse_recipient(text) for text in (*(each.recipient for each in owners.recipients), owners.recovery)]
    sealer = Sealer(secrets.token_bytes(16), recipients, nonce=secrets.token_bytes(16))
    pieces = [sealer.header, *(sealer.update(piece) for piece in _archive(folder, config)), sealer.finish()]
    files.write(out, b"".join(pieces), secret=True)
    click.echo(f"{out} is sealed to {', '.join(owner.name for owner in owners.recipients)} and the recovery identity.")


@click.command()
@config_option
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
def restore(config: Path, archive: Path) -> None:
    """Make this machine the doorbell that ARCHIVE, an opened backup, was taken of ("-" reads it from a pipe).

    \b
    On the owner's machine:  doorward owner open-backup BACKUP | ssh doorbell sudo doorward restore -
    The owner's key never comes here.  Footage is not in a backup; what is left of the vault is kept.
    """
    from agent.adapters.state_folder import StateFolder
    from agent.config import load, parse
    from agent.errors import ConfigurationError, FormatError

    data = sys.stdin.buffer.read(_MOST_BYTES) if str(archive) == "-" else archive.read_bytes()
    folder = StateFolder(load(config).device.state_dir)
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            found = {name: file.read() for name, file in members.items() if file is not None}
    except tarfile.TarError as error:
        remedy = "Open it first, on the owner's machine:  doorward owner open-backup BACKUP"
        raise FormatError("This is no opened backup.", remedy=remedy) from error
    unknown = [name for name in found if not _is_ours(name)]
    if unknown or "own/device.key" not in found:
        raise FormatError(
            f"This is no backup of a doorbell: {unknown[0] + ' is in it' if unknown else 'it has no key'}.",
            remedy="Give what 'doorward owner open-backup' made of one.",
        )
    if (folder.root / "journal.sqlite").exists():
        raise ConfigurationError(
            f"{folder.root} has a journal: this machine is a doorbell already.",
            remedy="If it is to become the one in the archive: sudo doorward reset removes this one's keys, trust and "
            "footage for good; then restore.",
        )
    told = folder.root.stat()
    for name, content in sorted(found.items()):
        if name.startswith("own/"):
            target = folder.root / name.removeprefix("own/")
            target.parent.mkdir(mode=0o700, exist_ok=True)
            _put(target, content, told.st_uid, told.st_gid, 0o600)
            os.chown(target.parent, told.st_uid, told.st_gid)
        elif name.startswith("beside/"):
            target = config.parent / name.removeprefix("beside/")
            files.make_folder(target.parent)
            files.write(target, content, secret=True)
    if "doorward.toml" in found:
        text = found["doorward.toml"].decode("utf-8-sig", "replace")
        parse(text, config)
        here = config.stat()
        _put(config, text.encode(), here.st_uid, here.st_gid, here.st_mode & 0o777)
    # Its configuration may ask for a page or wires that this machine's units are not open to yet.
    click.echo(
        f"This machine is that doorbell again.  Next:  {'sudo doorward apply' if folder.divided else 'doorward run'}"
    )


@click.command()
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--receipt", type=click.Path(path_type=Path, dir_okay=False), help="Write the receipt there, too.")
def reset(config: Path, yes: bool, receipt: Path | None) -> None:
    """Hand this doorbell to a new owner: its keys, its trust and its footage go, and a receipt says so."""
    import datetime

    from agent.adapters.state_folder import StateFolder
    from agent.config import load
    from agent.wire import envelope
    from agent.wire.identities import public_key_of

    folder = StateFolder(load(config).device.state_dir)
    if not yes:
        click.confirm("Remove this doorbell's keys, trust and footage, for good?", abort=True)
    folder.claim()  # a doorbell that runs would write on
    key = folder.device_key()
    sealed = sum(1 for _ in folder.vault.glob("segments/*/*.age"))
    told = {
        "device": public_key_of(key).text,
        "reset_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "removed": ["device key", "journal, ledger and trust", "page", "outbox", f"{sealed} sealed files", "TLS key"],
        "cannot_promise": "Flash memory keeps copies of what was removed where no program reaches them. The footage "
        "among them stays sealed to its owners' keys, which were never here. The device's key among them could sign as "
        "this doorbell: believe nothing it signs from now on, and have its broker revoke it.",
    }
    signed = envelope.sign(
        "application/vnd.doorward.reset-receipt+json", json.dumps(told, sort_keys=True).encode(), key
    )
    for path in _everything(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            _overwrite_and_remove(path)
    for name in (*_BESIDE, "tls/device.csr"):
        _overwrite_and_remove(config.parent / name)
    folder.release()
    click.echo(json.dumps(told, indent=2))
    click.echo(f"\nSigned by the key that is gone:\n{signed.decode()}")
    if receipt is not None:
        files.write(receipt, signed + b"\n")
    if left := _left_in(config):
        click.echo(f"\n{config} stays, with {left}: take out what is yours.")
    then = ", then sudo systemctl start doorward.target" if folder.divided else ""
    click.echo(f"\nFor its next owner:  {'sudo ' if folder.divided else ''}doorward init{then}")


def _left_in(config: Path) -> str:
    """What a configuration says of the owner who goes."""
    tables = tomllib.loads(config.read_text(encoding="utf-8"))
    found = ["its place"] if "position" in tables.get("device", {}) else []
    return ", ".join([*found, *(f"[{name}]" for name in ("broker", "alerts", "home_assistant") if name in tables)])


def _archive(folder: object, config: Path) -> Iterator[bytes]:
    """A tar with fixed owners and times, in pieces."""
    root: Path = folder.root  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(prefix="doorward-backup-") as made:
        journal = Path(made) / "journal.sqlite"
        # SQLite's own copy: consistent while the custodian writes.
        with sqlite3.connect(f"file:{root / 'journal.sqlite'}?mode=ro", uri=True) as source:
            target = sqlite3.connect(journal)
            source.backup(target)
            target.close()
        source.close()
        held = {"own/journal.sqlite": journal, "doorward.toml": config}
        for name in _OWN:
            path = root / name
            inner = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
            held |= {f"own/{each.relative_to(root)}": each for each in inner if each.exists()}
        held |= {f"beside/{name}": config.parent / name for name in _BESIDE if (config.parent / name).is_file()}
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, path in sorted(held.items()):
                data = path.read_bytes()
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o600
                tar.addfile(member, io.BytesIO(data))
        view = buffer.getvalue()
    for start in range(0, len(view), _CHUNK):
        yield view[start : start + _CHUNK]


def _is_ours(name: str) -> bool:
    top, _, inner = name.partition("/")
    if top == "own":
        folder, _, file = inner.rpartition("/")
        return (inner in (*_OWN, "journal.sqlite") and inner != "page") or (
            folder == "page" and file not in ("", ".", "..")
        )
    return name == "doorward.toml" or (top == "beside" and inner in _BESIDE)


def _everything(folder: object) -> list[Path]:
    """What an owner leaves: all of the state but the folders themselves, which an installation made."""
    own: Path = folder.root  # type: ignore[attr-defined]
    found = [path for path in own.iterdir() if not path.is_socket() and path not in (folder.vault, folder.outbox)]  # type: ignore[attr-defined]
    for inner in (folder.vault, folder.outbox, own.parent / "recorder"):  # type: ignore[attr-defined]
        if inner.is_dir():
            found += list(inner.iterdir())
    return found


def _overwrite_and_remove(path: Path) -> None:
    """Once over, which helps on a disk and may help on a card; then gone."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def _put(path: Path, data: bytes, uid: int, gid: int, mode: int) -> None:
    making = path.with_name(f".{path.name}.new")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.chown(making, uid, gid)
    making.chmod(mode)
    making.replace(path)
