"""A case with two answered doors, for the interface."""

from __future__ import annotations

from tests.desk.export.conftest import agency, gops, laid_out, quick_pages, street

__all__ = ["agency", "gops", "laid_out", "quick_pages", "street"]
