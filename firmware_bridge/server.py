"""The bridge's end of the local socket: access control and kinds of peers.

The socket is SOCK_SEQPACKET with file mode 0660 in a folder that the operator made. A peer must have our uid, root's or
the agent's (SO_PEERCRED, unix(7)). Its first frame must be `Hello` in our version. Only the newest agent stays, because
it is the one that was just restarted. At most `MOST_PEERS` peers are connected. A peer that breaks these rules is
dropped with the reason. A peer that stops reading is dropped in silence. All calls return at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firmware_bridge.errors import BridgeError
from firmware_bridge.frames import (
    VERSION,
    FromAgent,
    FromBridge,
    Hello,
    Peer,
    Rejected,
    decode_from_agent,
    encode,
    receive,
)

__all__ = ["MOST_PEERS", "Server"]

MOST_PEERS: Final = 4
_CREDENTIALS: Final = struct.Struct("3i")


class Server:
    """Listens at `path` from `open` to `close`. `peers` maps each connection to its kind, None before its `Hello`."""

    def __init__(
        self,
        path: Path,
        allowed_uids: frozenset[int] = frozenset(),
        on_drop: Callable[[socket.socket, Peer | None], None] = lambda _peer, _kind: None,
    ) -> None:
        """`on_drop` is called before a peer's connection is closed, on every path."""
        self._path = path
        self._allowed = allowed_uids | {0, os.getuid()}
        self._on_drop = on_drop
        self._listener: socket.socket | None = None
        self.peers: dict[socket.socket, Peer | None] = {}

    def open(self) -> None:
        """Raises `BridgeError`."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        unready = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            # A bridge that was killed before the rename left it.
            if unready.is_socket():
                unready.unlink()
            listener.bind(str(unready))
            unready.chmod(0o660)
            listener.listen(MOST_PEERS)
            if self._path.is_socket() or not self._path.exists():
                unready.rename(self._path)  # appears under its name only when it accepts connections
            else:
                unready.unlink()
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        except OSError as error:
            listener.close()
            raise BridgeError(
                f"The panel's socket {self._path} cannot be made: {error.strerror or error}.",
                remedy="Check panel.socket: its folder must be writable and the path shorter than about 90 characters.",
            ) from error
        listener.setblocking(False)
        self._listener = listener

    @property
    def listener(self) -> socket.socket:
        if self._listener is None:
            raise BridgeError("The panel's socket is not open.")
        return self._listener

    def accept(self) -> socket.socket | None:
        """Returns the new peer, or None if it is refused."""
        try:
            peer, _ = self.listener.accept()
        except OSError:
            return None
        peer.setblocking(False)
        # The kernel noted this user id when the peer connected. A peer cannot choose it.
        _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid not in self._allowed or len(self.peers) >= MOST_PEERS:
            peer.close()
            return None
        self.peers[peer] = None
        return peer

    def read(self, peer: socket.socket) -> FromAgent | None:
        """Returns the next frame of this peer, or None if it has gone or was dropped. Raises `BlockingIOError`."""
        why = ""
        try:
            packet = receive(peer)
            if packet:
                frame = decode_from_agent(packet)
                self._admit(peer, frame)
                return frame
        except BlockingIOError:
            raise
        except BridgeError as error:
            why = error.message
        except OSError:
            pass
        self.drop(peer, why)
        return None

    def send(self, peer: socket.socket, frame: FromBridge) -> None:
        """One frame, or the end of the peer."""
        try:
            peer.send(encode(frame))
        except OSError:
            self.drop(peer)

    def send_to_agent(self, frame: FromBridge) -> bool:
        """Returns false if no agent is connected."""
        agent = self.agent
        if agent is None:
            return False
        self.send(agent, frame)
        return agent in self.peers

    @property
    def agent(self) -> socket.socket | None:
        return next((peer for peer, kind in self.peers.items() if kind is Peer.AGENT), None)

    def drop(self, peer: socket.socket, why: str = "") -> None:
        """Idempotent.  A reason is told first."""
        if peer not in self.peers:
            return
        # Out of the table first: `_on_drop` sends to the agent, and must not find this one.
        kind = self.peers.pop(peer)
        if why:
            with contextlib.suppress(OSError):
                peer.send(encode(Rejected(why=why[:200])))
        # In front of `close`: the selector finds a socket by its descriptor.
        self._on_drop(peer, kind)
        peer.close()

    def close(self) -> None:
        for peer in list(self.peers):
            self.drop(peer)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _admit(self, peer: socket.socket, frame: FromAgent) -> None:
        known = self.peers.get(peer)
        # True for a second `Hello`, and for any other frame before the first.
        if isinstance(frame, Hello) == (known is not None):
            raise BridgeError("Hello comes first, and once.")
        if not isinstance(frame, Hello):
            return
        if frame.v != VERSION:
            raise BridgeError(f"This bridge speaks version {VERSION}: update bridge and agent together.")
        if frame.peer is Peer.AGENT and (older := self.agent) is not None:
            self.drop(older, "A newer agent came.")
        self.peers[peer] = frame.peer
