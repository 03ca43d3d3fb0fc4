"""A small share of `make test-update-kills`: one kill of each kind in a small system."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.install.quick_kills import Kills, Plan, Prepared
from tests.install.test_in_a_container import why_skipped
from tests.lengths import LONG

pytestmark = [LONG, pytest.mark.timeout(1200), pytest.mark.skipif(bool(why_skipped()), reason=why_skipped() or "-")]


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Kills:
    made = Kills(Prepared("trixie", tmp_path_factory.mktemp("kills")))
    made.measure()
    return made


def test_after_a_kill_of_each_kind_one_whole_version_runs_and_the_next_try_succeeds(kills: Kills) -> None:
    steps = kills.steps["built"]
    switched = max(at for at, line in enumerate(steps, 1) if "os.rename" in line and "current.new" in line)
    plans = [
        Plan("updater", "self", at=len(kills.steps["updater"]) // 2),
        Plan("root,installer", "both", at=switched, built=True),
        Plan("root,installer", "everything", at=switched + 1, built=True),
    ]
    assert [kills.kill(number, plan) for number, plan in enumerate(plans)] == ["old", "old", "new"]


def test_a_version_without_all_its_files_is_not_taken_for_a_whole_one(kills: Kills) -> None:
    with kills.system("damaged") as system:
        damaged: Path = system.root_seen / "opt/doorward/versions" / system.current() / "app/agent/cli/__main__.py"
        damaged.write_text("")
        assert "not those of its release" in system.fault()
