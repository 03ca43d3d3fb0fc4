"""`doorward owner relay`: learns the way to a doorbell from another network, for the option `--relay`."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import say
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.owner.relay_routes import learn_route, reference_of
from agent.ipc.control_client import DeviceLink

__all__ = ["relay", "relayed_socket"]


@click.command()
@keys_option
@device_option
@click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The authority of the relay's certificate, if this machine does not trust it already.",
)
@json_option
def relay(folder: Path, device: Path, ca: Path | None, as_json: bool) -> None:
    """Learn the relay of a device, to reach it from another network.

    Afterwards each command takes --relay NAME in place of --device. If two of your doorbells have one name, it takes
    the id of one.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        route = learn_route(link, keys, str(ca.resolve()) if ca is not None else "")
    if as_json:
        emit_json({"name": route.name, "id": route.id, "relay": route.url, "account": route.account})
        return
    say(f"{route.name} can be reached through {route.url}.  From another network:")
    click.echo(f"  doorward owner status --relay {shlex.quote(reference_of(keys.folder, route))}")


@contextlib.contextmanager
def relayed_socket(folder: Path, name: str) -> Iterator[Path]:
    """A control socket on this machine. Its requests go to the doorbell `name`, or of that id, through its relay."""
    from agent.clients.owner.link_session import OwnerSession
    from agent.clients.owner.relay_routes import route_to
    from agent.clients.relay_carrier import RelayCarrier, RelayPlace
    from agent.ipc.rpc_server import control_server
    from agent.wire.identities import parse_public_key
    from agent.wire.link.schedule import address_of

    keys = load_keys(folder)
    route = route_to(keys.folder, name)
    approval = keys.approval  # asks for the passphrase before the relay waits
    device, secret = parse_public_key(route.device), bytes.fromhex(route.secret)
    place = RelayPlace(route.url, route.account, route.password, address_of(secret), route.ca)
    session = OwnerSession(RelayCarrier(place), secret, device, approval)
    with contextlib.ExitStack() as stack:
        stack.callback(session.close)
        at = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="doorward-relay-"))) / "control.sock"
        server = control_server(at, session.exchange)
        server.start()
        stack.callback(server.stop)
        with DeviceLink(at) as link:
            learn_route(link, keys, route.ca)  # its secret changes with the list of owners
        yield at
