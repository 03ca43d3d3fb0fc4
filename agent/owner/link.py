"""The owner's client's end of the device's control socket: asks, gets the answer, raises the device's own words."""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from agent import errors
from agent.errors import DoorwardError, NetworkError
from agent.wire.control import Frame, read_frame, write_frame

__all__ = ["DeviceLink"]

_TIMEOUT_S: Final = 60.0


class DeviceLink:
    """A connection to one device.  `path` is its control socket, local or forwarded with `ssh -L`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise NetworkError(
                f"No device answers at {path}: {error.strerror or error}.",
                remedy="Is 'doorward run' running there?  From another machine, forward the socket: "
                "ssh -L /tmp/doorward.sock:STATE_DIR/control.sock HOST.",
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
            result = answer.head.get("result")
            return (result if isinstance(result, dict) else {}), answer.body
        raise _error(answer.head)


def _error(head: dict[str, Any]) -> DoorwardError:
    name = head.get("kind")
    kind = getattr(errors, name, DoorwardError) if name in errors.__all__ else DoorwardError
    error: DoorwardError = kind(str(head.get("error", "The device refused.")), remedy=str(head.get("remedy", "")))
    return error
