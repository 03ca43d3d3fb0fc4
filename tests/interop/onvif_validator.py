"""Calls ONVIF's own implementation of Media Signing (github.com/onvif/media-signing-framework, MIT), built from its
source beside this repository. None of its code is here.

`build(source)` compiles its library with the C compiler and OpenSSL's headers, and nothing else: the demuxer of its
example program (GStreamer) is replaced by ours, so each NAL unit arrives as it stands in the film.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.core.media import VideoCodec

__all__ = ["OnvifResult", "OnvifValidator", "build"]

_CODECS = {VideoCodec.H264: 0, VideoCodec.HEVC: 1}
AUTHENTICITY = ("not signed", "not feasible", "not ok", "ok, but units are missing", "ok", "version mismatch")
PROVENANCE = ("not feasible", "not ok", "feasible without a trusted certificate", "ok")


class _Latest(ctypes.Structure):
    _fields_ = [
        ("both", ctypes.c_int),
        ("provenance", ctypes.c_int),
        ("key_changed", ctypes.c_bool),
        ("authenticity", ctypes.c_int),
        ("expected", ctypes.c_int),
        ("received", ctypes.c_int),
        ("pending", ctypes.c_int),
        ("validation", ctypes.c_char_p),
        ("units", ctypes.c_char_p),
        ("start", ctypes.c_int64),
        ("end", ctypes.c_int64),
    ]


class _Accumulated(ctypes.Structure):
    _fields_ = [
        ("both", ctypes.c_int),
        ("provenance", ctypes.c_int),
        ("key_changed", ctypes.c_bool),
        ("authenticity", ctypes.c_int),
        ("received_units", ctypes.c_uint),
        ("validated_units", ctypes.c_uint),
        ("pending_units", ctypes.c_uint),
        ("received_frames", ctypes.c_uint),
        ("validated_frames", ctypes.c_uint),
        ("pending_frames", ctypes.c_uint),
        ("first", ctypes.c_int64),
        ("last", ctypes.c_int64),
    ]


class _Report(ctypes.Structure):
    _fields_ = [
        ("signer_version", ctypes.c_char_p),
        ("version", ctypes.c_char_p),
        ("firmware", ctypes.c_char * 256),
        ("serial", ctypes.c_char * 256),
        ("manufacturer", ctypes.c_char * 256),
        ("latest", _Latest),
        ("accumulated", _Accumulated),
    ]


@dataclass(frozen=True)
class OnvifResult:
    """The validator's words for a whole film. `each`: the units and their marks of each validation, in its letters."""

    authenticity: str
    provenance: str
    received_frames: int
    validated_frames: int
    pending_frames: int
    first: int
    last: int
    serial: str
    each: tuple[tuple[str, str], ...]

    @property
    def is_ok(self) -> bool:
        """All of it is authentic, by the trusted certificate."""
        return (self.authenticity, self.provenance, self.pending_frames) == ("ok", "ok", 0)


CRASHED = OnvifResult("crashed", "-", 0, 0, 0, 0, 0, "", ())


def build(source: Path, library: Path) -> Path:
    """Compiles the library of a checkout of media-signing-framework."""
    sources = [*sorted((source / "lib/src").glob("*.c")), source / "lib/plugins/unthreaded-signing/plugin.c"]
    include = [f"-I{source / 'lib/src'}", f"-I{source / 'lib/src/includes'}"]
    # Its readers write two bytes through pointers to larger integers: with strict aliasing it may find no key.
    flags = ["-O2", "-fno-strict-aliasing", "-fPIC", "-shared"]
    subprocess.run(["cc", *flags, *include, "-o", library, *sources, "-lcrypto"], check=True)
    return library


class OnvifValidator:
    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.onvif_media_signing_create.restype = ctypes.c_void_p
        self._library.onvif_media_signing_get_authenticity_report.restype = ctypes.POINTER(_Report)
        self._library.onvif_media_signing_get_version.restype = ctypes.c_char_p

    @property
    def version(self) -> str:
        return self._library.onvif_media_signing_get_version().decode()

    def validate(self, units: Iterable[bytes], codec: VideoCodec, root: bytes | None) -> OnvifResult:
        """Validates NAL units without start codes, in a separate process: a damaged message may end it (`CRASHED`).

        `root`: the trusted certificate in PEM.
        """
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            with os.fdopen(writer, "wb") as out:
                pickle.dump(self._validate(units, codec, root), out)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            data = answer.read()
        os.waitpid(child, 0)
        return pickle.loads(data) if data else CRASHED

    def _validate(self, units: Iterable[bytes], codec: VideoCodec, root: bytes | None) -> OnvifResult:
        call = self._library
        session = ctypes.c_void_p(call.onvif_media_signing_create(_CODECS[codec]))
        each = []
        try:
            if root is not None:
                assert not call.onvif_media_signing_set_trusted_certificate(session, root, ctypes.c_size_t(len(root)))
            for unit in units:
                report = ctypes.POINTER(_Report)()
                # Its parser looks at four bytes for a start code, so a shorter unit gets one.
                given = b"\x00\x00\x00\x01" + unit
                call.onvif_media_signing_add_nalu_and_authenticate(
                    session, given, ctypes.c_size_t(len(given)), ctypes.byref(report)
                )
                if report:
                    latest = report.contents.latest
                    each.append((latest.units.decode(), latest.validation.decode()))
                    call.onvif_media_signing_authenticity_report_free(report)
            report = call.onvif_media_signing_get_authenticity_report(session)
            whole = report.contents.accumulated
            result = OnvifResult(
                AUTHENTICITY[whole.authenticity],
                PROVENANCE[whole.provenance],
                whole.received_frames,
                whole.validated_frames,
                whole.pending_frames,
                whole.first,
                whole.last,
                report.contents.serial.decode(),
                tuple(each),
            )
            call.onvif_media_signing_authenticity_report_free(report)
        finally:
            call.onvif_media_signing_free(session)
        return result
