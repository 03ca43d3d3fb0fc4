"""Cost of the second signature of an answer, by ML-DSA-44, beside Ed25519 alone in the same run.

`python -m bench second_signature` signs and reads the envelope of part 0 for answers of several sizes. It prints CPU
milliseconds and bytes. The records are random text of the usual length, so reading does not verify *their* signatures.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from functools import partial

from agent.core.device_secret import DeviceSecret
from agent.wire import base64, envelope
from agent.wire.disclosures import DisclosureManifest
from agent.wire.identities import PublicKey, private_key_from_seed, public_key_of
from agent.wire.mldsa import MldsaPublicKey

ROUNDS = 31
OTHERS_BYTES = 9_000
"""Approval, list of owners, ledger proof and frame of an answer with two owners."""
SEGMENT_BYTES = 1_300
"""Record, part and approved item of a segment."""
SEGMENTS = (1, 12, 120, 1_200, 8_000)
KIND = DisclosureManifest.PAYLOAD_TYPE


def spent_ms(*ways: Callable[[], object]) -> list[float]:
    """Median CPU milliseconds of each way. The ways take turns, so that a busy machine disturbs them alike."""
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for times, way in zip(found, ways, strict=True):
            began = time.process_time()
            way()
            times.append(1000 * (time.process_time() - began))
    return [statistics.median(times) for times in found]


def read_alone(data: bytes, key: PublicKey) -> None:
    envelope.open_envelope(data, KIND, {key.id: key}, limit_bytes=len(data))


def read_both(data: bytes, key: PublicKey, second: MldsaPublicKey) -> None:
    envelope.read_hybrid(data, KIND, limit_bytes=len(data)).require(key, second)


def main() -> int:
    key, secret = private_key_from_seed(bytes(32)), DeviceSecret(bytes(32))
    mldsa = secret.mldsa_key()
    public, second = public_key_of(key), MldsaPublicKey.of(mldsa)
    words = os.urandom(1_000)
    one, two = key.sign(words), mldsa.sign(words)
    figures = spent_ms(
        lambda: key.sign(words),
        lambda: mldsa.sign(words),
        lambda: public.verifies(one, words),
        lambda: second.verifies(two, words),
        secret.mldsa_key,
    )
    names = ("sign, Ed25519", "sign, ML-DSA-44", "verify, Ed25519", "verify, ML-DSA-44", "derive the ML-DSA-44 key")
    for name, figure in zip(names, figures, strict=True):
        print(f"{name:>26} {figure:8.3f} ms")
    print("Part 0 of an answer (Ed25519 alone / both):")
    print(f"{'segments':>9}{'bytes':>12}{'added':>7}{'share':>8}{'sign ms':>16}{'read ms':>16}")
    for segments in SEGMENTS:
        payload = base64.encode(os.urandom((OTHERS_BYTES + SEGMENT_BYTES * segments) * 3 // 4)).encode()
        alone = envelope.sign(KIND, payload, key)
        both = envelope.sign_hybrid(KIND, payload + b"x" * 1_770, key, mldsa)  # with the key in the payload
        sign = spent_ms(
            partial(envelope.sign, KIND, payload, key), partial(envelope.sign_hybrid, KIND, payload, key, mldsa)
        )
        read = spent_ms(partial(read_alone, alone, public), partial(read_both, both, public, second))
        added = len(both) - len(alone)
        columns = "".join(f"{first:8.2f}{last:8.2f}" for first, last in (sign, read))
        print(f"{segments:9}{len(alone):12}{added:7}{100 * added / len(alone):7.2f}%{columns}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
