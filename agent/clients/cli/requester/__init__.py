"""`doorward requester`: ask an area for footage, receive what owners share, verify it, open it."""

from __future__ import annotations

import click

from agent.cli.frame import LazyCommand, LazyGroup

__all__ = ["requester"]

_COMMANDS = {
    "keygen": LazyCommand(
        "agent.clients.cli.requester.keygen:keygen", "Make a requester, or with --root a root's key."
    ),
    "bundle": LazyCommand("agent.clients.cli.requester.keygen:bundle", "Sign the list of requesters you vouch for."),
    "root": LazyCommand(
        "agent.clients.cli.requester.keygen:root", "Take your root's bundle, which requests are held against."
    ),
    "request": LazyCommand("agent.clients.cli.requester.request:request", "Ask every door in an area for footage."),
    "withdraw": LazyCommand("agent.clients.cli.requester.request:withdraw", "Take a request back."),
    "deleted": LazyCommand(
        "agent.clients.cli.requester.request:deleted",
        "State, signed, that everything received for a request is deleted.",
    ),
    "bulletin": LazyCommand(
        "agent.clients.cli.requester.request:bulletin", "Post a safety message for the doors of an area."
    ),
    "receive": LazyCommand(
        "agent.clients.cli.requester.receive:receive", "Receive and acknowledge what owners disclose."
    ),
    "verify": LazyCommand("agent.clients.cli.requester.verify:verify", "Check a disclosure, offline."),
    "doors": LazyCommand(
        "agent.clients.cli.requester.doors:doors", "List the doorbells that have answered, or forget one."
    ),
    "stolen": LazyCommand(
        "agent.clients.cli.requester.doors:stolen", "Take an owner's notice that their doorbell was stolen."
    ),
    "tips": LazyCommand("agent.clients.cli.requester.verify:tips_", "Read what somebody told you unasked."),
    "open": LazyCommand("agent.clients.cli.requester.verify:open_", "Write its MP4s, a report and the evidence."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def requester() -> None:
    """Ask for footage, receive, verify and open it.

    \b
    The way of a request:
      keygen     once: who you are, and the key you sign with
      bundle     your root (an association, an authority) lists and vouches for you
      root       take that bundle, so that a wrong region or root is told before you sign
      request    ask an area; whoever has footage and agrees, answers
      receive    take what comes, until you stop it
      open       verify everything, then write MP4s and a report
    """
