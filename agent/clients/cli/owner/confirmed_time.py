"""`doorward owner time`: what others confirmed about the time, and the proof for a requester."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import say
from agent.clients.cli.owner.options import device_option, keys_option, load_keys
from agent.clients.owner.confirmed_time import read_confirmed_time
from agent.clients.time_confirmations import TimeTrust, time_document
from agent.errors import ConfigurationError
from agent.ipc.control_client import DeviceLink
from agent.platform import files
from agent.wire import strictjson

__all__ = ["time_"]

_PEM_LIMIT_BYTES = 256 * 1024


@click.command("time")
@click.argument("disclosure", required=False)
@keys_option
@device_option
@click.option("--witness", "witnesses", multiple=True, metavar="KEY", help="Verifier key of a witness that you trust.")
@click.option(
    "--authority",
    "authorities",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Certificate (PEM) of an authority of time-stampers that you trust.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the proof for the requester.")
@json_option
def time_(
    disclosure: str | None,
    folder: Path,
    device: Path,
    witnesses: tuple[str, ...],
    authorities: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Show what witnesses and time-stampers confirmed.

    Without a DISCLOSURE (its whole id), about the ledger.  The doorbell asks them at each beat if its configuration has
    [witness].  With --out, the requester gets a file for 'doorward requester verify --time FILE'.  It shows them the
    size of your ledger at that beat, and no entry.
    """
    trust = TimeTrust.of("\n".join(witnesses), [files.read(path, _PEM_LIMIT_BYTES) for path in authorities])
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        found = read_confirmed_time(link, keys, trust, disclosure)
    if out is not None:
        if found.opening is None:
            raise ConfigurationError(
                "No one has confirmed the time of it yet.", remedy="Try again after the next beat."
            )
        files.write(out, strictjson.encode(found.opening))
    if as_json:
        emit_json({"disclosure": disclosure, **time_document(found.findings), "file": out})
        return
    say(found.findings.said)
    if out is not None:
        say(f"Give {out} to the requester.")
