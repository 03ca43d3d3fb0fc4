"""What the documents tell a reader to type exists, and their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent.cli.app import doorward

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def documents() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0")[:-1] if listed.returncode == 0 else []
    # Without git, in a copy, the first level has to do.
    return sorted(ROOT / name for name in names) or sorted(ROOT.glob("*.md"))


def commands(text: str, word: str) -> Iterator[list[str]]:
    """Each `word …` of a code block or between backticks, as a shell would split it."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    for line in [*lines, *spans]:
        for part in re.split(r"&&|;|\|", line.partition(" #")[0]):
            try:
                words = shlex.split(part.strip())
            except ValueError:
                continue
            if words[:1] == ["sudo"]:
                words = words[1:]
            if words[:1] == [word] and len(words) > 1:
                yield words[1:]


def missing_in(words: list[str]) -> str | None:
    """What of a `doorward` command line does not exist."""
    command: click.Command = doorward
    context = click.Context(doorward)
    path = ["doorward"]
    for word in words:
        if word.startswith("-"):
            known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
            if word.partition("=")[0] not in known:
                return f"{' '.join(path)} {word}"
        elif isinstance(command, click.Group) and re.fullmatch("[a-z-]+", word):
            inner = command.get_command(context, word)
            if inner is None:
                return f"{' '.join(path)} {word}"
            command = inner
            path.append(word)
    return None


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_it_exists_and_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [found for words in commands(text, "doorward") if (found := missing_in(words))] == []
    assert [words[0] for words in commands(text, "make") if re.fullmatch("[a-z-]+", words[0])
            and words[0] not in TARGETS] == []  # fmt: skip
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name) if name else path
        assert found.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_the_check_finds_what_is_not_there() -> None:
    text = "```sh\nsudo doorward vault lst  # none\ndoorward status --wach\n```\n`doorward owner trust bundle FILE`"
    found = [missing_in(words) for words in commands(text, "doorward")]
    assert found == ["doorward vault lst", "doorward status --wach", None]
    assert list(commands("so `make tea` it", "make")) == [["tea"]]
