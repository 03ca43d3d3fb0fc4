"""Signs each recorded GOP by ONVIF Media Signing, before it is sealed.

The custodian holds the key and signs documents of at most some kilobytes, once for each GOP. If it fails to answer, the
GOP is written without a signature: footage is worth more than its signature, and a reader sees which GOP lacks one.

A network camera may sign its stream itself. Its messages stay where they are, ours are left out, and each segment
begins with the camera's certificate message, which it may have sent hours ago.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from agent import __version__
from agent.core.media import EncodedPacket, Gop, VideoCodec
from agent.core.timebase import ClockQuality, ClockReading
from agent.errors import DoorwardError, FormatError
from agent.media.annexb import nal_units
from agent.media.capture_signature import SigningChain, is_slice, next_statement, onvif_time
from agent.media.fmp4 import gop_units
from agent.media.onvif_sei import (
    VendorInfo,
    certificate_document,
    gop_document,
    is_certificate_sei,
    is_media_sei,
    signed_sei,
)
from agent.wire.capture_document import MEDIA_SIGNING_UUID

__all__ = ["CaptureAuthority", "CaptureSigner", "SignedUnits"]

_MAKER: Final = "Doorward"
_NS_PER_US: Final = 1000


class CaptureAuthority(Protocol):
    """The holder of the capture key. Both raise `DoorwardError` if it fails to answer."""

    def certificate(self) -> bytes:
        """Returns the certificate of the capture key, in PEM."""

    def sign(self, document: bytes) -> bytes:
        """Returns the signature (ECDSA of P-256 with SHA-256, in DER) of a document (`agent.media.onvif_sei`)."""


@dataclass(frozen=True, slots=True)
class SignedUnits:
    """The NAL units of each sample of a GOP, messages included. `chain`: the state behind it, once it is written."""

    units: list[list[bytes]]
    chain: SigningChain


@dataclass
class CaptureSigner:
    """For the writer's thread. `device`: the id that the certificate message names."""

    authority: CaptureAuthority
    device: str
    chain: SigningChain = field(default_factory=SigningChain)
    """The state behind the last acknowledged segment. A segment that is written again begins there again."""
    fault: str = ""
    """Why the last GOP is unsigned. Empty if it is signed."""
    _camera_signs: bool = False
    """The camera signs its stream itself."""
    _camera_certificate: bytes | None = None
    _certificates: dict[VideoCodec, bytes] = field(default_factory=dict)

    def stream_begins(self) -> None:
        """Forgets what the camera before has sent."""
        self._camera_signs, self._camera_certificate = False, None

    def look_at(self, packet: EncodedPacket, codec: VideoCodec) -> None:
        """Notices the messages of a camera that signs its stream. Call it with each packet, recorded or not."""
        # The UUID has no two zero bytes in a row, so emulation prevention never splits it, and a search in the raw
        # bytes finds it. Splitting each packet into NAL units would cost the writer far more.
        if MEDIA_SIGNING_UUID not in packet.data:
            return
        messages = [unit for unit in nal_units(packet.data) if is_media_sei(unit, codec)]
        self._camera_signs = self._camera_signs or bool(messages)
        certificates = [unit for unit in messages if is_certificate_sei(unit, codec)]
        self._camera_certificate = certificates[-1] if certificates else self._camera_certificate

    def signed(
        self, gop: Gop, codec: VideoCodec, chain: SigningChain, moment: Callable[[int], ClockReading], *, first: bool
    ) -> SignedUnits:
        """Returns a GOP, or a part of one, with its message. `first`: it begins a segment. `moment`: dates a
        picture."""
        units = gop_units(gop, codec)
        if self._camera_signs:
            self.fault = ""
            # The chain stays: it counts our own messages only.
            return SignedUnits(self._with_certificate(units, codec, self._camera_certificate, first=first), chain)
        try:
            own = self._certificate(codec)
            times = (_time(moment(gop.start_ns)), _time(moment(gop.end_ns)))
            statement, chain = next_statement(
                chain, (unit for each in units for unit in each), codec, times, ends=gop.ends
            )
            document = gop_document(statement, codec)
            message = signed_sei(document, self.authority.sign(document))
        except DoorwardError as error:
            self._failed(error)
            # If only the signature failed, `chain` has moved on. The number of this GOP stays unused, so a reader sees
            # that a message is missing.
            return SignedUnits(units, chain)
        self.fault = ""
        self._with_certificate(units, codec, own, first=first)
        # In the last sample, behind its slices: a message proves the slices in front of it.
        units[-1].append(message)
        return SignedUnits(units, chain)

    def _with_certificate(
        self, units: list[list[bytes]], codec: VideoCodec, certificate: bytes | None, *, first: bool
    ) -> list[list[bytes]]:
        """Puts the certificate message in front of the first slice of a segment, behind the camera's other messages.

        A camera sends the message of a GOP in front of the next keyframe, so one of a GOP before the segment may begin
        it. ONVIF's implementation leaves that out if the key comes behind it, and otherwise finds the film changed.
        """
        if first and certificate is not None and not any(is_certificate_sei(unit, codec) for unit in units[0]):
            at = next((at for at, unit in enumerate(units[0]) if is_slice(unit, codec)), 0)
            units[0].insert(at, certificate)
        return units

    def _certificate(self, codec: VideoCodec) -> bytes:
        """Returns the certificate message, which is signed once for each codec."""
        if codec not in self._certificates:
            vendor = VendorInfo(__version__, self.device, _MAKER)
            document = certificate_document(self.authority.certificate(), vendor, codec)
            self._certificates[codec] = signed_sei(document, self.authority.sign(document))
        return self._certificates[codec]

    def _failed(self, error: DoorwardError) -> None:
        if not self.fault:
            structlog.get_logger("writer").warning("gop_not_signed", error=error.message)
        self.fault = (
            error.message
            if isinstance(error, FormatError)
            else f"The pictures are recorded without a capture signature: {error.message}"
        )


def _time(reading: ClockReading) -> int:
    """Returns 0 if the clock is unknown: the signature must not claim a wrong date."""
    return 0 if reading.quality is ClockQuality.UNKNOWN else onvif_time(reading.utc_ns // _NS_PER_US)
