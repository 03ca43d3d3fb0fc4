"""The commands for workers: what a desk with a data folder says, and what a worker's folder holds."""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from django.conf import settings
from django.db import OperationalError, connection
from django.test import override_settings

from agent.clients.requester.sealed_parts import PartsAwayError
from agent.errors import ConfigurationError
from agent.platform.supervision import SystemdNotifier
from desk import sealed_keys
from desk.config import Broker, Database, DeskConfig, Storage, load
from desk.people.organisations import folder_of
from desk.receiving.models import Receiver
from desk.service_status import ServiceStatus
from desk.workers import make_folder, require_same_version, require_shared, run_worker, unlock_keys, worker_folder
from tests.desk.agencies import Agency
from tests.desk.test_serve import Manager

SHARED = DeskConfig(database=Database(kind="postgresql", host="/run/postgresql"), storage=Storage(kind="s3"))
WORKER = msgspec.structs.replace(SHARED, broker=Broker(worker="w1"))


@pytest.mark.parametrize(
    "config", [DeskConfig(), msgspec.structs.replace(SHARED, storage=Storage()), DeskConfig(storage=Storage(kind="s3"))]
)
def test_a_desk_that_keeps_answers_in_its_folder_has_no_workers(config: DeskConfig) -> None:
    with pytest.raises(ConfigurationError, match="this desk has a data folder"):
        require_shared(config)
    with pytest.raises(ConfigurationError, match="this desk has a data folder"):
        run_worker(config, threading.Event(), print)


def test_a_worker_without_a_name_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="has no name"):
        run_worker(SHARED, threading.Event(), print)


@pytest.mark.usefixtures("data")
def test_a_worker_starts_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The store may be away for long, and its requests must go out. So systemd hears that it is ready before that."""
    manager = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)

    def away(_: object) -> None:
        assert "STATUS=The worker w1 receives." in manager.hears("READY=1")
        raise PartsAwayError("The S3 store does not answer: 500.")

    monkeypatch.setattr("desk.workers.check_storage", away)
    monkeypatch.setattr("desk.workers.Supervisor", lambda *_, **_with: contextlib.nullcontext())
    said: list[object] = []
    stop, waits = threading.Event(), iter([False, True])
    monkeypatch.setattr(stop, "wait", lambda _seconds: next(waits))
    run_worker(WORKER, stop, said.append)
    assert said == ["The S3 store does not answer: 500.", "The worker w1 receives (stop: Ctrl-C)."]
    manager.hears("WATCHDOG=1")
    manager.hears("STOPPING=1")
    manager.close()


def test_systemd_shows_how_many_receivers_are_connected_and_no_name(agency: Agency, tmp_path: Path) -> None:
    manager = Manager(tmp_path)
    status = ServiceStatus("Serves https://desk.example.", SystemdNotifier({"NOTIFY_SOCKET": manager.address}))
    status._show()
    status.ready()
    assert manager.hears("STATUS").startswith("READY=1"), "no line goes ahead of it"
    status._show()
    assert manager.hears("No organisation") == "STATUS=Serves https://desk.example. No organisation receives yet."
    Receiver.objects.create(organisation=agency.organisation, state="connected")
    Receiver.objects.create(organisation=agency.organisation, worker="w9", state="connected")
    status._show()
    assert manager.hears("Receivers") == "STATUS=Serves https://desk.example. Receivers connected: 1 of 1."
    Receiver.objects.update(state="failed")
    for _ in range(2):
        status._show()
    status.alive()
    assert manager.hears("STATUS") == "STATUS=Serves https://desk.example. Receivers connected: 0 of 1."
    assert manager.hears("") == "WATCHDOG=1", "the same line is told once"
    manager.close()


@pytest.mark.usefixtures("data")
def test_a_worker_of_another_version_than_the_database_does_not_start_and_says_what_to_upgrade() -> None:
    require_same_version()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('cases', '0002_later', '2027-01-01')"
        )
        with pytest.raises(ConfigurationError, match="newer version than this worker"):
            run_worker(WORKER, threading.Event(), print)
        cursor.execute("DELETE FROM django_migrations WHERE app = 'cases'")
        with pytest.raises(ConfigurationError, match="older version than this worker") as raised:
            run_worker(WORKER, threading.Event(), print)
    assert raised.value.remedy is not None
    assert raised.value.remedy.startswith("Upgrade and start the desk first")


def test_a_worker_starts_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("desk.workers.require_same_version", away)
    monkeypatch.setattr("desk.workers.check_storage", lambda _: None)
    monkeypatch.setattr("desk.workers.Supervisor", lambda *_, **_with: contextlib.nullcontext())
    said: list[object] = []
    stop = threading.Event()
    stop.set()
    run_worker(WORKER, stop, said.append)
    assert said == ["PostgreSQL does not answer yet: connection refused", "The worker w1 receives (stop: Ctrl-C)."]


def test_the_folder_of_a_worker_has_the_keys_and_a_signing_request_for_each_organisation(
    agency: Agency, other_agency: Agency, tmp_path: Path
) -> None:
    secret, password = tmp_path / "s3.secret", tmp_path / "db.password"
    secret.write_text("s3")
    password.write_text("db")
    for each in (secret, password):
        each.chmod(0o600)
    authorities = [tmp_path / of / "authority.pem" for of in ("database", "storage")]
    for each in authorities:
        each.parent.mkdir()
        each.write_text(each.parent.name)
    config = msgspec.structs.replace(
        SHARED,
        database=msgspec.structs.replace(SHARED.database, host="db", password_file=password, authority=authorities[0]),
        storage=Storage(
            kind="s3",
            endpoint="https://s3.example",
            bucket="evidence",
            access_key="desk",
            secret_key_file=secret,
            authority=authorities[1],
        ),
        broker=Broker(host="broker.example"),
    )
    own = folder_of(agency.organisation) / "tls" / "broker.example"
    own.mkdir(parents=True)
    (own / "authority.pem").write_text("of this broker alone")
    (own / "broker.password").write_text("of the desk alone")
    folder = tmp_path / "worker"
    with override_settings(DESK=msgspec.structs.replace(config, data=settings.DESK.data)):
        done = CliRunner().invoke(worker_folder, ["w2", str(folder)])
    assert done.exception is None
    copied_for_host = folder / "data/organisations/rijnstad-police/tls/broker.example"
    assert [each.name for each in copied_for_host.iterdir()] == ["authority.pem"], "each worker has its own password"
    assert re.findall(r"operator \S+/(\S+),", done.output) == ["rijnstad-police.w2.csr", "waterland-police.w2.csr"]
    place = copied_for_host / "broker.password"
    assert f"make the user rijnstad-police.w2, and write its password into {place}\n" in done.output
    assert "make the user waterland-police" not in done.output
    made = load(folder / "desk.toml")
    assert made.broker == Broker(host="broker.example", worker="w2")
    assert made.data == folder / "data"
    assert made.storage.secret_key_file == folder / "storage-s3.secret"
    assert (folder / "storage-s3.secret").read_text() == "s3"
    copied = [made.database.authority, made.storage.authority]
    assert [each.read_text() for each in copied if each is not None] == ["database", "storage"], "each has its own file"
    for name in ("rijnstad-police", "waterland-police"):
        keys = folder / "data" / "organisations" / name
        assert (keys / "signing.key").read_bytes() == (
            folder_of(agency.organisation).parent / name / "signing.key"
        ).read_bytes()
        assert {path.stat().st_mode & 0o077 for path in (keys / "signing.key", keys / "tls/key.pem")} == {0}
    assert (folder / "data/custody/signing.key").is_file()
    assert folder.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigurationError, match="exists"):
        list(make_folder(config, "w2", folder))


def test_a_name_that_no_certificate_may_have_is_refused(agency: Agency, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="worker"):
        list(make_folder(SHARED, "No Name", tmp_path / "worker"))


def test_a_sealed_signing_key_is_unlocked_with_its_passphrase(agency: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)
    folder = folder_of(agency.organisation)
    sealed_keys.seal(folder, "six words that nobody guesses")
    sealed_keys._unlocked.clear()
    asked: list[str] = []

    def passphrase(name: str) -> str:
        asked.append(name)
        return "six words that nobody guesses"

    unlock_keys(passphrase)
    unlock_keys(passphrase)
    assert asked == ["rijnstad-police"]
    assert not sealed_keys.is_locked(folder)
