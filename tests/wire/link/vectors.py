"""Content of `tests/vectors/link`: whole sessions from fixed secret values, and messages that an end must refuse.

`mlkem.json` is an input: two encapsulations, because the library draws their randomness.
`python -m tests.wire.vectors` writes the other two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.wire.identities import public_key_of
from agent.wire.link.handshake import ClientHandshake, DeviceHandshake
from agent.wire.link.schedule import address_of
from agent.wire.link.session import EndReason, LinkSession
from tests.wire import samples

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "link"
SIGNERS = {"owner": samples.OWNER, "glance": samples.private_key("glance")}


def files() -> dict[str, Any]:
    """By path below `tests/vectors`."""
    sessions = [session(name, *given) for name, given in zip(SIGNERS, encapsulations(), strict=True)]
    return {
        "link/sessions.json": sessions,
        "link/refused.json": refused(),
    }


def encapsulations() -> list[tuple[bytes, bytes, bytes]]:
    """(seed of the key, shared secret, ciphertext)."""
    given = json.loads((FOLDER / "mlkem.json").read_text(encoding="utf-8"))
    return [tuple(bytes.fromhex(each[part]) for part in ("seed", "shared_secret", "ciphertext")) for each in given]  # type: ignore[misc]


def fixed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def handshake(name: str, seed: bytes, shared: bytes, ciphertext: bytes) -> tuple[ClientHandshake, DeviceHandshake]:
    key, secret = SIGNERS[name], fixed(f"link secret of {name}")
    client = ClientHandshake(
        secret,
        samples.DEVICE_KEY,
        public_key_of(key),
        key.sign,
        x25519=fixed(f"client of {name}"),
        mlkem=seed,
    )
    device = DeviceHandshake(
        client.hello,
        samples.DEVICE_KEY,
        samples.DEVICE.sign,
        x25519=fixed(f"device of {name}"),
        encapsulate=lambda _key: (shared, ciphertext),
    )
    return client, device


def session(name: str, seed: bytes, shared: bytes, ciphertext: bytes) -> dict[str, Any]:
    client, device = handshake(name, seed, shared, ciphertext)
    proof, of_client = client.finish(device.answer)
    _key, of_device = device.finish(proof)
    secret = fixed(f"link secret of {name}")
    return {
        "name": name,
        "secret": secret.hex(),
        "address": address_of(secret),
        "device_seed": fixed("device").hex(),
        "client_seed": fixed(name).hex(),
        "client_x25519": fixed(f"client of {name}").hex(),
        "client_mlkem_seed": seed.hex(),
        "device_x25519": fixed(f"device of {name}").hex(),
        "mlkem_shared_secret": shared.hex(),
        "hello": client.hello.hex(),
        "answer": device.answer.hex(),
        "proof": proof.hex(),
        "to_device": list(records(of_client, 1)),
        "to_client": list(records(of_device, 65_535)),
    }


def records(sender: LinkSession, at: int) -> Iterator[dict[str, Any]]:
    """Each kind of content, in each size of a record; some at counter `at`."""
    direction = sender._outgoing
    for number, content in enumerate(contents()):
        if number == 1:
            while direction.counter < at:
                direction._renew()
                direction.counter += 1
        counter = direction.counter
        frame = sender._record(content)
        yield {"counter": counter, "content": content.hex(), "record": frame.hex()}


def contents() -> Iterator[bytes]:
    yield b""
    yield b"\1" + (7).to_bytes(4, "big") + b"the beginning"
    yield b"\2" + (7).to_bytes(4, "big") + b" and the end"
    yield b"\2" + (2**32 - 1).to_bytes(4, "big")
    yield b"\3" + (7).to_bytes(4, "big")
    yield b"\4" + (65_536).to_bytes(8, "big")
    for size in (224, 1_000):
        yield b"\1" + (1).to_bytes(4, "big") + bytes(each % 251 for each in range(size))
    yield bytes((5, EndReason.CLOSED))


def refused() -> list[dict[str, Any]]:
    """Changes to the messages of the first session, and the end that must refuse each: one bit, or another length."""
    places = {
        "hello": (0, 1, 2, 33, 34, 1217, 1218, 1249),
        "answer": (0, 1, 32, 33, 1120, 1121, 1232),
        "proof": (0, 1, 144),
    }
    return [
        {"message": message, "flip_lowest_bit_of_byte": place} for message, all_of in places.items() for place in all_of
    ] + [{"message": message, "length": change} for message in places for change in (-1, 1)]
