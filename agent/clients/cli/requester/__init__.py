"""The commands of `doorward requester`: ask an area for footage, then receive, verify and open the answers."""

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
        "agent.clients.cli.requester.keygen:root", "Import your root's bundle, to check requests before signing."
    ),
    "trust-root": LazyCommand(
        "agent.clients.cli.requester.trust_root:trust_root", "Run a root with several keys, and publish its news."
    ),
    "csr": LazyCommand("agent.clients.cli.requester.tls:csr", "Make our key for the broker, and a signing request."),
    "accept": LazyCommand("agent.clients.cli.requester.tls:accept", "Take the certificate from the broker's side."),
    "request": LazyCommand("agent.clients.cli.requester.request:request", "Ask every door in an area for footage."),
    "withdraw": LazyCommand("agent.clients.cli.requester.request:withdraw", "Take a request back."),
    "deleted": LazyCommand(
        "agent.clients.cli.requester.request:deleted",
        "State, signed, that everything received for a request is deleted.",
    ),
    "bulletin": LazyCommand(
        "agent.clients.cli.requester.request:bulletin", "Publish a safety message for the doors of an area."
    ),
    "receive": LazyCommand("agent.clients.cli.requester.receive:receive", "Receive and acknowledge disclosures."),
    "verify": LazyCommand("agent.clients.cli.requester.verify:verify", "Check a disclosure, offline."),
    "doors": LazyCommand(
        "agent.clients.cli.requester.doors:doors", "List the doorbells that have answered, or forget one."
    ),
    "stolen": LazyCommand(
        "agent.clients.cli.requester.doors:stolen", "Import an owner's notice that their doorbell was stolen."
    ),
    "tips": LazyCommand("agent.clients.cli.requester.verify:tips_", "Read the tips that owners sent unasked."),
    "open": LazyCommand("agent.clients.cli.requester.verify:open_", "Write its MP4s, a report and the evidence."),
    "compare": LazyCommand(
        "agent.clients.cli.requester.compare:compare", "Compare a covered film with the recorded one, pixel by pixel."
    ),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def requester() -> None:
    """Ask for footage, receive, verify and open it.

    \b
    The steps of a request:
      keygen     once: make your folder and signing key
      csr        the broker's side signs a certificate for your key; accept takes it
      bundle     your root (an association, an authority) lists and vouches for you
      root       import that bundle, so that a wrong region or root shows before you sign
      request    ask an area; owners who have footage and agree answer
      receive    receive answers until you stop it
      open       verify an answer, then write MP4s and a report
    """
