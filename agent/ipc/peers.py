"""The user id at the other end of a Unix socket, as the kernel says (SO_PEERCRED, unix(7)), and the ids that may be."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import struct
from pathlib import Path
from typing import Final

__all__ = ["peer_uid", "uids_of"]

_PEER: Final = struct.Struct("3i")
"""`struct ucred`: process id, user id, group id."""
_UID_MAP: Final = Path("/proc/self/uid_map")
_WHOLE_MAP: Final = str(2**32 - 1)
_OVERFLOW_UID: Final = 65_534


def peer_uid(peer: socket.socket) -> int:
    """Returns the user id of the process at the other end."""
    uid: int = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
    return uid


def uids_of(*users: str) -> frozenset[int]:
    """Returns the ids of those users that exist, and the id of this process: on a laptop all roles have one user.

    In a user namespace (`PrivateUsers=`) all other users look alike. Then the folder vouches for the peer, because only
    root and the custodian can put a socket into it.
    """
    found = {os.getuid()}
    if _WHOLE_MAP not in _UID_MAP.read_text().split():
        found.add(_OVERFLOW_UID)
    for user in users:
        with contextlib.suppress(KeyError):
            found.add(pwd.getpwnam(user).pw_uid)
    return frozenset(found)
