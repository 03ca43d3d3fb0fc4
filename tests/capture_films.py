"""Films signed as the recorder signs them, for tests of capture signatures.

The packets are in tests/vectors/capture, because an encoder of H.265 takes seconds of a processor for them.
`python -m tests.capture_films` draws and encodes them again, and writes the signed films beside them. Only the films
follow from the packets.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.core.device_secret import DeviceSecret
from agent.core.media import EncodedPacket, Gop, StreamDescription, VideoCodec
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.custodian.capture_key import CaptureKey
from agent.errors import FormatError
from agent.media.capture_signature import CaptureReport, Verifies, verify_capture
from agent.media.fmp4 import FragmentedMp4Writer, film_units
from agent.media.onvif_sei import is_certificate_sei, is_media_sei
from agent.recorder.capture_signing import CaptureSigner
from agent.wire import strictjson
from agent.wire.capture_certificate import capture_verifier, root_certificate
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.cameras import FIRST_NS, assembled, filmed_by_camera

DEVICE_KEY = private_key_from_seed(b"d" * 32)
DEVICE = public_key_of(DEVICE_KEY)
CAPTURE = CaptureKey.of_device(DeviceSecret(b"s" * 32), DEVICE_KEY)
STRANGER_KEY = private_key_from_seed(b"x" * 32)
STRANGER = CaptureKey.of_device(DeviceSecret(b"y" * 32), STRANGER_KEY)
ROOT = root_certificate(DEVICE, CAPTURE.certificate())
VECTORS = Path(__file__).parent / "vectors" / "capture"
SIZE_PX = (96, 64)
UTC_NS = 1_790_000_000 * NS_PER_S


def dated(boot_ns: int) -> ClockReading:
    return ClockReading(BootNs(boot_ns), UtcNs(UTC_NS + boot_ns - FIRST_NS), ClockQuality.SYNCED)


def undated(boot_ns: int) -> ClockReading:
    return ClockReading(BootNs(boot_ns), UtcNs(boot_ns), ClockQuality.UNKNOWN)


@dataclass(frozen=True)
class SignedFilm:
    """One segment after the other, two GOPs in each, as the recorder's disk would hold them opened."""

    codec: VideoCodec
    segments: tuple[bytes, ...]
    plain_bytes: int

    @property
    def units(self) -> list[bytes]:
        return [unit for each in self.segments for unit in film_units(each)]


@functools.cache
def packets_of(codec: VideoCodec, b_frames: int = 0) -> tuple[StreamDescription, tuple[Gop, ...]]:
    """Six GOPs of a third of a second, five pictures each. `b_frames`: 0 or 2."""
    rows = json.loads((VECTORS / f"{_name(codec, b_frames)}.json").read_text(encoding="ascii"))
    packets = [EncodedPacket(strictjson.decode_base64(data), keyframe, BootNs(ns)) for keyframe, ns, data in rows]
    return StreamDescription(*SIZE_PX, 15.0, *SIZE_PX, True, codec=codec), tuple(
        assembled(packets, GopAssembler(NS_PER_S // 15))
    )


def _name(codec: VideoCodec, b_frames: int) -> str:
    return codec.value + ("-b" if b_frames else "")


@functools.cache
def signed_film(codec: VideoCodec = VideoCodec.H264, *, b_frames: int = 0, capture: CaptureKey = CAPTURE) -> SignedFilm:
    """Three segments of two GOPs."""
    description, gops = packets_of(codec, b_frames)
    return SignedFilm(
        codec, written(description, gops, CaptureSigner(capture, DEVICE.id)), sum(gop.size_bytes for gop in gops)
    )


def written(
    description: StreamDescription, gops: Sequence[Gop], signer: CaptureSigner, in_segment: int = 2
) -> tuple[bytes, ...]:
    """Segments of that many GOPs."""
    segments: list[bytes] = []
    writer, chain = FragmentedMp4Writer(description), signer.chain
    for number, gop in enumerate(gops):
        first = number % in_segment == 0
        signed = signer.signed(gop, description.codec, chain, dated, first=first)
        chain = signed.chain
        if first:
            writer = FragmentedMp4Writer(description)
            segments.append(writer.begin(gop, signed.units))
        else:
            segments[-1] += writer.add(gop, signed.units)
    signer.chain = chain
    return tuple(segments)


def trusted(chain: bytes) -> Verifies | None:
    """Opens certificates that the device issued."""
    try:
        return capture_verifier(DEVICE, chain)
    except FormatError:
        return None


def verified(units: Sequence[bytes], codec: VideoCodec) -> CaptureReport:
    return verify_capture(units, codec, trusted)


def gops_in(units: Sequence[bytes], codec: VideoCodec) -> list[list[bytes]]:
    """The units of each GOP, with what stands in front of its keyframe and its message behind."""
    found: list[list[bytes]] = [[]]
    for unit in units:
        found[-1].append(unit)
        if is_media_sei(unit, codec) and not is_certificate_sei(unit, codec):
            found.append([])
    return found[:-1] if not found[-1] else found


def messages_that_count(units: Sequence[bytes], codec: VideoCodec) -> list[int]:
    """The places of messages without the certificates of later segments, which only repeat the first one."""
    found = [at for at, unit in enumerate(units) if is_media_sei(unit, codec)]
    return [at for at in found if at == found[0] or not is_certificate_sei(units[at], codec)]


def main() -> None:
    VECTORS.mkdir(exist_ok=True)
    (VECTORS / "root.pem").write_bytes(ROOT)
    for codec in VideoCodec:
        for b_frames in (0, 2):
            name = _name(codec, b_frames)
            if not (VECTORS / f"{name}.json").exists():
                _, packets = filmed_by_camera(codec, frames=30, gop=5, b_frames=b_frames, size_px=SIZE_PX)
                rows = [(each.keyframe, each.sensor_ns, strictjson.encode_base64(each.data)) for each in packets]
                (VECTORS / f"{name}.json").write_text(json.dumps(rows) + "\n", encoding="ascii")
            for number, segment in enumerate(signed_film(codec, b_frames=b_frames).segments):
                (VECTORS / f"{name}-{number}.mp4").write_bytes(segment)


if __name__ == "__main__":
    main()
