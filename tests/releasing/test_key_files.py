"""Key files: only the passphrase opens them, stock age reads them, and a public half cannot be swapped."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import tests.releasing.release_folders  # noqa: F401 (finds scripts/)

# isort: split
from installation.words import FailedError
from releasing import key_files
from releasing.__main__ import main

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("keys")
    sealed, public = key_files.make("anna", PASSPHRASE, log2_work_factor=4)
    key_files.write_new(folder / "anna.key", sealed, 0o600)
    key_files.write_new(folder / "anna.pub", public)
    return folder / "anna.key", folder / "anna.pub"


def test_a_key_opens_with_its_passphrase_only_and_signs_for_its_public_half(pair: tuple[Path, Path]) -> None:
    signer = key_files.open_key(pair[0], PASSPHRASE)
    public = key_files.read_public(pair[1])
    public.verify_signature(signer.sign(b"release"), b"release")
    assert public.unrecognized_fields[key_files.HOLDER] == "anna"
    with pytest.raises(FailedError, match="does not open"):
        key_files.open_key(pair[0], "another passphrase")
    assert b"PRIVATE" not in pair[0].read_bytes()
    assert pair[0].stat().st_mode & 0o077 == 0


def test_a_key_is_never_overwritten_and_a_short_passphrase_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(FailedError, match="exists"):
        key_files.write_new(pair[0], b"")
    with pytest.raises(FailedError, match="fewer than 12"):
        key_files.make("ben", "short")


def test_a_public_half_whose_id_is_another_s_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    read = json.loads(pair[1].read_text())
    for change in ({"keyid": "0" * 64}, {"scheme": "rsassa-pss-sha256"}, {"keyval": {"public": "00"}}):
        (tmp_path / "x.pub").write_text(json.dumps(read | change))
        with pytest.raises(FailedError):
            key_files.read_public(tmp_path / "x.pub")


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("age") is None, reason="stock age is not installed: apt-get install age")
def test_stock_age_knows_a_key_file_as_one_of_its_own(pair: tuple[Path, Path]) -> None:
    asked = subprocess.run(["age", "--decrypt", str(pair[0])], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert "passphrase" in asked.stderr or "terminal" in asked.stderr


def test_the_whole_ceremony_with_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(key_files, "make", lambda holder, words: MAKE(holder, words, log2_work_factor=4))
    (tmp_path / "words").write_text(PASSPHRASE + "\n")
    words = ("--passphrase-file", str(tmp_path / "words"))
    names = [f"{name}-{role}" for role in ("root", "targets") for name in ("anna", "ben", "cleo")]
    for name in (*names, "snapshot", "timestamp"):
        assert main(["key", name, "--out", str(tmp_path), *words]) == 0
    pub = {name: str(tmp_path / f"{name}.pub") for name in (*names, "snapshot", "timestamp")}
    repository, out = str(tmp_path / "repository"), str(tmp_path / "root-1")
    keys = ["--root", *(pub[name] for name in names[:3]), "--targets", *(pub[name] for name in names[3:])]
    keys += ["--snapshot", pub["snapshot"], "--timestamp", pub["timestamp"]]
    assert main(["propose-root", *keys, "--repository", repository, "--out", out]) == 0
    for name in ("anna", "cleo"):
        assert main(["sign", out, "--key", str(tmp_path / f"{name}-root.key"), "--yes", *words]) == 0
    said = capsys.readouterr().out
    assert "root: 2 of 3: anna-root" in said
    assert "Signed: 1.root.json" in said
    assert main(["show", "--repository", repository]) == 1
    assert "has no root.json" in capsys.readouterr().err


MAKE = key_files.make
