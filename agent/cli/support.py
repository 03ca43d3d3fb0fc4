"""`doorward support`: a file with this doorbell's state, for people who help. It has no secret, name or request."""

from __future__ import annotations

import json
import platform
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from agent.cli.frame import Number, config_option
from agent.cli.language import say
from agent.platform import files

__all__ = ["support"]

_JOURNALCTL: Final = "/usr/bin/journalctl"
_SYSTEMCTL: Final = "/usr/bin/systemctl"
_OS_RELEASE: Final = Path("/etc/os-release")
_MODEL: Final = Path("/proc/device-tree/model")
_PROPERTIES: Final = "Id,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ActiveEnterTimestamp,MemoryCurrent"
_MOST_LINES: Final = 20_000
_LIMIT_BYTES: Final = 1 << 20
_PATIENCE_S: Final = 60


@click.command()
@config_option
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--days", type=Number(1, 30), default=3, show_default=True, help="Days of the log.")
def support(config: Path, out: Path, days: int) -> None:
    """Write a file for a person who helps, without secrets, names and requests.

    OUT holds versions, settings, the state of the units, the doctor's findings and the log.  Keys, passwords, names,
    addresses, the place, requests, owners and visitors are left out.  Read the file before you send it: it is plain
    text.
    """
    from agent.errors import ConfigurationError

    if out.exists():
        raise ConfigurationError(f"{out} already exists.", remedy="Choose another name, or remove it first.")
    text = files.read_if_there(config, _LIMIT_BYTES)
    sections = {
        "versions": _versions(),
        "settings": _settings(text or b""),
        "units": _units(),
        "doctor": _findings(config, text or b""),
        "log": _log(days),
    }
    parts = [f"== {name}\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items()]
    # For its maker's eyes only, until they have read it and choose to send it.
    files.write(out, "\n".join(parts).encode(), secret=True)
    say(f"{out} is written.  Read it before you send it.")


def _versions() -> Iterator[str]:
    from agent import __version__

    yield f"doorward {__version__}, Python {platform.python_version()}"
    yield f"Linux {platform.release()}, {platform.machine()}"
    for path, prefix in ((_OS_RELEASE, "PRETTY_NAME="), (_MODEL, "")):
        data = files.read_if_there(path, _LIMIT_BYTES) if path.exists() else None
        lines = (data or b"").decode(errors="replace").rstrip("\0").splitlines()
        yield from (line.removeprefix(prefix) for line in lines if line.startswith(prefix))


def _settings(text: bytes) -> Iterator[str]:
    from agent.core.support_file import settings_lines

    keys, words = _vocabulary()
    try:
        tables = tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        # Without its text, not even the line with the mistake: a password may be in it.
        yield "The configuration is not TOML."
        return
    yield from settings_lines(tables, keys, words)


def _vocabulary() -> tuple[set[str], set[str]]:
    """Returns all keys of a configuration, and all words that a key may choose from."""
    from agent.config.schema import configuration_schema

    keys, words = set[str](), set[str]()

    def walk(schema: Any) -> None:
        if isinstance(schema, dict):
            keys.update(schema.get("properties", {}))
            words.update(each for each in schema.get("enum", ()) if isinstance(each, str))
            for each in schema.values():
                walk(each)
        elif isinstance(schema, list):
            for each in schema:
                walk(each)

    walk(json.loads(configuration_schema()))
    return keys, words


def _units() -> Iterator[str]:
    from agent.core.support_file import unit_lines

    yield from unit_lines(_run(_SYSTEMCTL, "show", "doorward*", "--all", f"--property={_PROPERTIES}"))


def _findings(config: Path, text: bytes) -> Iterator[str]:
    from agent.cli.doctor import examine
    from agent.core.support_file import foreign_words, plain_finding

    keys, choices = _vocabulary()
    # All words of the configuration that are not its vocabulary: names, hosts and places of a household.
    words = foreign_words(text.decode(errors="replace"), keys | choices)
    for finding in examine(config):
        yield f"{finding.health.value:5} {finding.subject}: {plain_finding(finding.message, words)}"
        if finding.remedy:
            yield f"      {plain_finding(finding.remedy, words)}"


def _log(days: int) -> Iterator[str]:
    from agent.core.support_file import log_line

    words = ("-o", "json", "--no-pager", f"--since=-{days}d", f"--lines={_MOST_LINES}", "--unit=doorward*")
    for line in _run(_JOURNALCTL, *words).splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        shown = log_line(entry) if isinstance(entry, dict) else None
        if shown is not None:
            yield shown


def _run(*words: str) -> str:
    """Returns what a program of the system says. It may be missing, for example in a container."""
    try:
        done = subprocess.run(words, capture_output=True, check=False, timeout=_PATIENCE_S)  # noqa: S603 (fixed words)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")
