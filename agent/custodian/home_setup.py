"""Composition of what the doorbell shows inside the home: Home Assistant, and metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent import __version__
from agent.config import Configuration
from agent.core.home_news import HomeAddress
from agent.core.metrics import render
from agent.platform.metrics_server import MetricsServer

__all__ = ["home_address", "make_metrics"]


def home_address(configuration: Configuration, device: str, page: str) -> HomeAddress:
    """Returns the address of Home Assistant's broker.  The host is empty if none is configured."""
    wanted = configuration.home_assistant
    if wanted is None:
        return HomeAddress()
    return HomeAddress(
        host=wanted.host,
        port=wanted.port,
        user=wanted.user,
        password=wanted.password,
        ca=str(wanted.ca) if wanted.ca else "",
        prefix=wanted.prefix,
        device=device,
        name=configuration.device.name,
        version=__version__,
        page=page,
    )


def make_metrics(configuration: Configuration, status: Callable[[], dict[str, Any]]) -> MetricsServer | None:
    wanted = configuration.metrics
    if wanted is None:
        return None
    return MetricsServer(lambda: render(status()), path=wanted.socket, port=wanted.port)
