"""Checks the capture signatures inside received films (ONVIF Media Signing), and describes the result in words.

They add no proof to that of the device's record, which covers every byte. They are for programs of others, which read
the exported film alone, so a requester learns here what such a program will say.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.errors import FormatError
from agent.media.capture_signature import CaptureReport, Verifies, verify_capture
from agent.media.fmp4 import codec_of, film_units
from agent.wire.capture_certificate import capture_verifier, root_certificate
from agent.wire.identities import PublicKey

__all__ = ["capture_certificate", "capture_in_words", "capture_of", "trusted_root"]


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


def capture_in_words(films: Iterable[CaptureReport | None], redacted: int) -> str:
    """Returns a sentence about the films that are as captured, and about the `redacted` ones beside them.

    Empty if no film is signed.
    """
    reports = list(films)
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
    if len(signed) < len(reports):
        said += f" {len(reports) - len(signed)} hold none."
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
