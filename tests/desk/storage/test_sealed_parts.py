"""Sealed parts: one contract for a folder and for a real SeaweedFS."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from agent.errors import ConfigurationError, DoorwardError, NetworkError, StorageError
from desk.storage.sealed_parts import FolderParts, S3Parts, SealedParts
from tests.seaweed import ACCESS_KEY, SECRET_KEY, SeaweedServer, seaweed_server

ONE, TWO = "1" * 32, "2" * 32
BUCKET = "answers"
Result = TypeVar("Result")


def patiently(act: Callable[[], Result]) -> Result:
    """Returns what the store answers once all of it has started."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return act()
        except (DoorwardError, ClientError, BotoCoreError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[SeaweedServer]:
    with seaweed_server() as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )
        patiently(lambda: client.create_bucket(Bucket=BUCKET))
        client.close()
        yield server


def s3(server: SeaweedServer, prefix: str) -> S3Parts:
    return S3Parts(server.endpoint, BUCKET, prefix, ACCESS_KEY, SECRET_KEY)


@pytest.fixture(params=["folder", "S3"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SealedParts]:
    if request.param == "folder":
        yield FolderParts(tmp_path / "parts")
        return
    store = s3(request.getfixturevalue("server"), tmp_path.name)
    yield store
    store.close()


def made(tmp_path: Path, data: bytes, name: str = "source") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def read(parts: SealedParts, disclosure: str, number: int, tmp_path: Path) -> bytes:
    target = tmp_path / "target"
    parts.get(disclosure, number, target)
    data = target.read_bytes()
    target.unlink()
    return data


def test_a_part_is_read_as_it_was_put(parts: SealedParts, tmp_path: Path) -> None:
    for number, data in ((0, b""), (1, b"sealed"), (30_000, bytes(range(256)) * 40_000)):
        parts.put(ONE, number, made(tmp_path, data))
        assert read(parts, ONE, number, tmp_path) == data
    assert parts.numbers(ONE) == {0, 1, 30_000}
    assert parts.numbers(TWO) == frozenset()


def test_a_part_that_two_receivers_put_is_there_once_and_another_in_its_place_is_refused(
    parts: SealedParts, tmp_path: Path
) -> None:
    sources = [made(tmp_path, b"sealed" * 1000, f"source-{number}") for number in range(4)]
    threads = [threading.Thread(target=parts.put, args=(ONE, 1, source)) for source in sources]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
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
        parts.get(ONE, 0, tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", ["", "..", "../" + "1" * 29, "A" * 32, ONE + "/"])
def test_what_is_no_id_never_becomes_part_of_a_path(parts: SealedParts, name: str, tmp_path: Path) -> None:
    for act in (
        lambda: parts.put(name, 0, made(tmp_path, b"x")),
        lambda: parts.get(name, 0, tmp_path / "target"),
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


def test_a_wrong_key_is_refused_by_name(server: SeaweedServer, tmp_path: Path) -> None:
    store = S3Parts(server.endpoint, BUCKET, "x", ACCESS_KEY, "wrong")
    with pytest.raises(StorageError, match="refused"):
        store.put(ONE, 0, made(tmp_path, b"x"))
    store.close()
