"""Workers: further machines that receive the answers of the organisations, beside the desk that serves the pages.

They share PostgreSQL and an S3 store (`desk.storage`). `worker_folder` makes the folder of a new one: its configuration
and the keys of the organisations. `run_worker` receives until it is stopped. Source: decision 0050, docs/desk.md.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click
import msgspec
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.migrations.loader import MigrationLoader

from agent.clients.requester.broker_files import PASSWORD
from agent.errors import ConfigurationError, NetworkError
from agent.platform import files
from agent.platform.certificates import signing_request
from agent.platform.metrics_server import MetricsServer
from agent.platform.stop_signals import StopSignals
from desk import sealed_keys
from desk.cli import prepare_data
from desk.config import DeskConfig, load
from desk.custody.keys import desk_key
from desk.people.models import Organisation
from desk.people.organisations import broker_certificates, broker_hosts, folder_of, requester_of, worker_of
from desk.receiving.broker_connection import open_bus
from desk.receiving.supervisor import Supervisor
from desk.receiving.worker_figures import WorkerFigures
from desk.service_status import ALIVE_EVERY_S, ServiceStatus
from desk.storage.postgres_notes import WORKERS_KEY, PostgresNotes
from desk.storage.shared_parts import check_storage
from desk.storage.shared_stores import watched_servers

__all__ = ["require_same_version", "run_worker", "worker", "worker_folder"]

_KEYS: Final = (
    "requester.json",
    "signing.key",
    "signing.key.age",
    "signing.pub",
    "tips.identity",
    "tips.recipient",
    WORKERS_KEY,
)
"""Files that a worker has of each organisation, as far as they are there. All else is shared."""
_SECRET_LIMIT_BYTES: Final = 64 * 1024
_TABLES: Final = ("database", "storage", "broker", "token")


@click.command("worker")
@click.option("--unlock", is_flag=True, help="Ask for the passphrase of each sealed signing key.")
def worker(unlock: bool) -> None:
    """Receive answers, and serve no pages. Several workers share the work.

    \b
    Stop one at any time: another goes on with its answers.
    """
    prepare_data(settings.DESK.data)
    if unlock:
        unlock_keys(lambda name: str(click.prompt(f"Passphrase of the signing key of {name}", hide_input=True)))
    stop = threading.Event()
    with StopSignals(stop.set):
        run_worker(settings.DESK, stop, click.echo)


@click.command("worker-folder")
@click.argument("name")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def worker_folder(name: str, folder: Path) -> None:
    """Make FOLDER for a new worker NAME: its configuration, the keys, and a signing request for each organisation.

    \b
    FOLDER holds signing keys. Bring it to the worker's machine over a secure channel, and delete it here.
    """
    require_shared(settings.DESK)
    requests = list(make_folder(settings.DESK, name, folder))
    click.echo(f"{folder} is ready for the worker {name}. It holds signing keys.")
    for request in requests:
        click.echo(f"  Give the broker's operator {request}, and put the answer beside its key: certificate.pem")
    for organisation in Organisation.objects.order_by("requester_id"):
        for each in (each for each in broker_certificates(organisation) if each.has_password):
            host = each.host or settings.DESK.broker.host
            place = folder / "data" / "organisations" / organisation.requester_id / "tls" / host / PASSWORD
            click.echo(
                f"  At {host}, make the user {organisation.requester_id}.{name}, and write its password into {place}"
            )
    click.echo(f"Then, on its machine:  doorward-desk --config {folder.name}/desk.toml worker")


def run_worker(config: DeskConfig, stop: threading.Event, say: Callable[[str], object]) -> None:
    """Receives for all organisations until `stop`. Raises `ConfigurationError`.

    A store that is away keeps it from no request: the receivers wait for it themselves. A store that is cut off answers
    after half a minute, and requests go out meanwhile.
    """
    require_shared(config)
    if not config.broker.worker:
        raise ConfigurationError(
            "This worker has no name.", remedy="Write it into desk.toml, [broker] worker. Each worker needs its own."
        )
    try:
        require_same_version()
    except (OperationalError, InterfaceError) as error:
        say(f"PostgreSQL does not answer yet: {error}")
    checked, status = threading.Event(), ServiceStatus(f"The worker {config.broker.worker} receives.")
    figures = WorkerFigures()
    metrics = MetricsServer(figures.page, path=None, port=config.metrics.port or None)
    metrics.start()
    try:
        with status.shown(), watched_servers(), Supervisor(worker_of, open_bus, may_receive=checked, figures=figures):
            status.ready()  # requests go out from now on
            try:
                check_storage(config.storage)
            except NetworkError as error:
                say(str(error))
            checked.set()
            say(f"The worker {config.broker.worker} receives (stop: Ctrl-C).")
            while not stop.wait(ALIVE_EVERY_S):
                status.alive()
    finally:
        metrics.stop()


def require_same_version() -> None:
    """Raises `ConfigurationError` if the desk has brought the database to another form than this program's.

    Only the desk changes the form, when it starts (`doorward-desk serve`). A worker that already runs goes on.
    """
    loader = MigrationLoader(connection)
    here, there = set(loader.disk_migrations), set(loader.applied_migrations)
    if here - there:
        raise ConfigurationError(
            "The database is of an older version than this worker.",
            remedy="Upgrade and start the desk first: it brings the database to its form.",
        )
    if there - here:
        raise ConfigurationError("The database is of a newer version than this worker.", remedy="Upgrade this worker.")


def require_shared(config: DeskConfig) -> None:
    """Raises `ConfigurationError` if workers would not share what they receive."""
    if config.database.kind != "postgresql" or config.storage.kind != "s3":
        raise ConfigurationError(
            "Workers share PostgreSQL and an S3 store, and this desk has a data folder.",
            remedy="Set [database] kind to 'postgresql' and [storage] kind to 's3' in desk.toml.",
        )


def unlock_keys(ask: Callable[[str], str]) -> None:
    """Takes each sealed signing key into memory, with the passphrase that `ask` returns for the organisation."""
    for organisation in Organisation.objects.order_by("requester_id"):
        if sealed_keys.is_locked(folder_of(organisation)):
            sealed_keys.unlock(folder_of(organisation), ask(organisation.requester_id))


def make_folder(config: DeskConfig, name: str, folder: Path) -> Iterator[Path]:
    """Makes the folder of the worker `name`, and yields the path of each signing request. Raises
    `ConfigurationError`."""
    if files.is_there(folder):
        raise ConfigurationError(f"{folder} exists.", remedy="Choose another folder.")
    desk_key()  # makes it on a new desk
    files.make_folder(folder)
    # Before the first secret is in it.
    folder.chmod(0o700)
    changed = msgspec.structs.replace(config, broker=msgspec.structs.replace(config.broker, worker=name))
    files.write(folder / "desk.toml", _text(changed, folder).encode())
    load(folder / "desk.toml")  # the name of the worker may be none
    custody = files.make_folder(folder / "data" / "custody")
    _copy(settings.DATA / "custody" / "signing.key", custody / "signing.key")
    for organisation in Organisation.objects.order_by("requester_id"):
        notes = requester_of(organisation).notes
        if isinstance(notes, PostgresNotes):
            notes.check()  # makes the key of the workers
        yield _organisation(organisation, name, folder)


def _organisation(organisation: Organisation, name: str, folder: Path) -> Path:
    source, target = folder_of(organisation), folder / "data" / "organisations" / organisation.requester_id
    files.make_folder(target)
    for key in _KEYS:
        _copy(source / key, target / key)
    tls = files.make_folder(target / "tls")
    _copy(source / "tls" / "authority.pem", tls / "authority.pem")
    for host in broker_hosts(organisation):
        own = source / "tls" / host / "authority.pem"
        if files.is_file(own):
            _copy(own, files.make_folder(tls / host) / "authority.pem")
    connection = f"{organisation.requester_id}.{name}"
    request = folder / f"{connection}.csr"
    files.write(request, signing_request(tls / "key.pem", connection))
    return request


def _copy(source: Path, target: Path) -> None:
    data = files.read_if_there(source, _SECRET_LIMIT_BYTES)
    if data is not None:
        files.write(target, data, secret=True)


def _text(config: DeskConfig, folder: Path) -> str:
    """Returns the configuration of a worker. Secrets that it names are copied into `folder`."""
    lines = ['data = "data"', f"language = {json.dumps(config.language)}"]
    for table in _TABLES:
        section = getattr(config, table)
        if section is None:
            continue
        lines.append(f"\n[{table}]")
        for key, value in msgspec.structs.asdict(section).items():
            if isinstance(value, Path) and key != "module":
                copy = f"{table}-{value.name}"  # two tables may name files alike, for example authority.pem
                shutil.copyfile(value, folder / copy)
                (folder / copy).chmod(0o600)
                lines.append(f"{key} = {json.dumps(copy)}")
            elif value is not None:
                lines.append(f"{key} = {json.dumps(str(value) if isinstance(value, Path) else value)}")
    return "\n".join(lines) + "\n"
