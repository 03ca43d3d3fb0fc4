"""Ends as Ctrl-C does, whatever asks for it: a closed terminal and `kill` leave no broker and no doorbell running."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["like_ctrl_c"]


def like_ctrl_c() -> None:
    """From now on SIGTERM and SIGHUP raise `KeyboardInterrupt` too; what is ignored (`nohup`) stays so."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
