"""The recorder's signer: each segment begins with the certificate, a fault costs a signature and no picture."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from agent.core.media import EncodedPacket, Gop, VideoCodec
from agent.errors import NetworkError
from agent.media.annexb import nal_units
from agent.media.capture_signature import CaptureFault, SigningChain
from agent.media.fmp4 import film_units
from agent.media.onvif_sei import is_certificate_sei, is_media_sei, parse_sei
from agent.recorder.capture_signing import CaptureSigner
from tests.cameras import gop as gop_without_pixels
from tests.capture_films import (
    CAPTURE,
    DEVICE,
    STRANGER,
    dated,
    packets_of,
    signed_film,
    undated,
    verified,
    written,
)

H264 = VideoCodec.H264


@dataclass
class Away:
    """The custodian, while it is away for some of the documents."""

    away: frozenset[int]
    asked: int = 0

    def certificate(self) -> bytes:
        return CAPTURE.certificate()

    def sign(self, document: bytes) -> bytes:
        self.asked += 1
        if self.asked in self.away:
            raise NetworkError("The custodian does not answer.")
        return CAPTURE.sign(document)


def test_every_segment_begins_with_the_certificate_which_is_signed_once() -> None:
    authority = Away(frozenset())
    description, gops = packets_of(H264)
    segments = written(description, gops, CaptureSigner(authority, DEVICE.id))
    assert authority.asked == 1 + len(gops)
    for segment in segments:
        units = list(film_units(segment))
        assert [at for at, unit in enumerate(units) if is_certificate_sei(unit, H264)] == [
            next(at for at, unit in enumerate(units) if unit[0] & 0x1F == 5) - 1
        ]


def test_a_gop_is_recorded_without_a_signature_while_the_custodian_is_away_and_a_reader_sees_which() -> None:
    signer = CaptureSigner(Away(frozenset({4})), DEVICE.id)
    description, gops = packets_of(H264)
    units = [unit for each in written(description, gops, signer) for unit in film_units(each)]
    plain = [unit for unit in signed_film().units if not is_media_sei(unit, H264)]
    assert [unit for unit in units if not is_media_sei(unit, H264)] == plain
    found = verified(units, H264)
    assert (found.signed, [each.fault for each in found.findings]) == (
        4, [CaptureFault.UNSIGNED, CaptureFault.MISSING],
    )  # fmt: skip
    assert signer.fault == ""


def test_the_owner_reads_why_pictures_are_unsigned_until_they_are_signed_again() -> None:
    signer = CaptureSigner(Away(frozenset({1, 2})), DEVICE.id)
    _, gops = packets_of(H264)
    faults = []
    for gop in gops[:4]:
        signer.signed(gop, H264, SigningChain(), dated, first=True)
        faults.append(signer.fault)
    reason = "The pictures are recorded without a capture signature: The custodian does not answer."
    assert faults == [reason, reason, "", ""]


def test_a_stream_that_cannot_be_signed_is_recorded() -> None:
    """For example, the keyframes of some cameras are no IDR pictures."""
    signer = CaptureSigner(CAPTURE, DEVICE.id)
    start = b"\0\0\0\1"
    keyframe = EncodedPacket(start + b"\x41\x9a\x24", True, gop_without_pixels(0).packets[0].sensor_ns)
    gop = dataclasses.replace(gop_without_pixels(0), packets=(keyframe,))
    signed = signer.signed(gop, H264, SigningChain(), dated, first=True)
    assert (signed.units, signed.chain) == ([[b"\x41\x9a\x24"]], SigningChain())
    assert "IDR" in signer.fault


def test_a_clock_that_nobody_set_gives_no_date() -> None:
    signer = CaptureSigner(CAPTURE, DEVICE.id)
    _, gops = packets_of(H264)
    for moment, is_dated in ((dated, True), (undated, False)):
        unit = signer.signed(gops[0], H264, SigningChain(), moment, first=False).units[-1][-1]
        statement = parse_sei(unit, H264).statement
        assert statement is not None
        assert (bool(statement.start), bool(statement.end)) == (is_dated, is_dated)


def makers(gop: Gop, units: list[list[bytes]]) -> Gop:
    """The GOP as a camera sends it that signs its stream."""
    packets = [
        dataclasses.replace(packet, data=b"".join(b"\0\0\0\1" + unit for unit in each))
        for packet, each in zip(gop.packets, units, strict=True)
    ]
    return dataclasses.replace(gop, packets=tuple(packets))


def with_parameters(gop: Gop, units: list[list[bytes]]) -> list[list[bytes]]:
    sets = [unit for unit in nal_units(gop.packets[0].data) if unit[0] & 0x1F in (7, 8)]
    return [[*sets, *units[0]], *units[1:]]


def test_a_stream_that_its_camera_signs_keeps_that_signature_and_gets_no_second_one() -> None:
    """The camera sends its certificate once, in front of its first picture, long before the recorded clip."""
    description, gops = packets_of(H264)
    camera, chain, sent = CaptureSigner(STRANGER, "a camera"), SigningChain(), []
    for number, gop in enumerate(gops):
        signed = camera.signed(gop, H264, chain, dated, first=number == 0)
        chain = signed.chain
        sent.append(makers(gop, with_parameters(gop, signed.units)))
    signer = CaptureSigner(CAPTURE, DEVICE.id)
    signer.stream_begins()
    for gop in sent:
        for packet in gop.packets:
            signer.look_at(packet, H264)
    segments = written(description, sent[2:], signer)
    for segment in segments:
        units = list(film_units(segment))
        messages = [unit for unit in units if is_media_sei(unit, H264)]
        (certificate,) = [parse_sei(unit, H264) for unit in messages if is_certificate_sei(unit, H264)]
        assert certificate.chain == STRANGER.certificate()
        assert len(messages) == 3
    own = [
        unit
        for gop in sent[2:]
        for packet in gop.packets
        for unit in nal_units(packet.data)
        if is_media_sei(unit, H264)
    ]
    kept = [
        unit
        for each in segments
        for unit in film_units(each)
        if is_media_sei(unit, H264) and not is_certificate_sei(unit, H264)
    ]
    assert kept == own
    # Another camera, after a cable was changed, signs nothing.
    signer.stream_begins()
    assert verified(list(film_units(written(description, gops[:2], signer)[0])), H264).is_whole


@pytest.mark.parametrize("first", [True, False])
def test_the_packets_of_the_camera_stay_as_they_are(first: bool) -> None:
    """Live view and stills use the same packets."""
    _, gops = packets_of(H264)
    before = [packet.data for packet in gops[0].packets]
    CaptureSigner(CAPTURE, DEVICE.id).signed(gops[0], H264, SigningChain(), dated, first=first)
    assert [packet.data for packet in gops[0].packets] == before
