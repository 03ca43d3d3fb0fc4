"""The client of the control socket: sends an operation, returns its answer, raises the device's errors.

Each answer has the shape of its operation (`control_operations`). Characters that steer a terminal are replaced. Root
connects with the rights of the socket folder's owner.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from agent.errors import NetworkError, OpenError
from agent.ipc.control_operations import GetSignedSettings
from agent.ipc.rpc import CONTROL_SOCKET, Request, read_answer, request_frame
from agent.ipc.rpc_client import RpcClient
from agent.platform.privileges import as_owner_of
from agent.wire import strictjson
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Settings, read_statement

__all__ = ["DeviceLink", "read_settings"]

_KEPT: Final = "\n\t"


_AWAY: Final = (
    "Is 'doorward run' running there?  From another machine, forward the socket: "
    "ssh -L /tmp/doorward.sock:/var/lib/doorward/custodian/control.sock root@HOST."
)
_ON_A_READ_ONLY_DISK: Final = (
    "The disk is read-only, so a device that runs there cannot make its socket.  Its page answers.  Look at the disk: "
    "'doorward doctor'."
)


def _is_read_only(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False


class DeviceLink(RpcClient):
    """A connection to one device. `path` is its control socket, local or forwarded with `ssh -L`."""

    def __init__(self, path: Path) -> None:
        """Raises `NetworkError` if no device answers at `path`."""
        super().__init__(path, None, kind=CONTROL_SOCKET, patience_s=0.0, silence_s=CONTROL_SOCKET.silence_s)
        try:
            self._connect()
        except OSError as error:
            remedy = _ON_A_READ_ONLY_DISK if _is_read_only(path.parent) else _AWAY
            raise NetworkError(f"No device answers at {path}: {error.strerror or error}.", remedy=remedy) from error

    def __enter__(self) -> DeviceLink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def document(self, request: Request[Any]) -> dict[str, Any]:
        """Returns the answer as the JSON object that the device sent, for a command that prints it.

        The shape is checked like that of `ask`. Fields that this version does not know stay in it.
        """
        head = self._readable(self._exchange(request_frame(request), None).head)
        read_answer(type(request), head)
        return dict(head["result"])

    def _dial(self, connection: socket.socket) -> None:
        # As root: the socket's name may be a link of a role that has been taken over.
        with as_owner_of(self._path.parent):
            super()._dial(connection)

    def _away(self, error: OSError) -> NetworkError:
        return NetworkError(
            f"The device stopped answering: {error.strerror or error}.", remedy="Look at 'doorward status' there."
        )

    def _readable(self, head: dict[str, Any]) -> dict[str, Any]:
        return {name: _legible(value) for name, value in head.items()}


def _legible(value: Any) -> Any:
    """`value` with every character replaced that would steer the terminal it is printed on.

    A taken-over custodian chooses the text, and root may be reading it.
    """
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(each if each.isprintable() or each in _KEPT else "\N{REPLACEMENT CHARACTER}" for each in value)
    if isinstance(value, list):
        return [_legible(each) for each in value]
    if isinstance(value, dict):
        return {_legible(name): _legible(each) for name, each in value.items()}
    return value


def read_settings(link: DeviceLink) -> Settings | None:
    """Returns the device's settings, unverified, for display; None if only its file applies."""
    text = link.ask(GetSignedSettings()).envelope
    if text is None:
        return None
    claimed = read_statement(text.encode())
    if claimed.payload_type != Settings.PAYLOAD_TYPE:
        raise OpenError("The device shows something that is no settings.")
    return strictjson.decode(claimed.payload, Settings, limit_bytes=STATEMENT_LIMIT_BYTES)
