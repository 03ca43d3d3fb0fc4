"""Waiting for a store that has just started, and for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from agent.errors import DoorwardError

Result = TypeVar("Result")


def patiently(act: Callable[[], Result]) -> Result:
    """Returns what the store answers once all of it has started."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return act()
        except (DoorwardError, ClientError, BotoCoreError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def until(condition: Callable[[], object], what: str, patience_s: float = 120) -> None:
    """Returns once the condition is met."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s for {what}"
        time.sleep(0.02)
