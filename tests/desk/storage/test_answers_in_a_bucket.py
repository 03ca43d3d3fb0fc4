"""The life of an answer whose parts are in a real S3 store: it arrives, is audited, played, held, and deleted."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.test import override_settings

from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.verification import examine
from agent.core.transfer import TransferOutcome
from agent.errors import ConfigurationError, NetworkError
from desk.cases import case_work
from desk.cases.deletion import run_due
from desk.cases.films import OpenFilms, PrivateMemory
from desk.cases.models import Answer, Case, SignedRequest
from desk.cases.object_locks import lock_what_is_held
from desk.config import DeskConfig, Storage
from desk.custody.answers import audit_files
from desk.people.roles import Role
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.reconcile import reconcile
from desk.storage.s3_parts import S3Parts
from desk.storage.shared_parts import check_storage
from tests.clients.requester.conftest import gops, house
from tests.clients.requester.doors import Door, TestClock
from tests.clients.requester.house import House
from tests.desk.agencies import Agency
from tests.desk.grown import close_stores
from tests.desk.receiving.doors import ask, receive
from tests.desk.receiving.test_reconcile import LIMITS, deliver_with_a_kill
from tests.desk.waiting import patiently
from tests.fake_bus import FakeBroker, FakeBus
from tests.seaweed import ACCESS_KEY, SECRET_KEY, SeaweedServer, s3_client, seaweed_server

__all__ = ["gops", "house"]

BUCKET = "evidence"


@pytest.fixture(scope="module")
def server() -> Iterator[SeaweedServer]:
    with seaweed_server() as server, s3_client(server) as client:
        patiently(lambda: client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True))
        yield server


@pytest.fixture
def storage(server: SeaweedServer, data: Path) -> Iterator[Storage]:
    secret = data / "s3.secret"
    secret.write_text(SECRET_KEY)
    secret.chmod(0o600)
    chosen = Storage(
        kind="s3",
        endpoint=server.endpoint,
        bucket=BUCKET,
        prefix=data.parent.name,
        access_key=ACCESS_KEY,
        secret_key_file=secret,
        object_lock=True,
    )
    with override_settings(DESK=DeskConfig(storage=chosen)):
        yield chosen
    close_stores()


@pytest.fixture
def bucket(server: SeaweedServer, storage: Storage) -> Iterator[Any]:
    with s3_client(server) as client:

        def keys() -> list[str]:
            found = client.list_object_versions(Bucket=BUCKET, Prefix=f"{storage.prefix}/")
            return [each["Key"].partition("/")[2] for each in found.get("Versions", ())]

        yield keys


def test_an_answer_lives_in_the_bucket_and_a_deletion_leaves_nothing_of_it(
    agency: Agency, house: House, bucket: Any, tmp_path: Path
) -> None:
    requester, asked = ask(agency)
    disclosure = receive(agency, house, requester, asked)
    folder = AnswerFolder(requester.folder, disclosure.id).path
    assert not list(folder.glob("*.age"))
    assert not list(folder.glob("*.part"))
    expected = {f"rijnstad-police/{disclosure.id}/{number}.age" for number in range(len(disclosure.parts))}
    assert set(bucket()) == expected
    assert Answer.objects.get().state == "complete"
    assert list(audit_files(agency.organisation)) == []
    (tmp_path / "memory").mkdir()
    films = OpenFilms(PrivateMemory(tmp_path / "memory"))
    with films.film(requester, disclosure.id, 1) as film:
        assert b"ftyp" in film.read(16)
    films.close()
    SignedRequest.objects.update(not_after=datetime.datetime.now(datetime.UTC))
    later = int(Answer.objects.get().received_at.timestamp()) + 1000 * 86_400
    assert run_due(agency.organisation, requester, later) == 2
    assert bucket() == []
    assert not folder.exists()
    assert requester.sent_request(asked.request.id).deleted


def test_a_part_that_is_swapped_in_the_bucket_is_named_by_the_audit_and_not_shown(
    agency: Agency, house: House, server: SeaweedServer, storage: Storage
) -> None:
    requester, asked = ask(agency)
    disclosure = receive(agency, house, requester, asked)
    key = f"{storage.prefix}/rijnstad-police/{disclosure.id}/1.age"
    with s3_client(server) as client:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"another", Metadata={"sha256": "0" * 64})
    findings = list(audit_files(agency.organisation))
    assert len(findings) == 1
    assert "differs" in findings[0].said
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert "differs" in failed.said


def test_a_legal_hold_locks_the_objects_and_its_end_lets_them_go(
    agency: Agency, house: House, server: SeaweedServer, storage: Storage, bucket: Any
) -> None:
    requester, asked = ask(agency)
    receive(agency, house, requester, asked)
    officer = agency.people[Role.EVIDENCE_OFFICER]
    lock_what_is_held(agency.organisation)
    assert not Answer.objects.get().locked
    case_work.hold_case(Case.objects.get(), officer, "Order of the court")
    lock_what_is_held(agency.organisation)
    assert Answer.objects.get().locked
    with s3_client(server) as client:
        for each in client.list_object_versions(Bucket=BUCKET, Prefix=f"{storage.prefix}/")["Versions"]:
            with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
                client.delete_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])
    case_work.end_hold(Case.objects.get(), officer, "Dismissed")
    SignedRequest.objects.update(not_after=datetime.datetime.now(datetime.UTC))
    later = int(Answer.objects.get().received_at.timestamp()) + 1000 * 86_400
    assert run_due(agency.organisation, requester, later) == 2, "before the clock has unlocked them"
    assert bucket() == []


def test_a_kill_at_a_report_leaves_the_answer_once(agency: Agency, house: House, bucket: Any) -> None:
    requester, asked = ask(agency)
    assert deliver_with_a_kill(agency, requester, asked, house, at=3, after=False)
    assert Answer.objects.get().state == "complete"
    assert len(bucket()) == len(set(bucket())) == len(house.disclose(asked).parts)


def test_a_store_that_is_away_refuses_no_answer_and_the_receiver_that_comes_back_has_it(
    agency: Agency, house: House, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, asked = ask(agency)
    broker, clock = FakeBroker(), TestClock()
    door = Door(broker, requester, house.disclose(asked), clock)
    whole = len(door.disclosure.parts)
    pieces, calls = S3Parts.pieces, 0

    def away_at_times(self: S3Parts, disclosure: str, number: int) -> Iterator[bytes]:
        nonlocal calls
        calls += 1
        if calls in (1, 4, 30):  # at part 0, during verification, and while the report is written
            raise NetworkError("The S3 store does not answer.")
        return pieces(self, disclosure, number)

    monkeypatch.setattr(S3Parts, "pieces", away_at_times)
    failures = 0
    while door.finished is None:
        bus = FakeBus(broker, requester.id)
        bus.start()
        recorder = AnswerRecorder(agency.organisation, requester)
        try:
            reconcile(agency.organisation, requester, recorder)
            receiver = DisclosureReceiver(requester, bus, clock, LIMITS, tell=recorder.record)
            receiver.start()
            for _ in range(20_000):
                if not any([receiver.step(0) is not None, door.step()]):
                    clock.boot_ns += 10**9
                if door.finished is not None:
                    break
        except NetworkError:
            failures += 1
            assert failures < 50
        bus.stop()
    monkeypatch.undo()
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    assert failures >= 2
    assert door.finished.outcome is TransferOutcome.DELIVERED
    assert Answer.objects.get().state == "complete"
    assert len(bucket()) == whole


def test_settings_that_cannot_work_stop_the_desk_at_its_start(storage: Storage, data: Path) -> None:
    check_storage(storage)
    check_storage(Storage())
    secret = data / "missing.secret"
    with pytest.raises(ConfigurationError, match=r"missing\.secret"):
        check_storage(msgspec.structs.replace(storage, secret_key_file=secret))
    with pytest.raises(ConfigurationError, match="has no bucket"):
        check_storage(msgspec.structs.replace(storage, bucket="nowhere"))
