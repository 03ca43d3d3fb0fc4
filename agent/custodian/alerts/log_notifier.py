"""Writes news to the log: the only notifier of a device without other channels."""

from __future__ import annotations

import structlog

__all__ = ["LogNotifier"]


class LogNotifier:
    """`ports.Notifier` as structured log lines."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("owner")

    def notify(self, kind: str, text: str, once: str = "") -> None:  # noqa: ARG002 — a log line may stand twice
        self._log.info("owner_told", about=kind, says=text)
