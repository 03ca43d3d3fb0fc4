"""Port for the claims of a receiver: which uploads are its own, when several receivers work for one requester.

By default there is one receiver, and all uploads are its own. Receivers that share a database claim each upload there
(`desk.storage`): one of them gets it, and keeps it until it releases it or dies. Source: decision 0050.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Claims", "SoleReceiver"]


class Claims(Protocol):
    """The claims of one receiver. All methods raise `NetworkError` once they are lost: the receiver must stop at
    once."""

    shared: bool
    """True if other receivers may work for the requester."""

    def claim(self, disclosure: str) -> bool:
        """Returns True if the upload is this receiver's from now on, or was before."""
        ...

    def release(self, disclosure: str) -> None:
        """Leaves the upload to others. It may be repeated."""
        ...

    def claim_duty(self, duty: str) -> bool:
        """Returns True if this receiver is the one with that duty, for example to publish messages."""
        ...

    def step_down(self) -> None:
        """Releases all duties and uploads."""
        ...

    def check(self) -> None:
        """Raises `NetworkError` if the claims are lost. Costs nearly nothing."""
        ...

    def close(self) -> None:
        """Ends the claims."""
        ...


class SoleReceiver:
    """The claims of the only receiver. A lock on its folder makes it the only one (`publisher.connection_lock`)."""

    shared = False

    def __init__(self, end: Callable[[], object] | None = None) -> None:
        """`end`: closes what this receiver alone uses, for example its session with a database."""
        self._end = end

    def claim(self, disclosure: str) -> bool:  # noqa: ARG002 (it is the only one)
        return True

    def release(self, disclosure: str) -> None:
        """Does nothing: no other receiver waits."""

    def claim_duty(self, duty: str) -> bool:  # noqa: ARG002 (it has all of them)
        return True

    def step_down(self) -> None:
        """Does nothing: no other receiver waits."""

    def check(self) -> None:
        """Does nothing: there is nothing to lose."""

    def close(self) -> None:
        if self._end is not None:
            self._end()
