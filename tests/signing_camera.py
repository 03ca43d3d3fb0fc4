"""A network camera that signs its stream by ONVIF Media Signing, with a key and certificates of its maker.

The messages are those of the second writer (`tests.second_reader.capture`), which shares no code with ours. As the
specification draws them, the message of a GOP stands in front of the next keyframe. The certificates come once, in
front of the first picture of the stream.
"""

from __future__ import annotations

import base64
import datetime
import functools
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.core.media import EncodedPacket, Gop, StreamDescription, VideoCodec
from agent.media.annexb import nal_units
from agent.recorder.capture_signing import CaptureSigner
from tests.capture_films import CAPTURE, DEVICE, packets_of, written
from tests.second_reader import capture

MAKER = "Lynx Cameras"
SERIAL = "LC-0042"
_START = b"\0\0\0\1"
_ROOT_KEY, _KEY = (ec.derive_private_key(number, ec.SECP256R1()) for number in (1601, 1602))


def _issued(name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate by the maker's authority: its own, or the camera's."""
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{MAKER} root")])
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(authority)
        .public_key(key.public_key())
        .serial_number(key.private_numbers().private_value)
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2044))
        .add_extension(x509.BasicConstraints(ca=own == authority, path_length=None), critical=True)
    )
    signed = builder.sign(_ROOT_KEY, hashes.SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(Encoding.PEM)


ROOT = _issued(f"{MAKER} root", _ROOT_KEY)
CHAIN = _issued(SERIAL, _KEY)


def _signature(to_sign: bytes) -> bytes:
    return _KEY.sign(to_sign, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


@functools.cache
def certificate() -> bytes:
    """The certificate message."""
    to_sign = capture.certificate_of_maker(CHAIN, ("7.1", SERIAL, MAKER), hevc=False)
    return capture.message_of(to_sign, _signature(to_sign))


def stream(gops: Sequence[Gop], times: int = 1) -> Iterator[list[bytes]]:
    """Yields the NAL units of each picture, H.264, with the camera's messages. `gops` are sent that many times."""
    message, linked = certificate(), bytes(32)
    for counter, gop in enumerate(itertools.chain.from_iterable(itertools.repeat(gops, times)), start=1):
        pictures = [list(nal_units(packet.data)) for packet in gop.packets]
        slices, _ = capture.slice_hashes(itertools.chain.from_iterable(pictures), hevc=False)
        at = next(at for at, unit in enumerate(pictures[0]) if capture.is_slice(unit, hevc=False))
        pictures[0].insert(at, message)
        yield from pictures
        moment = 134_000_000_000_000_000 + counter * 10**7
        to_sign = capture.gop_to_sign(slices, linked, counter, (moment, moment + 10**7), listed=False, hevc=False)
        message, linked = capture.message_of(to_sign, _signature(to_sign)), slices[0]


def packet_of(units: Sequence[bytes], packet: EncodedPacket) -> EncodedPacket:
    return replace(packet, data=b"".join(_START + unit for unit in units))


def save(pictures: Sequence[Sequence[bytes]], path: Path) -> Path:
    """Writes what `rtsp_server.py` sends as `/signed`."""
    rows = [base64.b64encode(b"".join(_START + unit for unit in units)).decode() for units in pictures]
    path.write_text(json.dumps(rows), encoding="ascii")
    return path


def recorded(
    description: StreamDescription, gops: Sequence[Gop], *, after: int = 2, in_segment: int = 2
) -> tuple[bytes, ...]:
    """Segments as the recorder writes them of this camera, from its GOP number `after` + 1 on."""
    pictures = stream(gops)
    sent = [replace(gop, packets=tuple(packet_of(next(pictures), packet) for packet in gop.packets)) for gop in gops]
    signer = CaptureSigner(CAPTURE, DEVICE.id)
    signer.stream_begins()
    for gop in sent:
        for packet in gop.packets:
            signer.look_at(packet, description.codec)
    return written(description, sent[after:], signer, in_segment)


@functools.cache
def recorded_segments() -> tuple[bytes, ...]:
    """Two segments of two GOPs."""
    return recorded(*packets_of(VideoCodec.H264))
