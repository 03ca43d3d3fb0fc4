"""A case with two answered doors, for exports."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
from django.db import connections

from agent.core.media import Gop
from desk.export import bundle
from tests.clients.requester.conftest import gops
from tests.desk.agencies import Agency, make_agency
from tests.desk.conftest import GROWN, rijnstad
from tests.desk.export.street import Street, make_street
from tests.once import made_once

__all__ = ["gops"]

EMPTY_PDF = b"%PDF-1.7\n1 0 obj\n<</Type /Catalog>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n"


@pytest.fixture
def agency(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Agency:
    if "street" in request.fixturenames:
        return request.getfixturevalue("street").agency  # type: ignore[no-any-return]
    return rijnstad(data, tmp_path_factory)


@pytest.fixture
def street(data: Path, gops: list[Gop], tmp_path_factory: pytest.TempPathFactory) -> Street:
    """The first test of a run fills a desk, and the others copy it: filming and sealing take a third of a second."""
    if GROWN:
        return make_street(make_agency("rijnstad-police", "Rijnstad Police"), gops)

    def make(folder: Path) -> None:
        folder.mkdir()
        filled = make_street(make_agency("rijnstad-police", "Rijnstad Police"), gops)
        connections.close_all()
        shutil.copytree(data, folder / "data")
        (folder / "street").write_bytes(pickle.dumps(filled))

    kept = made_once(tmp_path_factory, "street", make)
    connections.close_all()
    shutil.copytree(kept / "data", data, dirs_exist_ok=True)
    return pickle.loads((kept / "street").read_bytes())  # type: ignore[no-any-return]


@pytest.fixture
def laid_out() -> None:
    """For a test that is about the pages of an export."""


@pytest.fixture(autouse=True)
def quick_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere each PDF of an export is empty: WeasyPrint would take most of the time of a test about what leaves."""
    if "laid_out" not in request.fixturenames:
        monkeypatch.setattr(bundle, "render_pdf", lambda _html: EMPTY_PDF)
