"""`doorward-desk`: make a desk and serve it.

Without a command it does both: it makes a desk in the current folder unless there is one, and serves it. A new command
is a function here, or a line in `_LAZY`. A module with models is imported only after `start_django`.
"""

from __future__ import annotations

import datetime
import importlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError
from agent.platform import files
from agent.platform.privileges import as_owner_of
from desk import __version__, config

__all__ = ["desk", "main", "start_django"]

_LAZY: Final[Mapping[str, str]] = {
    "audit": "desk.custody.command:audit",
    "database": "desk.storage.database_command:database",
    "worker": "desk.workers:worker",
    "worker-folder": "desk.workers:worker_folder",
}
"""Commands of apps: name and "package.module:attribute". The module is imported when the command runs."""
_OF_THE_SERVICE: Final = frozenset({"confirm", "database", "link", "restored"})
"""Commands that open no file of the caller's. If root runs one, it has the rights of the owner of the data folder, so
that the service can use what it makes there."""
_FAILED: Final = 2
_IDENTITY_BYTES: Final = 64 * 1024
_Parsed = TypeVar("_Parsed")


class _Commands(click.Group):
    """The commands here, and those of `_LAZY`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_LAZY]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        _use(ctx.params.get("path"))  # click looks the command up before it runs `desk`
        start_django()
        module, _, attribute = _LAZY[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 (a wrong line in the table, caught by a test)
        return command


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration (desk.toml).")
@click.version_option(__version__, prog_name="doorward-desk")
@click.pass_context
def desk(ctx: click.Context, path: Path | None) -> None:
    """The requester's desk: ask for footage, receive it, look at it, hand it on."""
    _use(path)
    if ctx.invoked_subcommand is None:
        if config.locate() is None:
            ctx.invoke(init, folder=Path.cwd())
        ctx.invoke(serve)
    elif ctx.invoked_subcommand in _OF_THE_SERVICE and (named := config.locate()) is not None:
        ctx.with_resource(as_owner_of(config.load(named).data))


@desk.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Make a desk in FOLDER: its configuration, its data folder and its database."""
    path = (folder / "desk.toml").absolute()
    if files.is_there(path):
        raise ConfigurationError(f"{path} exists.", remedy="Choose another folder, or run 'doorward-desk serve'.")
    files.make_folder(folder)
    files.write(path, config.TEMPLATE.read_bytes())
    os.environ[config.ENVIRONMENT] = str(path)
    prepare_data(config.load(path).data)
    start_django()
    migrate()
    click.echo(f"The desk is made. Its configuration is {path}.\nServe it: doorward-desk --config {path} serve")


@desk.command()
def serve() -> None:
    """Serve the pages, and receive answers."""
    loaded = config.load(_configuration())
    prepare_data(loaded.data)
    start_django()
    migrate()
    from desk.server import run

    run(loaded, click.echo)


@desk.command()
@click.argument("address")
def link(address: str) -> None:
    """Make a one-time link for the person with the e-mail ADDRESS, who lost their passkey or password."""
    start_django()
    from desk.people.operator_links import operator_link

    made = operator_link(address)
    click.echo(f"Give this link to {address}. It works once, and ends every earlier passkey, password and session:")
    click.echo(made)


@desk.command()
@click.argument("number", type=int, required=False)
def confirm(number: int | None) -> None:
    """Confirm the change NUMBER as the operator, if no person of the organisation can. Without NUMBER: list changes."""
    start_django()
    from desk.people.operator_confirmations import confirm_change, waiting_lines

    if number is None:
        for line in list(waiting_lines()) or ["No change waits for a second person."]:
            click.echo(line)
    else:
        click.echo(confirm_change(number))


@desk.command()
@click.option("--to", "recipients", multiple=True, required=True, help="Recipient that can open it (age1…).")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def backup(recipients: tuple[str, ...], out: Path) -> None:
    """Write the whole desk to OUT, sealed. The desk may go on serving.

    \b
    Make a key once, away from the desk:   age-keygen -pq -o desk-backup.key
    It prints the recipient. Without the key a backup cannot be opened. Leave -pq out if age is older than 1.3.
    """
    from agent.core.vault.age.recipients import parse_recipient
    from desk.backup import make_backup

    path = _configuration()
    loaded = config.load(path)
    remedy = "Give what age-keygen printed: age1…"
    chosen = [_parsed(parse_recipient, each, f"--to {each}", remedy) for each in recipients]
    count = make_backup(loaded, path, out, chosen)
    click.echo(f"{out} holds the desk with {count} files. It opens with the key of {recipients[0][:16]}… only.")
    if loaded.storage.kind == "s3":
        click.echo(f"The sealed parts of answers are in the bucket {loaded.storage.bucket}, and not in this file.")


@desk.command()
@click.option(
    "--identity", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The key's file."
)
@click.argument("backup_file", metavar="BACKUP", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def restore(identity: Path, backup_file: Path, folder: Path) -> None:
    """Make a desk in the empty FOLDER from a BACKUP. Stop the old desk first: both would sign with one key."""
    from agent.clients.opening import parse_identity_file
    from desk.backup import restore_backup

    text = files.read(identity, _IDENTITY_BYTES).decode("utf-8", "replace")
    identities = _parsed(parse_identity_file, text, str(identity), "Give the file that age-keygen wrote.")
    try:
        made_s = restore_backup(backup_file, folder, identities)
    except OpenError as error:
        raise ConfigurationError(
            f"{backup_file} does not open with the key in {identity}.",
            remedy="Give the key of the recipient that it was sealed to. If this is that key, the file was cut "
            "or changed: take another backup.",
        ) from error
    os.environ[config.ENVIRONMENT] = str((folder / "desk.toml").absolute())
    start_django()
    migrate()
    from desk.custody import log
    from desk.people.models import Organisation

    made = datetime.datetime.fromtimestamp(made_s, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    ended = _end_rights()
    for organisation in Organisation.objects.all():
        log.record(organisation, "operator", "desk.restored", organisation.requester_id, backup=made, ended=ended)
    click.echo(f"The desk of {made} is in {folder}. Answers that came later are not in it.")
    _recover()


@desk.command()
def restored() -> None:
    """Say that the PostgreSQL database was put back from a dump, before the desk and its workers start again.

    \b
    Messages after the dump have used numbers that the database does not know. Doors refuse them a second time.
    Answers after the dump are listed again if the S3 store has them and the dump has the key of their request.
    This machine then also takes a server of PostgreSQL that it would refuse as an old primary.
    """
    start_django()
    from desk.storage.shared_stores import forget_servers

    forget_servers()
    from agent.clients.requester.sequence_numbers import SequenceCounter
    from desk.backup import NUMBERS_SKIPPED
    from desk.custody import log
    from desk.people.models import Organisation
    from desk.people.organisations import requester_of

    ended = _end_rights()
    for organisation in Organisation.objects.all():
        SequenceCounter(requester_of(organisation).notes).skip(NUMBERS_SKIPPED)
        log.record(organisation, "operator", "desk.restored", organisation.requester_id, backup="database", ended=ended)
    _recover()
    click.echo("Each organisation goes on above the numbers that it may have used. Start the desk and its workers.")


def _parsed(parse: Callable[[str], _Parsed], text: str, source: str, remedy: str) -> _Parsed:
    """Returns what `parse` makes of a text. Raises `ConfigurationError` that names its source."""
    try:
        return parse(text)
    except FormatError as error:
        raise ConfigurationError(f"{source}: {error.message}", remedy=remedy) from error


def _end_rights() -> dict[str, int]:
    """Ends what may have ended after the backup, and says so."""
    from desk.restored_rights import end_restored_rights

    ended = end_restored_rights()
    click.echo(
        f"Ended, because they may have ended after the backup: sessions {ended['sessions']}, one-time links "
        f"{ended['one_time_links']}, guest links {ended['guest_links']}, tokens of programs {ended['tokens']}.\n"
        "Roles, passkeys and passwords are those of the backup: look at the page People."
    )
    return ended


def _recover() -> None:
    """Lists answers again that the S3 store has and the database lacks. Their rows follow when a receiver starts."""
    from agent.clients.requester.recovery import recover_answers
    from desk.people.models import Organisation
    from desk.people.organisations import requester_of
    from desk.storage.shared_parts import shared_parts

    for organisation in Organisation.objects.order_by("requester_id"):
        name = organisation.requester_id
        parts = shared_parts(name)
        if parts is None:
            continue
        now_s = int(time.time())
        recovered = recover_answers(requester_of(organisation), parts.stored(), parts.arrived_ms, now_s)
        click.echo(
            f"{name}: {len(recovered.found)} answers of the store are listed again. "
            f"{len(recovered.left)} are left aside."
        )
        for (reason, remedy), those in _by_reason(recovered.left).items():
            click.echo(f"  {reason}")
            click.echo(f"    What to do: {remedy}")
            for each in those:
                click.echo(f"      {parts.place(each)}")


def _by_reason(left: Mapping[str, DoorwardError]) -> dict[tuple[str, str], list[str]]:
    """Returns the answers that were left aside, by reason and remedy."""
    found: dict[tuple[str, str], list[str]] = {}
    for disclosure, error in left.items():
        remedy = error.remedy or "Keep the parts, and report the error."
        found.setdefault((error.message, remedy), []).append(disclosure)
    return found


def _use(path: Path | None) -> None:
    """Makes the file of --config the configuration of this process."""
    if path:
        os.environ[config.ENVIRONMENT] = str(path.absolute())


def _configuration() -> Path:
    """Returns the path of the configuration, and makes it that of this process. Raises `ConfigurationError`."""
    path = config.locate()
    if path is None:
        raise ConfigurationError("There is no desk.toml here.", remedy="Make a desk: doorward-desk init FOLDER")
    os.environ[config.ENVIRONMENT] = str(path.absolute())
    return path


def prepare_data(folder: Path) -> None:
    """Makes the data folder, readable by its owner only, and the key that signs sessions."""
    files.make_folder(folder)
    folder.chmod(0o700)
    key = folder / "secret.key"
    if not files.is_there(key):
        files.write(key, f"{secrets.token_urlsafe(48)}\n".encode(), secret=True)


def start_django() -> None:
    """Loads the settings and the models. The environment names the configuration."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
    django.setup(set_prefix=False)


def migrate() -> None:
    """Brings the database to the form of the models."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    call_command("createcachetable", verbosity=0)


def main(arguments: list[str] | None = None, **more: Any) -> None:
    """Runs the command. An error is two lines: what is wrong, and what to do."""
    try:
        desk.main(args=arguments, prog_name="doorward-desk", **more)
    except Exception as raised:
        error = raised if isinstance(raised, DoorwardError) else _away(raised)
        if error is None:
            raise
        click.echo(f"Error: {error.message}", err=True)
        if error.remedy:
            click.echo(f"  What to do: {error.remedy}", err=True)
        sys.exit(_FAILED)


def _away(raised: Exception) -> DoorwardError | None:
    """Returns the error in words if PostgreSQL is out of reach, or does not let the desk make its tables."""
    from django.db import OperationalError, ProgrammingError
    from django.db.migrations.exceptions import MigrationSchemaMissing

    if "psycopg" not in sys.modules:
        return None  # a desk with SQLite has not loaded PostgreSQL's client
    from desk.storage.postgres_servers import away_error, known_remedy

    if isinstance(raised, OperationalError):
        return away_error(raised.__cause__)
    if isinstance(raised, MigrationSchemaMissing | ProgrammingError):
        said = str(raised).partition("\n")[0].rpartition("(")[2]
        remedy = known_remedy(said)
        return ConfigurationError(f"PostgreSQL: {said}.", remedy=remedy) if remedy else None
    return None


if __name__ == "__main__":
    main()
