"""A case with two answered doors, for the interface."""

from __future__ import annotations

from tests.desk.export.conftest import gops, street

__all__ = ["gops", "street"]
