"""Tells the owner through the log: the notifier of a device to which no other is configured."""

from __future__ import annotations

import structlog

__all__ = ["LogNotifier"]


class LogNotifier:
    """`ports.Notifier` as structured log lines."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("owner")

    def notify(self, kind: str, text: str, once: str = "") -> None:  # noqa: ARG002 — a log line may stand twice
        self._log.info("owner_told", about=kind, says=text)
