"""`doorward requester`: ask an area for footage, receive what owners share, verify it, open it."""

from __future__ import annotations

import click

from agent.cli.frame import LazyCommand, LazyGroup

__all__ = ["requester"]

_COMMANDS = {
    "keygen": LazyCommand("agent.cli.requester.keys:keygen", "Make a requester, or with --root a root's key."),
    "bundle": LazyCommand("agent.cli.requester.keys:bundle", "Sign the list of requesters you vouch for."),
    "root": LazyCommand("agent.cli.requester.keys:root", "Take your root's bundle, which requests are held against."),
    "request": LazyCommand("agent.cli.requester.asking:request", "Ask every door in an area for footage."),
    "withdraw": LazyCommand("agent.cli.requester.asking:withdraw", "Take a request back."),
    "deleted": LazyCommand(
        "agent.cli.requester.asking:deleted", "State, signed, that everything received for a request is deleted."
    ),
    "bulletin": LazyCommand("agent.cli.requester.asking:bulletin", "Post a safety message for the doors of an area."),
    "receive": LazyCommand("agent.cli.requester.receiving:receive", "Receive and acknowledge what owners disclose."),
    "verify": LazyCommand("agent.cli.requester.looking:verify", "Check a disclosure, offline."),
    "doors": LazyCommand("agent.cli.requester.doors:doors", "List the doorbells that have answered, or forget one."),
    "stolen": LazyCommand("agent.cli.requester.doors:stolen", "Take an owner's notice that their doorbell was stolen."),
    "tips": LazyCommand("agent.cli.requester.looking:tips_", "Read what somebody told you unasked."),
    "open": LazyCommand("agent.cli.requester.looking:open_", "Write its MP4s, a report and the evidence."),
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
