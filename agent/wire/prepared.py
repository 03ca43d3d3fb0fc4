"""A metaclass that prepares a message type for decoding when its class is made, before a second thread can use it.

msgspec 0.22 examines a type when it is first decoded, and shows the half-examined type to other threads meanwhile. If
two threads decode a type for the first time at once, the process ends with a segmentation fault. A class is made while
its module is imported, so no other thread has it yet.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["PreparedMeta", "prepare"]


class PreparedMeta(msgspec.StructMeta):
    """Metaclass of each struct that several threads may decode. Types that a field names must stand above it."""

    def __init__(self, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **_options: Any) -> None:
        super().__init__(name, bases, namespace)
        prepare(self)


def prepare(kind: Any) -> None:
    """Examines a type and all types in it. Call it while no other thread has the type."""
    msgspec.json.Decoder(kind)
