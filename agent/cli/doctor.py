"""`doorward doctor`: looks at everything a recording needs, and says for each fault what to do."""

from __future__ import annotations

import dataclasses
import datetime
import shutil
import textwrap
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from agent.cli.checks.backups import check_backups
from agent.cli.checks.board import check_heat, check_limits, check_panel
from agent.cli.checks.broker import check_broker, check_congestion_control, check_relay
from agent.cli.checks.camera import check_camera, check_encoder, check_sound
from agent.cli.checks.clock import check_clock
from agent.cli.checks.disk import check_disk
from agent.cli.checks.finding import CheckStatus, Finding, bad, fine, poor
from agent.cli.checks.local_time import check_local_time
from agent.cli.checks.memory import check_memory
from agent.cli.checks.object_detection import check_object_detection
from agent.cli.checks.page_domain import check_page_domain
from agent.cli.checks.program import check_program
from agent.cli.checks.read_only import check_read_only
from agent.cli.checks.running import camera_in_use, dropped_messages, status_here
from agent.cli.checks.software import check_software
from agent.cli.checks.speaker import check_speaker
from agent.cli.checks.update_news import check_updates
from agent.cli.checks.witnesses import check_witnesses
from agent.cli.frame import config_option, emit_json, json_option
from agent.cli.language import counted, in_words, say
from agent.config import Configuration, load
from agent.custodian.state_folder import StateFolder
from agent.errors import DoorwardError
from agent.platform.system_clock import SystemClock

__all__ = ["COLUMN", "doctor", "examine"]

COLUMN = 26
"""Room for a subject. A test finds the longest one of all languages."""
_MARKS = {CheckStatus.FINE: ("✓", "green"), CheckStatus.POOR: ("!", "yellow"), CheckStatus.BAD: ("✗", "red")}


@click.command()
@config_option
@json_option
def doctor(config: Path, as_json: bool) -> None:
    """Check camera, encoder, disk, clock, broker, panel and heat, and suggest remedies.

    It opens the configured camera for a moment (or asks the doorbell if one runs here), writes and removes one file in
    the vault's folder, and connects to the broker.  It changes nothing.  Exit status 0 if Doorward can do its job,
    otherwise 1.
    """
    findings: list[Finding] = []
    for finding in examine(config):
        findings.append(finding)
        if not as_json:
            _show(finding)
    ok = all(finding.health is not CheckStatus.BAD for finding in findings)
    if as_json:
        emit_json({"ok": ok, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        say(_verdict(findings))
    raise click.exceptions.Exit(0 if ok else 1)


def examine(config: Path) -> Iterator[Finding]:
    """Yields the findings of all checks, each when its check is done."""
    yield from check_software()
    configuration, finding = _configuration(config)
    yield finding
    if configuration:
        status = status_here(configuration)
        # A camera has one reader. Opening it here would end the recording, or report it as busy.
        in_use = camera_in_use(status, configuration)
        yield from _guarded("camera", lambda: iter([in_use]) if in_use else check_camera(configuration.camera))
        yield from _guarded("encoder", lambda: check_encoder(configuration.camera))
        if (sound := configuration.sound) is not None:
            yield from _guarded("sound", lambda: iter((check_sound(sound, configuration.camera),)))
        if (speaker := configuration.speaker) is not None:
            yield from _guarded("speaker", lambda: iter((check_speaker(speaker, status),)))
        yield from _guarded("system", lambda: check_read_only(configuration.device.state_dir))
        yield from _guarded("disk", lambda: check_disk(configuration))
        yield from _guarded("object detection", lambda: check_object_detection(configuration))
        yield from _guarded("memory", lambda: check_memory(configuration))
        yield from _guarded("program", lambda: check_program(StateFolder(configuration.device.state_dir).program))
    yield from _guarded("clock", lambda: check_clock(SystemClock().now()))
    if configuration:
        zone = configuration.device.time_zone
        yield from _guarded("local time", lambda: iter((check_local_time(zone, config),)))
        now = datetime.datetime.now(datetime.UTC)
        yield from _guarded("broker", lambda: check_broker(configuration.broker, now))
        if configuration.broker is not None:
            if dropped := dropped_messages(status):
                yield dropped
            yield from _guarded("congestion control", lambda: iter((check_congestion_control(),)))
        yield from _guarded("relay", lambda: check_relay(configuration, now))
        yield from _guarded("page certificate", lambda: check_page_domain(configuration, now))
        yield from _guarded("updates", lambda: check_updates(configuration, status))
        if (witness := configuration.witness) is not None:
            yield from _guarded("time", lambda: check_witnesses(witness, status))
        if (wanted := configuration.backup) is not None:
            state = StateFolder(configuration.device.state_dir)
            yield from _guarded("backups", lambda: iter((check_backups(wanted, state, now),)))
        yield from _guarded("panel", lambda: check_panel(configuration.panel, status))
        yield from _guarded("heat", lambda: check_heat(configuration))
        if StateFolder(configuration.device.state_dir).divided:
            yield from _guarded("limits", lambda: iter((check_limits(),)))


def _configuration(config: Path) -> tuple[Configuration | None, Finding]:
    if not config.exists():
        remedy = f"Copy config/doorward.toml to {config}, or name another file with --config."
        return Configuration(), poor("configuration", f"There is no {config}; checking the defaults.", remedy)
    try:
        return load(config), fine("configuration", f"{config} is right.")
    except DoorwardError as error:
        return None, bad("configuration", error.message, error.remedy)


def _guarded(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check that trips over what it examines has found something: the others still run."""
    try:
        yield from check()
    except DoorwardError as error:
        yield bad(subject, error.message, error.remedy)
    except OSError as error:
        yield bad(subject, f"The check failed: {error}.", "Mend the cause, then try again.")


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.health]
    click.echo(f"{click.style(mark, fg=colour, bold=True)} {_subject(finding.subject):{COLUMN}}", nl=False)
    click.echo(_beside(in_words(finding.message)))
    if finding.remedy:
        click.echo(" " * (COLUMN + 2) + _beside(f"{in_words('What to do:')} {in_words(finding.remedy)}"))


def _subject(subject: str) -> str:
    # Isolates have no width, but they are characters.
    said = in_words(subject)
    return said + " " * sum(unicodedata.category(each) == "Cf" for each in said)


def _beside(text: str) -> str:
    """`text` wrapped into the column to the right of the subjects."""
    indent = " " * (COLUMN + 2)
    width = max(40, shutil.get_terminal_size().columns)
    filled = textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
    return filled.removeprefix(indent)


def _verdict(findings: list[Finding]) -> str:
    faults = sum(finding.health is CheckStatus.BAD for finding in findings)
    warnings = sum(finding.health is CheckStatus.POOR for finding in findings)
    if faults:
        return f"\n{counted(faults, 'fault')} must be mended before Doorward can do its job."
    if warnings:
        return f"\nDoorward can do its job; {counted(warnings, 'thing')} could be better."
    return "\nAll is well."
