"""Writes news to the log: the only notifier of a device without other channels."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from agent.core.alerts.alert_messages import AlertPicture

__all__ = ["LogNotifier"]


class LogNotifier:
    """`ports.Notifier` as structured log lines."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("owner")

    def notify(
        self,
        kind: str,
        text: str,
        once: str = "",  # noqa: ARG002 — a log line may stand twice
        pictures: Sequence[AlertPicture] = (),  # noqa: ARG002 — a log holds no footage
    ) -> None:
        self._log.info("owner_told", about=kind, says=text)
