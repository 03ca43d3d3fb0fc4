"""A case with two answered doors, for exports."""

from __future__ import annotations

import pytest

from agent.core.media import Gop
from tests.clients.requester.conftest import gops
from tests.desk.agencies import Agency
from tests.desk.export.street import Street, make_street

__all__ = ["gops"]


@pytest.fixture
def street(agency: Agency, gops: list[Gop]) -> Street:
    return make_street(agency, gops)
