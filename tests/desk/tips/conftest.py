"""A drawn porch, filmed by a house."""

from __future__ import annotations

from tests.clients.requester.conftest import gops, house

__all__ = ["gops", "house"]
