"""`make prove` runs make targets that exist and keeps the last result of each part."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from scripts import prove

ROOT = Path(__file__).parents[2]


def _commit_all(folder: Path) -> None:
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def test_every_part_is_a_target_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {*prove.PARTS.values(), *prove.EXTRA.values()} <= targets


def test_a_part_is_run_and_its_last_line_its_outcome_and_its_commit_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Makefile").write_text(
        "good:\n\t@echo one\n\t@printf '\\033[32m=== 3 passed ===\\033[0m\\n\\n'\nbad:\n\t@echo broken >&2\n\t@false\n"
    )
    _commit_all(tmp_path)
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setattr(prove, "PARTS", {"one": "good", "two": "bad"})
    kept = tmp_path.with_name(f"{tmp_path.name}.json")
    for part in ("one", "two"):
        prove.keep(part, prove.run(part), kept)
    one, two = prove.load(kept)["one"], prove.load(kept)["two"]
    assert (one.command, one.passed, one.said) == ("make good", True, "3 passed")
    assert (two.command, two.passed, two.said) == ("make bad", False, "broken")
    assert re.fullmatch(r"[0-9a-f]{12}", one.commit)
    (tmp_path / "Makefile").write_text("good:\n\t@echo changed\n")
    prove.keep("one", prove.run("one"), kept)
    assert prove.load(kept)["one"].said == "changed"
    assert prove.load(kept)["one"].commit == one.commit + "+"
    assert prove.load(kept)["two"] == two


def test_arguments_of_a_part_reach_its_target_and_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Makefile").write_text("good:\n\t@echo 'got $(ARGS)'\n")
    _commit_all(tmp_path)
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setattr(prove, "PARTS", {"one": "good"})
    monkeypatch.setenv("DOORWARD_PROVE_ARGS", "--doorbells 10 --faults 2")
    result = prove.run("one")
    assert (result.command, result.said) == (
        'make good ARGS="--doorbells 10 --faults 2"',
        "got --doorbells 10 --faults 2",
    )


def test_a_smaller_share_of_a_part_is_kept_as_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Makefile").write_text("good:\n\t@echo '$(or $(KILLS),200) kills, arguments: <$(ARGS)>'\n")
    _commit_all(tmp_path)
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setattr(prove, "PARTS", {"one": "good"})
    monkeypatch.delenv("KILLS", raising=False)
    assert (prove.run("one").command, prove.run("one").said) == ("make good", "200 kills, arguments: <>")
    monkeypatch.setenv("KILLS", "13")
    assert (prove.run("one").command, prove.run("one").said) == ("make good KILLS=13", "13 kills, arguments: <>")
    monkeypatch.setenv("DOORWARD_PROVE_ARGS", "--fast")
    assert prove.run("one").command == 'make good KILLS=13 ARGS="--fast"'


def test_each_setting_that_makes_a_part_smaller_or_larger_is_kept() -> None:
    in_the_makefile = set(re.findall(r"\$\(or \$\(([A-Z]+)\),\d", (ROOT / "Makefile").read_text()))
    assert in_the_makefile == set(prove.SETTINGS)


def test_the_results_that_a_part_writes_do_not_make_the_next_part_test_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["PROVED.json", "crash/RESULTS.md", "install/CLEAN.md", "interop/home_assistant.json"]
    for path in (tmp_path / "tests" / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    written = " ".join(f"tests/{name}" for name in names)
    (tmp_path / "Makefile").write_text(f"good:\n\t@echo after | tee {written}\nbad:\n\t@echo '#' >> Makefile\n")
    _commit_all(tmp_path)
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setattr(prove, "PARTS", {"one": "good", "two": "bad"})
    assert [prove.run("one").commit, prove.run("one").commit] == [prove.commit()] * 2
    assert not prove.commit().endswith("+")
    # The second part changes code while it runs.
    assert prove.run("two").commit == prove.commit()
    assert prove.commit().endswith("+")


def test_a_file_that_no_commit_has_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Makefile").write_text("good:\n\t@cat tests/test_new.py\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    _commit_all(tmp_path)
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setattr(prove, "PARTS", {"one": "good"})
    (tmp_path / "tests").mkdir()
    for name in ("PROVED.json", "notes.log"):
        (tmp_path / "tests" / name).write_text("{}\n")
    assert not prove.commit().endswith("+")
    (tmp_path / "tests/test_new.py").write_text("1 passed\n")
    assert prove.run("one").said == "1 passed"
    assert prove.run("one").commit.endswith("+")


def test_the_names_of_the_parts_are_no_arguments_of_their_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Makefile").write_text("good:\n\t@echo 'arguments: <$(ARGS)>'\n")
    _commit_all(tmp_path)
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setattr(prove, "PARTS", {"one": "good"})
    monkeypatch.setenv("MAKEFLAGS", " -- ARGS=one")  # as under `make prove ARGS=one`
    assert prove.run("one").said == "arguments: <>"


def test_a_part_that_never_ran_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "PARTS", {"one": "good"})
    monkeypatch.setattr(prove, "EXTRA", {})
    assert prove.table({}).splitlines()[1] == "one              never"


def test_the_committed_results_can_be_read_and_name_parts_there_are() -> None:
    assert set(prove.load()) <= {*prove.PARTS, *prove.EXTRA}


def test_an_unknown_part_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert prove.main(["consent", "weather"]) == 2
    assert "Unknown: weather." in capsys.readouterr().err
