"""The commands of the clients are run as those of the device are."""

from __future__ import annotations

from tests.cli.conftest import tool

__all__ = ["tool"]
