"""The scrub's thread: reads stored segments at the lowest priority."""

from __future__ import annotations

from collections.abc import Callable

from agent.recorder.io_priority import work_idly
from agent.recorder.scrub import Scrubber

__all__ = ["scrubbing"]


def scrubbing(scrub: Scrubber, wait: Callable[[float], bool]) -> None:
    """Until `wait(seconds)` returns true.  Lowers the calling thread for good."""
    work_idly()
    scrub.run(wait)
