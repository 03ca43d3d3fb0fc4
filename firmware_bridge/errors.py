"""The one error of the bridge: a sentence for a person, and what to do next.

The bridge knows nothing of the agent, its error tree included; `agent.adapters.bridge_socket` turns this into one of
its own where the two meet.
"""

from __future__ import annotations

__all__ = ["BridgeError"]


class BridgeError(Exception):
    """A line, a chip, a socket or a setting that cannot be used.  `str()` is message and remedy."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()
