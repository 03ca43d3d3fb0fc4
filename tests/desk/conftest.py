"""For tests of the desk: Django without a server, a database for each test, and organisations with people.

    def test_a_viewer_sees_cases(agency: Agency) -> None:
        assert agency.client(Role.VIEWER).get("/cases").status_code == 200

Each test that asks for `data`, or for a fixture that does, has a separate SQLite file and data folder. Its commits
are real, so threads and servers see them.
"""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "desk.settings"
os.environ.pop("DOORWARD_DESK_CONFIG", None)
GROWN = os.environ.get("DOORWARD_TEST_DESK") == "grown"
"""True: on a real PostgreSQL and a real S3 store (`grown`). Otherwise on SQLite and a folder."""

with tempfile.NamedTemporaryFile("w", suffix=".toml") as chosen:
    if GROWN:  # the server's address follows once it runs
        chosen.write('[database]\nkind = "postgresql"\nhost = "localhost"\n')
        chosen.flush()
        os.environ["DOORWARD_DESK_CONFIG"] = chosen.name
    django.setup(set_prefix=False)
    os.environ.pop("DOORWARD_DESK_CONFIG", None)

from django import test as django_test  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.template import Context, RequestContext, Template  # noqa: E402
from django.template.loader import get_template  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.test.utils import ContextList, setup_test_environment  # noqa: E402
from django.urls import get_resolver  # noqa: E402
from django.utils import translation  # noqa: E402

from desk.people.models import Organisation, Person  # noqa: E402
from tests.desk.agencies import Agency, make_agency  # noqa: E402
from tests.desk.grown import GrownStores, grown_stores, using  # noqa: E402
from tests.once import made_once  # noqa: E402

setup_test_environment()


def keep_page(store: dict[str, Any], template: Template, context: Context, **_signal: object) -> None:
    """Keeps the templates and the context of a page for `response.context`.

    Django would copy the context once for each template that the page includes, and for each field of a form.
    """
    store.setdefault("templates", []).append(template)
    if isinstance(context, RequestContext) and store.get("page") is not context:
        store["page"] = context
        store.setdefault("context", ContextList()).append(copy.copy(context))


django_test.client.store_rendered_templates = keep_page  # type: ignore[attr-defined]
RIJNSTAD = ("rijnstad-police", "Rijnstad Police")
DESK = Path(__file__).resolve().parents[2] / "desk"


def load_pages() -> None:
    """Imports the views and compiles the templates, once for all workers, because they are forked after this."""
    get_resolver().url_patterns  # noqa: B018
    for path in sorted(DESK.glob("**/templates/**/*.html")):
        get_template(path.as_posix().rpartition("/templates/")[2])


load_pages()


def use_database(path: Path) -> None:
    """Lets this process and its threads use that SQLite file."""
    connections.close_all()
    connections.settings["default"]["NAME"] = path


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrownStores]:
    with grown_stores(tmp_path_factory.mktemp("grown")) as stores:
        yield stores


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database in the form of the models, to copy."""
    return made_once(tmp_path_factory, "desk.sqlite3", migrate)


def migrate(path: Path) -> None:
    use_database(path)
    call_command("migrate", verbosity=0, interactive=False)
    connections["default"].cursor().execute("PRAGMA journal_mode=DELETE")  # one file to copy, without a -wal beside it
    connections.close_all()


@contextlib.contextmanager
def stores_of(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Inside it the settings name an empty database, and the place of sealed parts."""
    if GROWN:
        with using(request.getfixturevalue("grown")):
            yield
        return
    shutil.copyfile(request.getfixturevalue("migrated"), folder / "desk.sqlite3")
    use_database(folder / "desk.sqlite3")
    yield
    connections.close_all()


@pytest.fixture
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The data folder of an empty desk."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    translation.deactivate()  # a request of an earlier test leaves its language in this thread
    fast: dict[str, Any] = {
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "FAILED_SIGN_IN_S": 0.0,
    }
    with (
        override_settings(DATA=folder, ORGANISATIONS=folder / "organisations", SECRET_KEY="k" * 50, **fast),
        stores_of(request, folder),
    ):
        cache.clear()
        yield folder


@pytest.fixture
def agency(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Agency:
    """Rijnstad Police, with one person for each role."""
    return rijnstad(data, tmp_path_factory)


def rijnstad(data: Path, factory: pytest.TempPathFactory) -> Agency:
    """The first test of a run sets the organisation up, and the others copy its keys and rows."""
    if GROWN or Organisation.objects.exists() or Person.objects.exists():
        return make_agency(*RIJNSTAD)

    def make(folder: Path) -> None:
        folder.mkdir()
        made = make_agency(*RIJNSTAD)
        connections.close_all()
        shutil.copytree(data, folder / "data")
        (folder / "agency").write_bytes(pickle.dumps(made))

    kept = made_once(factory, "rijnstad", make)
    connections.close_all()
    shutil.copytree(kept / "data", data, dirs_exist_ok=True)
    return pickle.loads((kept / "agency").read_bytes())  # type: ignore[no-any-return]


@pytest.fixture
def other_agency(data: Path) -> Agency:
    """Another organisation on the same desk. Its people must never see Rijnstad's."""
    return make_agency("waterland-police", "Waterland Police")
