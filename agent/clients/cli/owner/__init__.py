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
        "agent.clients.cli.owner.keygen:enrol", "Become the owner of a device, after a proof that your keys open."
    ),
    "replace-kit": LazyCommand("agent.clients.cli.owner.keygen:replace_kit", "Replace the recovery page."),
    "recover": LazyCommand("agent.clients.cli.owner.recovering:recover", "Replace lost keys with the recovery page."),
    "status": LazyCommand(
        "agent.clients.cli.owner.keygen:status", "Show a device's state, and verify that it only went forwards."
    ),
    "review": LazyCommand(
        "agent.clients.cli.owner.review:review", "Review a footage request and the matching footage."
    ),
    "suggest": LazyCommand(
        "agent.clients.cli.owner.suggest:suggest", "Suggest covers for the faces in a request's footage."
    ),
    "follow": LazyCommand("agent.clients.cli.owner.follow:follow", "Let covers of a plan follow what is below them."),
    "redact": LazyCommand(
        "agent.clients.cli.owner.redact:redact", "See your film with covers and mutes, before you share it."
    ),
    "approve": LazyCommand("agent.clients.cli.owner.decide:approve", "Share the segments you choose, and only those."),
    "co-approve": LazyCommand(
        "agent.clients.cli.owner.decide:co_approve",
        "Approve exactly the footage that another owner has approved, if it takes two.",
    ),
    "deny": LazyCommand("agent.clients.cli.owner.decide:deny", "Deny a footage request."),
    "revoke": LazyCommand("agent.clients.cli.owner.decide:revoke", "Revoke an approval."),
    "opt-out": LazyCommand("agent.clients.cli.owner.opt_out:opt_out", "Opt out of requests: all, some, or at night."),
    "live": LazyCommand("agent.clients.cli.owner.live:live", "Watch the live picture of the camera."),
    "say": LazyCommand("agent.clients.cli.owner.say:say", "Play the file SOUND at the door, as your voice."),
    "open": LazyCommand(
        "agent.clients.cli.owner.open:open_footage", "Open your own footage, on a device or a copied disk."
    ),
    "export": LazyCommand("agent.clients.cli.owner.export:export", "Save your clips as MP4 in a folder or by WebDAV."),
    "hold": LazyCommand("agent.clients.cli.owner.hold:hold", "Keep footage from the rolling vault."),
    "release": LazyCommand("agent.clients.cli.owner.hold:release", "End a hold: the footage is deleted in its turn."),
    "delete": LazyCommand("agent.clients.cli.owner.hold:delete", "Delete footage from a device permanently."),
    "settings": LazyCommand(
        "agent.clients.cli.owner.device_settings:settings", "Show or change a device's household settings."
    ),
    "update": LazyCommand("agent.clients.cli.owner.update:update", "Show the update on offer."),
    "open-backup": LazyCommand(
        "agent.clients.cli.owner.backup:open_backup", "Open a device's backup, for doorward restore."
    ),
    "drill": LazyCommand(
        "agent.clients.cli.owner.drill:drill", "Test that your key and the recovery key open the stored footage."
    ),
    "stolen": LazyCommand(
        "agent.clients.cli.owner.stolen:stolen", "Declare a device stolen, in a signed file for requesters."
    ),
    "tip": LazyCommand("agent.clients.cli.owner.tip:tip", "Send a tip to one requester, without your name."),
    "bulletins": LazyCommand(
        "agent.clients.cli.owner.bulletins:bulletins", "Read the safety messages of requesters you trust."
    ),
    "trust": LazyCommand("agent.clients.cli.owner.trust:trust", "Choose the requesters who may ask you for footage."),
    "relay": LazyCommand(
        "agent.clients.cli.owner.relay:relay", "Learn the relay of a device, to reach it from another network."
    ),
    "time": LazyCommand(
        "agent.clients.cli.owner.confirmed_time:time_", "Show what witnesses and time-stampers confirmed."
    ),
    "ledger": LazyCommand(
        "agent.clients.cli.owner.ledger:ledger", "Read the device's ledger, verified from the first entry."
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

    From another network, go through the device's relay (docs/remote.md). At home once, then from anywhere:

    \b
    doorward owner relay
    doorward owner status --relay front-door
    """
