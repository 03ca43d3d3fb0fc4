"""The other half: identities and what opens age files with them.  Only owners' and requesters' clients import this.

An import contract (setup.cfg) keeps it, with all its modules, out of every role that runs on the device.  A device has
no identity either; the contract makes "there is no key" visible in the code as "there is not even a lock to turn".
"""

from __future__ import annotations

from agent.clients.opening.files import (
    VerifiedPrefix,
    open_bytes,
    open_file_key,
    open_payload,
    open_stream,
    rewrap,
)
from agent.clients.opening.identities import (
    HybridIdentity,
    Identity,
    PassphraseIdentity,
    X25519Identity,
    parse_identity,
    parse_identity_file,
)

__all__ = [
    "HybridIdentity",
    "Identity",
    "PassphraseIdentity",
    "VerifiedPrefix",
    "X25519Identity",
    "open_bytes",
    "open_file_key",
    "open_payload",
    "open_stream",
    "parse_identity",
    "parse_identity_file",
    "rewrap",
]
