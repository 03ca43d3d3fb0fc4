"""`doorward owner trust`: roots, and the bundles of requesters they sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from agent.cli.frame import Group, emit_json, json_option
from agent.cli.language import confirm, counted, in_words, say, spoken
from agent.cli.words import day, plain
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.owner import household_roots, trust_roots
from agent.clients.owner.clock import wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.trust_roots import RootSigners
from agent.clients.promise import lookalikes_in_words
from agent.core.trust_change import WideningKind, widenings
from agent.errors import ConfigurationError, FormatError
from agent.ipc.control_client import DeviceLink
from agent.platform import files
from agent.wire.trust import RequesterEntry, TrustBundle, TrustDiff, claimed_root, diff
from agent.wire.trust_keys import parse_trust_key
from agent.wire.trust_package import PACKAGE_LIMIT_BYTES

__all__ = ["trust"]

_GAINS: Final = {
    WideningKind.KEY: "another key, or a longer time",
    WideningKind.REGION: "more ground",
    WideningKind.LIMITS: "wider limits",
    WideningKind.KIND: "another kind of requester",
    WideningKind.NAME: "another name",
    WideningKind.TIPS: "another way to seal tips",
}
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
    """Trust the root KEY (ed25519:...+mldsa44:...): its requesters may ask.

    They may ask, never take.  Compare the key with the one that the root publishes on paper or on its site.
    """
    parse_trust_key(key)
    keys = load_keys(folder)
    if not sure:
        confirm(f"Let the requesters of the root {key} ask you for footage?", err=True)
    with DeviceLink(device) as link:
        root = trust_roots.add_trust_root(link, keys, key)
    if as_json:
        emit_json({"root": root.text, "root_id": root.id})
        return
    say(
        f"The root {root.id} is trusted.  Give the device its bundle:  doorward owner trust bundle FILE\n"
        "Or wait for the root's news:  doorward owner trust accept"
    )


@trust.command("take-over")
@keys_option
@device_option
@yes_option
@json_option
def take_over(folder: Path, device: Path, sure: bool, as_json: bool) -> None:
    """Trust the roots that the other owners chose.

    For a second owner, and after a recovery.  This machine verifies the owners' signatures and shows who chose each
    root, and when.  Two different keys can have one id, and then one of them is false.  Such a root is shown and not
    taken over, and the command ends with status 1.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        found = household_roots.household_roots(link, keys)
    chosen = found.new
    if not as_json:
        for each in chosen:
            click.echo(each.key.text)
            say(f"    {plain(each.by)} chose it on {day(each.at_ms)}.")
        for each in found.disputed:
            click.echo(f"{click.style(in_words('Disputed, not taken over:'), fg='yellow')} {each.key.text}")
            say(f"    {plain(each.by)} chose it on {day(each.at_ms)}.")
            say(
                "    Another root with this id is chosen, too, and one of them is false.  Compare the whole keys with "
                "the holder of the root, then take the false one out:  doorward owner trust remove-root KEY"
            )
    if chosen and not sure:
        confirm("Do you trust them too?", err=True)
    with DeviceLink(device) as link:
        household_roots.take_over_roots(link, keys, chosen)
    if as_json:
        emit_json({"roots": _chosen_document(chosen), "disputed": _chosen_document(found.disputed)})
    elif chosen:
        say(f"You trust {counted(len(chosen), 'more root')}.  See its requesters:  doorward owner trust show")
    elif not found.disputed:
        say("The owners chose no root that this machine does not know.")
    if found.disputed:
        raise click.exceptions.Exit(1)


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
    say(f"The root {root.id} is no longer trusted.")


@trust.command()
@click.argument("file", type=_FILE)
@keys_option
@device_option
@yes_option
@json_option
def bundle(file: Path, folder: Path, device: Path, sure: bool, as_json: bool) -> None:
    """Give the device the signed bundle or package FILE, after showing what it changes."""
    _agree(load_keys(folder), device, _read_bundle(file), sure=sure, as_json=as_json)


@trust.command()
@click.argument("root", required=False)
@keys_option
@device_option
@yes_option
@json_option
def accept(root: str | None, folder: Path, device: Path, sure: bool, as_json: bool) -> None:
    """Agree to what a root has published since the last bundle.

    The device receives the news of roots. A right that a root takes away is gone at once. A new requester, or a wider
    right, waits for this command.  ROOT is a key or its id, if several roots have news.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        trusted = trust_roots.trust_state(link, keys)
    offers = trusted.offers
    # A forger's key can have the id of this root, so a key is compared whole.
    chosen = [data for each, data in offers.items() if root in (None, each, trusted.store.roots[each].text)]
    if not chosen:
        raise ConfigurationError("No root has news that waits for you.", remedy="Run: doorward owner trust show.")
    if len(chosen) > 1:
        raise ConfigurationError(
            f"Several roots have news: {' '.join(sorted(offers))}.",
            remedy="Name one: doorward owner trust accept ROOT.",
        )
    _agree(keys, device, chosen[0], sure=sure, as_json=as_json)


def _agree(keys: OwnerKeys, device: Path, data: bytes, *, sure: bool, as_json: bool) -> None:
    """Shows what `data` changes, asks, and lets the device use it."""
    with DeviceLink(device) as link:
        shown = trust_roots.bundle_change(link, keys, data)
    offered, change = shown.bundle, shown.change
    if not as_json:
        _say_change(offered, change)
    if not sure and change != diff(None, None):
        confirm("Let the device use it?", err=True)
    with DeviceLink(device) as link:
        trust_roots.offer_bundle(link, keys, data, shown=shown)
    if as_json:
        emit_json(_change_document(offered, change))
        return
    say(f"Version {offered.version} is in use.")


@trust.command("diff")
@click.argument("file", type=_FILE)
@keys_option
@device_option
@json_option
def show_diff(file: Path, folder: Path, device: Path, as_json: bool) -> None:
    """Show the changes of the signed bundle FILE without applying them."""
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        shown = trust_roots.bundle_change(link, keys, _read_bundle(file))
    offered, change = shown.bundle, shown.change
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
    store, now_s = trusted.store, wall_ms() // 1000
    if as_json:
        emit_json(
            {
                "roots": [
                    {
                        "root": root.text,
                        "root_id": root.id,
                        "version": store.bundles[root.id].version if root.id in store.bundles else None,
                        "signers": _signers_document(trusted.signers.get(root.id)),
                        "requesters": [_entry_document(entry) for entry in _entries(store.bundles.get(root.id))],
                    }
                    for root in store.roots.values()
                ],
                "unconfirmed": [root.text for root in trusted.unconfirmed],
                "news": sorted(trusted.offers),
                "silent_since_s": trusted.stale_roots(now_s),
            }
        )
        return
    if not store.roots:
        say("You trust no root, so no requester may ask.")
    for root in store.roots.values():
        held = store.bundles.get(root.id)
        version = f"{in_words('version')} {held.version}" if held else in_words("no bundle yet")
        click.echo(f"{root.text}  ({root.id}, {version})")
        _say_signers(trusted.signers.get(root.id))
        for entry in _entries(held):
            click.echo(f"    {_line(entry)}")
            click.echo(f"        {_bounds(entry)}")
            _warn_of_lookalikes(entry.name, " " * 8)
    for name, data in trusted.offers.items():
        _say_news(name, trusted.store.bundles.get(name), trusted.store.open(data).bundle)
    for name, since_s in trusted.stale_roots(now_s).items():
        silent = (
            f"The root {name} has been silent since {day(since_s * 1000)}.  "
            "Its news may be held back; whom it has taken off its list since then is unknown."
        )
        click.echo(f"{click.style(in_words('No news:'), fg='yellow')} {in_words(silent)}")
    for root in trusted.unconfirmed:
        click.echo(f"{click.style(in_words('Not confirmed here:'), fg='yellow')} {root.text}")
        say(
            "    The device trusts it, but you did not choose it on this machine.  If another owner chose it: trust "
            "take-over.  To trust it by its key: trust add-root KEY."
        )


def _say_signers(signers: RootSigners | None) -> None:
    if signers is None:
        return
    least, keys = signers.least, signers.keys
    if signers.changed_s is None:
        said = f"{least} of {keys} keys sign its lists."
    else:
        said = f"{least} of {keys} keys sign its lists.  They changed on {day(signers.changed_s * 1000)}."
    click.echo(f"    {in_words(said)}")


def _signers_document(signers: RootSigners | None) -> dict[str, int | None] | None:
    if signers is None:
        return None
    return {"keys": signers.keys, "least": signers.least, "changed_s": signers.changed_s}


def _chosen_document(roots: tuple[household_roots.ChosenRoot, ...]) -> list[dict[str, Any]]:
    return [{"root": each.key.text, "by": each.by, "chosen_ms": each.at_ms} for each in roots]


def _read_bundle(file: Path) -> bytes:
    """Reads a bundle. Raises `ConfigurationError` if the file is not a signed message, because it is then the wrong
    file."""
    try:
        data = files.read(file, PACKAGE_LIMIT_BYTES)
        claimed_root(data)
    except FormatError as error:
        raise ConfigurationError(
            f"{file} is not a signed bundle.  {error.message}", remedy="Use the file that the root signed: bundle.dsse."
        ) from error
    return data


def _say_news(root: str, held: TrustBundle | None, heard: TrustBundle) -> None:
    """Says what waits for the owner, in plain words. `held`: what counts at present."""
    names = {entry.id: plain(entry.name) for entry in heard.requesters}
    gains: dict[str, set[WideningKind]] = {}
    for each in widenings(held, heard):
        gains.setdefault(each.requester, set()).add(each.kind)
    click.echo(click.style(in_words(f"The root {root} has news:"), fg="yellow"))
    for name, kinds in gains.items():
        _warn_of_lookalikes(names[name], " " * 4)
        if WideningKind.JOINED in kinds:
            say(f"    {names[name]} joined.")
        else:
            gained = ", ".join(in_words(_GAINS[kind]) for kind in WideningKind if kind in kinds)
            click.echo(f"    {names[name]}: {gained}.")
    say("    It waits for you:  doorward owner trust accept")


def _say_change(offered: TrustBundle, change: TrustDiff) -> None:
    entries = {entry.id: entry for entry in offered.requesters}
    say(f"Bundle of the root {offered.root}, version {offered.version}:")
    for name in change.added:
        click.echo(f"  {in_words('new')}: {_line(entries[name])}")
        _warn_of_lookalikes(entries[name].name, " " * 4)
    for name in change.changed:
        click.echo(f"  {in_words('changed')}: {_line(entries[name])}")
        _warn_of_lookalikes(entries[name].name, " " * 4)
    for name in change.removed:
        click.echo(f"  {in_words('gone')}: {name}")
    if change == diff(None, None):
        say("  nothing changes")


def _warn_of_lookalikes(name: str, indent: str) -> None:
    said = lookalikes_in_words(name, spoken())
    if said:
        click.echo(indent + click.style(said, fg="yellow"))


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
    revoked = "" if keys else f", {in_words('all keys revoked')}"
    return f"{entry.name} ({in_words(entry.kind.value)}), {entry.id}{revoked}"


def _bounds(entry: RequesterEntry) -> str:
    """Returns the expiry, the regions and the tighter limits. For example, `until Fri 15 Jan 2027; 1 region; window at
    most 6 h`."""
    until = [key.until_s for key in entry.keys if not key.revoked]
    own = msgspec.to_builtins(entry.limits)
    said = [
        in_words(f"keys until {day(max(until) * 1000)} UTC" if until else "no key in use"),
        counted(len(entry.regions), "region"),
        *(f"{name} {value}" for name, value in own.items() if value is not None),
        in_words("takes tips") if entry.tips else "",
    ]
    return "; ".join(each for each in said if each)


def _usable(entry: RequesterEntry) -> int:
    return sum(not key.revoked for key in entry.keys)
