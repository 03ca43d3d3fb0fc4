"""`doorward provision` and `take-bundle`: many doorbells from one file, and a doorbell's first boot."""

from __future__ import annotations

import json
from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.cli.language import say
from agent.platform import files

__all__ = ["provision", "take_bundle"]

_ETC = Path("/etc/doorward")
_BOOT = (Path("/boot/firmware/doorward.bundle"), Path("/boot/doorward.bundle"))


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
    passwords but those that the file gives for cameras, alerts and Home Assistant.
    """
    from agent.config.fleet import bundle_bytes, bundles, is_private, load_fleet, parse_bundle, trust_report

    described, authority = load_fleet(fleet)
    made = {}
    private = set()
    for bundle in bundles(described, authority):
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


@click.command("take-bundle")
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--etc", type=click.Path(path_type=Path, file_okay=False), default=_ETC, hidden=True)
def take_bundle(bundle: Path | None, etc: Path) -> None:
    """Take the configuration from a bundle, once in this doorbell's life.

    BUNDLE is the file. Without BUNDLE, use the one on the boot partition.
    """
    from agent.config.fleet import parse_bundle, trust_report
    from agent.errors import ConfigurationError

    source = bundle or next((path for path in _BOOT if path.is_file()), None)
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
    files.write(etc / "trust-report.txt", report.encode(), secret=True)
    files.write(etc / "doorward.toml", found.configuration.encode(), like=etc / "doorward.toml")
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
