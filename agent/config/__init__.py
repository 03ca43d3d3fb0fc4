"""Reads the operator's configuration once, at the edge; behind it everything trusts the types.

`config/doorward.toml` documents every key, and a test holds it against `settings.py` in both directions.  The sections
are plain data: what a zone or a limit *means* belongs to `core` and `wire`, and the roles convert.
"""

from agent.config.reading import load, parse
from agent.config.settings import (
    AlertChannel,
    Alerts,
    Board,
    BoardName,
    Broker,
    Camera,
    CameraKind,
    Clips,
    Configuration,
    Device,
    Encoder,
    HomeAssistant,
    Log,
    LogFormat,
    LogLevel,
    Metrics,
    Motion,
    Page,
    Panel,
    Position,
    Requests,
    Vault,
    Zone,
    ZoneKind,
)

__all__ = [
    "AlertChannel",
    "Alerts",
    "Board",
    "BoardName",
    "Broker",
    "Camera",
    "CameraKind",
    "Clips",
    "Configuration",
    "Device",
    "Encoder",
    "HomeAssistant",
    "Log",
    "LogFormat",
    "LogLevel",
    "Metrics",
    "Motion",
    "Page",
    "Panel",
    "Position",
    "Requests",
    "Vault",
    "Zone",
    "ZoneKind",
    "load",
    "parse",
]
