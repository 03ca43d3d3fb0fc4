"""Sealed parts: one contract for a folder and for a real SeaweedFS."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from agent.clients.requester.sealed_parts import FolderParts, SealedParts
from agent.errors import ConfigurationError, DoorwardError, NetworkError, StorageError
from desk.storage.s3_parts import S3Parts
from tests.desk.waiting import patiently
from tests.seaweed import ACCESS_KEY, SECRET_KEY, SeaweedServer, s3_client, seaweed_server

ONE, TWO = "1" * 32, "2" * 32
BUCKET, LOCKED = "answers", "locked-answers"


@pytest.fixture(scope="module")
def server() -> Iterator[SeaweedServer]:
    with seaweed_server() as server:
        with s3_client(server) as client:
            patiently(lambda: client.create_bucket(Bucket=BUCKET))
            patiently(lambda: client.create_bucket(Bucket=LOCKED, ObjectLockEnabledForBucket=True))
        yield server


def s3(server: SeaweedServer, prefix: str, bucket: str = BUCKET, **more: Any) -> S3Parts:
    return S3Parts(server.endpoint, bucket, prefix, ACCESS_KEY, SECRET_KEY, **more)


@pytest.fixture(params=["folder", "S3", "S3 with object lock"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SealedParts]:
    if request.param == "folder":
        yield FolderParts(tmp_path / "parts")
        return
    locks = request.param != "S3"
    store = s3(request.getfixturevalue("server"), tmp_path.name, LOCKED if locks else BUCKET, lock=locks)
    yield store
    store.close()


def made(tmp_path: Path, data: bytes, name: str = "source") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def read(parts: SealedParts, disclosure: str, number: int, tmp_path: Path) -> bytes:
    target = tmp_path / "target"
    parts.copy(disclosure, number, target)
    data = target.read_bytes()
    target.unlink()
    assert b"".join(parts.pieces(disclosure, number)) == data
    return data


def test_a_part_is_read_as_it_was_put(parts: SealedParts, tmp_path: Path) -> None:
    size_bytes = 0
    for number, data in ((0, b""), (1, b"sealed"), (30_000, bytes(range(256)) * 10_000)):
        source = made(tmp_path, data)
        parts.put(ONE, number, source)
        size_bytes += len(data)
        assert not source.exists()
        assert read(parts, ONE, number, tmp_path) == data
        assert parts.size_bytes(ONE) == size_bytes
    assert parts.numbers(ONE) == {0, 1, 30_000}
    assert parts.numbers(TWO) == frozenset()


def test_a_bucket_says_which_answers_it_has_and_since_when(server: SeaweedServer, tmp_path: Path) -> None:
    store, other = s3(server, tmp_path.name), s3(server, f"{tmp_path.name}-2")
    began_ms = time.time() * 1000
    for number in range(2):
        store.put(ONE, number, made(tmp_path, b"sealed"))
    store.put(TWO, 0, made(tmp_path, b"sealed"))
    assert store.stored() == sorted((ONE, TWO))
    assert all(began_ms - 2000 <= store.arrived_ms(each) <= time.time() * 1000 + 2000 for each in (ONE, TWO))
    store.remove(ONE)
    assert store.stored() == [TWO]
    assert other.stored() == [], "another organisation's parts are below another prefix"
    for each in (store, other):
        each.close()


def test_the_date_of_an_answer_outlives_a_bucket_that_was_copied_back(
    server: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's own date is that of the copy. The desk would keep footage for longer than it promised."""
    store, back = s3(server, tmp_path.name), s3(server, f"{tmp_path.name}-back")
    now_s, dates_s = time.time(), iter((-86_400, -80_000, -90_000))
    with monkeypatch.context() as earlier:
        earlier.setattr("desk.storage.s3_parts.time.time", lambda: now_s + next(dates_s))
        for number in range(3):
            store.put(ONE, number, made(tmp_path, b"sealed"))
    with s3_client(server) as client:
        for number in range(3):
            key = f"{ONE}/{number}.age"
            source = {"Bucket": BUCKET, "Key": f"{tmp_path.name}/{key}"}
            client.copy_object(Bucket=BUCKET, Key=f"{tmp_path.name}-back/{key}", CopySource=source)
        assert back.arrived_ms(ONE) == int((now_s - 80_000) * 1000), "that of the newest part"
        assert b"".join(back.pieces(ONE, 0)) == b"sealed"
        for date in ("", "99999999999999", "soon", "-1"):  # without our date, or of a clock that ran ahead
            client.put_object(
                Bucket=BUCKET,
                Key=f"{tmp_path.name}-back/{TWO}/0.age",
                Body=b"",
                Metadata={"put-ms": date} if date else {},
            )
            assert abs(back.arrived_ms(TWO) - time.time() * 1000) < 60_000, date
    for each in (store, back):
        each.close()


def test_a_part_that_two_receivers_put_is_there_once_and_another_in_its_place_is_refused(
    parts: SealedParts, tmp_path: Path
) -> None:
    sources = [made(tmp_path, b"sealed" * 1000, f"source-{number}") for number in range(4)]
    if isinstance(parts, FolderParts):
        for source in sources:  # a folder has one receiver at a time
            parts.put(ONE, 1, source)
    else:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda source: parts.put(ONE, 1, source), sources))
    assert parts.numbers(ONE) == {1}
    with pytest.raises(StorageError, match="differs"):
        parts.put(ONE, 1, made(tmp_path, b"another"))
    assert read(parts, ONE, 1, tmp_path) == b"sealed" * 1000


def test_a_removed_disclosure_is_gone_and_others_stay(parts: SealedParts, tmp_path: Path) -> None:
    for disclosure in (ONE, TWO):
        for number in range(3):
            parts.put(disclosure, number, made(tmp_path, b"sealed"))
    for _ in range(2):
        parts.remove(ONE)
        assert parts.numbers(ONE) == frozenset()
    assert parts.numbers(TWO) == {0, 1, 2}
    with pytest.raises(StorageError):
        parts.copy(ONE, 0, tmp_path / "target")
    with pytest.raises(StorageError):
        list(parts.pieces(ONE, 0))
    assert parts.size_bytes(ONE) == 0
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", ["", "..", "../" + "1" * 29, "A" * 32, ONE + "/"])
def test_what_is_no_id_never_becomes_part_of_a_path(parts: SealedParts, name: str, tmp_path: Path) -> None:
    for act in (
        lambda: parts.put(name, 0, made(tmp_path, b"x")),
        lambda: parts.copy(name, 0, tmp_path / "target"),
        lambda: list(parts.pieces(name, 0)),
        lambda: parts.size_bytes(name),
        lambda: parts.numbers(name),
        lambda: parts.remove(name),
    ):
        with pytest.raises(ConfigurationError, match="not the id"):
            act()


# -- a store that is away ----------------------------------------------------------------------------------------------


def test_a_killed_store_is_named_and_has_every_part_whose_put_returned(server: SeaweedServer, tmp_path: Path) -> None:
    store, acknowledged = s3(server, tmp_path.name), set[int]()
    stop = threading.Event()

    def put() -> None:
        for number in range(10_000):
            if stop.is_set():
                return
            try:
                store.put(ONE, number, made(tmp_path, b"%d" % number * 5000))
            except DoorwardError:
                return
            acknowledged.add(number)

    thread = threading.Thread(target=put)
    thread.start()
    deadline = time.monotonic() + 60
    while len(acknowledged) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    server.kill()
    with pytest.raises((NetworkError, StorageError)):
        store.numbers(ONE)
    stop.set()
    thread.join()
    server.start()
    assert acknowledged <= patiently(lambda: store.numbers(ONE))
    for number in acknowledged:
        assert patiently(functools.partial(read, store, ONE, number, tmp_path)) == b"%d" % number * 5000
    store.close()


def test_what_is_not_as_it_was_put_is_never_handed_out_as_whole(server: SeaweedServer, tmp_path: Path) -> None:
    store = s3(server, tmp_path.name)
    store.put(ONE, 0, made(tmp_path, b"sealed"))
    with s3_client(server) as client:
        client.put_object(
            Bucket=BUCKET, Key=f"{tmp_path.name}/{ONE}/0.age", Body=b"swapped", Metadata={"sha256": "0" * 64}
        )
    with pytest.raises(StorageError, match="differs"):
        list(store.pieces(ONE, 0))
    with pytest.raises(StorageError, match="differs"):
        store.copy(ONE, 0, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    store.close()


# -- legal hold --------------------------------------------------------------------------------------------------------


def test_a_held_answer_cannot_be_deleted_by_anyone_with_the_key_until_the_hold_ends(
    server: SeaweedServer, tmp_path: Path
) -> None:
    store = s3(server, tmp_path.name, LOCKED, lock=True)
    for number in range(3):
        store.put(ONE, number, made(tmp_path, b"sealed"))
    store.hold(ONE, on=True)
    with pytest.raises(StorageError, match="legal hold"):
        store.remove(ONE)
    with s3_client(server) as client:
        found = client.list_object_versions(Bucket=LOCKED, Prefix=f"{tmp_path.name}/")["Versions"]
        assert len(found) == 3
        with pytest.raises(ClientError, match="AccessDenied"):
            client.delete_object(Bucket=LOCKED, Key=found[0]["Key"], VersionId=found[0]["VersionId"])
    store.hold(ONE, on=False)
    store.remove(ONE)
    with s3_client(server) as client:
        assert not client.list_object_versions(Bucket=LOCKED, Prefix=f"{tmp_path.name}/").get("Versions")
    store.close()


def test_a_deletion_removes_each_version_also_behind_a_delete_marker(server: SeaweedServer, tmp_path: Path) -> None:
    store = s3(server, tmp_path.name, LOCKED, lock=True)
    store.put(ONE, 0, made(tmp_path, b"sealed"))
    with s3_client(server) as client:
        client.delete_object(Bucket=LOCKED, Key=f"{tmp_path.name}/{ONE}/0.age")  # a marker hides the object
        assert store.numbers(ONE) == frozenset()
        store.remove(ONE)
        left = client.list_object_versions(Bucket=LOCKED, Prefix=f"{tmp_path.name}/")
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")
    store.close()


def test_without_object_lock_a_hold_of_the_desk_alone_protects(server: SeaweedServer, tmp_path: Path) -> None:
    store = s3(server, tmp_path.name)
    store.put(ONE, 0, made(tmp_path, b"sealed"))
    store.hold(ONE, on=True)
    store.remove(ONE)
    assert store.numbers(ONE) == frozenset()
    store.close()


# -- the check at the start --------------------------------------------------------------------------------------------


def test_a_bucket_that_can_do_all_passes_the_check_and_nothing_stays_in_it(
    server: SeaweedServer, tmp_path: Path
) -> None:
    for bucket, lock in ((BUCKET, False), (LOCKED, False), (LOCKED, True)):
        store = s3(server, f"check-{tmp_path.name}", bucket, lock=lock)
        store.check()
        store.close()
        with s3_client(server) as client:
            left = client.list_object_versions(Bucket=bucket, Prefix=f"check-{tmp_path.name}/")
        assert not left.get("Versions")


def test_each_setting_that_cannot_work_is_named_with_its_remedy(server: SeaweedServer) -> None:
    def checked(bucket: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY, *, lock: bool = False) -> str:
        store = S3Parts(server.endpoint, bucket, "x", access_key, secret_key, lock=lock)
        try:
            with pytest.raises(ConfigurationError) as caught:
                store.check()
        finally:
            store.close()
        return str(caught.value)

    assert "refuses the key" in checked(BUCKET, secret_key="wrong")
    assert "secret_key_file" in checked(BUCKET, access_key="stranger")
    assert "has no bucket nowhere" in checked("nowhere")
    assert "has no object lock" in checked(BUCKET, lock=True)
    with s3_client(server) as client:
        client.create_bucket(Bucket="retaining", ObjectLockEnabledForBucket=True)
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 3}}
        configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        client.put_object_lock_configuration(Bucket="retaining", ObjectLockConfiguration=configuration)
    assert "could not delete as promised" in checked("retaining", lock=True)


def test_a_store_that_does_not_answer_is_no_fault_of_the_settings() -> None:
    store = S3Parts("http://127.0.0.1:9", BUCKET, "x", ACCESS_KEY, SECRET_KEY)
    with pytest.raises(NetworkError, match="does not answer"):
        store.check()
    store.close()


def test_a_store_that_is_cut_off_holds_a_receiver_up_for_half_of_a_doorbells_minute_at_most() -> None:
    """The receiver publishes nothing during a call, and a doorbell must hear a request within 60 s. An attempt may wait
    for the connection and then for the answer, and the pauses between attempts double from a second."""
    store = S3Parts("http://127.0.0.1:9", BUCKET, "x", ACCESS_KEY, SECRET_KEY)
    chosen = store._client.meta.config
    tries = chosen.retries["total_max_attempts"]
    pauses_s = sum(2**each for each in range(tries - 1))
    assert (chosen.connect_timeout + chosen.read_timeout) * tries + pauses_s <= 30
    store.close()


@pytest.mark.parametrize(("status", "told"), [(500, "does not answer"), (503, "does not answer"), (403, "refused")])
def test_a_gateway_whose_servers_are_away_blames_no_key(
    status: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Parts("http://127.0.0.1:9", BUCKET, "x", ACCESS_KEY, SECRET_KEY)
    answer = {"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def fail(**_: object) -> None:
        raise ClientError(answer, "ListObjectsV2")  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_objects", lambda _: fail())
    with pytest.raises(NetworkError, match=told) as failed, store._errors("x"):
        store.numbers(ONE)
    assert ("rights" in failed.value.remedy) == (status == 403)
    store.close()


def test_a_refusal_during_work_is_no_fault_of_an_answer(server: SeaweedServer, tmp_path: Path) -> None:
    store = S3Parts(server.endpoint, BUCKET, "x", ACCESS_KEY, "wrong")
    source = made(tmp_path, b"x")
    with pytest.raises(NetworkError, match="refused"):
        store.put(ONE, 0, source)
    assert source.exists()
    store.close()
