"""Messages of ONVIF Media Signing: what is built is read back, and what is malformed is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.media import VideoCodec
from agent.errors import FormatError
from agent.media.onvif_sei import (
    MOST_SIGNATURE_BYTES,
    GopStatement,
    VendorInfo,
    certificate_document,
    gop_document,
    is_certificate_sei,
    is_media_sei,
    parse_sei,
    signed_sei,
)
from agent.wire.capture_document import MEDIA_SIGNING_UUID, is_document

CODECS = st.sampled_from(list(VideoCodec))
# Zeros and small bytes are what needs emulation prevention.
HASHES = st.binary(min_size=32, max_size=32) | st.sampled_from(
    [bytes(32), b"\0\0\1" * 10 + b"\0\0", b"\0\0\3" * 10 + b"\3\0"]
)
STATEMENTS = st.builds(
    GopStatement,
    st.booleans(),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**16 - 1),
    HASHES,
    HASHES,
    st.lists(HASHES, max_size=40).map(tuple),
)
SIGNATURES = st.binary(max_size=MOST_SIGNATURE_BYTES) | st.sampled_from([bytes(70), b"\0\0\3" * 20])
VENDOR = VendorInfo("0.1.0", "ab" * 8, "Doorward")
PLAIN = GopStatement(False, 1, 2, 3, 4, bytes(32), b"\1" * 32)


@given(STATEMENTS, SIGNATURES, CODECS)
def test_the_message_of_a_gop_reads_back_and_holds_no_start_code(
    statement: GopStatement, signature: bytes, codec: VideoCodec
) -> None:
    document = gop_document(statement, codec)
    unit = signed_sei(document, signature)
    found = parse_sei(unit, codec)
    assert (found.statement, found.signature, found.document) == (statement, signature, document)
    assert unit.startswith(document)
    assert is_document(document)
    assert is_media_sei(unit, codec)
    assert not is_certificate_sei(unit, codec)
    assert not any(unit.count(bytes((0, 0, last))) for last in range(3))
    assert unit[-1] == 0x80


@given(st.binary(min_size=1, max_size=3000), CODECS)
def test_the_message_of_a_certificate_reads_back(chain: bytes, codec: VideoCodec) -> None:
    document = certificate_document(chain, VENDOR, codec)
    found = parse_sei(signed_sei(document, b"s" * 71), codec)
    assert (found.chain, found.vendor, found.statement) == (chain, VENDOR, None)
    assert not found.foreign_hash
    assert is_certificate_sei(signed_sei(document, b"s"), codec)


@given(STATEMENTS, CODECS, st.data())
def test_a_changed_bit_changes_the_document_the_signature_or_is_refused(
    statement: GopStatement, codec: VideoCodec, data: st.DataObject
) -> None:
    unit = bytearray(signed_sei(gop_document(statement, codec), b"s" * MOST_SIGNATURE_BYTES))
    bit = data.draw(st.integers(0, 8 * len(unit) - 1))
    before = parse_sei(bytes(unit), codec)
    unit[bit // 8] ^= 1 << bit % 8
    if not is_media_sei(bytes(unit), codec):
        return  # its pictures then have no message
    try:
        after = parse_sei(bytes(unit), codec)
    except FormatError:
        return
    assert (after.document, after.signature) != (before.document, before.signature)


def test_the_layout_is_the_specifications_byte_for_byte() -> None:
    """Specification 25.12, "General GOP information", "Signature" and "How to generate a SEI signing a GOP"."""
    unit = signed_sei(gop_document(GopStatement(True, 2, 3, 4, 5, b"g" * 32, b"l" * 32), VideoCodec.H264), b"sig")
    plain = unit.replace(b"\0\0\3", b"\0\0")
    size = 16 + 1 + 3 + 91 + 3 + 3 + 72
    general = b"\2" + bytes((25, 12, 0)) + b"\1" + (2).to_bytes(8) + (3).to_bytes(8) + (4).to_bytes(4) + (5).to_bytes(2)
    assert plain == b"".join(
        (
            bytes((6, 5, size)),
            bytes.fromhex("005bc93f-2d71-5e95-ada4-796f90877a6f".replace("-", "")),
            b"\x40",
            b"\1\0\x5b" + general + b"g" * 32 + b"l" * 32,
            b"\3\0\x4b" + b"\1\0\3sig" + b"\1" * 69,
            b"\x80",
        )
    )
    hevc = signed_sei(gop_document(PLAIN, VideoCodec.HEVC), b"sig")
    assert hevc[:4] == bytes((0x4E, 1, 5, size))


def test_other_messages_are_not_taken_for_ours() -> None:
    unit = signed_sei(gop_document(PLAIN, VideoCodec.H264), b"sig")
    others = [
        b"", b"\6", b"\6\5", b"\6\5\x10", b"\6\5\x10" + b"x264" * 4 + b"\x80", b"\6\4" + unit[2:], b"\x65" + unit[1:],
        unit.replace(MEDIA_SIGNING_UUID, MEDIA_SIGNING_UUID[::-1]), b"\6\5" + b"\xff" * 3000,
    ]  # fmt: skip
    for other in others:
        assert not is_media_sei(other, VideoCodec.H264)
        with pytest.raises(FormatError, match="not a message of ONVIF"):
            parse_sei(other, VideoCodec.H264)
    assert not is_media_sei(unit, VideoCodec.HEVC)


def test_a_malformed_message_is_refused() -> None:
    unit = signed_sei(gop_document(PLAIN, VideoCodec.H264), b"sig")
    at = unit.index(MEDIA_SIGNING_UUID) + 17
    wrong = [
        unit[:-1],  # without its stop bit
        unit + b"\1",
        unit[:-1] + b"\0\0\3\x80",
        unit[:at] + b"\7" + unit[at + 1 :],  # an unknown field
        unit[:at] + b"\2" + unit[at + 1 :],  # hashes in place of the general field
        unit[: at + 3] + b"\1" + unit[at + 4 :],  # another version
        unit[:-10],
    ]
    for each in wrong:
        with pytest.raises(FormatError, match="malformed"):
            parse_sei(each, VideoCodec.H264)


def test_too_many_hashes_and_too_long_a_signature_are_refused() -> None:
    many = GopStatement(False, 1, 2, 3, 4, bytes(32), bytes(32), (bytes(32),) * 2048)
    with pytest.raises(FormatError, match="too long"):
        gop_document(many, VideoCodec.H264)
    with pytest.raises(FormatError, match="too long"):
        signed_sei(gop_document(PLAIN, VideoCodec.H264), bytes(MOST_SIGNATURE_BYTES + 1))
