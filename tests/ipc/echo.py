"""A server that repeats a number, for the tests of the local sockets."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from agent.errors import StorageError
from agent.ipc.rpc import Request, SocketKind, read_request, success
from agent.ipc.rpc_client import RpcClient
from agent.wire.control import Frame

ME = frozenset({os.getuid()})


class Said(Struct):
    number: int


class Echo(Request[Said], frozen=True):
    number: int


class Fail(Request[Said], frozen=True):
    """Refused."""


class Break(Request[Said], frozen=True):
    """Meets a bug of the handler."""


def answer(request: Echo | Fail | Break) -> Said:
    match request:
        case Echo(number=number):
            return Said(number)
        case Fail():
            raise StorageError("The disk is full.", remedy="Free some space.")
        case Break():
            raise ZeroDivisionError("a secret")


def handle(frame: Frame) -> Frame:
    return success(answer(read_request(frame.head, Echo | Fail | Break)), frame.body)  # type: ignore[arg-type]


class Link(RpcClient):
    """A client that waits for no server, and is closed at the end of its block."""

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def client_of(path: Path, kind: SocketKind) -> Link:
    return Link(path, ME, kind=kind, patience_s=0.0, silence_s=120.0)
