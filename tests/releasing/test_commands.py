"""The commands of docs/releasing.md, in their order and as they are typed there: keys, two releases, two thefts."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.releasing.release_folders import ROOT, release

# isort: split
from releasing import __main__ as releasing
from releasing import key_files

DOCUMENTS = ("docs/releasing.md", "docs/verify-a-release.md")
PROGRAM = re.compile(r"(?:T|\.cache/release/bin/python scripts/releasing) ")
VERSIONS = ("0.2.0", "0.2.1")


def commands(document: str) -> Iterator[list[str]]:
    """Yields the words of each command in the blocks of a document, without those of other programs."""
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if found := PROGRAM.match(line.strip()):
                yield shlex.split(line.strip()[found.end() :], comments=True)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_a_document_is_one_that_the_tool_takes(
    document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list(commands(document))
    assert found
    for words in found:
        releasing._parser().parse_args(words)
    said = (ROOT / document).read_text()
    for inline in re.findall(r"`T ([^`]+)`", said):
        name, *rest = inline.split()
        with pytest.raises(SystemExit) as ended:
            releasing._parser().parse_args([name, "--help"])
        assert ended.value.code == 0, inline
        known = capsys.readouterr().out
        assert all(word in known for word in rest if word.startswith("--")), inline


class People:
    """Three holders and an operator, each command in one folder."""

    def __init__(self, folder: Path) -> None:
        self._passphrase = folder / "passphrase"
        self._passphrase.write_text("correct horse battery\n")

    def run(self, line: str, *, fails: bool = False) -> None:
        words = shlex.split(line)
        if words[0] in ("key", "sign", "publish", "renew"):
            words += ["--passphrase-file", str(self._passphrase)]
        if words[0] == "sign":
            words += ["--yes"]
        assert releasing.main(words) == int(fails), line


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(key_files, "make", functools.partial(key_files.make, log2_work_factor=4))
    made = People(tmp_path)
    for holder in ("anna", "ben", "cleo"):
        made.run(f"key {holder}-root")
        made.run(f"key {holder}-targets")
    for role in ("snapshot", "timestamp"):
        made.run(f"key {role}")
    return made


ONLINE = "--repository repository --snapshot-key snapshot.key --timestamp-key timestamp.key"
FIRST_ROOT = "--root anna-root.pub ben-root.pub cleo-root.pub --snapshot snapshot.pub --timestamp timestamp.pub"


def found(people: People) -> None:
    """The keys' root and the first release, as the document says."""
    targets = "anna-targets.pub ben-targets.pub cleo-targets.pub"
    people.run(f"propose-root {FIRST_ROOT} --targets {targets} --repository repository --out root-1")
    for holder in ("anna", "ben"):
        people.run(f"sign root-1 --key {holder}-root.key")
    for version in VERSIONS:
        release(Path("dist", version), version)
    people.run("propose dist/0.2.0 --repository repository --out release-0.2.0")
    for holder in ("anna", "cleo"):
        people.run(f"sign release-0.2.0 --key {holder}-targets.key --root root-1/1.root.json --built dist/0.2.0")
    people.run(f"publish root-1 release-0.2.0 --release dist/0.2.0 {ONLINE}")


def test_the_walk_of_the_document_from_the_keys_to_a_second_release_and_a_withdrawal(
    people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    found(people)
    before = "--root root-1/1.root.json --before repository/metadata/1.targets.json"
    people.run("propose dist/0.2.1 --repository repository --out release-0.2.1")
    people.run(f"sign release-0.2.1 --key ben-targets.key {before} --built dist/0.2.1")
    people.run(f"publish release-0.2.1 --release dist/0.2.1 {ONLINE}", fails=True)
    assert "targets.json has 1 valid signatures, and root.json wants 2" in capsys.readouterr().err
    people.run(f"sign release-0.2.1 --key cleo-targets.key {before} --built dist/0.2.1")
    people.run(f"publish release-0.2.1 --release dist/0.2.1 {ONLINE}")
    people.run("check --repository repository --root root-1/1.root.json")
    people.run("bundle 0.2.1 arm64 --repository repository --out files")
    assert Path("files/doorward_0.2.1_arm64.update").is_file()
    people.run("renew --repository repository --timestamp-key timestamp.key")
    people.run("propose --withdraw 0.2.1 --repository repository --out withdrawal")
    for holder in ("anna", "ben"):
        words = "--root root-1/1.root.json --before repository/metadata/2.targets.json"
        people.run(f"sign withdrawal --key {holder}-targets.key {words}")
    people.run(f"publish withdrawal {ONLINE}")
    capsys.readouterr()
    people.run("show --repository repository")
    said = capsys.readouterr().out
    assert "targets: 2 of 3: anna-targets" in said
    assert "0.2.0: 3 files" in said
    assert "0.2.1" not in said


@pytest.mark.parametrize("role", ["targets", "snapshot"])
def test_a_stolen_key_is_replaced_by_the_steps_of_the_document_and_opens_nothing_more(
    people: People, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found(people)
    people.run(f"key new-{role}")
    keys = "new-targets.pub ben-targets.pub cleo-targets.pub" if role == "targets" else "new-snapshot.pub"
    people.run(f"propose-root --{role} {keys} --repository repository --out root-2")
    for holder in ("ben", "cleo"):
        people.run(f"sign root-2 --key {holder}-root.key --root root-1/1.root.json")
    online = ONLINE.replace("snapshot.key", "new-snapshot.key") if role == "snapshot" else ONLINE
    if role == "targets":
        people.run("propose --repository repository --out again")
        in_force = "--before repository/metadata/1.targets.json --before-root root-1/1.root.json"
        for holder in ("new", "cleo"):
            people.run(f"sign again --key {holder}-targets.key --root root-2/2.root.json {in_force}")
        people.run(f"publish root-2 again {online}")
    else:
        people.run(f"publish root-2 {online}")
    people.run("check --repository repository --root root-1/1.root.json")
    capsys.readouterr()
    if role == "targets":
        people.run("propose dist/0.2.1 --repository repository --out stolen")
        last = "--root repository/metadata/2.root.json --before repository/metadata/2.targets.json --built dist/0.2.1"
        people.run(f"sign stolen --key anna-targets.key {last}", fails=True)
        assert "no role in this proposal" in capsys.readouterr().err
    else:
        people.run(f"publish root-2 {ONLINE}", fails=True)
        assert "take the snapshot key that root.json names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("propose nowhere --repository repository --out x", "nowhere is no build of a release"),
        ("sign nowhere --key anna-root.key", "nowhere holds no proposal"),
        (f"publish nowhere {ONLINE}", "nowhere holds no proposal"),
        ("check --repository repository --root nowhere.json", "nowhere.json: No such file"),
        ("check --repository nowhere --root root-1/1.root.json", "nowhere/metadata/timestamp.json is not there"),
        ("renew --repository repository --timestamp-key nowhere.key", "nowhere.key: No such file"),
        ("bundle 0.2.9 arm64 --repository repository --out x", "doorward_0.2.9_arm64.deb is not published"),
        ("propose-root --targets nowhere.pub --repository repository --out x", "nowhere.pub is no public half"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_remedy(
    people: People, capsys: pytest.CaptureFixture[str], line: str, place: str
) -> None:
    found(people)
    capsys.readouterr()
    people.run(line, fails=True)
    said = capsys.readouterr().err
    assert place in said
    assert "What to do: " in said
