"""The tool: its options, and the table of commands and their modules.

Add a new command as one line in `COMMANDS`. This module imports no command's module.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import click
from click.shell_completion import get_completion_class

from agent import __version__
from agent.cli.frame import Invocation, LazyCommand, LazyGroup, language_option

__all__ = ["COMMANDS", "doorward"]

COMMANDS = {
    "init": LazyCommand("agent.cli.device:init", "Make this machine a device."),
    "run": LazyCommand("agent.cli.run:run", "Watch, record, and answer the owner."),
    "status": LazyCommand("agent.cli.device:status", "Show what the running device is doing."),
    "requests": LazyCommand("agent.cli.device:requests", "List footage requests and the state of each."),
    "vault": LazyCommand("agent.cli.vault:vault", "Inspect the vault."),
    "owner": LazyCommand("agent.clients.cli.owner:owner", "The owner's keys and decisions."),
    "trust": LazyCommand("agent.clients.cli.owner.trust:trust", "Choose the requesters who may ask you for footage."),
    "ledger": LazyCommand(
        "agent.clients.cli.ledger:ledger", "Read the doorbell's ledger and verify that it is complete."
    ),
    "requester": LazyCommand("agent.clients.cli.requester:requester", "Ask for footage, receive, verify and open it."),
    "notify": LazyCommand("agent.cli.notify:notify", "Test and show the alerts on the owner's phone."),
    "home-assistant": LazyCommand(
        "agent.cli.home_assistant:home_assistant", "Remove the doorbell from Home Assistant."
    ),
    "sign": LazyCommand("agent.cli.sign:sign", "Write a sign for the door from the configuration."),
    "page": LazyCommand("agent.cli.page:page", "Open the owner's page in a browser."),
    "broker": LazyCommand(
        "agent.clients.cli.broker:broker", "Make the certificates and the configuration of your own broker."
    ),
    "fleet": LazyCommand(
        "agent.clients.cli.fleet:fleet", "Look after many doorbells: their health, not their footage."
    ),
    "link": LazyCommand("agent.cli.link:link", "Connect this doorbell to a broker."),
    "motion": LazyCommand("agent.cli.motion:motion", "Show the motion detector's events in a video."),
    "doctor": LazyCommand(
        "agent.cli.doctor:doctor", "Check camera, encoder, disk, clock and broker, and suggest remedies."
    ),
    "support": LazyCommand(
        "agent.cli.support:support", "Write a file for a person who helps, without secrets, names and requests."
    ),
    "self-test": LazyCommand("agent.cli.self_test:self_test", "Record a drawn scene, seal it and verify it."),
    "provision": LazyCommand("agent.cli.provision:provision", "Check FLEET and write a bundle for each doorbell."),
    "take-bundle": LazyCommand("agent.cli.provision:take_bundle", "Take the configuration from a bundle, once."),
    "join-network": LazyCommand("agent.cli.join_network:join_network", "Join the Wi-Fi of a set-up code."),
    "trust-report": LazyCommand(
        "agent.cli.provision:trust_report_command", "Show the recipients, roots and broker from the preparer."
    ),
    "backup": LazyCommand("agent.cli.change_of_owner:backup", "Write keys, journal, ledger, sealed to the owners."),
    "restore": LazyCommand("agent.cli.change_of_owner:restore", "Make this machine the doorbell of an opened backup."),
    "reset": LazyCommand("agent.cli.change_of_owner:reset", "Hand this doorbell to a new owner."),
    "update": LazyCommand("agent.cli.update:update", "Show which update is on offer, and install it."),
    "apply": LazyCommand("agent.cli.uninstall:apply", "Apply a changed configuration."),
    "uninstall": LazyCommand("agent.cli.uninstall:uninstall", "Remove Doorward from this machine."),
    "config": LazyCommand("agent.cli.config:config", "Check a configuration and explain it."),
}

_OF_CLIENTS = "agent.clients."
_ELSEWHERE = (
    "Use it on your own computer: install doorward-clients there, or run 'make setup' in a copy of the "
    "source and use .venv/bin/doorward."
)


def installed(*, clients: bool) -> Mapping[str, LazyCommand]:
    """Returns the commands of this machine. A doorbell lacks `clients`, so its code cannot open footage."""
    return {name: each for name, each in COMMANDS.items() if clients or not each.target.startswith(_OF_CLIENTS)}


_HERE = installed(clients=find_spec("agent.clients") is not None)

_EPILOG = """
\b
Exit status: 0 done, 1 the answer is no, and otherwise who has to act:
2 operator (configuration, arguments), 3 requester, 4 bytes that are not
what they should be, 5 disk, 6 camera or board, 7 network, 70 a bug of ours.
"""


@click.group(
    cls=LazyGroup,
    lazy=_HERE,
    elsewhere={name: _ELSEWHERE for name in COMMANDS if name not in _HERE},
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@language_option
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
@click.version_option(__version__, prog_name="doorward", message="%(prog)s %(version)s")
@click.pass_obj
def doorward(invocation: Invocation, debug: bool) -> None:
    """A doorbell camera that cannot open its own footage.

    It records what happens at the door and seals it to keys that are not in the doorbell.  If an owner approves a
    request, the keys of exactly the chosen segments leave, to exactly that requester.

    Every command has --help.  Commands for scripts have --json.
    """
    invocation.debug = invocation.debug or debug


@doorward.command(short_help="Print the shell's completion script.")
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that teaches SHELL to complete doorward's commands.

    \b
    bash:  doorward completion bash > ~/.local/share/bash-completion/completions/doorward
    zsh:   doorward completion zsh > ~/.zfunc/_doorward
    fish:  doorward completion fish > ~/.config/fish/completions/doorward.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 (the choices above are the ones click has)
    click.echo(kind(doorward, {}, "doorward", "_DOORWARD_COMPLETE").source())
