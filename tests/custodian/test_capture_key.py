"""The capture key belongs to one device, stays the same, and signs documents of ONVIF Media Signing only."""

from __future__ import annotations

import pytest

from agent.core.device_secret import DeviceSecret
from agent.core.media import VideoCodec
from agent.custodian.capture_key import CaptureKey
from agent.errors import RequestError
from agent.media.onvif_sei import GopStatement, gop_document
from agent.wire.capture_certificate import capture_verifier
from agent.wire.identities import private_key_from_seed, public_key_of

DEVICE = private_key_from_seed(b"d" * 32)
KNOWN = 0x82F514212A5BCB0E8576B20B9DDFA02FED1568E941BCB9595AFA09E242B9C10C
"""The private key that belongs to the secret of the tests."""
DOCUMENT = gop_document(GopStatement(False, 0, 0, 1, 1, bytes(32), bytes(32)), VideoCodec.H264)


def test_the_same_device_has_the_same_key_after_each_start_and_another_device_another() -> None:
    own = CaptureKey.of_device(DeviceSecret(b"s" * 32), DEVICE)
    assert CaptureKey.of_device(DeviceSecret(b"s" * 32), DEVICE).certificate() == own.certificate()
    other = CaptureKey.of_device(DeviceSecret(b"t" * 32), DEVICE)
    assert other.private_key.private_numbers() != own.private_key.private_numbers()
    assert not capture_verifier(public_key_of(DEVICE), other.certificate())(DOCUMENT, own.sign(DOCUMENT))
    assert "private" not in repr(own)


def test_the_key_is_derived_as_in_earlier_versions() -> None:
    """After another derivation, a doorbell would have another certificate after an update."""
    own = CaptureKey.of_device(DeviceSecret(b"s" * 32), DEVICE)
    assert own.private_key.private_numbers().private_value == KNOWN


def test_a_signature_needs_no_random_number_and_fits_its_field() -> None:
    own = CaptureKey.of_device(DeviceSecret(b"s" * 32), DEVICE)
    assert own.sign(DOCUMENT) == own.sign(DOCUMENT)
    assert all(len(own.sign(DOCUMENT + bytes((number,)))) <= 72 for number in range(64))


def test_it_signs_no_certificate_record_or_statement() -> None:
    own = CaptureKey.of_device(DeviceSecret(b"s" * 32), DEVICE)
    for wrong in (b"", b"DSSEv1 1 a 1 b", own.certificate(), DOCUMENT[:18], b"\0" + DOCUMENT, bytes(40)):
        with pytest.raises(RequestError, match="only"):
            own.sign(wrong)
