"""Requests and answers of the local sockets (docs/local-rpc.md). Both sockets, between the roles and for the owner's
client, use these frames:

    request   {"op": "GetHeldSegments", "stored": 3}
    answer    {"ok": true, "result": {…}}
    refusal   {"ok": false, "kind": "RequestError", "error": "…", "remedy": "…"}

A request is a subclass of `Request[Answer]`, so `RpcClient.ask` returns the answer's type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args

import msgspec
from msgspec import Struct

from agent import errors
from agent.errors import DoorwardError, NetworkError, RequestError
from agent.wire.control import FRAME_LIMITS, Frame, FrameLimits
from agent.wire.strictjson import PreparedMeta, prepare

__all__ = [
    "CONTROL_SOCKET",
    "ROLE_SOCKET",
    "Request",
    "SocketKind",
    "answer_type",
    "operation_of",
    "read_answer",
    "read_request",
    "refusal",
    "request_frame",
    "success",
]

AnswerT = TypeVar("AnswerT")
KindT = TypeVar("KindT")


class _RequestMeta(PreparedMeta):
    """Prepares the answer of a request, too: threads decode both."""

    def __init__(self, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> None:
        super().__init__(name, bases, namespace, **options)
        if Generic not in bases:
            prepare(answer_type(self))  # type: ignore[arg-type] # mypy knows any struct here, but it is a request


class Request(
    Struct,
    Generic[AnswerT],
    metaclass=_RequestMeta,
    frozen=True,
    forbid_unknown_fields=True,
    tag=True,
    tag_field="op",
):
    """Base class of all requests. The tag of a subclass is the name of its operation."""

    if TYPE_CHECKING:
        # mypy makes no `__init__` for a class without fields, and then it would accept any argument.
        def __init__(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SocketKind:
    """The rules of one kind of socket, which its server and its client share."""

    name: str
    mode: int
    """Permissions of the socket's file. connect(2) needs write permission."""
    request: FrameLimits
    answer: FrameLimits
    idle_s: float | None
    """The server closes a connection that asks nothing for this long."""
    silence_s: float
    """Either end closes a connection if the other end stops in the middle of a frame for this long."""
    makes_folder: bool
    remedy: str


ROLE_SOCKET: Final = SocketKind(
    "ipc",
    0o666,  # the folder's permissions and SO_PEERCRED say who may ask
    FrameLimits(128 << 10, 0),  # a manifest record of the most evictions, or a packet of 16 KiB, in base64
    FrameLimits(4 << 20, 0),  # the held segments of several twelve-hour windows
    idle_s=None,
    silence_s=30.0,
    makes_folder=False,
    remedy="systemd-tmpfiles --create makes its folder; elsewhere give --runtime-dir.",
)
CONTROL_SOCKET: Final = SocketKind(
    "control",
    0o600,
    FrameLimits(8 << 20, 32 << 20),  # an envelope of the largest statement, and the re-wrapped headers with it
    FRAME_LIMITS,
    idle_s=60.0,
    silence_s=60.0,
    makes_folder=True,
    remedy="Check device.state_dir: it must be writable and its path shorter than about 90 characters.",
)


def operation_of(request: type[Request[Any]]) -> str:
    """Returns the operation's name in a frame."""
    return str(request.__struct_config__.tag)


def answer_type(request: type[Request[AnswerT]]) -> type[AnswerT]:
    """Returns the class between the brackets of `Request[...]`."""
    found: type[AnswerT] = get_args(request.__orig_bases__[0])[0]  # type: ignore[attr-defined] # set by typing
    return found


def request_frame(request: Request[Any], body: bytes = b"") -> Frame:
    return Frame(msgspec.to_builtins(request), body)


def read_request(head: dict[str, Any], kinds: type[KindT]) -> KindT:
    """Returns the request in a frame's head, one of `kinds`. Raises `RequestError` with the argument that is wrong."""
    try:
        return msgspec.convert(head, kinds)
    except msgspec.ValidationError as error:
        raise RequestError(f"The arguments of '{head.get('op')}' cannot be used: {error}.") from error


def success(result: object, body: bytes = b"") -> Frame:
    return Frame({"ok": True, "result": msgspec.to_builtins(result)}, body)


def refusal(error: DoorwardError) -> Frame:
    """Returns an error as its client gets it: the device's words, never a stack."""
    # A message may name a file in bytes that are no UTF-8, and JSON refuses the lone surrogates in it.
    message, remedy = (text.encode(errors="replace").decode() for text in (error.message, error.remedy))
    return Frame({"ok": False, "kind": type(error).__name__, "error": message, "remedy": remedy})


def read_answer(request: type[Request[AnswerT]], head: dict[str, Any]) -> AnswerT:
    """Returns the result in an answer's head. Raises the error in a refusal, and `NetworkError` for another shape.

    A device, or one process of it, may be altered. The error names the operation and the place in the answer.
    """
    if head.get("ok") is not True:
        raise _error_in(head)
    try:
        return msgspec.convert(head.get("result"), answer_type(request))
    except msgspec.ValidationError as error:
        raise NetworkError(
            f"The device's answer to '{operation_of(request)}' cannot be used: {error}.",
            remedy="Install the same version on the device and on this machine. "
            "If the versions are equal, a part of the device was altered.",
        ) from error


def _error_in(head: dict[str, Any]) -> DoorwardError:
    """Returns the error in a refusal, of the class that it had on the device."""
    name = head.get("kind")
    # The other end chooses the name, and it may be altered: only our classes of errors are looked up.
    kind = getattr(errors, name) if isinstance(name, str) and name in errors.__all__ else DoorwardError
    error: DoorwardError = kind(str(head.get("error", "The device refused.")), remedy=str(head.get("remedy", "")))
    return error
