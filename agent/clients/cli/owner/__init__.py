"""`doorward owner`: the owner's keys and decisions.

`agent.clients.owner` does the work; this package reads options and prints. Add a new command as one line in `COMMANDS`.
"""

from __future__ import annotations

import click

from agent.cli.frame import LazyCommand, LazyGroup

__all__ = ["COMMANDS", "owner"]

COMMANDS = {
    "keygen": LazyCommand("agent.clients.cli.owner.keygen:keygen", "Make your keys, and a recovery page to print."),
    "enrol": LazyCommand(
        "agent.clients.cli.owner.keygen:enrol", "Become the owner of a device; prove that your keys open."
    ),
    "replace-kit": LazyCommand(
        "agent.clients.cli.owner.keygen:replace_kit", "Put a new recovery page in place of the one in force."
    ),
    "recover": LazyCommand(
        "agent.clients.cli.owner.recovering:recover", "Put new keys in place of lost ones, with the recovery page."
    ),
    "status": LazyCommand(
        "agent.clients.cli.owner.keygen:status", "Show how a device is, and that it only went forwards."
    ),
    "review": LazyCommand("agent.clients.cli.owner.review:review", "Look at a footage request and what it matches."),
    "approve": LazyCommand("agent.clients.cli.owner.decide:approve", "Share the segments you choose, and no others."),
    "co-approve": LazyCommand(
        "agent.clients.cli.owner.decide:co_approve",
        "Approve exactly what another owner has approved, where it takes two.",
    ),
    "deny": LazyCommand("agent.clients.cli.owner.decide:deny", "Say no to a footage request."),
    "revoke": LazyCommand("agent.clients.cli.owner.decide:revoke", "Take a yes back, as far as nothing has left yet."),
    "opt-out": LazyCommand(
        "agent.clients.cli.owner.opt_out:opt_out", "Do not be asked: by anybody, by some, or at night."
    ),
    "live": LazyCommand("agent.clients.cli.owner.live:live", "Look through the door: what the camera films now."),
    "open": LazyCommand(
        "agent.clients.cli.owner.open:open_footage", "Open your own footage, on a device or a copied disk."
    ),
    "export": LazyCommand("agent.clients.cli.owner.export:export", "Keep your clips as MP4 in a folder or by WebDAV."),
    "hold": LazyCommand("agent.clients.cli.owner.hold:hold", "Keep footage from the rolling vault."),
    "release": LazyCommand("agent.clients.cli.owner.hold:release", "Let footage go when its time comes."),
    "delete": LazyCommand("agent.clients.cli.owner.hold:delete", "Delete footage from a device, for good."),
    "settings": LazyCommand(
        "agent.clients.cli.owner.device_settings:settings", "Set what the household may set of a device."
    ),
    "open-backup": LazyCommand(
        "agent.clients.cli.owner.backup:open_backup", "Open a device's backup, for doorward restore."
    ),
    "drill": LazyCommand(
        "agent.clients.cli.owner.drill:drill", "Try that your key and the recovery key open what is stored."
    ),
    "stolen": LazyCommand(
        "agent.clients.cli.owner.stolen:stolen", "Declare a device stolen, in a signed file for requesters."
    ),
    "tip": LazyCommand(
        "agent.clients.cli.owner.tip:tip", "Tell one requester something, unasked and without your name."
    ),
    "bulletins": LazyCommand(
        "agent.clients.cli.owner.bulletins:bulletins", "Read the safety messages of those you trust."
    ),
    "trust": LazyCommand("agent.clients.cli.owner.trust:trust", "Choose who may ask you for footage."),
    "ledger": LazyCommand(
        "agent.clients.cli.owner.ledger:ledger", "Read what happened, verified from the first entry on."
    ),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def owner() -> None:
    """The owner's keys and decisions.

    Your keys are on this machine only.  The device has their public halves: it can seal footage to you, and it cannot
    open it.  If you share footage, new keys leave for exactly the segments you choose.

    The device may be this machine or another.  For another, forward its control socket:

    \b
    ssh -N -L /tmp/doorward.sock:/var/lib/doorward/custodian/control.sock root@HOST &
    doorward owner status --device /tmp/doorward.sock
    """
