"""`doorward owner recover`: new keys in place of lost ones, signed with the recovery page."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import confirm, listed, say
from agent.cli.words import plain
from agent.clients.cli.owner.keygen import new_passphrase, say_enrolled
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.owner import enrolment
from agent.clients.owner.keys import AgeIdentity, IdentityKind, OwnerCard, OwnerKeys, read_kit_file
from agent.clients.owner.sync import ask_device
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink
from agent.platform import files

__all__ = ["recover"]


@click.command()
@keys_option
@device_option
@click.option(
    "--recovery-kit", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="The recovery page, typed or scanned into a file: its last line is enough.",
)  # fmt: skip
@click.option("--replaces", multiple=True, metavar="NAME", help="An owner whose keys are lost.  [the only owner]")
@click.option("--keep-all", is_flag=True, help="Keep every owner, and add the new keys.")
@click.option("--name", metavar="NAME", help="The name of the new keys.  [the name that they replace]")
@click.option("--passphrase", "wants_passphrase", is_flag=True, help="Seal the keys with a passphrase; it is asked.")
@yes_option
@json_option
def recover(
    folder: Path, device: Path, recovery_kit: Path, replaces: tuple[str, ...], keep_all: bool, name: str | None,
    wants_passphrase: bool, sure: bool, as_json: bool,
) -> None:  # fmt: skip
    """Replace lost keys with the recovery page.

    Do this beside the device.  It makes the new keys in an empty folder (--keys).  The device must let the page decide:
    a page from the browser always can, another page only after 'doorward owner enrol --kit-decides'.  Every other page
    only opens footage: doorward owner open --identity.
    """
    kit = read_kit_file(recovery_kit)
    with DeviceLink(device) as link:
        key, owners = ask_device(link), enrolment.owners_to_replace(link, kit)
    lost = _lost(owners, replaces, keep_all=keep_all)
    if not sure:
        say(f"The device is {key.id}; 'sudo doorward status' on it shows this id.", err=True)
        replaced = f"Is it yours, and do you want new keys in place of those of {listed(list(map(plain, lost)))}?"
        beside = "Is it yours, and do you want new keys beside those of every owner?"
        confirm(replaced if lost else beside, err=True)
    keys = _new_keys(folder.expanduser(), kit, name or (lost[0] if len(lost) == 1 else "owner"), owners, lost,
                     wants_passphrase=wants_passphrase)  # fmt: skip
    with DeviceLink(device) as link:
        done = enrolment.recover(link, keys, kit, replaces=lost)
    if as_json:
        emit_json(
            {"device": done.device.text, "device_id": done.device.id, "epoch": done.epoch, "name": keys.name,
             "folder": keys.folder, "replaced": list(lost)}
        )  # fmt: skip
        return
    say_enrolled(keys, done)
    say(f"Your new keys are in {keys.folder}.  The folder also keeps the recovery key, which opens older footage.")
    say("See the requesters' roots that your household trusts, and trust them too:")
    click.echo("  doorward owner trust take-over")
    say("Replace the recovery page that you used:")
    click.echo("  doorward owner replace-kit")


def _lost(owners: tuple[str, ...], replaces: tuple[str, ...], *, keep_all: bool) -> tuple[str, ...]:
    if keep_all and replaces:
        raise ConfigurationError("--keep-all and --replaces exclude each other.", remedy="Use one of them.")
    unknown = [each for each in replaces if each not in owners]
    if unknown:
        raise ConfigurationError(
            f"No owner of this device is called '{unknown[0]}'.", remedy=f"Its owners: {', '.join(map(plain, owners))}."
        )
    if keep_all or replaces:
        return replaces
    if len(owners) > 1:
        raise ConfigurationError(
            f"This device has {len(owners)} owners: {', '.join(map(plain, owners))}.",
            remedy="Name the owner with the lost keys (--replaces NAME), or use --keep-all.",
        )
    return owners


def _new_keys(
    folder: Path, kit: AgeIdentity, name: str, owners: tuple[str, ...], lost: tuple[str, ...], *, wants_passphrase: bool
) -> OwnerKeys:
    """Creates keys in `folder`, or loads the keys that an earlier run made there for this kit without finishing."""
    if files.is_there(folder / OwnerCard.FILE):
        keys = load_keys(folder)
        if keys.card.recovery == str(kit.recipient()):
            return keys
    if name in owners and name not in lost:
        raise ConfigurationError(
            f"Another owner of this device is called '{plain(name)}'.", remedy="Give another name with --name."
        )
    passphrase = new_passphrase() if wants_passphrase else None
    return OwnerKeys.create(folder, name=name, kind=IdentityKind.of(kit.recipient()), passphrase=passphrase, kit=kit)
