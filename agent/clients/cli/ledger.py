"""`doorward ledger`: read it, verify it, write it down, count it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from agent.cli import words
from agent.cli.frame import Group, emit_json, json_option
from agent.cli.language import in_words, say
from agent.clients.cli.owner.ledger import ledger as list_entries
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.owner.ledger_copy import keys_of_copy, read_copy, write_copy
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.sync import sync
from agent.clients.owner.transparency import TransparencyReport, transparency_of
from agent.clients.owner.transparency_picture import draw, page
from agent.core.ledger.checkpoint import mldsa_verifier_key, verifier_key
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink

__all__ = ["ledger"]


@click.group(cls=Group)
def ledger() -> None:
    """Read the doorbell's ledger and verify that it is complete.

    Every request, decision and disclosure is an entry of a tree that only grows.  This machine remembers its head and
    says so when a device goes backwards.
    """


ledger.add_command(list_entries, "list")


@ledger.command()
@click.option("--folder", "copy", type=click.Path(path_type=Path, file_okay=False), help="A copy made by 'export'.")
@keys_option
@device_option
@json_option
def verify(copy: Path | None, folder: Path, device: Path, as_json: bool) -> None:
    """Verify every entry against the head that the device signed.

    For a device, also verify that the ledger continues the one that this machine saw before.
    """
    if copy is not None:
        checkpoint, entries = read_copy(copy)
        grown, signer = 0, keys_of_copy(copy)
    else:
        keys = load_keys(folder)
        with DeviceLink(device) as link:
            view = read_ledger(link, keys)
            signer = sync(link, keys).known.device_keys
        checkpoint, entries, grown = view.checkpoint, view.entries, view.grown
    if as_json:
        named = {
            "device": signer.id,
            "device_mldsa": signer.mldsa.sha256,
            "verifier_keys": [verifier_key(signer.ed25519), mldsa_verifier_key(signer)],
        }
        emit_json({"size": checkpoint.size, "root": checkpoint.root.hex(), "grown": grown, **named})
        return
    say(f"{len(entries)} entries, complete, signed by the device.")
    click.echo(f"{in_words('root')} {checkpoint.root.hex()}")
    # A copy names its own keys. A forger names others, so a reader has to see them.
    click.echo(f"Ed25519 {signer.ed25519.text}")
    click.echo(f"ML-DSA-44 sha256:{signer.mldsa.sha256}")
    if copy is None:
        say(f"The ledger continues the one this machine saw before; {grown} entries are new.")


@ledger.command()
@click.argument("out", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))
@keys_option
@device_option
@json_option
def export(out: Path, folder: Path, device: Path, as_json: bool) -> None:
    """Write the whole ledger into FOLDER, to be verified elsewhere.

    They verify it with 'doorward ledger verify --folder FOLDER', or by hand.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        view = read_ledger(link, keys)
        met = sync(link, keys)
    if met.known.ledger != view.checkpoint:
        raise ConfigurationError("The ledger has just grown.", remedy="Run the command again.")
    write_copy(out, view, met.known.device_keys, met.known.checkpoint)
    if as_json:
        emit_json({"folder": out, "size": view.checkpoint.size})
        return
    say(f"{out}: {view.checkpoint.size} entries and the head that the device signed.")


@ledger.command()
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page to this file.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Also write a picture to this file.")
@keys_option
@device_option
@json_option
def summary(html: Path | None, svg: Path | None, folder: Path, device: Path, as_json: bool) -> None:
    """Count the requests by requester, and what left.

    This is your transparency report, from the verified ledger: matches, answers and bytes sent.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        view = read_ledger(link, keys)
    found = transparency_of(view.entries)
    for path, text in ((html, page(found)), (svg, draw(found))):
        if path is not None:
            path.write_text(text, encoding="utf-8")
    if as_json:
        emit_json({"total": _counts(found.total), "requesters": [_counts(each) for each in found.askings]})
        return
    _say(found)


def _counts(asking: object) -> dict[str, object]:
    return {field.name: getattr(asking, field.name) for field in dataclasses.fields(asking)}  # type: ignore[arg-type]


def _say(found: TransparencyReport) -> None:
    if found.from_ms is not None and found.to_ms is not None:
        say(f"From {words.day(found.from_ms)} to {words.day(found.to_ms)} UTC:\n")
    if not found.askings:
        say("  There are no requests.")
    for each in (*found.askings, found.total) if len(found.askings) > 1 else found.askings:
        click.echo(f"  {each.requester}")
        say(f"    asked {each.asked}, blocked {each.blocked}; matched {each.matched}, no match {each.no_match}")
        say(f"    approved {each.approved}, denied {each.denied}, expired {each.expired}, opted out {each.opted_out}")
        say(
            f"    received {each.sent}, {each.bytes_sent / 1000:.0f} kB; deleted since {each.deleted}; tips {each.tips}"
        )
