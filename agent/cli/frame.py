"""The shared parts of all commands: lazy loading, the form of errors, exit statuses, and `--json`.

Rules:
- `doorward --help` imports only click. A command's module is imported if the command runs.
- An error is one sentence and a remedy, on standard error. A stack trace appears only with `--debug`.
- The class of the error decides the exit status (`EXIT_STATUS`), and thereby names whose turn it is.
- With `--json`, standard output is exactly one JSON document. All other output goes to standard error.
"""

from __future__ import annotations

import difflib
import enum
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from agent import errors
from agent.cli.language import HelpFormatter, in_words, speak, spoken
from agent.core.languages import ENGLISH, LANGUAGES
from agent.errors import DoorwardError

__all__ = [
    "BOOT_FOLDERS",
    "DEFAULT_CONFIGURATION",
    "EXIT_STATUS",
    "IN_ENGLISH",
    "Fraction",
    "Group",
    "Invocation",
    "LazyCommand",
    "LazyGroup",
    "Number",
    "config_option",
    "emit_json",
    "json_option",
    "language_option",
    "run",
    "without_rich",
]

BOOT_FOLDERS = (Path("/boot/firmware"), Path("/boot"), Path("/bootfs"))
"""The boot partition. On a card with two slots, each has one for reading only, and /bootfs is the one of both."""
DEFAULT_CONFIGURATION = Path("/etc/doorward/doorward.toml")

EXIT_STATUS: Mapping[type[DoorwardError], int] = {
    errors.ConfigurationError: 2,
    errors.RequestError: 3,
    errors.FormatError: 4,
    errors.StorageError: 5,
    errors.DeviceError: 6,
    errors.NetworkError: 7,
    errors.InternalError: 70,
}
"""0 is success; 1 is the answer "no", for example a failed check or verification."""

_JsonValue = TypeVar("_JsonValue")

_LONGEST_SENTENCE = 200
"""In characters. It exceeds every sentence, so that none ends in dots."""
_INTERRUPTED = 130
_LANGUAGE = "DOORWARD_LANGUAGE"
IN_ENGLISH: Final = frozenset({"requester", "broker", "motion"})
"""The commands of those who ask for footage, run brokers, or tune the motion detector."""
_SUDO = "Use sudo, or run this as its owner."
_BUG_REMEDY = "Run it again with --debug (doorward --debug …) and report the output."
_ASK_HELP = "Run the same command with --help."
_ASK_DOCTOR = "Find the fault: doorward doctor"
_REMEDIES: Mapping[type[DoorwardError], str] = {
    errors.ConfigurationError: _ASK_HELP,
    errors.RequestError: _ASK_HELP,
    errors.FormatError: "Check that it is the right file and complete.  If you received it, ask for it again.",
    errors.StorageError: _ASK_DOCTOR,
    errors.DeviceError: _ASK_DOCTOR,
    errors.NetworkError: _ASK_DOCTOR,
    errors.InternalError: _BUG_REMEDY,
}
"""The remedy for an error without one, so that a user always has a next step."""


@dataclass(slots=True)
class Invocation:
    """One call of the tool; `click.Context.obj`."""

    debug: bool = False


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """The module of a command, and its line in `--help`, which needs no import."""

    target: str
    """"package.module:attribute"."""
    summary: str


class Group(click.Group):
    """A group whose help shows the complete first sentence of every command."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summary(ctx, name)) for name in self.list_commands(ctx)])

    def summary(self, ctx: click.Context, name: str) -> str:
        """Returns the line of a command in the group's help."""
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=_LONGEST_SENTENCE) if command else ""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does. A few commands of operators are in English only."""
        if ctx.parent is None and args and args[0] in IN_ENGLISH:
            speak(ENGLISH)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group that imports a command if it runs. `lazy` maps names to modules, in the order shown.

    `elsewhere` maps the names of commands that are not installed here to a remedy.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, LazyCommand], elsewhere: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        self._elsewhere = elsewhere or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._lazy, *(name for name in super().list_commands(ctx) if name not in self._lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].target.partition(":")
        # Only now: `doorward --help` on a small board would otherwise import cameras and cryptography for seconds.
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 (a wrong line in the table, caught by a test)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and a wrong name is answered with the nearest right one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args[0] in self._elsewhere:
                raise click.UsageError(f"'{args[0]}' is not installed here. {self._elsewhere[args[0]]}", ctx) from error
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{close[0]}'?", ctx) from error

    def summary(self, ctx: click.Context, name: str) -> str:
        """From the table alone, where the command is in it."""
        return self._lazy[name].summary if name in self._lazy else super().summary(ctx, name)


# --- Running

click.Context.formatter_class = HelpFormatter


def run(tool: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Runs `tool` and returns its exit status. This function alone turns errors into text."""
    invocation = Invocation(debug=bool(os.environ.get("DOORWARD_DEBUG")))
    _choose_language(None, None, os.environ.get(_LANGUAGE))  # for --help, which click answers before --language
    try:
        outcome = tool.main(arguments, prog_name="doorward", standalone_mode=False, obj=invocation)
    except click.ClickException as error:
        _say_usage(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say(in_words("Stopped."))
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left (`| head`).  Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except DoorwardError as error:
        _trace(invocation)
        # The usual cause is a missing sudo, and the error's own remedy would lead elsewhere.
        if isinstance(error.__cause__, PermissionError) and error.__cause__.filename:
            return _say_not_permitted(error.__cause__)
        _say_error(error.message, error.remedy or _of_class(_REMEDIES, error, _BUG_REMEDY))
        return _of_class(EXIT_STATUS, error, 1)
    except PermissionError as error:
        _trace(invocation)
        return _say_not_permitted(error)
    except Exception as error:  # noqa: BLE001 (the outermost edge: a person gets words, a developer --debug)
        _trace(invocation)
        _say_error(f"This is a bug in Doorward ({type(error).__name__}: {error}).", _BUG_REMEDY)
        return EXIT_STATUS[errors.InternalError]
    return outcome if isinstance(outcome, int) else 0


def without_rich() -> None:
    """Keeps rich out of a process that runs for months. structlog imports it if it is available.

    Call it before the first import of structlog. It saves 4 MB in each role and service, for coloured tracebacks that
    no log draws.
    """
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    modules.setdefault("rich", None)


def _say_not_permitted(error: PermissionError) -> int:
    _say_error(f"{error.filename or 'A file'} cannot be read or written by this user.", _SUDO)
    return EXIT_STATUS[errors.ConfigurationError]


def _of_class(
    table: Mapping[type[DoorwardError], _JsonValue], error: DoorwardError, otherwise: _JsonValue
) -> _JsonValue:
    # The nearest class: a subclass of an error keeps the status of its parent.
    return next((table[kind] for kind in type(error).__mro__ if kind in table), otherwise)


def _trace(invocation: Invocation) -> None:
    if invocation.debug:
        _say(_legible(traceback.format_exc()))


def _say_error(message: str, remedy: str) -> None:
    _say(click.style(f"{in_words('Error:')} ", fg="red", bold=True) + in_words(_legible(message)))
    _say(click.style(f"  {in_words('What to do:')} ", bold=True) + in_words(_legible(remedy)))


def _say_usage(error: click.ClickException) -> None:
    """Prints what is wrong with the arguments, as click does, in the reader's language."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        _say(error.ctx.get_usage())
        _say(in_words(f"To see what it takes: {error.ctx.command_path} --help"))
        _say("")
    _say(f"{in_words('Error:')} {in_words(_legible(error.format_message()))}")


def _choose_language(_context: click.Context | None, _option: click.Parameter | None, code: str | None) -> None:
    """Speaks the language of `--language`, or else that of the terminal."""
    from agent.sentences import reader_language

    speak(code if code is not None and code in LANGUAGES else reader_language(os.environ))


def _legible(text: str) -> str:
    """Removes terminal control characters. An error may quote a file name or a text from an attacker."""
    return "".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text)


def _say(text: str) -> None:
    click.echo(text, err=True)


# --- Options that look the same everywhere


class Number(click.IntRange):
    """A whole number. The help shows its bounds in plain words."""

    name = "number"

    def _describe_range(self) -> str:
        return _bounds(self.min, self.max)


class Fraction(click.FloatRange):
    """A number. The help shows its bounds in plain words."""

    name = "number"

    def _describe_range(self) -> str:
        return _bounds(self.min, self.max)


def _bounds(least: float | None, most: float | None) -> str:
    if most is None:
        return in_words(f"at least {least}")
    return f"{least} to {most}" if spoken() == ENGLISH else f"{least}–{most}"


_Command = TypeVar("_Command", bound=Callable[..., Any])


def language_option(command: _Command) -> _Command:
    """Adds `--language`, which every command obeys."""
    return click.option(
        "--language",
        type=click.Choice(list(LANGUAGES)),
        envvar=_LANGUAGE,
        show_envvar=True,
        is_eager=True,
        expose_value=False,
        callback=_choose_language,
        help="The language of what is printed.  Without it: that of the terminal (LANG).",
    )(command)


def json_option(command: _Command) -> _Command:
    """Adds `--json` as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")(command)


def config_option(command: _Command) -> _Command:
    """Adds `--config FILE` as the argument `config`. The file need not exist."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False, readable=False),  # the reader of the file names the remedy
        envvar="DOORWARD_CONFIG",
        default=DEFAULT_CONFIGURATION,
        show_default=True,
        show_envvar=True,
        help="The configuration to use.",
    )(command)


def emit_json(document: Mapping[str, Any]) -> None:
    """Writes the JSON document of a `--json` command. Paths and enums become text.

    Terminal control characters are escaped, because a file name may come from an attacker.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, default=_as_text)
    click.echo("".join(each if each.isprintable() or each == "\n" else _escaped(each) for each in text))


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def _as_text(value: object) -> object:
    return value.value if isinstance(value, enum.Enum) else str(value)
