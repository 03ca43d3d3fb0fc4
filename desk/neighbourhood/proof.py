"""The files with which a reader checks a bulletin without this desk and without Doorward: `openssl` is enough."""

from __future__ import annotations

import io
import zipfile
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.wire import envelope
from desk.neighbourhood.published import PublishedBulletin
from desk.people.organisations import requester_of

__all__ = ["COMMAND", "zipped"]

COMMAND: Final = (
    "openssl pkeyutl -verify -pubin -inkey organisation.pem -rawin -in bulletin.signed -sigfile bulletin.signature"
)
_README: Final = """Bulletin {id} of {who}

Check it with:

    {command}

"bulletin.signed" is exactly what was signed. It begins with "DSSEv1" and the message's type; the words of the bulletin
follow as JSON (https://github.com/secure-systems-lab/dsse, protocol.md).

The key comes from the same desk as the bulletin. Compare it with a copy that you have from elsewhere, for example from
the organisation's own site or from the trust bundle of a root that you know. Its fingerprint is

    {fingerprint}
"""


def zipped(bulletin: PublishedBulletin) -> bytes:
    """Returns a ZIP with the envelope, its signed bytes, its signature and the organisation's key."""
    claimed = envelope.read_unverified(bulletin.envelope)
    key = requester_of(bulletin.organisation).key
    pem = Ed25519PublicKey.from_public_bytes(key.raw).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    readme = _README.format(
        id=bulletin.message.id, who=bulletin.organisation.name, command=COMMAND, fingerprint=str(key)
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in (
            ("README.txt", readme.encode("utf-8")),
            ("bulletin.dsse", bulletin.envelope),
            ("bulletin.signed", envelope.pae(claimed.payload_type, claimed.payload)),
            ("bulletin.signature", claimed.signature),
            ("organisation.pem", pem),
        ):
            # One date for all files, so that the same bulletin is always the same ZIP.
            archive.writestr(zipfile.ZipInfo(f"bulletin-{bulletin.message.id[:8]}/{name}", (2026, 1, 1, 0, 0, 0)), data)
    return out.getvalue()
