"""SECURITY.md's table of what each role cannot do: every probe, contract and test that it names is there."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import pytest

from tests.install.probes import PROBES

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("uplink", "custodian", "recorder", "bridge")


def rows() -> list[tuple[str, str, str]]:
    text = (ROOT / "SECURITY.md").read_text().partition('Each "cannot", and what shows it.')[2].partition("\n\n`")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [(role, claim, shown) for role, claim, shown in cells[2:]]


def test_every_role_has_its_claims() -> None:
    assert {role for role, _, _ in rows()} == {*ROLES, "all"}
    assert len(rows()) >= 19


@pytest.mark.parametrize(("role", "claim", "shown"), rows())
def test_what_shows_a_claim_is_there(role: str, claim: str, shown: str) -> None:
    probes = re.findall(r'"([^"]+)"', shown)
    contracts = re.findall(r"`([a-z-]+)`", shown)
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
    assert probes or contracts or tests, claim
    for each in ROLES if role == "all" else (role,):
        assert set(probes) <= set(PROBES[each]), (each, set(probes) - set(PROBES[each]))
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    assert all(f"importlinter:contract:{name}" in settings for name in contracts), contracts
    for path, name in tests:
        names = {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert name in names, (path, name)
