"""Every `doorward …` that a message, a document or a unit names is a command that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent.cli.app import doorward

ROOT = Path(__file__).parents[2]
TEXTS = (
    "*.md", "agent/**/*.py", "agent/**/*.md", "agent/web/src/**/*.js", "config/**/*", "demo/*.py", "docs/**/*.md",
    "firmware_bridge/**/*", "scripts/**/*", "systemd/**/*", "tests/**/*.md",
)  # fmt: skip
NOT_COMMANDS = (
    "alerts delayed", "case marks", "context", "passkey identity", "recovery approval key", "ring", "runs on", "seen",
)  # fmt: skip
"""Other words that may follow the name: labels of keys, marks and alerts, and prose."""


def named() -> Iterator[tuple[str, str]]:
    for path in sorted({path for pattern in TEXTS for path in ROOT.glob(pattern)}):
        if (
            path.suffix in (".py", ".md", ".js", ".sh", ".toml", ".service", ".timer")
            and "node_modules" not in path.parts
        ):
            for found in re.finditer(r"\bdoorward ([a-z][a-z-]*(?: [a-z][a-z-]*)*)", path.read_text("utf-8")):
                # "doorward link v1" is the label of a derived key.
                if not found[1].startswith(NOT_COMMANDS) and not found[1].endswith(" v"):
                    yield str(path.relative_to(ROOT)), found[1]


def unknown(words: str) -> str:
    """The beginning of `words` that is no command; empty when there is one."""
    command: click.Command = doorward
    for count, word in enumerate(words.split(), 1):
        if not isinstance(command, click.Group):
            break
        inner = command.get_command(click.Context(command), word)
        if inner is None:
            return " ".join(words.split()[:count])
        command = inner
    return ""


def test_no_text_sends_anybody_to_a_command_that_is_not_there() -> None:
    texts = set(named())
    assert len(texts) > 100
    assert sorted((place, wrong) for place, words in texts if (wrong := unknown(words))) == []


@pytest.mark.parametrize("words", ["owner forget", "frobnicate", "owner trust root"])
def test_the_check_itself_notices_one(words: str) -> None:
    assert unknown(words) == words
