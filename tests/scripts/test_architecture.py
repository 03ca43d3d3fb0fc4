"""docs/architecture.md names files and functions that exist, and the steps of a walk are in its folders."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.contracts.test_import_contracts import KEPT, PLANTS
from tests.scenarios.walks import WALKS, Tracer, Walk, named_in

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
_PATH = re.compile(r"`((?:agent|desk|firmware_bridge|scripts|tests|demo)/[\w/.-]+)`")
_PLACE = re.compile(
    r"`((?:agent|desk|firmware_bridge|scripts)/[\w/.-]+\.py)`:\s+((?:`[\w.]+`(?:(?:,| and|, and)\s+)?)+)"
)
_SCRIPT_PLACE = re.compile(r"`(agent/web/src/[\w/.-]+\.js)`:\s+((?:`\w+`(?:(?:,| and|, and)\s+)?)+)")
_WALK = re.compile(r"^## (How [^\n]+)\n\nFolders: (.+?)\n\n(.+?)(?=^## )", re.MULTILINE | re.DOTALL)
SHARED = ("agent/core", "agent/wire", "agent/media", "agent/mqtt")
"""Decisions, formats and the connection: shared by the processes."""
CLIENTS = ("agent/clients",)


def places() -> list[tuple[str, str]]:
    """(file, name) of each place that the document names."""
    return [(path, name) for path, names in _PLACE.findall(TEXT) for name in re.findall(r"`([\w.]+)`", names)]


def script_places() -> list[tuple[str, str]]:
    """(file, name) of each place in JavaScript."""
    return [(path, name) for path, names in _SCRIPT_PLACE.findall(TEXT) for name in re.findall(r"`(\w+)`", names)]


@cache
def names_of(path: str) -> frozenset[str]:
    """Functions, classes, constants and `Class.method` of a file."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return frozenset(found)


def walks() -> dict[str, tuple[list[str], str]]:
    """Title: (folders, text) of each walk."""
    return {title: (re.findall(r"`(agent/[\w/]+)`", folders), text) for title, folders, text in _WALK.findall(TEXT)}


def test_every_file_and_folder_of_the_picture_exists() -> None:
    assert [path for path in _PATH.findall(TEXT) if not (ROOT / path).exists()] == []


def test_every_package_and_module_below_agent_is_in_the_table_of_folders() -> None:
    code = TEXT.partition("\n## Code\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(agent/[\w.]+)`", code))
    below = [path for path in (ROOT / "agent").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert {f"agent/{path.name}" for path in below if path.name != "__init__.py"} - listed == set()


def test_the_desk_s_docstring_lists_each_of_its_packages() -> None:
    """CONTRIBUTING.md sends a newcomer there for the app that holds a subject."""
    told = ast.get_docstring(ast.parse((ROOT / "desk" / "__init__.py").read_text())) or ""
    packages = {path.parent.name for path in (ROOT / "desk").glob("*/__init__.py")}
    assert len(packages) > 10
    assert packages - set(re.findall(r"`(\w+)` ", told)) == set()


def test_the_number_of_planted_imports_is_the_true_one() -> None:
    assert f"plants {len(PLANTS)} forbidden imports and sees each one refused ({len(KEPT)} in `make test`)" in TEXT


def test_each_step_of_the_story_names_a_package_or_module_that_exists() -> None:
    """The docstring of the package `agent`, which a newcomer reads first."""
    story = ast.get_docstring(ast.parse((ROOT / "agent" / "__init__.py").read_text())) or ""
    names = [
        name for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)`", story) if name not in ("firmware_bridge", "setup.cfg")
    ]
    assert len(names) >= 30
    assert [name for name in names if not _is_module(ROOT / "agent" / name.replace(".", "/"))] == []


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists() or (path / "static").is_dir()


def test_the_document_names_places() -> None:
    assert len(places()) >= 60
    assert len(script_places()) >= 8


@pytest.mark.parametrize(("path", "name"), sorted(set(places())))
def test_a_named_place_is_in_its_file(path: str, name: str) -> None:
    assert name in names_of(path)


@pytest.mark.parametrize(("path", "name"), sorted(set(script_places())))
def test_a_named_place_is_in_its_script(path: str, name: str) -> None:
    definition = rf"^(?:export )?(?:async )?(?:function|const|class) {name}\b|^  (?:async )?{name}\("
    assert re.search(definition, (ROOT / path).read_text(), re.MULTILINE)


def test_there_are_three_walks_with_at_most_two_folders_on_the_device() -> None:
    assert len(walks()) == 3
    for folders, _ in walks().values():
        assert 1 <= len([folder for folder in folders if folder != "agent/web/src"]) <= 2


@pytest.mark.parametrize("title", walks())
def test_each_step_of_a_walk_is_in_its_folders(title: str) -> None:
    folders, text = walks()[title]
    steps = [path for path in _PATH.findall(text) if path.endswith((".py", ".js"))]
    assert len(steps) >= 8
    assert [path for path in steps if not path.startswith((*folders, *SHARED, *CLIENTS))] == []


@pytest.mark.parametrize("walk", WALKS, ids=[each.title for each in WALKS])
def test_a_step_that_is_not_executed_is_noticed(walk: Walk, tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "walks", dict)
    assert len(named_in(walk.title)) >= 9
    assert tracer.not_executed(walk) == named_in(walk.title)


def test_the_document_says_how_many_files_a_walk_may_have() -> None:
    """`tests/scenarios/test_roles_apart.py` counts them."""
    table = TEXT.partition("\n## Three walks\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| an? [^|]+ \| (?:\d+ to )?(\d+) \| (\d+) \|", table, re.MULTILINE)
    assert [int(most) for _, most in rows] == [walk.at_most for walk in WALKS]
    assert all(int(counted) <= int(most) for counted, most in rows)


def test_every_thread_that_the_custodian_starts_for_a_request_carries_its_walk() -> None:
    """The queue that answers the uplink at once has another thread, without which the walk would look short."""
    (walk,) = [each for each in WALKS if each.title == "How a request becomes an upload"]
    queue = (ROOT / "agent" / "custodian" / "message_queue.py").read_text()
    (thread,) = re.findall(r'name="([\w-]+)"', queue)
    assert re.fullmatch(walk.carried_by["custodian"], thread)


def test_the_walks_that_are_traced_are_those_of_the_document() -> None:
    assert [walk.title for walk in WALKS] == list(walks())
