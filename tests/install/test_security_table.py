"""The tables of docs/security: every test, contract and probe that they name exists."""

from __future__ import annotations

import ast
import configparser
import re
from functools import cache
from pathlib import Path

import pytest

from desk.people.roles import Role
from tests.install.probes import PROBES

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "security"
PROMISED = (PAGES / "promises.md").read_text(encoding="utf-8")
ANALYSIS = (PAGES / "analysis.md").read_text(encoding="utf-8")
ROLES = ("uplink", "custodian", "recorder", "bridge", "updater")


def rows(text: str, begins: str) -> list[list[str]]:
    """The cells of the first table of `text` after `begins`, without its head."""
    lines = [*text.partition(begins)[2].splitlines(), ""]
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = lines[first : lines.index("", first)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


PROMISES = rows(PROMISED, "## What shows each promise")
CANNOT = rows(ANALYSIS, '### Each "cannot", and what shows it')
AT_A_DESK = rows(ANALYSIS, "## A requester's desk")


@cache
def body_of(path: str) -> list[ast.stmt]:
    return ast.parse((ROOT / path).read_text(encoding="utf-8")).body


@cache
def functions_of(path: str) -> frozenset[str]:
    """The functions of a file, without those of its classes."""
    return frozenset(node.name for node in body_of(path) if isinstance(node, ast.FunctionDef))


@cache
def settings() -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.read(ROOT / "setup.cfg")
    return found


def missing(shown: str) -> list[str]:
    """Returns the contracts and tests that `shown` names and that are missing. It must name one."""
    contracts = re.findall(r"`([a-z-]+)`", shown)
    tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", shown)
    gone = [name for name in contracts if f"importlinter:contract:{name}" not in settings()]
    for path, name in tests:
        if not (ROOT / path).is_file():
            gone.append(path)
        elif name and name not in functions_of(path):
            gone.append(f"{path}::{name}")
    return gone if contracts or tests else ["anything"]


def test_every_promise_names_what_shows_it() -> None:
    promised = re.findall(r"^(\d+)\. \*\*", PROMISED, re.MULTILINE)
    assert [number for number, _ in PROMISES] == promised
    assert len(promised) >= 14


def is_left_to_a_target(path: str, name: str) -> bool:
    """Whether `make test` leaves out the whole test (marker `at_length`), or each test of the file without a name."""
    body = body_of(path)
    marks = [
        ast.unparse(each.value) for each in body if isinstance(each, ast.Assign) and "pytestmark" in ast.unparse(each)
    ]
    if any("at_length" in mark or "LONG" in mark for mark in marks):
        return True
    tests = [
        each
        for each in body
        if isinstance(each, ast.FunctionDef) and (each.name == name if name else each.name.startswith("test_"))
    ]
    return bool(tests) and all(has_the_marker(each) for each in tests)


def has_the_marker(test: ast.FunctionDef) -> bool:
    marks = [
        ast.unparse(mark)
        for mark in test.decorator_list
        if not isinstance(mark, ast.Call) or "parametrize" not in ast.unparse(mark.func)
    ]
    return any("at_length" in mark or "LONG" in mark for mark in marks)


def test_a_promise_says_which_of_its_tests_make_test_leaves_out() -> None:
    shown = " ".join(row[1] for row in PROMISES)
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`( †)?", shown)
    assert [f"{path}::{name}" for path, name, mark in named if bool(mark) != is_left_to_a_target(path, name)] == []
    assert any(mark for _, _, mark in named)


@pytest.mark.parametrize(("number", "shown"), PROMISES)
def test_what_shows_a_promise_is_there(number: str, shown: str) -> None:
    assert missing(shown) == [], number


def test_every_role_has_its_claims() -> None:
    assert {role for role, _, _ in CANNOT} == {*ROLES, "all"}
    assert len(CANNOT) >= 19


@pytest.mark.parametrize(("role", "claim", "shown"), CANNOT)
def test_what_shows_a_claim_is_there(role: str, claim: str, shown: str) -> None:
    probes = re.findall(r'"([^"]+)"', shown)
    for each in ROLES if role == "all" else (role,):
        assert set(probes) <= set(PROBES[each]), (each, set(probes) - set(PROBES[each]))
    assert missing(shown) in ([], ["anything"] if probes else []), claim


@pytest.mark.parametrize(("who", "shown"), [(row[0], row[3]) for row in AT_A_DESK])
def test_what_shows_the_rights_of_a_person_at_a_desk_is_there(who: str, shown: str) -> None:
    assert missing(shown) == [], who


def test_every_role_at_a_desk_has_its_line() -> None:
    named = {name for row in AT_A_DESK for name in re.split(", | of | with ", row[0])}
    assert {role.value.replace("-", " ") for role in Role} | {"operator", "guest", "program"} <= named


def test_the_check_notices_what_is_not_there() -> None:
    assert missing("contract `no-such`; `tests/none.py`, `tests/install/probes.py::test_none`") == [
        "no-such", "tests/none.py", "tests/install/probes.py::test_none"
    ]  # fmt: skip
    assert missing("by hand") == ["anything"]
