"""`doorward vault list|verify`: what the sealed buffer holds, and whether it still holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.cli.frame import config_option, emit_json, json_option
from agent.config import load
from agent.errors import ConfigurationError
from agent.services.vault_reader import VaultReader
from agent.wire.identities import PublicKey, public_key_of

__all__ = ["vault"]

_MS_PER_S = 1000


@click.group()
def vault() -> None:
    """Look into the sealed buffer.  Everything here works without a key, for nothing is opened.

    To open footage: doorward owner open.
    """


@vault.command("list")
@config_option
@click.option("--from", "start", metavar="TIME", help="Only from this UTC time on, like 2026-05-01T18:00.")
@click.option("--to", "end", metavar="TIME", help="Only up to this UTC time.")
@json_option
def list_segments(config: Path, start: str | None, end: str | None, as_json: bool) -> None:
    """List the clips and their segments, oldest first."""
    from_ms = _parse("--from", start, 0)
    to_ms = _parse("--to", end, 2**53)
    with _opened(config) as (reader, _):
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
            click.echo(click.style(f"{_time(entry.start_ms)} UTC  event {event}", bold=True))
        seconds = (entry.end_ms - entry.start_ms) / _MS_PER_S
        marks = ["poster"] * (entry.poster is not None) + ["cut off"] * (not entry.whole)
        marks += ["date not certain"] * (entry.quality.value == "unknown")
        click.echo(
            f"  {entry.id}  {_time(entry.start_ms)[11:]}  {seconds:5.1f} s  {entry.size_bytes / 1000:7.0f} kB"
            f"  {', '.join(marks)}".rstrip()
        )
    total = sum(entry.stored_bytes for entry in entries)
    click.echo(f"\n{len(entries)} segments, {total / 1e6:.1f} MB, sealed.")


@vault.command()
@config_option
@json_option
def verify(config: Path, as_json: bool) -> None:
    """Compare every file with what was signed when it was recorded.

    Finds damage, loss and anything that is not ours; changes nothing.  Exit status 0 when all is well, 1 when not.
    """
    with _opened(config) as (reader, device):
        report = reader.verify(device)
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
            }
        )
    else:
        for name in report.missing:
            click.echo(f"{click.style('missing', fg='red')}  {name}")
        for name in report.damaged:
            click.echo(f"{click.style('damaged', fg='red')}  {name}")
        for name in report.unknown:
            click.echo(f"{click.style('unknown', fg='yellow')}  {name}")
        for fault in report.faults:
            click.echo(f"{click.style('manifest', fg='red')}  {fault}")
        verdict = "every one as it was signed" if report.sound else "NOT all as it was signed"
        click.echo(f"{report.segments} segments, {report.read_bytes / 1e6:.1f} MB read: {verdict}.")
    if not report.sound:
        raise click.exceptions.Exit(1)


@contextmanager
def _opened(config: Path) -> Iterator[tuple[VaultReader, PublicKey]]:
    """The vault, read-only: it works beside a running device, and on a stopped one."""
    from agent.adapters.disk_real import RealDisk
    from agent.adapters.index_sqlite import SqliteIndex
    from agent.adapters.segments_disk import DiskManifestLog, DiskSegmentStore
    from agent.adapters.state_folder import StateFolder

    folder = StateFolder(load(config).device.state_dir)
    key = public_key_of(folder.device_key())
    disk, index = RealDisk(), SqliteIndex(folder.index)
    log = DiskManifestLog(disk, folder.vault)
    try:
        yield VaultReader(DiskSegmentStore(disk, folder.vault), log, index), key
    finally:
        log.close()
        index.close()


def _parse(option: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{option}: '{text}' is no time.", remedy="Write it like 2026-05-01T18:00 (UTC)."
        ) from error
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * _MS_PER_S)


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / _MS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S")
