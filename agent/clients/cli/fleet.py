"""`doorward fleet`: an installer's view of many doorbells. It sees health, and neither footage nor requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.frame import Fraction, Group, emit_json, json_option
from agent.cli.language import in_words, say

if TYPE_CHECKING:
    from agent.clients.fleet.installer_keys import InstallerKeys
    from agent.clients.fleet.inventory import FleetDoor

__all__ = ["fleet"]

_QUIET_S = 2.0
_MOST_ROOT_BYTES = 64 * 1024
_STEPS = {
    "wait": "Wave {wave} is waited for.  These doorbells do not run {version} yet:",
    "stop": "Stopped: in wave {wave} doorbells failed, so no further wave can see {version}:",
    "done": "All waves run {version}.",
}
_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("installer"),
    show_default=True,
    help="The installer's folder.  identity.txt and tls/key.pem in it are secret.",
)


@click.group(cls=Group)
def fleet() -> None:
    """Look after many doorbells: their health, without footage, requests or decisions of owners.

    Bundles for new doorbells are made by:  doorward provision
    """


@fleet.command()
@_folder
@json_option
def init(folder: Path, as_json: bool) -> None:
    """Make the installer's keys once, and the signing request for the broker."""
    from agent.clients.fleet.installer_keys import InstallerKeys
    from agent.platform import files

    keys = InstallerKeys.create(folder)
    files.write(folder / "installer.csr", keys.request())
    if as_json:
        emit_json({"id": keys.id, "recipient": keys.recipient, "csr": folder / "installer.csr"})
        return
    say(f"The installer's id is {keys.id}.  On the broker, run:")
    click.echo(f"  doorward broker add-installer {keys.id} --csr installer.csr")
    say(f"and bring the two files that it names here, as {keys.tls}/authority.pem and certificate.pem.")
    say(f"A broker that takes no certificates knows {keys.client_name} by a password: {keys.tls}/HOST/broker.password")
    say("In the fleet file, or in the configuration of each doorbell:")
    click.echo('  [installer]\n  name = "your name"')
    click.echo(f'  recipient = "{keys.recipient}"')


@fleet.command()
@_folder
@click.option("--broker", envvar="DOORWARD_BROKER", metavar="HOST:PORT", help="The broker's requester listener.")
@click.option(
    "--fleet", "described", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The fleet file: doorbells that are missing, not listed, or have other settings are told.",
)  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the page for a browser here.")
@click.option("--timeout", metavar="SECONDS", type=Fraction(1, 600), default=30.0, show_default=True,
              help="Seconds to wait for the broker.")  # fmt: skip
@json_option
def status(
    folder: Path, broker: str | None, described: Path | None, html: Path | None, timeout: float, as_json: bool
) -> None:
    """Show the state of each doorbell.  Exit status 0 if all are well, otherwise 1."""
    from agent.clients.fleet.inventory import DoorState
    from agent.clients.fleet.status_page import status_page
    from agent.platform import files

    now_s = int(time.time())
    rows, left_out = _rows(folder, broker, described, timeout, now_s)
    if html is not None:
        files.write(html, status_page(rows, now_s).encode())
    if as_json:
        emit_json({"doorbells": [_as_json(row) for row in rows], "left_out": left_out, "at": now_s})
    else:
        _show(rows, left_out, now_s)
    raise click.exceptions.Exit(0 if all(row.state is DoorState.OK for row in rows) else 1)


@fleet.command()
@_folder
@click.option("--broker", envvar="DOORWARD_BROKER", metavar="HOST:PORT", help="The broker's requester listener.")
@click.option(
    "--fleet", "described", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
    help="The fleet file, with [updates] and the wave of each doorbell.",
)  # fmt: skip
@click.option(
    "--repository", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True,
    help="A copy of the update repository.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="The folder that your web server shows.")  # fmt: skip
@click.option("--root", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
              help="The first root.json that your doorbells trust.")  # fmt: skip
@click.option("--ignore", metavar="NAME", multiple=True, help="Go on without this doorbell; may be repeated.")
@click.option("--timeout", metavar="SECONDS", type=Fraction(1, 600), default=30.0, show_default=True,
              help="Seconds to wait for the broker.")  # fmt: skip
@json_option
def update(
    folder: Path, broker: str | None, described: Path, repository: Path, out: Path, root: Path,
    ignore: tuple[str, ...], timeout: float, as_json: bool,
) -> None:  # fmt: skip
    """Take the next steps of a staged update: publish waves, wait for one, or stop.

    Run it from a timer. A wave is published only if each doorbell of the waves before runs the new version and reports
    no fault.  Exit status 0: waiting or done; 1: stopped, because doorbells failed.
    """
    from agent.clients.fleet.update_waves import WaveAction, next_step
    from agent.clients.fleet.wave_folders import VerifiedRepository, WaveFolders
    from agent.platform import files

    waves = _waves(described, ignore)
    found = VerifiedRepository.check(repository, files.read(root, _MOST_ROOT_BYTES), folder / "updates")
    shown = WaveFolders(out)
    rows, _ = _rows(folder, broker, described, timeout, int(time.time()))
    published: list[int] = []
    while True:
        step = next_step(waves, shown.published(found, tuple(waves)), rows, found.version)
        if step.action is not WaveAction.PUBLISH:
            break
        shown.publish(found, step.wave)
        published.append(step.wave)
    if as_json:
        emit_json({
            "action": step.action.value, "wave": step.wave, "published": published, "version": found.version,
            "reasons": step.reasons,
        })  # fmt: skip
    else:
        for wave in published:
            say(f"Wave {wave} can see {found.version} now.  Owners choose when it is installed.")
        say(_STEPS[step.action.value].format(version=found.version, wave=step.wave))
        for reason in step.reasons:
            name, _, told = reason.partition(": ")
            click.echo(f"  {name}: {_spoken(told.split(', '))}" if told else f"  {name}")
    raise click.exceptions.Exit(1 if step.action is WaveAction.STOP else 0)


def _waves(path: Path, ignore: Sequence[str]) -> dict[int, list[str]]:
    """Returns the names of each wave's doorbells. Raises `ConfigurationError` if nothing can be staged."""
    from agent.config.fleet import load_fleet
    from agent.errors import ConfigurationError

    described, _ = load_fleet(path)
    if described.updates is None or described.installer is None:
        raise ConfigurationError(
            f"{path} has no {'[updates]' if described.updates is None else '[installer]'}, so nothing can be staged.",
            remedy="Add it, and make the bundles again: doorward provision",
        )
    unknown = sorted(set(ignore) - {camera.name for camera in described.cameras})
    if unknown:
        raise ConfigurationError(f"'{unknown[0]}' is not in {path}.", remedy="Give a name from the file to --ignore.")
    waves: dict[int, list[str]] = {}
    for camera in described.cameras:
        waves.setdefault(camera.wave, []).extend([camera.name] if camera.name not in ignore else [])
    return waves


def _rows(
    folder: Path, broker: str | None, described: Path | None, timeout_s: float, now_s: int
) -> tuple[list[FleetDoor], int]:
    """Returns the state of each doorbell, and how many messages could not be read. Remembers who was heard first."""
    from agent.clients.fleet.installer_keys import InstallerKeys
    from agent.clients.fleet.inventory import first_heard, inventory

    keys = InstallerKeys.load(folder)
    known = keys.doorbells()
    reports, left_out = _read(keys, broker, timeout_s)
    rows = inventory(_listed(described) if described else None, reports, now_s, known)
    if (heard := first_heard(rows, known)) != known:
        keys.remember(heard)
    return rows, left_out


def _read(keys: InstallerKeys, broker: str | None, timeout_s: float) -> tuple[list[Any], int]:
    """Returns the newest report of each doorbell, and how many messages could not be read."""
    from agent.clients.cli.requester.options import broker_address
    from agent.clients.fleet.health_inbox import HealthInbox, collect_reports
    from agent.clients.requester.broker_files import broker_files
    from agent.mqtt import BusSettings, MqttBus

    host, port = broker_address(broker)
    found = broker_files(keys.folder, host)
    certificate, key = found.pair
    bus = MqttBus(
        BusSettings(
            host, port, keys.client_name, found.authority, certificate, key,
            password_file=found.password, inbound_beat_s=0.0, inbound_queue=2048,
        )
    )  # fmt: skip
    inbox = HealthInbox(keys.identities)
    bus.start()
    try:
        collect_reports(bus, inbox, timeout_s=timeout_s, quiet_s=_QUIET_S)
    finally:
        bus.stop()
    return list(inbox.reports.values()), inbox.left_out


def _listed(path: Path) -> dict[str, str]:
    """Returns the SHA-256 of each doorbell's settings as its bundle has them, by name."""
    from agent.config import parse
    from agent.config.fleet import bundles, load_fleet
    from agent.custodian.health_reports import settings_sha256

    installed = Path("/etc/doorward/doorward.toml")  # relative paths in a bundle are relative to it
    made = bundles(*load_fleet(path))  # without passwords, which the settings do not hold
    return {each.name: settings_sha256(parse(each.configuration, installed)) for each in made}


def _spoken(words: Sequence[str]) -> str:
    """Returns faults or a state in the reader's language."""
    return ", ".join(map(in_words, words))


def _as_json(row: FleetDoor) -> dict[str, Any]:
    import msgspec

    report = None if row.report is None else msgspec.to_builtins(row.report)
    return {"name": row.name, "state": row.state.value, "device": row.device, "faults": row.faults, "report": report}


def _show(rows: Sequence[FleetDoor], left_out: int, now_s: int) -> None:
    from agent.cli.words import plain
    from agent.clients.fleet.inventory import DoorState
    from agent.clients.fleet.status_page import age_of

    for row in rows:
        colour = "green" if row.state is DoorState.OK else "red"
        told = _spoken(row.faults)
        version = row.report.version if row.report else ""
        heard = in_words(f"{age_of(row, now_s)} ago") if row.report else ""
        state = click.style(f"{in_words(row.state.value):16}", fg=colour)
        click.echo(f"{plain(row.name):24} {state} {version:10} {heard:16} {told}".rstrip())
    well = sum(row.state is DoorState.OK for row in rows)
    say(f"\n{well} of {len(rows)} are well.")
    if left_out:
        say(f"{left_out} messages were left out: they are for other installers, or damaged.")
