"""Root writes into a folder of another user, who exchanges names meanwhile: no other file gets an owner or mode."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.platform import files


def test_a_name_that_is_exchanged_while_a_file_is_written_gives_no_other_file_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, path = tmp_path / "shadow", tmp_path / "broker.pem"
    for each, mode in ((secret, 0o600), (path, 0o644)):
        each.write_text(each.name)
        each.chmod(mode)
    fsync = os.fsync

    def exchange(descriptor: int) -> None:
        fsync(descriptor)
        unfinished = tmp_path / "broker.pem.new"
        if unfinished.exists() and not unfinished.is_symlink():
            unfinished.unlink()
            unfinished.symlink_to(secret)

    monkeypatch.setattr("os.fsync", exchange)
    files.write(path, b"renewed", like=path)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() == "shadow"


@pytest.mark.parametrize("like", ["link", "missing"])
def test_a_link_in_the_place_of_a_file_lends_no_mode(tmp_path: Path, like: str) -> None:
    (tmp_path / "open").write_text("")
    (tmp_path / "open").chmod(0o666)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    files.write(tmp_path / like, b"new", like=tmp_path / like)
    assert stat.S_IMODE((tmp_path / like).lstat().st_mode) == 0o600
    assert (tmp_path / like).read_bytes() == b"new"
    assert (tmp_path / "open").read_bytes() == b""
