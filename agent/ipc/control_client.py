"""The client of the control socket: sends an operation, returns its answer, raises the device's errors.

Each answer has the shape of its operation (`control_operations`). Characters that steer a terminal are replaced. Root
connects with the rights of the socket folder's owner.
"""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from agent import errors
from agent.errors import DoorwardError, NetworkError, OpenError
from agent.ipc.control_operations import check_answer
from agent.platform.privileges import as_owner_of
from agent.wire import envelope, strictjson
from agent.wire.control import Frame, read_frame, write_frame
from agent.wire.statements import STATEMENT_ENVELOPE_LIMIT_BYTES, STATEMENT_LIMIT_BYTES, Settings

__all__ = ["DeviceLink", "read_settings"]

_TIMEOUT_S: Final = 60.0
_KEPT: Final = "\n\t"


class DeviceLink:
    """A connection to one device.  `path` is its control socket, local or forwarded with `ssh -L`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            # As root: the socket's name may be a link of a role's that has been taken over.
            with as_owner_of(path.parent):
                self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise NetworkError(
                f"No device answers at {path}: {error.strerror or error}.",
                remedy="Is 'doorward run' running there?  From another machine, forward the socket: "
                "ssh -L /tmp/doorward.sock:/var/lib/doorward/custodian/control.sock root@HOST.",
            ) from error
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> DeviceLink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def ask(self, op: str, *, body: bytes = b"", **arguments: Any) -> dict[str, Any]:
        """The answer's `result`.  Raises the error the device gave, of the same class."""
        return self.fetch(op, body=body, **arguments)[0]

    def fetch(self, op: str, *, body: bytes = b"", **arguments: Any) -> tuple[dict[str, Any], bytes]:
        """Like `ask`, with the bytes that came along.  `body` goes along with the question."""
        try:
            self._socket.sendall(write_frame(Frame({"op": op, **arguments}, body)))
            answer = read_frame(self._reader)
        except OSError as error:
            raise NetworkError("The device stopped answering.", remedy="Look at 'doorward status' there.") from error
        if answer is None:
            raise NetworkError("The device closed the connection.", remedy="Look at 'doorward status' there.")
        if answer.head.get("ok") is True:
            result = _legible(answer.head.get("result"))
            if not isinstance(result, dict):
                result = {}
            check_answer(op, result)
            return result, answer.body
        raise _error(answer.head)


def _error(head: dict[str, Any]) -> DoorwardError:
    name = head.get("kind")
    kind = getattr(errors, name, DoorwardError) if name in errors.__all__ else DoorwardError
    said, remedy = _legible(head.get("error", "The device refused.")), _legible(head.get("remedy", ""))
    error: DoorwardError = kind(str(said), remedy=str(remedy))
    return error


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
    """What the device says is set; None while everything is as its file says.  For looking at: it is not verified."""
    text = link.ask("settings").get("envelope")
    if text is None:
        return None
    claimed = envelope.read_unverified(str(text).encode(), limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES)
    if claimed.payload_type != Settings.PAYLOAD_TYPE:
        raise OpenError("The device shows something that is no settings.")
    return strictjson.decode(claimed.payload, Settings, limit_bytes=STATEMENT_LIMIT_BYTES)
