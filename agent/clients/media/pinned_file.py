"""A file of ours that programs rely on byte for byte, such as the weights of a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from agent.errors import ConfigurationError

__all__ = ["OBJECTS_SHA256", "read_pinned"]

OBJECTS_SHA256: Final = "615e266100c341c28d62abe255f7a6d9d7e2b91c1b0b87fc24c5d9e53141a57b"
"""The hash of `objects.onnx`. It is here so that a command can check the file without the libraries of the network."""


def read_pinned(path: Path, sha256: str) -> bytes:
    """Returns the bytes of the file. Raises `ConfigurationError` if it is missing or another one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} is missing.", remedy="Install Doorward again.") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ConfigurationError(f"{path} is not the file that is known.", remedy="Install Doorward again.")
    return data
