"""`doorward owner keygen`, `enrol` and `status`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import confirm, in_words, prompt, say
from agent.cli.status_rows import status_rows
from agent.cli.words import plain
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.owner import enrolment as owner_enrolment
from agent.clients.owner.keys import KIT, NEW_KIT, IdentityKind, OwnerCard, OwnerKeys
from agent.clients.owner.recovery_kit import RECOVERY_NAME, kit_name
from agent.clients.owner.sync import ask_device, sync
from agent.core.consent import RequestState
from agent.errors import ConfigurationError, FormatError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetStatus, ListRequests
from agent.platform import files
from agent.wire.statements import Enrolment

__all__ = ["enrol", "keygen", "new_passphrase", "replace_kit", "say_enrolled", "status"]

_CARD_LIMIT_BYTES: Final = 16 * 1024
_APPROVALS: Final[dict[str | None, Literal[1, 2] | None]] = {"1": 1, "2": 2, None: None}


_kit_option = click.option(
    "--kit-decides/--kit-only-opens", "kit_decides", default=None,
    help="Whether the recovery page may replace lost keys (doorward owner recover).  "
    "By default it only opens footage.",
)  # fmt: skip


@click.command()
@keys_option
@click.option(
    "--name", metavar="NAME", default="owner", show_default=True, help="The name of your keys; requesters see it."
)
@click.option(
    "--x25519", is_flag=True, help="Keys that every version of stock 'age' opens; not safe against quantum computers."
)
@click.option("--passphrase", "wants_passphrase", is_flag=True, help="Seal the keys with a passphrase; it is asked.")
@json_option
def keygen(folder: Path, name: str, x25519: bool, wants_passphrase: bool, as_json: bool) -> None:
    """Make your keys, and a recovery page to print.

    The keys open footage and sign your decisions.  The recovery page opens footage when everything else is lost.
    It puts new keys in place of lost ones only if you enrol with --kit-decides.
    """
    kind = IdentityKind.X25519 if x25519 else IdentityKind.HYBRID
    passphrase: str | None = None
    if wants_passphrase:
        passphrase = new_passphrase()
    keys = OwnerKeys.create(folder.expanduser(), name=name, kind=kind, passphrase=passphrase)
    kit = keys.folder / KIT
    if as_json:
        card = keys.card
        emit_json(
            {"folder": keys.folder, "name": card.name, "recipient": card.recipient, "approver": card.approver,
             "approver_mldsa": card.approver_mldsa, "recovery": card.recovery, "recovery_kit": kit}
        )  # fmt: skip
        return
    say(f"Your keys are in {keys.folder}.  Keep a private backup of that folder.")
    say(f"\nPrint this page now. Remove it from this machine after you have enrolled:\n  {kit}")
    say("The page opens footage.  Choose whether it may also replace lost keys:")
    say("\nNext, one of:")
    only, also = "the page only opens footage", "the page may also replace lost keys: doorward owner recover"
    click.echo(f"  doorward owner enrol                 {in_words(only)}")
    click.echo(f"  doorward owner enrol --kit-decides   {in_words(also)}")


@click.command()
@keys_option
@device_option
@click.option(
    "--add", "cards", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True,
    help="Another owner's owner.json: the device then seals to them too.",
)  # fmt: skip
@click.option("--remove", multiple=True, metavar="NAME", help="An owner to remove.")
@click.option(
    "--approvals", type=click.Choice(["1", "2"]),
    help="The number of owners who must approve.  Without this option it stays unchanged.",
)  # fmt: skip
@click.option(
    "--recovery-kit", type=click.Path(path_type=Path, dir_okay=False),
    help="The recovery page, if it is no longer in the folder with your keys.",
)  # fmt: skip
@_kit_option
@yes_option
@json_option
def enrol(
    folder: Path, device: Path, cards: tuple[Path, ...], remove: tuple[str, ...], approvals: str | None,
    recovery_kit: Path | None, kit_decides: bool | None, sure: bool, as_json: bool,
) -> None:  # fmt: skip
    """Become the owner of a device, after a proof that your keys open.

    Do this once, beside the device.  It seals a test to your key and to the recovery key. It starts to record after
    both tests have been opened here.  Add another owner with --add; they then run this command on their machine.
    """
    keys = load_keys(folder)
    added = [_read_card(path) for path in cards]
    with DeviceLink(device) as link:
        key = ask_device(link)
    if keys.memory.device(key.id) is None and not sure:
        say(
            f"This machine does not know the device yet: {key.id}; 'sudo doorward status' on it shows this id.",
            err=True,
        )
        confirm("Is it yours?", err=True)
    # Open a new connection, because the device closes idle ones while the owner reads.
    with DeviceLink(device) as link:
        done = owner_enrolment.enrol(
            link,
            keys,
            add=added,
            remove=remove,
            recovery_kit=recovery_kit,
            kit_decides=kit_decides,
            approvals=_APPROVALS[approvals],
        )
    if as_json:
        emit_json(
            {"device": done.device.text, "device_id": done.device.id, "epoch": done.epoch,
             "opened": list(done.opened), "waiting": list(done.waiting), "approvals": done.approvals}
        )  # fmt: skip
        return
    say_enrolled(keys, done)
    if remove and not done.waiting:
        _say_left(remove)


@click.command("replace-kit")
@keys_option
@device_option
@_kit_option
@yes_option
@json_option
def replace_kit(folder: Path, device: Path, kit_decides: bool | None, sure: bool, as_json: bool) -> None:
    """Replace the recovery page.

    Use it if the page was lost or a stranger may have seen it.  Later footage is sealed to the new page instead of the
    old one.  The old page still opens earlier footage.
    """
    keys = load_keys(folder)
    if not sure:
        confirm("Make a new recovery page that replaces the present one?", err=True)
    with DeviceLink(device) as link:
        done = owner_enrolment.replace_kit(link, keys, kit_decides=kit_decides)
    if as_json:
        emit_json(
            {"device_id": done.device.id, "epoch": done.epoch, "recovery": done.recovery, "kit": keys.folder / KIT}
        )
        return
    say(f"The device {done.device.id} seals to the recovery page {kit_name(done.recovery)} from now on.")
    say(f"Print it, then delete it:\n  {keys.folder / KIT}")
    say("The old page opens footage recorded until now, but no later footage.")


def new_passphrase() -> str:
    while True:
        # The default is empty, because click would ask forever at the end of the input.
        answer: str = prompt(
            "Passphrase", default="", show_default=False, hide_input=True, confirmation_prompt=True, err=True
        )
        if answer:
            return answer
        say("An empty passphrase gives no protection.  Type one, or stop with Ctrl-C.", err=True)


def say_enrolled(keys: OwnerKeys, done: owner_enrolment.EnrolmentResult) -> None:
    for name in done.opened:
        say("  the test for the recovery key opened" if name == "recovery" else f"  the test for {plain(name)} opened")
    if done.waiting:
        names = ", ".join(map(plain, done.waiting))
        say(f"Waiting for {names}: run 'doorward owner enrol' on their machine.  Until then nothing changes.")
        return
    say(f"The device {done.device.id} seals to its owners, list number {done.epoch}.")
    if done.approvals == 2:
        say("Sharing takes two owners: one approves, another co-approves.  Each of you can deny alone.")
    _say_kit(keys, done.recovery, before="\n")


def _say_left(removed: tuple[str, ...]) -> None:
    """Prints what a former owner may still have. The list of owners does not end it."""
    names = ", ".join(map(plain, removed))
    say(f"\nIf {names} may have seen the recovery page, replace it now. It opens later footage, too.")
    click.echo("  doorward owner replace-kit")
    say("Other things that a former owner may still have are in docs/leaving.md: passwords, settings, browsers.")


def _kit_decides(enrolment: Enrolment) -> str:
    if RECOVERY_NAME in {approver.name for approver in enrolment.approvers}:
        return "It opens everything and can replace lost keys (doorward owner recover)."
    return "It only opens footage.  To let it replace lost keys: doorward owner enrol --kit-decides"


def _say_kit(keys: OwnerKeys, recovery: str, before: str) -> None:
    """Prints what to do with a recovery page that is still beside the keys."""
    if keys.new_kit_is(recovery):
        say(f"{before}The last replacement of the recovery page was interrupted. The page in force is {NEW_KIT}.")
        say(f"{before}To finish it:")
        click.echo("  doorward owner replace-kit")
        return
    match keys.has_kit_of(recovery):
        case True:
            say(f"{before}The recovery key is still on this machine.  Print it, then delete it: {keys.folder / KIT}")
        case False:
            say(
                f"{before}The recovery page in {keys.folder / KIT} is not this device's, which is "
                f"{kit_name(recovery)}.\n"
                f"{before}It opens no footage of this device. Do not keep it for this device."
            )


def _read_card(path: Path) -> OwnerCard:
    try:
        return OwnerCard.parse(files.read(path, _CARD_LIMIT_BYTES))
    except FormatError as error:
        raise ConfigurationError(f"{path}: {error.message}", remedy="Ask them for their owner.json.") from error


@click.command()
@keys_option
@device_option
@json_option
def status(folder: Path, device: Path, as_json: bool) -> None:
    """Show a device's state, and verify that it only went forwards.

    Its key, its owners and its ledger are compared with what this machine remembers.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        met = sync(link, keys)
        said = link.document(GetStatus())
        waiting = link.ask(ListRequests()).requests
    enrolment, ledger = met.known.enrolled, met.known.ledger
    pending = sum(item.state in (RequestState.PENDING.value, RequestState.PARTIALLY_APPROVED.value) for item in waiting)
    if as_json:
        emit_json(
            {"device_id": met.key.id, "epoch": enrolment.epoch, "owners": [item.name for item in enrolment.approvers],
             "approvals_needed": enrolment.approvals_needed, "ledger": {"size": ledger.size, "grown": met.ledger_grown},
             "requests_waiting": pending, "status": said}
        )  # fmt: skip
        return
    say(f"The device {met.key.id} is the one you enrolled.")
    needed = f"; {in_words('sharing takes two')}" if enrolment.approvals_needed == 2 else ""
    names = ", ".join(item.name for item in enrolment.approvers if item.name != RECOVERY_NAME)
    rows = {
        "owners": f"{names} ({in_words(f'list number {enrolment.epoch}')}){needed}",
        "ledger": in_words(f"{ledger.size} entries, {met.ledger_grown} new; it only grew"),
        "requests": in_words(f"{pending} waiting for you" if pending else "none waiting"),
        "recovery": f"{kit_name(enrolment.recovery)}. {in_words(_kit_decides(enrolment))}",
    }
    _say_rows(rows)
    _say_kit(keys, enrolment.recovery, before="  ")
    say("\nThe device's own report:")
    _say_report(said)


def _say_rows(rows: dict[str, str]) -> None:
    width = max(len(in_words(name)) for name in rows)
    for name, text in rows.items():
        click.echo(f"  {in_words(name):{width}}  {text}")


def _say_report(report: dict[str, Any]) -> None:
    """Prints a doorbell's report as `doorward status` does there; one of another version as it came.

    Its owners and requests are left out, because the rows before have them verified.
    """
    try:
        rows = dict(status_rows(report, waiting=0))
    except (LookupError, TypeError, ValueError, AttributeError):
        _say_tree(report, "  ")
    else:
        _say_rows({name: text for name, text in rows.items() if name not in ("owners", "requests")})


def _say_tree(values: dict[str, Any], indent: str) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            click.echo(f"{indent}{plain(name)}")
            _say_tree(value, indent + "  ")
        elif value not in (None, "", []) and not _is_table(value):
            shown = ", ".join(map(_shown, value)) if isinstance(value, list) else _shown(value)
            click.echo(f"{indent}{plain(name).replace('_', ' ')}: {shown}")


def _is_table(value: Any) -> bool:
    """Returns whether these are rows of figures, such as the times of a disk, which only programs read (`--json`)."""
    return isinstance(value, list) and any(isinstance(each, list | dict) for each in value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return in_words("yes" if value else "no")
    return f"{value:.4g}" if isinstance(value, float) else plain(value)
