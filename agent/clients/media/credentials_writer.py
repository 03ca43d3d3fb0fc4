"""Writes a copy of a film, sound or still with Content Credentials (C2PA), by c2pa-rs (c2pa-python).

c2pa-rs parses the file, so this runs in the confined process. It gets a key that lives as long as one call.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import c2pa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.errors import FormatError
from agent.platform import files

__all__ = ["sign_copy"]

_SETTINGS: Final = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
"""A film may name an address for its credentials. c2pa-rs would ask there, and tell a stranger who opens the film.
A second, small picture would stay as it is if an editor covers a place in the still."""
_HALF_BYTES: Final = 32
_DISK_FAULTS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""Without those that a hostile film can cause, for example by a length that is too large."""
_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)$")


def sign_copy(
    source: Path, target: Path, manifest: dict[str, Any], parts: Sequence[dict[str, str]], credential: tuple[str, str]
) -> None:
    """Writes `target`. Raises `FormatError` if the file takes no credentials, and `StorageError`.

    `manifest`: the definition of c2pa-rs, with the media type as `format`. `parts`: copies that it was made of, each
    with `path`, `format`, `relationship` and the `label` by which actions name it. `credential`: certificates in PEM,
    the leaf first, and the leaf's key of P-256 in PEM.
    """
    chain, pem = credential
    key = load_pem_private_key(pem.encode("ascii"), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 (the caller made it)

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_HALF_BYTES) + s.to_bytes(_HALF_BYTES)

    with files.storage_errors(target):
        try:
            builder = c2pa.Builder(json.dumps(manifest), context=c2pa.Context.from_dict(_SETTINGS))
            for part in parts:
                path = Path(part["path"])
                said = {"title": path.name, "relationship": part["relationship"], "label": part["label"]}
                with path.open("rb") as file:
                    builder.add_ingredient(said, part["format"], file)
            signer = c2pa.Signer.from_callback(sign, c2pa.C2paSigningAlg.ES256, chain)
            with source.open("rb") as file, _Target(io.FileIO(target, "w+")) as out:
                try:
                    builder.sign(signer, manifest["format"], file, out)
                except c2pa.C2paError as error:
                    if (fault := out.fault or _fault_of(error)) is not None:
                        raise fault from error
                    raise
        except c2pa.C2paError as error:
            raise FormatError(f"{source.name} takes no Content Credentials: {error}") from error


def _fault_of(error: c2pa.C2paError) -> OSError | None:
    """Returns the fault of the disk on which c2pa-rs keeps a large file while it works."""
    found = _OS_ERROR.search(str(error))
    number = int(found[1]) if found else 0
    return OSError(number, os.strerror(number)) if number in _DISK_FAULTS else None


class _Target(io.BufferedRandom):
    """A file that keeps the fault of its disk. c2pa-rs tells of it as of a film that takes no credentials."""

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno in _DISK_FAULTS:
                self.fault = error
            raise
