"""Each use has a separate key, and the signing key has no other use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.core.alerts.notice_delay import NoticeDelay
from agent.core.case_marks import CaseHashes
from agent.core.device_secret import DeviceSecret
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError
from agent.wire.identities import private_key_from_seed

SECRET = DeviceSecret(b"s" * 32)


def test_no_two_uses_have_the_same_key_and_none_has_the_secret_itself() -> None:
    keys = {CaseHashes.of_device(SECRET).key, NoticeDelay.of_device(SECRET).key, SECRET.value}
    assert len(keys) == 3
    assert "sss" not in repr(SECRET)


def test_the_signing_key_and_the_secret_are_independent_and_both_are_kept(tmp_path: Path) -> None:
    key = private_key_from_seed(os.urandom(32))
    folders = [StateFolder(tmp_path / name) for name in "ab"]
    for folder in folders:
        folder.initialise(key)
    secrets = [folder.device_secret().value for folder in folders]
    assert secrets[0] != secrets[1]
    assert key.private_bytes_raw() not in secrets
    assert folders[0].device_key().private_bytes_raw() == key.private_bytes_raw()
    assert folders[0].device_secret().value == secrets[0]


@pytest.mark.parametrize("spoil", [lambda text: text[:150], lambda text: text.replace("=\n", "\n")])
def test_a_key_file_whose_secret_is_cut_or_damaged_says_so_and_shows_nothing_of_it(
    tmp_path: Path, spoil: object
) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.initialise(private_key_from_seed(os.urandom(32)), b"s" * 32)
    path = folder.root / "device.key"
    path.write_text(spoil(path.read_text()))  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match="Restore it from a backup") as caught:
        folder.device_secret()
    assert "c3Nz" not in str(caught.value)
