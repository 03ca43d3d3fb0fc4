"""Each use has a separate key, and the signing key has no other use."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.core.admission import CaseHashes
from agent.core.alerts.notice_delay import NoticeDelay
from agent.core.device_secret import DeviceSecret
from agent.custodian.capture_key import CaptureKey
from agent.custodian.link_setup import link_sessions
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError
from agent.wire.identities import private_key_from_seed

AGENT = Path(__file__).resolve().parents[2] / "agent"
DEVICE = private_key_from_seed(b"d" * 32)
SECRET = DeviceSecret(b"s" * 32)


def link_keys(epoch: int) -> tuple[bytes, ...]:
    """The secrets of the link while this list of owners is in force, the newest first."""
    enrolments = SimpleNamespace(current=SimpleNamespace(epoch=epoch, approver_keys={}))
    page = SimpleNamespace(answer_in_link=None)
    link = link_sessions(DEVICE, SECRET, enrolments, lambda _key: None, page, None)  # type: ignore[arg-type]
    link.close()
    return link._identity.secrets()


def test_no_two_uses_have_the_same_key_and_none_has_the_secret_itself() -> None:
    """The uses: marks of cases, delay of alerts, the link with each list of owners, the capture key, and ML-DSA."""
    keys = [CaseHashes.of_device(SECRET).key, NoticeDelay.of_device(SECRET).key, SECRET.value, *link_keys(2)]
    keys.append(CaptureKey.of_device(SECRET, DEVICE).private_key.private_numbers().private_value.to_bytes(32))
    keys += [SECRET.key(b"doorward capture v1 " + half) for half in (b"1", b"2")]
    keys.append(SECRET.mldsa_key().private_bytes_raw())
    assert len(set(keys)) == len(keys) == 9
    assert link_keys(3)[0] not in keys
    assert {len(key) for key in keys} == {32}
    assert "sss" not in repr(SECRET)


def test_these_uses_are_all_that_the_code_has() -> None:
    """Another use needs its line in the test above."""
    places = [
        path
        for path in AGENT.rglob("*.py")
        if re.search(r"\b(?:secret|self)\.key\(_|\bsecret\.key\(", path.read_text())
    ]
    assert sorted(path.name for path in places) == [
        "admission.py",
        "capture_key.py",
        "device_secret.py",
        "link_setup.py",
        "notice_delay.py",
    ]


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
