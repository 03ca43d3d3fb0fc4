"""`doorward owner ledger`: the events on the device, and the proof that the list is complete."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from agent.cli import words
from agent.cli.frame import Number, emit_json, json_option
from agent.cli.language import counted, in_words, say
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.owner.ledger_reader import read_ledger
from agent.core.ledger.entries import EntryKind, LedgerEntry
from agent.core.timebase import ClockQuality
from agent.ipc.control_client import DeviceLink

__all__ = ["entry_line", "ledger", "say_doubts"]


@click.command()
@keys_option
@device_option
@click.option("--last", type=Number(min=1), default=20, show_default=True, help="How many entries to show.")
@click.option("--all", "everything", is_flag=True, help="Show all of them.")
@json_option
def ledger(folder: Path, device: Path, last: int, everything: bool, as_json: bool) -> None:
    """Read the device's ledger, verified from the first entry.

    The device signed the whole of it, and it continues what this machine saw before.  `doorward ledger list` is the
    same.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        view = read_ledger(link, keys)
    # Padding means nothing, and hundreds of such entries would hide the others.
    shown = [number for number, entry in enumerate(view.entries) if everything or entry.kind is not EntryKind.PADDING]
    if not everything:
        shown = shown[-last:]
    first = shown[0] if shown else 0
    if as_json:
        entries = [msgspec.to_builtins(entry) for entry in view.entries[first:]]
        emit_json(
            {"size": view.checkpoint.size, "root": view.checkpoint.root.hex(), "grown": view.grown, "first": first,
             "entries": entries}
        )  # fmt: skip
        return
    for number in shown:
        click.echo(f"{number:>6}  {entry_line(view.entries[number])}")
    size = view.checkpoint.size
    say(f"\n{size} entries, complete, signed by the device; {view.grown} new to this machine.")
    if len(shown) < size:
        say(f"{len(shown)} of them are shown. To see all of them: --all")
    say_doubts(view.entries[number] for number in shown)


def say_doubts(entries: Iterable[LedgerEntry]) -> None:
    """Explains the `?` behind a time, if one was printed."""
    if any(_doubtful(entry) for entry in entries):
        say("A '?' marks a time of an unsynchronised clock.  The order of the entries is certain.")


def entry_line(entry: LedgerEntry) -> str:
    return f"{_when(entry)}  {_what(entry)}"


def _when(entry: LedgerEntry) -> str:
    # Mark a time of an unknown clock. The order of entries never depends on it.
    doubt = "?" if _doubtful(entry) else " "
    return f"{words.day(entry.utc_ms)}{doubt}"


def _doubtful(entry: LedgerEntry) -> bool:
    return entry.clock is ClockQuality.UNKNOWN


def _what(entry: LedgerEntry) -> str:
    details = [
        entry.requester,
        entry.request and f"{in_words('tip' if entry.request == entry.disclosure else 'request')} {entry.request[:8]}",
        entry.disclosure and entry.disclosure != entry.request and f"{in_words('disclosure')} {entry.disclosure[:8]}",
        entry.segments is not None and counted(entry.segments, "segment"),
        entry.size_bytes is not None and f"{entry.size_bytes / 1000:.0f} kB",
        entry.version is not None and f"{in_words('version')} {entry.version}",
        in_words(entry.reason or ""),
    ]
    return f"{in_words(entry.kind.value):<20}  {', '.join(str(each) for each in details if each)}".rstrip()
