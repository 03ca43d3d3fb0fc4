"""Requests of one case are counted together, and the count keeps the case number secret."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.admission import LOG2_WORK_FACTOR, CaseHashes
from agent.core.device_secret import DeviceSecret

DEVICE = DeviceSecret(b"d" * 32)
OTHER = DeviceSecret(b"e" * 32)


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with an empty salt and one block of output, from its own text."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_a_mark_is_scrypt_over_root_requester_and_case_under_a_key_of_the_devices_own() -> None:
    key = hkdf(DEVICE.value, b"doorward case marks v1")
    expected = hashlib.scrypt(
        b"4242\nharbour-police\nHH 2026/4711", salt=key, n=1 << LOG2_WORK_FACTOR, r=8, p=1, dklen=16
    )
    assert CaseHashes.of_device(DEVICE).of("4242", "harbour-police", "HH 2026/4711") == expected.hex()
    assert LOG2_WORK_FACTOR == 10


@settings(deadline=None, max_examples=settings().max_examples * 2 // 5)
@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8), st.sampled_from((DEVICE, OTHER)))
def test_one_case_of_one_requester_has_one_mark_on_one_device(one: str, other: str, device: DeviceSecret) -> None:
    marks, again = CaseHashes.of_device(DEVICE, 1), CaseHashes.of_device(device, 1)
    same = (marks.of("4242", "harbour-police", one), again.of("4242", "harbour-police", other))
    assert (same[0] == same[1]) is (one == other and device is DEVICE)
    assert same[0] not in (marks.of("4242", "harbour-fire", one), marks.of("4343", "harbour-police", one))


def test_where_the_requester_ends_and_the_case_begins_is_no_matter_of_taste() -> None:
    marks = CaseHashes.of_device(DEVICE, 1)
    assert marks.of("4242", "harbour", "police 1") != marks.of("4242", "harbour-police", "1")


def test_the_key_is_not_shown() -> None:
    assert "key" not in repr(CaseHashes.of_device(DEVICE))
