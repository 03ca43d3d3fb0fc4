"""`doorward provision` and `take-bundle`: many doorbells from one file, and a doorbell's first boot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.checks.local_time import unknown_zone
from agent.cli.frame import BOOT_FOLDERS, emit_json, json_option
from agent.cli.language import say
from agent.errors import ConfigurationError
from agent.platform import files
from firmware_bridge.time_zone import is_zone

if TYPE_CHECKING:
    from agent.config.fleet import Fleet

__all__ = ["provision", "take_bundle"]

_ETC = Path("/etc/doorward")
_ON_CARD = tuple(folder / "doorward.bundle" for folder in BOOT_FOLDERS)


@click.command()
@click.argument("fleet", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("bundles"), show_default=True, help="Where."
)
@click.option("--check", is_flag=True, help="Only check the file.")
@json_option
def provision(fleet: Path, out: Path, check: bool, as_json: bool) -> None:
    """Check FLEET and write a bundle for the boot partition of each doorbell in it.

    config/fleet.example.toml documents every key.  The same file gives the same bundles.  They hold no keys, and no
    passwords but those that the file gives for cameras, alerts, Home Assistant and a doorbell's broker.
    """
    from agent.config.fleet import bundle_bytes, bundles, is_private, load_fleet, parse_bundle, trust_report

    described, authority = load_fleet(fleet)
    if described.time_zone and not is_zone(described.time_zone) and not as_json:
        say(f"Note: {' '.join(unknown_zone(described.time_zone, fleet, ('time_zone',)))}")
    passwords = _passwords(described, fleet.parent)
    made = {}
    private = set()
    for bundle in bundles(described, authority, passwords):
        data = bundle_bytes(bundle)
        # Parse it with the doorbell's parser before writing, so that this command finds every error the doorbell would
        # find.
        _, configuration = parse_bundle(data, fleet)
        made[bundle.name] = (data, trust_report(bundle, configuration))
        if is_private(configuration):
            private.add(bundle.name)
    if not check:
        out.mkdir(parents=True, exist_ok=True)
        for name, (data, report) in made.items():
            files.write(out / f"{name}.bundle", data, secret=name in private)
            files.write(out / f"{name}.trust.txt", report.encode())
    if as_json:
        emit_json({"ok": True, "doorbells": list(made), "private": sorted(private), "out": None if check else out})
    elif check:
        say(f"{fleet} is right: {len(made)} doorbells.")
    else:
        say(f"{len(made)} bundles are in {out}.  Copy each to its card's boot partition as doorward.bundle;")
        say("Give NAME.trust.txt to its owner. The doorbell shows the same text:  doorward trust-report")
        if private:
            say(f"Keep these bundles private, because they hold passwords: {', '.join(sorted(private))}.")


def _passwords(fleet: Fleet, folder: Path) -> dict[str, str]:
    """Returns the password for the broker of each doorbell that has one, by its name.

    Raises `ConfigurationError` for a file that is missing, open to others or not one line, and for one password twice.
    """
    from agent.mqtt.tls import read_password

    found: dict[str, str] = {}
    for camera in fleet.cameras:
        if camera.broker is None:
            continue
        path = folder / camera.broker.password_file
        try:
            password = read_password(path).decode()
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"{path} is not text.", remedy="Write the password or token into it, and nothing else."
            ) from error
        # Two files may hold one password, which the fleet file cannot show.
        twin = next((name for name, other in found.items() if other == password), None)
        if twin is not None:
            raise ConfigurationError(
                f"{path}: '{camera.name}' has the password of '{twin}'.",
                remedy="Give each doorbell its own. Otherwise a thief of one card could be the other doorbell, too.",
            )
        found[camera.name] = password
    return found


@click.command("take-bundle")
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--etc", type=click.Path(path_type=Path, file_okay=False), default=_ETC, hidden=True)
def take_bundle(bundle: Path | None, etc: Path) -> None:
    """Take the configuration from a bundle, once in this doorbell's life.

    BUNDLE is the file. Without BUNDLE, use the one on the boot partition.
    """
    from agent.config.fleet import parse_bundle, trust_report

    source = bundle or next((path for path in _ON_CARD if path.is_file()), None)
    taken = etc / "bundle-taken.json"
    if taken.exists() or source is None:
        took = "This doorbell already took its bundle; nothing is changed."
        say(took if taken.exists() else "There is no bundle; nothing is changed.")
        return
    try:
        data = source.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}.", remedy="Copy it again.") from error
    found, configuration = parse_bundle(data, source)
    report = trust_report(found, configuration)
    if found.authority:
        (etc / "tls").mkdir(mode=0o700, exist_ok=True)
        files.write(etc / "tls" / "ca.pem", found.authority.encode(), secret=True)
    if found.broker_password is not None:
        files.write(etc / "tls" / "broker.password", f"{found.broker_password}\n".encode(), secret=True)
    files.write(etc / "trust-report.txt", report.encode(), secret=True)
    # After the files that it names: a cut in between must not leave a configuration that cannot run.
    files.write(etc / "doorward.toml", found.configuration.encode(), like=etc / "doorward.toml")
    # The secrets of another broker: the new configuration does not use them, and a thief of the card could.
    for name in ("broker.password",) if found.broker_password is None else ("device.pem", "device.key"):
        with files.storage_errors(etc / "tls" / name):
            (etc / "tls" / name).unlink(missing_ok=True)
    # Last: a cut before it takes the same bundle again, to the same end.
    said = json.dumps({"name": found.name, "roots": [root.key for root in configuration.roots]})
    files.write(taken, f"{said}\n".encode(), secret=True)
    try:
        source.unlink()  # it may hold passwords, and any computer reads the boot partition
    except OSError as error:
        say(f"{source} cannot be removed ({error.strerror}). It is never read again, and it may hold passwords.")
    click.echo(report)


@click.command("trust-report")
@click.option("--etc", type=click.Path(path_type=Path, file_okay=False), default=_ETC, hidden=True)
def trust_report_command(etc: Path) -> None:
    """Show the recipients, roots and broker that the preparer gave to this doorbell."""
    path = etc / "trust-report.txt"
    if path.is_file():
        click.echo(path.read_text(encoding="utf-8"))
    else:
        say("This doorbell was not prepared by others. It has only your own settings.")
