"""An owner can do without our tools: the keys and the recovery page open a segment in tools that share no code with
us."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import KIT, IdentityKind, OwnerKeys
from agent.core.vault.segment import split_media
from tests.clients.owner.conftest import NOW_MS, now, seeds
from tests.clients.owner.fake_device import FakeDevice

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
MEDIA = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08mdat"


def enrolled(folder: Path, kind: IdentityKind) -> tuple[OwnerKeys, Path]:
    """An owner, and a segment that their device has sealed."""
    keys = OwnerKeys.create(folder / "owner", name="anna", kind=kind, seeds=seeds("anna"))
    device = FakeDevice(NOW_MS)
    enrol(device, keys, clock=now)
    segment = folder / "segment.age"
    segment.write_bytes(device.stored[device.record(MEDIA, NOW_MS)].sealed)
    return keys, segment


@pytest.mark.parametrize("file", ["identity.txt", KIT])
def test_stock_age_opens_a_segment_with_the_owners_identity_and_with_the_recovery_page(
    tmp_path: Path, file: str
) -> None:
    age = shutil.which("age")
    if age is None:
        pytest.skip("stock age is not installed: apt-get install age")
    keys, segment = enrolled(tmp_path, IdentityKind.X25519)
    done = subprocess.run([age, "-d", "-i", keys.folder / file, segment], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert split_media(done.stdout)[0] == MEDIA


@pytest.mark.parametrize("file", ["identity.txt", KIT])
def test_npm_age_encryption_opens_a_segment_with_hybrid_keys(tmp_path: Path, file: str) -> None:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules/age-encryption").is_dir():
        pytest.skip("npm age-encryption is not installed: run `npm ci` in tests/interop")
    keys, segment = enrolled(tmp_path, IdentityKind.HYBRID)
    opened = tmp_path / "opened"
    command = [node, HERE / "open.mjs", keys.folder / file, segment, opened]
    done = subprocess.run(command, capture_output=True, cwd=HERE)
    assert done.returncode == 0, done.stderr
    assert split_media(opened.read_bytes())[0] == MEDIA
