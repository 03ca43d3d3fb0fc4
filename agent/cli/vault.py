"""`doorward vault list|stats|verify|scrub|repair|export`: the contents of the vault and its integrity."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click

from agent.cli.export_folder import DEVICE_KEY, DEVICE_MLDSA, RECORDS, verify_export
from agent.cli.frame import Group, config_option, emit_json, json_option
from agent.cli.language import counted, in_words, measured, say
from agent.cli.times import parse_time, parse_window
from agent.cli.words import plain
from agent.config import load
from agent.core.retention import RetentionLimits
from agent.core.timebase import utc_date
from agent.core.vault.coverage import CoverageState
from agent.core.vault.entries import VaultEntry
from agent.core.vault.excerpt import Cover, ExcerptBuilder
from agent.core.vault.manifest import ChainFault, SecondSigner, Signer
from agent.custodian.state_folder import StateFolder
from agent.custodian.vault_follower import FollowingIndex
from agent.errors import ConfigurationError
from agent.platform.disk import RealDisk
from agent.platform.privileges import as_owner_of, as_self
from agent.recorder.vault import SealingContext, Vault
from agent.vault.index_sqlite import SqliteIndex
from agent.vault.reader import VaultReader
from agent.vault.segment_files import DiskManifestLog, DiskSegmentStore
from agent.wire.identities import MldsaPublicKey, PublicKey, public_key_of

__all__ = ["vault"]

_MS_PER_S = 1000
_PIECE_BYTES = 1 << 20
_EVER_MS = 2**53


@click.group(cls=Group)
def vault() -> None:
    """Inspect the vault. These commands work without a key, because footage stays sealed.

    To open footage: doorward owner open.
    """


@vault.command("list")
@config_option
@click.option("--from", "start", metavar="TIME", help="From this UTC time on, for example 2026-05-01T18:00.")
@click.option("--to", "end", metavar="TIME", help="Up to this UTC time.")
@click.option("--window", metavar="FROM/TO", help="A time line from FROM to TO (UTC), with the reason for each gap.")
@json_option
def list_segments(config: Path, start: str | None, end: str | None, window: str | None, as_json: bool) -> None:
    """List the clips and their segments, oldest first.

    With --window, for example 2026-05-01T18:00/2026-05-01T20:00, print the state of every minute instead: footage, no
    longer kept, nothing happened, switched off, privacy switch, camera lost or covered, storage failed, device off,
    clock unknown.  "Nothing happened" appears only if the signed manifest shows that a camera was watching.
    """
    if window is not None:
        _time_line(config, window, as_json)
        return
    from_ms = parse_time(start, "--from") if start else 0
    to_ms = parse_time(end, "--to") if end else _EVER_MS
    with _opened(config) as (reader, _, _):
        entries = list(reader.overlapping(from_ms, to_ms))
    if as_json:
        emit_json(
            {
                "segments": [
                    {
                        "id": entry.id,
                        "event": entry.event,
                        "start_ms": entry.start_ms,
                        "end_ms": entry.end_ms,
                        "clock": entry.quality.value,
                        "size_bytes": entry.size_bytes,
                        "poster": entry.poster is not None,
                        "sound": entry.sound is not None,
                        "whole": entry.whole,
                    }
                    for entry in entries
                ]
            }
        )
        return
    event = None
    for entry in entries:
        if entry.event != event:
            event = entry.event
            click.echo(click.style(in_words(f"{_time(entry.start_ms)} UTC  event {plain(event)}"), bold=True))
        seconds = (entry.end_ms - entry.start_ms) / _MS_PER_S
        marks = ["poster"] * (entry.poster is not None) + ["sound"] * (entry.sound is not None)
        marks += ["cut off"] * (not entry.whole)
        marks += ["date not certain"] * (entry.quality.value == "unknown")
        length, size = measured(seconds, 1, "s"), f"{entry.size_bytes / 1000:7.0f} kB"
        click.echo(
            f"  {entry.id}  {_time(entry.start_ms)[11:]}  {length:>7}  {size}"
            f"  {', '.join(map(in_words, marks))}".rstrip()
        )
    total = sum(entry.stored_bytes for entry in entries)
    say(f"\n{counted(len(entries), 'segment')}, {total / 1e6:.1f} MB, sealed.")


def _time_line(config: Path, window: str, as_json: bool) -> None:
    from_ms, to_ms = parse_window(window)
    with _opened(config) as (reader, _, _):
        stretches = reader.coverage(from_ms, to_ms, time.time_ns() // 1_000_000)
        entries = reader.overlapping(from_ms, to_ms)
    if as_json:
        emit_json(
            {
                "window": {"from_ms": from_ms, "to_ms": to_ms},
                "stretches": [
                    {"start_ms": one.start_ms, "end_ms": one.end_ms, "state": one.state.value} for one in stretches
                ],
            }
        )
        return
    day = ""
    for one in stretches:
        begins, ends = _time(one.start_ms), _time(one.end_ms)
        if begins[:10] != day:
            day = begins[:10]
            click.echo(click.style(f"{day} UTC", bold=True))
        words = in_words(one.state.value)
        within = [entry for entry in entries if entry.start_ms < one.end_ms and entry.end_ms > one.start_ms]
        if one.state is CoverageState.FOOTAGE:
            words = click.style(f"{words}, {counted(len(within), 'segment')}", bold=True)
        elif one.state is CoverageState.CLOCK_UNKNOWN and within:
            words += ", " + in_words(f"{counted(len(within), 'segment')} may belong here")
        click.echo(f"  {begins[11:]} – {ends[11:]}  {_length(one.end_ms - one.start_ms):>9}  {words}")


@vault.command()
@config_option
@json_option
def stats(config: Path, as_json: bool) -> None:
    """Count what is stored: segments, bytes, from when to when, and quarantined files."""
    with _opened(config) as (reader, _, _):
        totals, (aside, aside_bytes) = reader.totals(), reader.quarantined()
        oldest, newest = reader.after(-1), reader.newest()
        manifest_bytes = reader.manifest_bytes()
    if as_json:
        emit_json(
            {
                "segments": totals.segments,
                "bytes": totals.stored_bytes,
                "continuous_bytes": totals.continuous_bytes,
                "manifest_bytes": manifest_bytes,
                "aside": {"files": aside, "bytes": aside_bytes},
                "oldest_ms": oldest.start_ms if oldest else None,
                "newest_ms": newest.end_ms if newest else None,
            }
        )
        return
    continuous = f"{totals.continuous_bytes / 1e6:.1f} MB of it continuous" if totals.continuous_bytes else ""
    span = f"from {_time(oldest.start_ms)} to {_time(newest.end_ms)} UTC" if oldest and newest else ""
    size = f"{counted(totals.segments, 'segment')}, {measured(totals.stored_bytes / 1e6, 1, 'MB')}"
    click.echo(", ".join(filter(None, (size, in_words(continuous), in_words(span)))) + ".")
    put_aside = in_words(
        f"{counted(aside, 'file')} ({aside_bytes / 1e6:.1f} MB) set aside" if aside else "nothing set aside"
    )
    say(f"The manifest has {manifest_bytes / 1e3:.0f} kB; {put_aside}.")


@vault.command()
@config_option
@click.option(
    "--export",
    "exported",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Verify this folder of `doorward vault export` instead, on any machine.",
)
@json_option
def verify(config: Path, exported: Path | None, as_json: bool) -> None:
    """Compare every file, and every line of the manifest, with the signatures made at capture.

    It finds damage, loss and foreign files, and changes nothing.  Exit status 0 if all is well, otherwise 1.
    """
    if exported is not None:
        _verify_exported(exported, as_json)
        return
    with _opened(config) as (reader, device, mldsa), _progress("Reading", as_json) as progress:
        report = reader.verify(device, progress, mldsa)
    if as_json:
        emit_json(
            {
                "sound": report.sound,
                "segments": report.segments,
                "bytes": report.read_bytes,
                "missing": list(report.missing),
                "damaged": list(report.damaged),
                "unknown": list(report.unknown),
                "manifest_faults": [str(fault) for fault in report.faults],
                "signed_once": report.signed_once,
            }
        )
    else:
        _say_files(missing=report.missing, damaged=report.damaged, unknown=report.unknown)
        _say_faults(report.faults)
        verdict = "all unchanged since they were signed" if report.sound else "NOT all unchanged since they were signed"
        say(f"{counted(report.segments, 'segment')}, {report.read_bytes / 1e6:.1f} MB read: {in_words(verdict)}.")
        if report.signed_once and report.faults:
            say(f"{counted(report.signed_once, 'record')} without a second signature on or behind it.")
        elif report.signed_once:
            say(f"{counted(report.signed_once, 'record')} without a second signature yet, which comes within an hour.")
    if not report.sound:
        raise click.exceptions.Exit(1)


def _verify_exported(folder: Path, as_json: bool) -> None:
    report = verify_export(folder)
    exported = _time(report.exported_ms) if report.exported_ms is not None else ""
    at_capture, at_export, once = (report.covered[each] for each in (Cover.CAPTURE, Cover.EXPORT, Cover.NONE))
    if as_json:
        emit_json(
            {
                "sound": report.sound,
                "segments": report.segments,
                "bytes": report.read_bytes,
                "missing": report.missing,
                "damaged": report.damaged,
                "unknown": report.unknown,
                "manifest_faults": report.faults,
                "signed_twice_at_capture": at_capture,
                "signed_twice_at_export": at_export,
                "signed_once": once,
                "exported_ms": report.exported_ms,
                "device": report.device.id,
                "device_mldsa": hashlib.sha256(report.mldsa.raw).hexdigest(),
            }
        )
    else:
        _say_files(missing=report.missing, damaged=report.damaged, unknown=report.unknown)
        _say_faults(report.faults)
        verdict = "all unchanged since they were signed" if report.sound else "NOT all unchanged since they were signed"
        if report.segments:
            say(f"{counted(report.segments, 'segment')}, {report.read_bytes / 1e6:.1f} MB read: {in_words(verdict)}.")
        else:
            say("The folder holds no record of footage, so nothing was verified.")
        say(f"{counted(at_capture, 'record')} with a second signature from the time of recording.")
        if at_export:
            say(f"{counted(at_export, 'record')} with a second signature from the export, {exported} UTC.")
        if once:
            say(f"{counted(once, 'record')} without a second signature on or behind it.")
        say(f"Compare the keys with what you know of the doorbell: {report.device.id}, ML-DSA-44 key (SHA-256)")
        click.echo(f"  {hashlib.sha256(report.mldsa.raw).hexdigest()}")
    if not report.sound:
        raise click.exceptions.Exit(1)


@vault.command()
@config_option
@json_option
def scrub(config: Path, as_json: bool) -> None:
    """Read all stored files once, at low priority, and report damage.

    A running device does this automatically, a little every day (vault.scrub_bytes_per_day).  Exit status 0 or 1.
    """
    from agent.recorder.io_priority import work_idly

    work_idly()
    missing: list[str] = []
    damaged: list[str] = []
    faults: list[ChainFault] = []
    segments = read_bytes = 0
    with _opened(config) as (reader, device, _), _progress("Reading", as_json) as progress:
        total_bytes = reader.totals().stored_bytes
        for entry in reader.entries():
            found = reader.check(entry, device)
            segments, read_bytes = segments + 1, read_bytes + found.read_bytes
            missing += found.missing
            damaged += found.damaged
            faults += [found.line_fault] if found.line_fault is not None else []
            progress(min(read_bytes, total_bytes), total_bytes)
    sound = not (missing or damaged or faults)
    if as_json:
        emit_json(
            {
                "sound": sound,
                "segments": segments,
                "bytes": read_bytes,
                "missing": missing,
                "damaged": damaged,
                "manifest_faults": [str(fault) for fault in faults],
            }
        )
    else:
        _say_files(missing=missing, damaged=damaged)
        _say_faults(faults)
        unread = f"{counted(len(faults), 'record')} unreadable" if faults else ""
        found_bad = f"{len(missing)} missing, {len(damaged)} damaged"
        verdict = in_words("no damage") if sound else ", ".join(filter(None, (in_words(found_bad), in_words(unread))))
        say(f"{counted(segments, 'segment')}, {read_bytes / 1e6:.1f} MB read: {verdict}.")
    if not sound:
        raise click.exceptions.Exit(1)


@vault.command()
@config_option
@json_option
def repair(config: Path, as_json: bool) -> None:
    """Rebuild the index and resolve inconsistencies.  Stop the device first.

    A file without a record is recovered, a foreign file is moved to vault/aside, a missing file is noted. Nothing is
    deleted.  A running device does the same at every start, but trusts its index.
    """
    from agent.platform.system_clock import SystemClock, SystemEntropy

    with _parts(config) as (folder, store, log, index):
        if folder.divided:
            files = f"{folder.recorders_index} {folder.recorders_index}.copy"
            raise ConfigurationError(
                "In this installation only the recorder writes the vault. It repairs the vault at every start.",
                remedy=f"sudo systemctl stop doorward-recorder; sudo rm -f {files}; then start it again.",
            )
        folder.claim()
        try:
            key = folder.device_key()
            # After the key was read: without it the vault could not be signed again, and the index would be gone for
            # nothing.
            index.clear()
            mldsa_key = folder.device_secret().mldsa_key()
            second = SecondSigner(MldsaPublicKey.of(mldsa_key).text, mldsa_key.sign)
            sealing = SealingContext((), 0, public_key_of(key).id, key.sign, second)
            found = Vault(
                store,
                log,
                index,
                clock=SystemClock(),
                entropy=SystemEntropy(),
                sealing=sealing,
                limits=RetentionLimits(1 << 62),
            ).start()
            segments = index.totals().segments
        finally:
            folder.release()
    if as_json:
        emit_json({"segments": segments, **asdict(found)})
        return
    _say_files(missing=found.missing, recovered=found.recovered, aside=found.quarantined, removed=found.removed)
    _say_files(unreadable=found.unreadable)
    _say_faults(found.faults)
    say(
        f"{counted(segments, 'segment')} in the new index; {len(found.recovered)} recovered, "
        f"{len(found.missing)} missing, {len(found.quarantined)} quarantined, {len(found.faults)} lines damaged."
    )


@vault.command()
@config_option
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--window", metavar="FROM/TO", help="Only segments that overlap it (UTC).")
@json_option
def export(config: Path, folder: Path, window: str | None, as_json: bool) -> None:
    """Copy segments, still sealed, with their signed records into FOLDER.

    It opens nothing. To open them, use stock age with the owner's key. The device's public keys are copied too. To
    verify files and records on any machine: doorward vault verify --export FOLDER.
    """
    from_ms, to_ms = parse_window(window) if window is not None else (-_EVER_MS, _EVER_MS)
    copied = copied_bytes = 0
    sign, second = _signers(config)
    with _opened(config) as (reader, device, mldsa), _progress("Copying", as_json) as progress:
        entries = reader.overlapping(from_ms, to_ms)
        total_bytes = sum(entry.stored_bytes for entry in entries)
        # The caller's folder: the owner of the vault, whose rights count here otherwise, may not write there.
        with as_self():
            try:
                folder.mkdir(parents=True)
            except FileExistsError as error:
                raise ConfigurationError(f"{folder} already exists.", remedy="Name a new folder.") from error
            (folder / DEVICE_KEY).write_text(device.text + "\n")
            (folder / DEVICE_MLDSA).write_text(mldsa.text + "\n")
            records = (folder / RECORDS).open("wb")
        # The records come first: copying takes hours, and a chapter with records of segments that are evicted meanwhile
        # may be deleted.
        chosen: dict[str, bytes] = {entry.id: reader.record(entry.id).line for entry in entries}
        with records:
            excerpt = ExcerptBuilder(chosen)
            for step in reader.steps():
                records.writelines(line + b"\n" for line in excerpt.add(step))
            head = excerpt.finish(time.time_ns() // 1_000_000, device, mldsa, sign, second)
            records.writelines(line + b"\n" for line in head)
        for entry in entries:
            _copy(reader, entry, folder)
            copied, copied_bytes = copied + 1, copied_bytes + entry.stored_bytes
            progress(copied_bytes, total_bytes)
    if as_json:
        emit_json({"segments": copied, "bytes": copied_bytes, "folder": folder})
        return
    say(f"{counted(copied, 'segment')}, {copied_bytes / 1e6:.1f} MB copied to {folder}, still sealed.")


def _signers(config: Path) -> tuple[Signer, Signer]:
    """The device's two signatures, for the head of an excerpt."""
    folder = StateFolder(load(config).device.state_dir)
    return folder.device_key().sign, folder.device_secret().mldsa_key().sign


def _copy(reader: VaultReader, entry: VaultEntry, folder: Path) -> None:
    with _made(folder / entry.file.name) as out:
        for offset in range(0, entry.size_bytes, _PIECE_BYTES):
            piece = reader.read(entry.id, offset, min(_PIECE_BYTES, entry.size_bytes - offset))
            if not piece:  # the file is shorter than the index says
                break
            out.write(piece)
    for beside, read in ((entry.poster, reader.read_poster), (entry.sound, reader.read_sound)):
        if beside is not None:
            data = read(entry.id) or b""
            with _made(folder / beside.name) as out:
                out.write(data)


def _made(path: Path) -> BinaryIO:
    """Creates the copy as the caller's file; the vault itself is read with its owner's rights. Raises
    `FileExistsError`.

    The recorder chose the name and may be compromised, so root must not write to an existing file.
    """
    with as_self():
        return path.open("xb")


def _say_files(**by_word: list[str]) -> None:
    colours = {"missing": "red", "damaged": "red", "unreadable": "red"}
    for word, names in by_word.items():
        for name in names:
            click.echo(f"{click.style(in_words(word), fg=colours.get(word, 'yellow'))}  {plain(name)}")


def _say_faults(faults: Iterable[ChainFault | str]) -> None:
    for fault in faults:
        click.echo(f"{click.style(in_words('manifest'), fg='red')}  {in_words(plain(fault))}")


@contextmanager
def _progress(verb: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows a counter on standard error if it is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return

    def show(done: int, total: int) -> None:
        click.echo("\r" + f"{in_words(verb)}: {done / 1e6:.0f} / {total / 1e6:.0f} MB", err=True, nl=False)

    yield show
    click.echo("\r" + " " * 40 + "\r", err=True, nl=False)


@contextmanager
def _opened(config: Path) -> Iterator[tuple[VaultReader, PublicKey, MldsaPublicKey]]:
    """The vault, read-only, and the device's keys: it works beside a running device, and on a stopped one."""
    # A copy of the index: the running recorder has locked its own.
    with _parts(config, copied=True) as (folder, store, log, index):
        with as_self():  # the key is another role's
            device, mldsa = public_key_of(folder.device_key()), MldsaPublicKey.of(folder.device_secret().mldsa_key())
        yield VaultReader(store, log, FollowingIndex(log, index)), device, mldsa


@contextmanager
def _parts(
    config: Path, *, copied: bool = False
) -> Iterator[tuple[StateFolder, DiskSegmentStore, DiskManifestLog, SqliteIndex]]:
    folder = StateFolder(load(config).device.state_dir)
    folder.device_key()  # raises an error with a remedy if there is no key
    # Use the vault owner's rights. As root, a planted link could make us write elsewhere.
    with as_owner_of(folder.vault if folder.divided else folder.root):
        disk, index = RealDisk(), SqliteIndex(folder.recorders_index, copied=copied)
        log = DiskManifestLog(disk, folder.vault)
        try:
            yield folder, DiskSegmentStore(disk, folder.vault), log, index
        finally:
            log.close()
            index.close()


def _length(milliseconds: int) -> str:
    seconds = round(milliseconds / _MS_PER_S)
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _time(milliseconds: int) -> str:
    return utc_date(milliseconds).strftime("%Y-%m-%d %H:%M:%S")
