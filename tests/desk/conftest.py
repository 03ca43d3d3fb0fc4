"""For tests of the desk: Django without a server, a database for each test, and organisations with people.

    def test_a_viewer_sees_cases(agency: Agency) -> None:
        assert agency.client(Role.VIEWER).get("/cases").status_code == 200

Each test that asks for `data`, or for a fixture that does, has a separate SQLite file and data folder. Its commits
are real, so threads and servers see them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "desk.settings"
os.environ.pop("DOORWARD_DESK_CONFIG", None)

import django

django.setup(set_prefix=False)

from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402
from django.utils import translation  # noqa: E402

from tests.desk.agencies import Agency, make_agency  # noqa: E402

setup_test_environment()


def use_database(path: Path) -> None:
    """Lets this process and its threads use that SQLite file."""
    connections.close_all()
    connections.settings["default"]["NAME"] = path


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database in the form of the models, to copy."""
    path = tmp_path_factory.mktemp("desk") / "desk.sqlite3"
    use_database(path)
    call_command("migrate", verbosity=0, interactive=False)
    connections["default"].cursor().execute("PRAGMA journal_mode=DELETE")  # one file to copy, without a -wal beside it
    connections.close_all()
    return path


@pytest.fixture
def data(migrated: Path, tmp_path: Path) -> Iterator[Path]:
    """The data folder of an empty desk."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    shutil.copyfile(migrated, folder / "desk.sqlite3")
    use_database(folder / "desk.sqlite3")
    cache.clear()
    translation.deactivate()  # a request of an earlier test leaves its language in this thread
    fast: dict[str, Any] = {"PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"]}
    with override_settings(DATA=folder, ORGANISATIONS=folder / "organisations", SECRET_KEY="k" * 50, **fast):
        yield folder
    connections.close_all()


@pytest.fixture
def agency(data: Path) -> Agency:
    """Rijnstad Police, with one person for each role."""
    return make_agency("rijnstad-police", "Rijnstad Police")


@pytest.fixture
def other_agency(data: Path) -> Agency:
    """Another organisation on the same desk. Its people must never see Rijnstad's."""
    return make_agency("waterland-police", "Waterland Police")
