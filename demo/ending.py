"""Cleans up on every signal: a closed terminal or `kill` stops the broker and the doorbell, as Ctrl-C does."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["like_ctrl_c"]


def like_ctrl_c() -> None:
    """Makes SIGTERM and SIGHUP raise `KeyboardInterrupt` too. An ignored signal (`nohup`) stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
