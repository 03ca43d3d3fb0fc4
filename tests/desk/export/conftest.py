"""A case with two answered doors, for exports."""

from __future__ import annotations

import pytest

from agent.core.media import Gop
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from tests.cameras import gops_of, play
from tests.desk.agencies import Agency
from tests.desk.export.street import Street, make_street


@pytest.fixture(scope="session")
def gops() -> list[Gop]:
    """Twelve seconds of the drawn porch, a GOP a second."""
    return gops_of(play(ScriptedCamera([Visit(0.5), Visit(7.0)], duration_s=12, size_px=(320, 180)))[1])


@pytest.fixture
def street(agency: Agency, gops: list[Gop]) -> Street:
    return make_street(agency, gops)
