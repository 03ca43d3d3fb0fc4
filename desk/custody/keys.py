"""The key that signs the checkpoints of the custody logs, made at the first start of the desk."""

from __future__ import annotations

import fcntl
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from agent.clients.requester.keys import load_key, make_key
from agent.platform import files
from agent.wire.identities import PublicKey, public_key_of

__all__ = ["desk_key", "private_key"]

_FILE: Final = "signing.key"


def private_key() -> Ed25519PrivateKey:
    """Returns the key, and makes it at the first call on a new desk. Raises `ConfigurationError` if it is damaged."""
    return _load(settings.DATA / "custody")


def desk_key() -> PublicKey:
    """Returns the public key, which an auditor keeps together with the first checkpoint."""
    return public_key_of(private_key())


@lru_cache(maxsize=8)
def _load(folder: Path) -> Ed25519PrivateKey:
    path = folder / _FILE
    if not files.is_there(path):
        files.make_folder(folder)
        with (folder / "lock").open("w") as lock:  # two processes may start at once
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not files.is_there(path):
                make_key(path)
    return load_key(path)
