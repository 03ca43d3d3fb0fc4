"""`doorward owner trust`: roots, and the bundles of requesters they sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from agent.cli.frame import Group, emit_json, json_option
from agent.cli.words import counted, day, plain
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.owner import household_roots, trust_roots
from agent.errors import ConfigurationError, FormatError
from agent.ipc.control_client import DeviceLink
from agent.platform import files
from agent.wire import envelope
from agent.wire.identities import parse_public_key
from agent.wire.trust import BUNDLE_ENVELOPE_LIMIT_BYTES, RequesterEntry, TrustBundle, TrustDiff, diff

__all__ = ["trust"]

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group(cls=Group)
def trust() -> None:
    """Choose the requesters who may ask you for footage.

    A new doorbell trusts none.  Trust a root: it signs bundles that list its requesters, and the names and kinds in a
    review come from there.  `doorward trust` and `doorward owner trust` are the same.
    """


@trust.command("add-root")
@click.argument("key")
@keys_option
@device_option
@yes_option
@json_option
def add_root(key: str, folder: Path, device: Path, sure: bool, as_json: bool) -> None:
    """Trust the root KEY (ed25519:...): its requesters may ask.

    They may ask, never take.  Compare the key with the one that the root publishes on paper or on its site.
    """
    parse_public_key(key)
    keys = load_keys(folder)
    if not sure:
        click.confirm(f"Let the requesters of the root {key} ask you for footage?", abort=True, err=True)
    with DeviceLink(device) as link:
        root = trust_roots.add_trust_root(link, keys, key)
    if as_json:
        emit_json({"root": root.text, "root_id": root.id})
        return
    click.echo(f"The root {root.id} is trusted.  Give the device its bundle:  doorward owner trust bundle FILE")


@trust.command("take-over")
@keys_option
@device_option
@yes_option
@json_option
def take_over(folder: Path, device: Path, sure: bool, as_json: bool) -> None:
    """Trust the roots that the other owners chose.

    For a second owner, and after a recovery.  This machine verifies the owners' signatures and shows who chose each
    root, and when.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        chosen = household_roots.household_roots(link, keys)
    if not as_json:
        for each in chosen:
            click.echo(f"{each.key.text}\n    {plain(each.by)} chose it on {day(each.at_ms)}.")
    if chosen and not sure:
        click.confirm("Do you trust them too?", abort=True, err=True)
    with DeviceLink(device) as link:
        household_roots.take_over_roots(link, keys, chosen)
    if as_json:
        emit_json({"roots": [{"root": each.key.text, "by": each.by, "chosen_ms": each.at_ms} for each in chosen]})
    elif not chosen:
        click.echo("The owners chose no root that this machine does not know.")
    else:
        click.echo(f"You trust {counted(len(chosen), 'more root')}.  See its requesters:  doorward owner trust show")


@trust.command("remove-root")
@click.argument("key")
@keys_option
@device_option
@json_option
def remove_root(key: str, folder: Path, device: Path, as_json: bool) -> None:
    """Stop trusting the root KEY and its requesters."""
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        root = trust_roots.remove_trust_root(link, keys, key)
    if as_json:
        emit_json({"root": root.text, "root_id": root.id})
        return
    click.echo(f"The root {root.id} is no longer trusted.")


@trust.command()
@click.argument("file", type=_FILE)
@keys_option
@device_option
@yes_option
@json_option
def bundle(file: Path, folder: Path, device: Path, sure: bool, as_json: bool) -> None:
    """Give the device the signed bundle FILE, after showing what it changes."""
    keys = load_keys(folder)
    data = _read_bundle(file)
    with DeviceLink(device) as link:
        offered, change = trust_roots.bundle_change(link, keys, data)
    if not as_json:
        _say_change(offered, change)
    if not sure and change != diff(None, None):
        click.confirm("Let the device use it?", abort=True, err=True)
    with DeviceLink(device) as link:
        trust_roots.offer_bundle(link, keys, data)
    if as_json:
        emit_json(_change_document(offered, change))
        return
    click.echo(f"Version {offered.version} is in use.")


@trust.command("diff")
@click.argument("file", type=_FILE)
@keys_option
@device_option
@json_option
def show_diff(file: Path, folder: Path, device: Path, as_json: bool) -> None:
    """Show the changes of the signed bundle FILE without applying them."""
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        offered, change = trust_roots.bundle_change(link, keys, _read_bundle(file))
    if as_json:
        emit_json(_change_document(offered, change))
        return
    _say_change(offered, change)


@trust.command()
@keys_option
@device_option
@json_option
def show(folder: Path, device: Path, as_json: bool) -> None:
    """Show the requesters that the device and this owner both trust."""
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        trusted = trust_roots.trust_state(link, keys)
    store = trusted.store
    if as_json:
        emit_json(
            {
                "roots": [
                    {
                        "root": root.text,
                        "root_id": root.id,
                        "version": store.bundles[root.id].version if root.id in store.bundles else None,
                        "requesters": [_entry_document(entry) for entry in _entries(store.bundles.get(root.id))],
                    }
                    for root in store.roots.values()
                ],
                "unconfirmed": [root.text for root in trusted.unconfirmed],
            }
        )
        return
    if not store.roots:
        click.echo("You trust no root, so no requester may ask.")
    for root in store.roots.values():
        held = store.bundles.get(root.id)
        click.echo(f"{root.text}  ({root.id}, {f'version {held.version}' if held else 'no bundle yet'})")
        for entry in _entries(held):
            click.echo(f"    {_line(entry)}")
            click.echo(f"        {_bounds(entry)}")
    for root in trusted.unconfirmed:
        click.echo(f"{click.style('Not confirmed here: ', fg='yellow')}{root.text}")
        click.echo(
            "    The device trusts it, but you did not choose it on this machine.  If another owner chose it: trust "
            "take-over.  To trust it by its key: trust add-root KEY."
        )


def _read_bundle(file: Path) -> bytes:
    """Reads a bundle. Raises `ConfigurationError` if the file is not a signed message, because it is then the wrong
    file."""
    try:
        data = files.read(file, BUNDLE_ENVELOPE_LIMIT_BYTES)
        envelope.read_unverified(data, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES)
    except FormatError as error:
        raise ConfigurationError(
            f"{file} is not a signed bundle.  {error.message}", remedy="Use the file that the root signed: bundle.dsse."
        ) from error
    return data


def _say_change(offered: TrustBundle, change: TrustDiff) -> None:
    entries = {entry.id: entry for entry in offered.requesters}
    click.echo(f"Bundle of the root {offered.root}, version {offered.version}:")
    for name in change.added:
        click.echo(f"  new      {_line(entries[name])}")
    for name in change.changed:
        click.echo(f"  changed  {_line(entries[name])}")
    for name in change.removed:
        click.echo(f"  gone     {name}")
    if change == diff(None, None):
        click.echo("  nothing changes")


def _change_document(offered: TrustBundle, change: TrustDiff) -> dict[str, Any]:
    return {
        "root_id": offered.root,
        "version": offered.version,
        "added": list(change.added),
        "changed": list(change.changed),
        "removed": list(change.removed),
    }


def _entries(held: TrustBundle | None) -> tuple[RequesterEntry, ...]:
    return held.requesters if held else ()


def _entry_document(entry: RequesterEntry) -> dict[str, Any]:
    return {"id": entry.id, "name": entry.name, "kind": entry.kind, "usable_keys": _usable(entry)}


def _line(entry: RequesterEntry) -> str:
    keys = _usable(entry)
    return f"{entry.name} ({entry.kind.value}), {entry.id}" + ("" if keys else ", all keys revoked")


def _bounds(entry: RequesterEntry) -> str:
    """Returns the expiry, the regions and the tighter limits. For example, `until Fri 15 Jan 2027; 1 region; window at
    most 6 h`."""
    until = [key.until_s for key in entry.keys if not key.revoked]
    own = msgspec.to_builtins(entry.limits)
    said = [
        f"keys until {day(max(until) * 1000)} UTC" if until else "no key in use",
        counted(len(entry.regions), "region"),
        *(f"{name} {value}" for name, value in own.items() if value is not None),
        "takes tips" if entry.tips else "",
    ]
    return "; ".join(each for each in said if each)


def _usable(entry: RequesterEntry) -> int:
    return sum(not key.revoked for key in entry.keys)
