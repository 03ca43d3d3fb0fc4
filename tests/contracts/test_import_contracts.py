"""The import contracts refuse what they are for: each forbidden import is planted in a copy, and one contract sees it.

Source: docs/security/analysis.md, "Each cannot, and what shows it"; the contracts are in setup.cfg.
"""

from __future__ import annotations

import ast
import configparser
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from grimp import ImportGraph, build_graph

from tests.lengths import only

ROOT = Path(__file__).resolve().parents[2]
NEW = "from agent.core.brand_new import THING\n"
PLANTS = [
    # contract, file, what is planted at its end
    ("uplink", "agent/uplink/uplink.py", "import agent.recorder.vault_recovery"),
    ("uplink", "agent/uplink/uplink.py", "import agent.recorder.manifest_writer"),
    ("uplink", "agent/uplink/uplink.py", "from agent.custodian import ledger_writer"),
    ("uplink", "agent/uplink/uplink_process.py", "from agent.custodian.state_folder import StateFolder"),
    ("uplink", "agent/uplink/home_mqtt.py", "from agent.vault import reader"),
    ("uplink", "agent/uplink/alert_sender.py", "import sqlite3"),
    ("uplink", "agent/mqtt/connection.py", "import cv2"),
    ("uplink", "agent/uplink/uplink.py", "def late():\n    import agent.core.vault.age.sealing"),
    ("recorder", "agent/recorder/recorder.py", "import ssl"),
    ("recorder", "agent/recorder/recorder.py", "from agent.mqtt import MqttBus"),
    ("recorder", "agent/recorder/composition.py", "from agent.custodian.journal_sqlite import SqliteJournal"),
    ("recorder", "agent/recorder/recorder_process.py", "import agent.ipc.rpc_server"),
    ("recorder", "agent/recorder/live_view.py", "import starlette.applications"),
    ("recorder", "agent/platform/disk.py", "import smtplib"),
    ("custodian", "agent/custodian/composition.py", "import agent.recorder.capture.camera_file"),
    ("custodian", "agent/custodian/releases.py", "import agent.media.poster"),
    ("custodian", "agent/custodian/page/server.py", "import av"),
    ("custodian", "agent/vault/reader.py", "import paho.mqtt.client"),
    ("pure", "agent/core/consent.py", "import time"),
    ("pure", "agent/wire/messages.py", "from agent.platform import files"),
    ("no-opening-on-the-device", "agent/vault/reader.py", "from agent.clients.opening import open_bytes"),
    ("no-opening-on-the-device", "agent/cli/vault.py", "def late():\n    import agent.clients.owner.keys"),
    ("sealing-cannot-open", "agent/core/vault/age/sealing.py", "import agent.clients.opening.payload"),
    ("bridge", "firmware_bridge/bridge.py", "import agent.errors"),
    ("adapters", "agent/recorder/capture/camera_file.py", "import agent.recorder.capture.camera_rtsp"),
    ("owner", "agent/clients/owner/keys.py", "import agent.custodian.custodian"),
    ("requester", "agent/clients/requester/identity.py", "import agent.clients.owner.keys"),
    ("layers", "agent/vault/reader.py", "import agent.recorder.vault"),
    ("owner", "agent/clients/owner/keys.py", "from agent.ipc import rpc_server"),
    ("requester", "agent/clients/requester/identity.py", "import agent.vault.reader"),
    ("pure", "agent/core/requests.py", "import secrets"),
    ("pure", "agent/ipc/protocol.py", "import socket"),
    ("uplink", "agent/uplink/uplink.py", NEW),
    ("recorder", "agent/recorder/recorder.py", NEW),
    ("custodian", "agent/custodian/custodian.py", NEW),
    ("owner", "agent/clients/owner/keys.py", NEW),
    ("requester", "agent/clients/requester/identity.py", NEW),
    ("updater", "agent/updater/fetching.py", "from agent.custodian.state_folder import StateFolder"),
    ("updater", "agent/updater/root_step.py", "from agent.config import load"),
    ("updater", "agent/updater/fetchers.py", NEW),
    ("layers", "agent/brand_new.py", "THING = 1"),
    ("desk-is-apart", "agent/clients/requester/identity.py", "import desk.people.roles"),
    ("desk-is-apart", "agent/cli/run.py", "def late():\n    import desk.server"),
    ("desk-reach", "desk/cases/views.py", "import agent.clients.owner.keys"),
    ("desk-reach", "desk/receiving/reconcile.py", "from agent.vault import reader"),
    ("desk-reach", "desk/receiving/reconcile.py", "from agent.updater import root_step"),
    ("desk-reach", "desk/receiving/reconcile.py", NEW),
    ("desk-reach", "desk/people/views.py", "def late():\n    import agent.cli.vault"),
    ("desk-decisions", "desk/people/roles.py", "from django.db import models"),
    ("desk-decisions", "desk/custody/audit.py", "import desk.custody.models"),
    ("desk-judges-requests", "desk/asking/live_check.py", "from django.conf import settings"),
    ("desk-judges-requests", "desk/asking/states.py", "import desk.asking.models"),
]


KEPT = [
    number
    for number, (contract, *_) in enumerate(PLANTS)
    if number % 3 == 0 or contract not in {each for each, *_ in PLANTS[:number]}
]
"""Plants of `make test`: the first of each contract, and each third. `make test-long` tries the others."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that contracts read, as a copy to plant into."""
    folder = tmp_path_factory.mktemp("planted")
    for package in ("agent", "desk", "firmware_bridge", "scripts"):
        for path in (ROOT / package).rglob("*.py"):
            if "node_modules" not in path.parts:
                target = folder / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    shutil.copyfile(ROOT / "setup.cfg", folder / "setup.cfg")
    return folder


DRIVER = """
import json, sys
from pathlib import Path
from importlinter.cli import lint_imports
answers = []
for contract, name, text, new in json.load(sys.stdin):
    path, module = Path(name), Path("agent/core/brand_new.py")
    whole = path.read_text() if path.exists() else None
    path.write_text(f"{whole or ''}\\n{text}\\n")
    if new:
        module.write_text("THING = 1\\n")
    answers.append(lint_imports(limit_to_contracts=(contract,)))
    module.unlink(missing_ok=True)
    path.unlink() if whole is None else path.write_text(whole)
print("ANSWERS", json.dumps(answers))
"""
"""Plants one after the other, in one process: each takes as long as reading one file and its contract."""


@pytest.fixture(scope="module")
def answers(copy: Path) -> dict[int, int]:
    """The exit status of import-linter for each plant that this run tries."""
    tried = range(len(PLANTS)) if os.environ.get("DOORWARD_LONG") == "all" else KEPT
    asked = json.dumps([(*PLANTS[number], PLANTS[number][2] == NEW) for number in tried])
    words = [sys.executable, "-c", DRIVER]
    done = subprocess.run(words, cwd=copy, input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(tried, json.loads(done.stdout.rpartition("ANSWERS ")[2]), strict=True))


def refusals(copy: Path, *words: str) -> str:
    """The contracts' output for the copy, empty if they are kept."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, *words], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "Contracts" in done.stdout, done.stdout
    return done.stdout if done.returncode else ""


def test_the_contracts_are_kept(copy: Path) -> None:
    assert refusals(copy) == ""


@pytest.mark.parametrize(
    "number", only(KEPT, range(len(PLANTS))), ids=[f"{contract}: {text}" for contract, _, text in PLANTS]
)
def test_a_forbidden_import_is_refused(answers: dict[int, int], number: int) -> None:
    assert answers[number] == 1


def test_every_contract_has_its_plants() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    contracts = {name.rpartition(":")[2] for name in settings.sections() if name.startswith("importlinter:contract:")}
    assert {contract for contract, _, _ in PLANTS} == contracts


def test_a_refusal_shows_the_way_of_the_import(copy: Path) -> None:
    path = copy / "agent" / "platform" / "disk.py"
    whole = path.read_text(encoding="utf-8")
    path.write_text(f"{whole}\nimport smtplib\n", encoding="utf-8")
    try:
        assert "agent.platform.disk -> smtplib" in refusals(copy, "--contract", "recorder")
    finally:
        path.write_text(whole, encoding="utf-8")


def test_a_line_that_allows_more_than_is_imported_is_refused_too(copy: Path) -> None:
    settings = copy / "setup.cfg"
    whole = settings.read_text(encoding="utf-8")
    settings.write_text(whole.replace("    agent.mqtt: bus ", "    agent.mqtt: bus brand_new ", 1), encoding="utf-8")
    try:
        assert "nothing imports it: agent.mqtt.brand_new" in refusals(copy, "--contract", "uplink")
    finally:
        settings.write_text(whole, encoding="utf-8")


def test_only_solo_and_the_command_that_starts_a_process_import_all_three() -> None:
    graph = build_graph("agent", exclude_type_checking_imports=True, cache_dir=None)
    assert importers_of_all(graph) == {"agent.solo", "agent.cli.run"}
    graph.add_import(importer="agent.cli.status_rows", imported="agent.recorder")  # the package, which may re-export
    graph.add_import(importer="agent.cli.status_rows", imported="agent.custodian.custodian")
    graph.add_import(importer="agent.cli.status_rows", imported="agent.uplink.uplink")
    assert "agent.cli.status_rows" in importers_of_all(graph)


def importers_of_all(graph: ImportGraph) -> set[str]:
    """Modules that import something of the recorder, the custodian and the uplink, or these packages themselves."""
    rooms = ("agent.recorder", "agent.custodian", "agent.uplink")
    return {
        name
        for name in graph.modules
        if all(
            any(f"{each}.".startswith(f"{room}.") for each in graph.find_modules_directly_imported_by(name))
            for room in rooms
        )
    }


@pytest.mark.parametrize("package", ["recorder", "custodian", "uplink", "vault", "ipc", "platform", "core", "wire"])
def test_a_package_of_a_process_gives_no_names_of_its_modules(package: str) -> None:
    """Otherwise `from agent.recorder import Recorder` would load more than the contracts and a reader see."""
    tree = ast.parse((ROOT / "agent" / package / "__init__.py").read_text(encoding="utf-8"))
    assert [each for each in ast.walk(tree) if isinstance(each, ast.Import | ast.ImportFrom)] == []


def test_what_is_shared_is_used_by_two() -> None:
    graph = build_graph("agent", exclude_type_checking_imports=True, cache_dir=None)
    users = ("agent.recorder", "agent.custodian", "agent.uplink", "agent.clients", "agent.cli")
    reach = {user: graph.find_upstream_modules(user, as_package=True) for user in users}
    shared = {name for name in graph.modules if name.startswith(("agent.platform.", "agent.vault.", "agent.mqtt."))}
    used = {name: [user for user in users if name in reach[user]] for name in shared}
    # The command that starts a process starts all of them.
    starts = graph.find_modules_directly_imported_by("agent.cli.run")
    assert {name: by for name, by in used.items() if len(by) < 2 and name not in starts} == {}


@pytest.mark.parametrize(
    ("folders", "suffix"), [(("agent", "firmware_bridge"), "py"), (("agent/web/src", "desk/web"), "js")]
)
def test_no_file_name_is_used_more_than_twice(folders: tuple[str, ...], suffix: str) -> None:
    names = Counter(
        path.name
        for package in folders
        for path in (ROOT / package).rglob(f"*.{suffix}")
        if "node_modules" not in path.parts and path.name != "__init__.py"
    )
    assert len(names) > 10
    assert {name: count for name, count in names.items() if count > 2} == {}
