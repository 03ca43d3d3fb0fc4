"""Every public age vector (C2SP CCTV testkit) gives the outcome its file states, at the stage it states.

Source: c2sp.org/CCTV/age, as scripts/public_vectors.py fetches them.
Each file: `name: value` lines, an empty line, then the age file.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.clients.opening import (
    Identity,
    PassphraseIdentity,
    VerifiedPrefix,
    open_bytes,
    open_file_key,
    open_payload,
    open_stream,
    parse_identity,
)
from agent.clients.opening.armor import dearmor
from agent.core.vault.age.header import parse_header
from agent.errors import FormatError, OpenError
from tests import public_vectors

PATHS = public_vectors.files("age")
NAMES = [path.name for path in PATHS] or ["absent"]
WITH_SOUND_HEADER = [
    path.name for path in PATHS if path.read_bytes()[:25].startswith((b"expect: success", b"expect: payload"))
]


@dataclass
class Vector:
    """One vector: what is expected and the bytes to open."""

    expect: str = ""
    payload_sha256: str = hashlib.sha256(b"").hexdigest()
    file_key: bytes = b""
    armored: bool = False
    identities: list[Identity] = field(default_factory=list)
    data: bytes = b""


def read_vector(path: Path) -> Vector:
    head, _, body = path.read_bytes().partition(b"\n\n")
    vector = Vector(data=body)
    for line in head.decode().splitlines():
        name, _, value = line.partition(": ")
        match name:
            case "expect":
                vector.expect = value
            case "payload":
                vector.payload_sha256 = value
            case "file key":
                vector.file_key = bytes.fromhex(value)
            case "identity":
                vector.identities.append(parse_identity(value))
            case "passphrase":
                vector.identities.append(PassphraseIdentity(value))
            case "armored":
                vector.armored = value == "yes"
            case "compressed":
                assert value == "zlib"
                vector.data = zlib.decompress(body)
            case "comment":
                pass
            case _:
                raise AssertionError(f"{path.name}: unknown field {name}")
    return vector


def opened(chunks: Iterator[bytes]) -> tuple[str, FormatError | None]:
    """Returns the sha256 of the plaintext before the end or the error, and the error."""
    digest = hashlib.sha256()
    try:
        for chunk in chunks:
            digest.update(chunk)
    except FormatError as error:
        return digest.hexdigest(), error
    return digest.hexdigest(), None


@pytest.fixture
def vector(request: pytest.FixtureRequest) -> Vector:
    return read_vector(public_vectors.folder("age") / request.param)


def test_all_vectors_are_there() -> None:
    public_vectors.folder("age")
    assert len(NAMES) == 143
    assert len(WITH_SOUND_HEADER) == 45


@pytest.mark.parametrize("vector", NAMES, indirect=True)
def test_the_vector_ends_as_it_says(vector: Vector) -> None:
    data = vector.data
    if vector.armored:
        if vector.expect == "armor failure":
            with pytest.raises(FormatError):
                dearmor(data)
            return
        data = dearmor(data)

    digest, error = opened(open_stream(io.BytesIO(data), vector.identities))
    match vector.expect:
        case "success":
            assert error is None
        case "header failure":
            assert type(error) is FormatError
        case "HMAC failure" | "no match":
            assert type(error) is OpenError
        case "payload failure":
            assert type(error) is OpenError
        case _:
            raise AssertionError(vector.expect)
    assert digest == vector.payload_sha256


@pytest.mark.parametrize("vector", NAMES, indirect=True)
def test_opening_at_once_agrees_with_streaming(vector: Vector) -> None:
    _, error = opened(open_stream(io.BytesIO(vector.data), vector.identities))
    if error is None:
        assert hashlib.sha256(open_bytes(vector.data, vector.identities)).hexdigest() == vector.payload_sha256
    else:
        with pytest.raises(type(error)):
            open_bytes(vector.data, vector.identities)


@pytest.mark.parametrize("vector", WITH_SOUND_HEADER or ["absent"], indirect=True)
def test_a_header_that_opens_gives_the_file_key_and_comes_back_byte_for_byte(vector: Vector) -> None:
    data = dearmor(vector.data) if vector.armored else vector.data
    header, length = parse_header(data)
    assert header.serialise() == data[:length]
    assert open_file_key(data[:length], vector.identities) == vector.file_key
    if vector.expect == "success":
        assert hashlib.sha256(open_payload(data[length:], vector.file_key)).hexdigest() == vector.payload_sha256


@pytest.mark.parametrize("vector", WITH_SOUND_HEADER or ["absent"], indirect=True)
def test_the_verified_prefix_of_a_payload_is_what_the_vector_says(vector: Vector) -> None:
    data = dearmor(vector.data) if vector.armored else vector.data
    prefix = VerifiedPrefix(io.BytesIO(data), vector.identities)
    assert hashlib.sha256(b"".join(prefix)).hexdigest() == vector.payload_sha256
    assert prefix.complete == (vector.expect == "success")
    assert prefix.verified_bytes == len(data) or not prefix.complete
