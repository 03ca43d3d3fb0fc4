"""Finds the texts that the commands of owners and installers can show, by reading the code.

Each is returned with µ in place of a value: what `agent.sentences.knows` expects.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import click

from agent.cli.app import doorward
from agent.cli.frame import IN_ENGLISH

__all__ = ["finding_subjects", "help_texts", "printed_by_click", "shown_texts", "sources"]

ROOT: Final = Path(__file__).resolve().parents[2]
_FOLDERS: Final = (
    "agent/cli", "agent/clients/cli/owner", "agent/clients/owner", "agent/clients/opening", "agent/clients/fleet",
)  # fmt: skip
_FILES: Final = (
    "agent/clients/cli/ledger.py",
    "agent/clients/cli/fleet.py",
    "agent/config/fleet.py",
    "agent/clients/cli/area_outline.py",
    "agent/clients/media/confined.py",
    "agent/clients/media/confined_worker.py",
    "agent/clients/media/join.py",
    "agent/clients/media/pinned_file.py",
    "agent/clients/media/redact.py",
    "agent/clients/media/voice.py",
    "agent/clients/relay_carrier.py",
    "agent/clients/time_confirmations.py",
    "agent/media/playable.py",
    "agent/platform/files.py",
    "agent/wire/identities.py",
    "agent/wire/trust_keys.py",
    "agent/wire/witness_keys.py",
    "agent/ipc/control_client.py",
    "agent/config/settings.py",
    "agent/config/overlay.py",
    "agent/config/reading.py",
    "agent/mqtt/tls.py",
    "firmware_bridge/settings.py",
)
_ENGLISH: Final = frozenset({"motion.py", "motion_picture.py", "join_network.py", "language.py"})
"""For developers, and a service of systemd that writes to the log. `language.py` holds none of these texts."""
_SPEAKERS: Final = frozenset({"say", "in_words", "confirm", "prompt"})
_QUIET: Final = frozenset(
    {"counted", "emit_json", "compile", "option", "argument", "get_logger", "strftime", "warning", "debug"}
)
"""Calls with texts that stay off a terminal, and calls of click, which `help_texts` covers."""
_PLACE: Final = re.compile(r"\{[a-z]*\}")
_WORDS: Final = re.compile(r"[A-Za-z]{2,}[^A-Za-z]* [^A-Za-z]*[A-Za-z]|µ.*[a-z]{2,}.*µ.*\.\Z")
"""Two words, or one between two values that ends as a sentence."""


def sources() -> Iterator[Path]:
    """Yields the modules of the commands that are in the reader's language."""
    for folder in _FOLDERS:
        yield from (each for each in sorted((ROOT / folder).rglob("*.py")) if each.name not in _ENGLISH)
    yield from (ROOT / each for each in _FILES)


@cache  # each language asks
def shown_texts(path: Path) -> tuple[tuple[int, str], ...]:
    """Returns (line, text) for each text with two words or more, and each text that is given to be translated."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set(_documentation(tree))
    return (*_walk(tree, skipped, spoken=False), *_descriptions(tree))


def _descriptions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields what the annotated fields of a configuration may be: the remedy of a mistake says it."""
    for field in ast.walk(tree):
        for inner in ast.walk(field.annotation) if isinstance(field, ast.AnnAssign) else ():
            if isinstance(inner, ast.keyword) and inner.arg == "description":
                yield from _walk(inner.value, set(), spoken=True)


def _walk(node: ast.AST, skipped: set[ast.AST], *, spoken: bool) -> Iterator[tuple[int, str]]:
    if node in skipped or isinstance(node, ast.arguments):
        return
    if isinstance(node, ast.Constant | ast.JoinedStr):
        text = _PLACE.sub("µ", _written(node))
        for line in text.split("\n"):
            core = line.strip()
            if core.strip("µ,.;:()/% ") and re.search("[A-Za-z]", core) and (spoken or _WORDS.search(core)):
                yield node.lineno, core
        if isinstance(node, ast.JoinedStr):
            for each in node.values:
                if isinstance(each, ast.FormattedValue):
                    yield from _walk(each.value, skipped, spoken=False)
        return
    name = ""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _QUIET:
            return
    for child in ast.iter_child_nodes(node):
        heard = name in _SPEAKERS or (spoken and isinstance(node, ast.IfExp | ast.BoolOp))
        yield from _walk(child, skipped, spoken=heard)


def _written(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(str(each.value) if isinstance(each, ast.Constant) else "µ" for each in node.values)


def _documentation(tree: ast.Module) -> Iterator[ast.AST]:
    """Yields docstrings, decorators, annotations and explanations of constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from node.decorator_list
        if isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield node.returns
        if isinstance(node, ast.AnnAssign):
            yield node.annotation
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(each, "id", "") == "__all__" for each in targets):
                yield node


def finding_subjects() -> set[str]:
    """Returns the subjects of what `doorward doctor` finds: the words in its left column."""
    found = set()
    for path in (*(ROOT / "agent/cli/checks").glob("*.py"), ROOT / "agent/cli/doctor.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("fine", "poor", "bad", "_guarded"):
                found |= {each.value for each in node.args[:1] if isinstance(each, ast.Constant)}
    return found


def help_texts() -> Iterator[tuple[str, str]]:
    """Yields (command, text) for each paragraph and each option that `--help` shows."""
    yield from _help(doorward, click.Context(doorward, info_name="doorward"))


def _help(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    name = context.command_path
    for paragraph in re.split(r"\n\s*\n", _cleaned(command.help or "")):
        if paragraph and not paragraph.lstrip().startswith("\b"):
            yield name, " ".join(paragraph.split())
    for option in command.get_params(context):
        if isinstance(option, click.Option) and option.help and not option.hidden:
            yield name, " ".join(option.help.split())
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is None or found.hidden or (context.parent is None and each in IN_ENGLISH):
                continue
            yield (
                name,
                command._summary(context, each) if hasattr(command, "_summary") else found.get_short_help_str(200),
            )
            yield from _help(found, click.Context(found, info_name=each, parent=context))


def _cleaned(text: str) -> str:
    import inspect

    return inspect.cleandoc(text)


def printed_by_click() -> tuple[str, ...]:
    """Returns the words of click that a reader of `--help`, or of a mistake, sees."""
    return (
        "Usage:", "Options", "Commands", "Show this message and exit.", "Show the version and exit.", "required",
        "default: µ", "env var: µ", "at least µ", "Missing argument µ.", "Missing option µ.",
        "No such option: µ", "No such command µ.", "Got unexpected extra argument (µ)",
        "Got unexpected extra arguments (µ)", "Invalid value for µ: µ", "Option µ requires an argument.",
        "µ is not one of µ.", "µ is not a valid number range.", "µ is not in the range µ.",
        "File µ does not exist.", "Directory µ does not exist.", "Path µ does not exist.", "Repeat for confirmation",
        "Error: The two entered values do not match.", "Error: invalid input", "yes", "and", "What to do:", "Error:",
        "Stopped.", "To see what it takes: µ",
    )  # fmt: skip


@cache
def counted_nouns() -> set[str]:
    """Returns the nouns that `counted` of `agent.cli.language` gets."""
    found = set()
    for path in sources():
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)) if "counted(" in source else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "counted":
                found |= {each.value for each in node.args[1:] if isinstance(each, ast.Constant)}
    return found
