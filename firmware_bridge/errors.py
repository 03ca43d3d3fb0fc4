"""The error of the bridge: a message for a person, and the remedy.

The bridge must not import the agent, so it cannot use the agent's error tree. `agent.recorder.bridge_client` converts
this error.
"""

from __future__ import annotations

__all__ = ["BridgeError"]


class BridgeError(Exception):
    """A line, chip, socket or setting cannot be used. `str()` gives message and remedy."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()
