"""Identities, and the code that opens age files with them. Only owners' and requesters' clients import this package.

An import contract (setup.cfg) keeps the package out of each process on the device. A device holds no identity. Thanks
to the contract it also lacks the code to use one.
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
