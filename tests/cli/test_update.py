"""`doorward update` on a doorbell: the state in words, and an installation from a stick that checks every signature."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.cli import update as command
from agent.cli.checks.finding import CheckStatus
from agent.cli.checks.update_news import check_updates
from agent.cli.update_troubles import TROUBLES
from agent.config import Configuration
from agent.config.settings import UpdatesConfig
from agent.core.updates import UpdateOutcome, UpdateResult, UpdateState, UpdateTrouble
from agent.updater import root_step
from agent.updater.machine import UpdateFolders, output_of
from agent.wire import strictjson
from tests.update_repositories import Repository, deb, package

Tool = Callable[..., Any]
NEWER = "99.0.1"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UpdateFolders:
    made = UpdateFolders(tmp_path)
    for folder in (made.store, made.staging, made.wishes, made.opt, made.source.parent):
        folder.mkdir(parents=True)
    monkeypatch.setattr(command, "_folders", lambda: made)
    monkeypatch.setattr(command.os, "geteuid", lambda: 0)
    monkeypatch.setattr(command, "_start_step", (made.base / "started").touch)
    return made


def test_the_state_is_said_in_words_and_as_json(folders: UpdateFolders, tool: Tool) -> None:
    folders.source.write_text('{"root":"{}","source":"/nowhere","v":1}')
    assert "No update is on offer." in tool("update").out
    outcome = UpdateOutcome(version="0.0.9", result=UpdateResult.ROLLED_BACK, at_ms=1)
    state = UpdateState(v=1, running=__version__, checked_ms=1, trouble=UpdateTrouble.EXPIRED, outcome=outcome)
    (folders.store / "state.json").write_bytes(strictjson.encode(state))
    said = tool("update").out
    for words in (f"Running: {__version__}", "1970-01-01 00:00 UTC", "too old", "0.0.9 did not run well here"):
        assert words in said
    assert json.loads(tool("update", "--json").out)["trouble"] == "expired"
    assert (tool("update", "install").status, "No update is on offer" in tool("update", "install").out) == (1, True)


def test_a_doorbell_that_looks_for_no_updates_says_so_and_how_to_switch_it_on(
    folders: UpdateFolders, tool: Tool
) -> None:
    """It said that no update was on offer, as a doorbell says that is up to date."""
    said = tool("update").out
    for words in ("does not look for updates", "no [updates]", "sudo doorward apply"):
        assert words in said
    assert "on offer" not in said
    assert json.loads(tool("update", "--json").out)["looks"] is False
    assert "no [updates]" in tool("update", "install").err


@pytest.mark.parametrize("trouble", UpdateTrouble)
def test_every_trouble_has_words_and_a_remedy_on_the_doorbell_and_at_the_doctor(
    folders: UpdateFolders, tool: Tool, trouble: UpdateTrouble
) -> None:
    """The doctor sent people to `doorward update`, which named the trouble alone."""
    folders.source.write_text('{"root":"{}","source":"/nowhere","v":1}')
    state = UpdateState(v=1, running=__version__, trouble=trouble)
    (folders.store / "state.json").write_bytes(strictjson.encode(state))
    said = tool("update").out
    words = TROUBLES[trouble.value]
    assert words.message in said
    assert words.remedy in said
    configuration = Configuration(updates=UpdatesConfig(source="https://x.example/"))
    (found,) = check_updates(configuration, {"update": {"running": "0.2.0", "trouble": trouble.value}})
    assert found.remedy == words.remedy


def test_an_update_that_is_being_installed_is_not_called_interrupted(folders: UpdateFolders, tool: Tool) -> None:
    outcome = UpdateOutcome(version="0.0.9", result=UpdateResult.INTERRUPTED, at_ms=1)
    state = UpdateState(v=1, running=__version__, outcome=outcome)
    (folders.store / "state.json").write_bytes(strictjson.encode(state))
    assert "The installation of 0.0.9 was interrupted" in tool("update").out
    with (folders.opt / "update.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = tool("update").out
    assert "0.0.9 is being installed now." in said
    assert "interrupted" not in said


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
@pytest.mark.parametrize(("result", "status"), [(UpdateResult.INSTALLED, 0), (UpdateResult.ROLLED_BACK, 1)])
def test_a_stick_is_verified_shown_and_installed(
    folders: UpdateFolders,
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    result: UpdateResult,
    status: int,
) -> None:
    architecture = output_of(["dpkg", "--print-architecture"]).strip()
    repository = Repository(tmp_path / "stick")
    from agent.updater import machine

    debian = machine.this_machine("0.1.0").debian
    custom = package(NEWER, architecture, upgrade_from=None, debian=[debian])
    repository.release(deb(NEWER, architecture), custom)
    (tmp_path / "root.json").write_bytes(repository.first_root)
    config = tmp_path / "doorward.toml"
    config.write_text(f'[updates]\nsource = "/nowhere"\nroot = "{tmp_path / "root.json"}"\n')
    installed: list[Path] = []
    monkeypatch.setattr(root_step, "install_tree", lambda tree: installed.append(tree) or result)
    done = tool("update", "--file", tmp_path / "stick", "--yes", "--config", config)
    assert done.status == status, done.err
    assert f"{NEWER} of 2026-11-01 is ready" in done.out
    assert len(installed) == 1
    assert (tmp_path / "started").exists(), "root's step did nothing meanwhile, so it looks now"
    repository.write_timestamp(days=-0.01)
    refused = tool("update", "--file", tmp_path / "stick", "--yes", "--config", config)
    assert (refused.status, "too old" in refused.err) == (4, True)
    assert len(installed) == 1


def test_without_a_first_root_no_stick_is_believed(folders: UpdateFolders, tool: Tool, tmp_path: Path) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text(f'[updates]\nsource = "/nowhere"\nroot = "{tmp_path / "none.json"}"\n')
    done = tool("update", "--file", tmp_path, "--yes", "--config", config)
    assert (done.status, "no first root of updates" in done.err) == (2, True)


def test_a_look_for_updates_needs_a_source(folders: UpdateFolders, tool: Tool) -> None:
    done = tool("update", "check")
    assert (done.status, "has no [updates]" in done.err) == (2, True)


def test_only_root_may_install(folders: UpdateFolders, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.os, "geteuid", lambda: 1000)
    for words in (("install",), ("check",), ("--file", "/", "--yes")):
        assert "Only root" in tool("update", *words).err


@pytest.mark.parametrize(
    ("update", "health", "words"),
    [
        (None, CheckStatus.FINE, "They come from"),
        ({"running": "0.2.0"}, CheckStatus.FINE, "0.2.0 is the newest"),
        ({"running": "0.2.0", "offer": "0.2.1", "security": True}, CheckStatus.POOR, "Security update 0.2.1"),
        ({"running": "0.2.0", "trouble": "expired"}, CheckStatus.POOR, "too old"),
        ({"running": "0.2.0", "trouble": "new"}, CheckStatus.POOR, "failed"),
    ],
)
def test_the_doctor_says_what_waits_and_what_is_missing(update: Any, health: CheckStatus, words: str) -> None:
    (found,) = check_updates(Configuration(updates=UpdatesConfig(source="https://x.example/")), {"update": update})
    assert (found.health, words in found.message) == (health, True)
    assert [each.health for each in check_updates(Configuration(), {})] == [CheckStatus.POOR]


@pytest.mark.parametrize(
    ("trouble", "first"),
    [
        ("expired", "too old"), ("refused", "not signed"), ("clock", "time of day"), ("disk", "no room"),
        ("new", "failed"), ("network", "Security update 0.2.1"),
    ],
)  # fmt: skip
def test_the_doctor_tells_an_offer_and_a_later_trouble_in_the_order_of_what_is_to_be_done(
    trouble: str, first: str
) -> None:
    """An offer from before hid that someone holds newer news back, or that the disk is too full to install it."""
    update = {"running": "0.2.0", "offer": "0.2.1", "security": True, "trouble": trouble}
    found = list(check_updates(Configuration(updates=UpdatesConfig(source="https://x.example/")), {"update": update}))
    assert [each.health for each in found] == [CheckStatus.POOR] * 2
    assert first in found[0].message
    assert sum("Security update 0.2.1" in each.message for each in found) == 1


def test_root_goes_back_to_the_version_before_and_is_told_what_opens_again(
    folders: UpdateFolders, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no version before this one." in tool("update", "back").out
    (folders.opt / "versions" / "0.0.9-abc").mkdir(parents=True)
    (folders.opt / "previous").symlink_to("versions/0.0.9-abc")
    (folders.store / "state.json").write_bytes(strictjson.encode(UpdateState(v=1, running=__version__)))
    ran: list[Path] = []
    well = [False, True]

    def run(opt: Path) -> bool:
        ran.append(opt)
        return well.pop(0)

    monkeypatch.setattr(root_step, "run_version_before", run)
    stays = tool("update", "back", "--yes")
    assert (stays.status, f"{__version__} runs on." in stays.out) == (1, True)
    assert (folders.base / "started").exists(), "root's step did nothing meanwhile, so it looks now"
    gone = tool("update", "back", "--yes")
    assert gone.status == 0
    for words in ("The version before: 0.0.9", f"Security faults that {__version__} mends are open", "was taken back"):
        assert words in gone.out
    assert ran == [folders.opt] * 2
    monkeypatch.setattr(command.os, "geteuid", lambda: 1000)
    assert "Only root may do this." in tool("update", "back", "--yes").err


def test_after_forgetting_root_looks_at_the_owners_of_now_at_once(
    folders: UpdateFolders, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until root has looked, the page sends the owner to the command that was just run."""
    pin = folders.store / "owners.json"
    pin.write_text("{}")
    started: list[tuple[str, bool]] = []
    monkeypatch.setattr(command.subprocess, "run", lambda words, **_: started.append((words[-1], pin.exists())))
    assert tool("update", "forget-owners", "--yes").status == 0
    assert started == [("doorward-update.service", False)]


def test_roots_step_runs_again_at_once_for_what_was_written_meanwhile_and_not_for_ever(
    folders: UpdateFolders, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd does not see it. The next look has the program of the version that is current by then."""
    folders.source.write_text('{"root":"{}","source":"/nowhere","v":1}')
    monkeypatch.delenv("DOORWARD_UPDATE_LOOKS", raising=False)
    writes, looks = [False], list[tuple[str, ...]]()
    monkeypatch.setattr(root_step.RootStep, "run", lambda _: writes[0])
    monkeypatch.setattr(command.os, "execv", lambda program, words: looks.append((program, *words[1:])))
    tool("update", "step")
    assert looks == [], "nothing was written"
    writes[0] = True
    for _ in range(9):  # a custodian that was taken over writes without end
        tool("update", "step")
    assert looks == [(str(folders.opt / "current/bin/doorward"), "update", "step")] * 4
