"""Checks the capture signatures inside received films (ONVIF Media Signing), and describes the result in words.

They add no proof to that of the device's record, which covers every byte. They are for programs of others, which read
the exported film alone, so a requester learns here what such a program will say.

A network camera may have signed its stream. Its messages are then in the film, and none of the doorbell's
(`agent.recorder.capture_signing`). Doorward has no list of makers, so it tells whose name and certificate the messages
hold, and whether they fit the pictures. It does not tell whether the name is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.media import VideoCodec
from agent.errors import FormatError
from agent.media.capture_signature import CaptureFault, CaptureReport, Verifies, is_slice, verify_capture
from agent.media.fmp4 import codec_of, film_units
from agent.media.onvif_sei import MediaSei, VendorInfo, is_certificate_sei, is_media_sei, parse_sei
from agent.wire.capture_certificate import (
    camera_verifier,
    capture_verifier,
    certificate_sha256,
    root_certificate,
)
from agent.wire.identities import PublicKey

__all__ = [
    "CameraSignature",
    "camera_signature_of",
    "capture_certificate",
    "capture_in_words",
    "capture_of",
    "trusted_root",
]

_MOST_LETTERS: Final = 64
"""The longest name of a camera that is shown."""


@dataclass(frozen=True, slots=True)
class CameraSignature:
    """The messages of a camera that signed its stream, in one film.

    `name` and `serial`: the camera's words, in printable ASCII. `chain`: its certificates in PEM as it sent them.
    `sha256`: the hash of the first one. `report`: whether the key in that one signed the pictures; the message of the
    film's last GOP stands in the next film, so those pictures are `unsigned` here. None for a key or hash of a kind
    that is not checked here.
    """

    name: str
    serial: str
    chain: bytes
    sha256: str
    report: CaptureReport | None


def capture_of(film: bytes, device: PublicKey) -> CaptureReport | None:
    """Returns the report on a film as it was captured. None for a film without messages, or another file."""

    def open_chain(chain: bytes) -> Verifies | None:
        try:
            return capture_verifier(device, chain)
        except FormatError:
            return None

    try:
        report = verify_capture(film_units(film), codec_of(film), open_chain)
    except FormatError:
        return None
    return report if report.messages else None


def camera_signature_of(film: bytes, device: PublicKey) -> CameraSignature | None:
    """Returns what a film as it was captured holds of its camera's signatures.

    None for a film without the certificate of a camera, or with the doorbell's certificate, and for another file.
    """
    try:
        codec = codec_of(film)
        units = list(film_units(film))
    except FormatError:
        return None
    sent = [message for unit in units if (message := _certificate_in(unit, codec)) is not None]
    if not sent or any(_is_issued(message.chain or b"", device) for message in sent):
        return None
    chain = sent[0].chain or b""
    try:
        verifies, sha256 = camera_verifier(chain), certificate_sha256(chain)
    except FormatError:
        return None
    vendor = sent[0].vendor or VendorInfo("", "", "")
    report = None
    if verifies is not None and not sent[0].foreign_hash:
        # One certificate for the whole film: a second one inside it would speak for a part only.
        report = verify_capture(
            _from_first_slice(units, codec), codec, lambda offered: verifies if offered == chain else None
        )
    return CameraSignature(_printable(vendor.manufacturer), _printable(vendor.serial), chain, sha256, report)


def _certificate_in(unit: bytes, codec: VideoCodec) -> MediaSei | None:
    if not is_certificate_sei(unit, codec):
        return None
    try:
        message = parse_sei(unit, codec)
    except FormatError:
        return None
    return message if message.chain is not None else None


def _is_issued(chain: bytes, device: PublicKey) -> bool:
    try:
        capture_verifier(device, chain)
    except FormatError:
        return False
    return True


def _from_first_slice(units: Sequence[bytes], codec: VideoCodec) -> list[bytes]:
    """Leaves out the message of the GOP that lies before the film: a camera sends it in front of the next keyframe."""
    begin = next((at for at, unit in enumerate(units) if is_slice(unit, codec)), len(units))
    return [
        unit
        for at, unit in enumerate(units)
        if at >= begin or not is_media_sei(unit, codec) or is_certificate_sei(unit, codec)
    ]


def _printable(text: str) -> str:
    # A hostile camera could otherwise send control characters to a terminal.
    return "".join(each if each.isprintable() else "?" for each in text[:_MOST_LETTERS])


def capture_in_words(
    films: Iterable[CaptureReport | None], redacted: int, cameras: Iterable[CameraSignature | None] = ()
) -> str:
    """Returns sentences about the films that are as captured, and about the `redacted` ones beside them.

    `cameras`: for films that a camera signed. Empty if no film is signed.
    """
    reports = list(films)
    by_camera = [each for each in cameras if each is not None]
    said = [_device_in_words(reports, redacted, len(by_camera)), *_cameras_in_words(by_camera, len(reports))]
    return " ".join(each for each in said if each)


def _cameras_in_words(films: Sequence[CameraSignature], of: int) -> Iterable[str]:
    """Yields sentences about the films that each camera signed."""
    for sha256 in dict.fromkeys(each.sha256 for each in films):
        signed = [each for each in films if each.sha256 == sha256]
        fit = [each for each in signed if each.report is not None and not each.report.findings]
        yield (
            f"{len(signed)} of {of} films as recorded hold capture signatures (ONVIF Media Signing) by the camera, and "
            f'none by this device. The camera calls itself "{signed[0].name}", serial number '
            f'"{signed[0].serial}". Its certificate has the SHA-256 {sha256}. '
            "Only the camera's maker can tell whether this name is true: get the maker's root certificate from the "
            "maker."
        )
        unchecked = sum(each.report is None for each in signed)
        if unchecked:
            yield "The camera's signatures are of a kind that this program does not check."
        else:
            yield f"In {len(fit)} of them, this certificate's key signed the pictures before each signature."
        faults = {finding.fault for each in signed if each.report is not None for finding in each.report.findings}
        if faults:
            yield f"In {len(signed) - len(fit)} of them, a signature does not fit: {_names(faults)}."


def _names(faults: Iterable[CaptureFault]) -> str:
    words = {CaptureFault.SIGNATURE: "it is not by this certificate's key"}
    return "; ".join(sorted(words.get(each, each.value) for each in faults))


def _device_in_words(reports: Sequence[CaptureReport | None], redacted: int, by_camera: int) -> str:
    signed = [each for each in reports if each is not None]
    if not signed:
        return ""
    said = (
        f"{sum(each.is_whole for each in signed)} of {len(reports)} films as recorded also hold capture signatures "
        "(ONVIF Media Signing) by this device for every picture."
    )
    faulty = [each for each in signed if each.findings]
    if faulty:
        faults = "; ".join(sorted({finding.fault.value for each in faulty for finding in each.findings}))
        said += f" In {len(faulty)} of them a GOP is not proven by these: {faults}."
    if len(signed) + by_camera < len(reports):
        said += f" {len(reports) - len(signed) - by_camera} hold none."
    if redacted:
        said += " A redacted film holds none, because it was encoded again."
    return said


def trusted_root(films: Iterable[CaptureReport | None], device: PublicKey) -> bytes | None:
    """Returns the certificate in PEM that a validator of ONVIF must trust, or None if no film is signed."""
    for report in films:
        if report is not None and report.chain is not None:
            return root_certificate(device, report.chain)
    return None


def capture_certificate(films: Iterable[CaptureReport | None]) -> bytes | None:
    """Returns the certificate of the key inside the first signed film in PEM, or None if no film is signed."""
    return next((report.chain for report in films if report is not None and report.chain is not None), None)
