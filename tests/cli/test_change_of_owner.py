"""A backup opens for owners only and makes the same doorbell again; a reset leaves nothing of its owner."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from agent.cli import change_of_owner
from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.opening import open_bytes
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import load
from agent.core.requests import RESTORED
from agent.custodian.state_folder import StateFolder
from agent.errors import OpenError, StorageError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetDevice, GetStatus
from agent.platform import files
from agent.platform.sqlite_snapshot import open_snapshot
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.solo import Solo
from agent.wire.envelope import read_unverified, verify
from agent.wire.identities import parse_public_key

BESIDE = (
    "tls/ca.pem",
    "tls/device.pem",
    "tls/device.key",
    "tls/broker.password",
    "bundle-taken.json",
    "trust-report.txt",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "doorward.toml"
    (path.parent / "tls").mkdir(parents=True)
    for name in BESIDE:
        (path.parent / name).write_text(f"{name}, as it was")
    place = "position = { latitude = 52.3731, longitude = 4.8926 }"
    path.write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n{place}\n[camera]\nkind = "scripted"\n[alerts]\n')
    assert run(doorward, ["init", "--config", str(path)]) == 0
    return path


@contextmanager
def running(config: Path) -> Iterator[Solo]:
    solo = Solo(load(config), open_camera=lambda: ScriptedCamera(duration_s=14.0, size_px=(320, 240)))
    solo.start()
    try:
        yield solo
    finally:
        stopper = threading.Thread(target=solo.stop)
        stopper.start()
        stopper.join()
        solo.close()


def recorded(config: Path, folder: Path) -> OwnerKeys:
    """The owner of a doorbell that has filmed something."""
    owner = OwnerKeys.create(folder / "owner", name="owner-1")
    with running(config) as solo:
        with DeviceLink(StateFolder(load(config).device.state_dir).control) as link:
            enrol(link, owner)
        solo.record()
        assert run(doorward, ["backup", "--config", str(config), str(folder / "door.backup")]) == 0
    return owner


def values_of(journal: Path) -> set[str]:
    with contextlib.closing(open_snapshot(journal)) as copy:
        return {str(name) for (name,) in copy.execute("SELECT name FROM meta")}


def test_a_backup_opens_for_the_owner_only_and_has_no_footage(config: Path, tmp_path: Path) -> None:
    owner = recorded(config, tmp_path)
    sealed = (tmp_path / "door.backup").read_bytes()
    with pytest.raises(OpenError):
        open_bytes(sealed, [OwnerKeys.create(tmp_path / "stranger", name="stranger").identity])
    with tarfile.open(fileobj=io.BytesIO(open_bytes(sealed, [owner.identity]))) as tar:
        names = tar.getnames()
    assert {"own/device.key", "own/journal.sqlite", "doorward.toml", *(f"beside/{name}" for name in BESIDE)} <= set(
        names
    )
    assert not [name for name in names if ".age" in name or "vault" in name]
    assert run(doorward, ["backup", "--config", str(config), str(tmp_path / "door.backup")]) == 2  # it is there already
    assert (tmp_path / "door.backup").read_bytes() == sealed


def test_a_reset_leaves_nothing_of_its_owner_and_a_restore_makes_the_same_doorbell(
    config: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    recorded(config, tmp_path)
    folder = StateFolder(load(config).device.state_dir)
    assert RESTORED not in values_of(folder.journal), "the doorbell that makes a backup is none that was restored"
    opened = tmp_path / "opened.tar"
    capsysbinary.readouterr()
    backup, keys = str(tmp_path / "door.backup"), str(tmp_path / "owner")
    assert run(doorward, ["owner", "open-backup", backup, "--keys", keys]) == 0
    opened.write_bytes(capsysbinary.readouterr().out)
    assert run(doorward, ["restore", "--config", str(config), str(opened)]) == 2  # it has an owner
    capsysbinary.readouterr()
    assert run(doorward, ["reset", "--yes", "--config", str(config), "--receipt", str(tmp_path / "receipt")]) == 0
    said = capsysbinary.readouterr().out.decode()
    assert "stays, with its place, [alerts]. Remove your data from it" in said
    told = json.loads(said.partition("\n\nSigned")[0])
    assert "Flash memory keeps copies" in told["cannot_promise"]
    key = parse_public_key(told["device"])
    receipt = verify(read_unverified((tmp_path / "receipt").read_bytes().strip(), limit_bytes=8192), {key.id: key})
    assert json.loads(receipt.payload) == told
    assert [path for path in folder.root.rglob("*") if path.is_file()] == []
    assert [path for path in config.parent.rglob("*") if path.is_file()] == [config]
    config.write_text(config.read_text().replace("52.3731", "0.0"))
    assert run(doorward, ["restore", "--config", str(config), str(opened)]) == 0
    assert "52.3731" in config.read_text()
    assert [(config.parent / name).read_text() for name in BESIDE] == [f"{name}, as it was" for name in BESIDE]
    assert (config.parent / "tls/device.key").stat().st_mode & 0o777 == 0o600
    assert RESTORED in values_of(folder.journal)
    with running(config), DeviceLink(folder.control) as link:
        assert link.ask(GetDevice()).device == told["device"]
        assert link.ask(GetStatus()).owners == ("owner-1",)
    assert RESTORED not in values_of(folder.journal), "owners were told once"


def test_the_archive_is_looked_at_before_anybody_is_told_to_reset(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    StateFolder(load(config).device.state_dir).journal.write_bytes(b"")
    readme = tmp_path / "README.md"
    readme.write_text("# No archive\n")
    assert run(doorward, ["restore", "--config", str(config), str(readme)]) == 4
    said = capsys.readouterr().err
    assert "This is not an opened backup." in said
    assert "reset" not in said
    with tarfile.open(tmp_path / "right.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("own/device.key"), io.BytesIO())
    assert run(doorward, ["restore", "--config", str(config), str(tmp_path / "right.tar")]) == 2
    assert "removes its keys, trust and footage permanently" in capsys.readouterr().err


def test_a_restore_that_fails_can_be_repeated(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal says that this machine is a doorbell. A restore that had written it could not be run again."""

    def archive(settings: str) -> str:
        with tarfile.open(tmp_path / "opened.tar", "w") as tar:
            for name, content in (("own/device.key", b"k"), ("own/journal.sqlite", b"j"), ("doorward.toml", settings)):
                data = content if isinstance(content, bytes) else content.encode()
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return str(tmp_path / "opened.tar")

    folder, before = StateFolder(load(config).device.state_dir), config.read_text()
    key = (folder.root / "device.key").read_bytes()
    assert run(doorward, ["restore", "--config", str(config), archive("[device]\nnam = 'Door'\n")]) == 2
    assert ((folder.root / "device.key").read_bytes(), config.read_text()) == (key, before)
    right, write = archive(before + "# restored\n"), files.write
    full = mock.Mock(side_effect=StorageError("The disk is full."))
    monkeypatch.setattr(files, "write", lambda path, *a, **k: (full if path == config else write)(path, *a, **k))
    assert run(doorward, ["restore", "--config", str(config), right]) == 5
    assert not folder.journal.exists()
    monkeypatch.undo()
    assert run(doorward, ["restore", "--config", str(config), right]) == 0
    assert (folder.journal.read_bytes(), config.read_text()) == (b"j", before + "# restored\n")


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "own/../../evil",
        "/etc/evil",
        "own/evil",
        "vault/x",
        "own/page/../../x",
        "own/page/..",
        "own/page",
        "own/device.key/x",
        "beside/x",
        "beside/../x",
        "beside/tls/../../x",
        "own/page/a/b",
    ],
)
def test_an_archive_writes_nowhere_but_where_a_backup_does(
    name: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state" / "device.key").unlink()
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for each in ("own/device.key", name):
            member = tarfile.TarInfo(each)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    before = sorted(tmp_path.rglob("*"))
    assert run(doorward, ["restore", "--config", str(config), str(tmp_path / "evil.tar")]) == 4
    assert sorted(tmp_path.rglob("*")) == before


def test_a_reset_names_each_part_of_the_configuration_that_still_serves_its_former_owner(tmp_path: Path) -> None:
    file = tmp_path / "doorward.toml"
    file.write_text("[device]\nname = 'Door'\n[page]\nport = 8443\n[camera]\nkind = 'pi'\n[clips]\n[speaker]\n")
    assert change_of_owner._left_in(file) == ""
    file.write_text("\ufeff[backup]\nfolder = '/srv'\n")
    assert change_of_owner._left_in(file) == "[backup]", "with the mark that editors put in front of UTF-8"
    tables = ("broker", "remote", "alerts", "home_assistant", "installer", "witness", "backup")
    file.write_text(
        "[device]\nposition = {latitude = 1.0, longitude = 2.0}\n[camera]\nurl = 'rtsp://me:word@10.0.0.9/'\n"
        + "".join(f"[{name}]\n" for name in tables)
        + "[[roots]]\n[page]\ndomain = 'door.example'\n[speaker]\nreplies = '/etc/doorward/replies'\n"
    )
    assert change_of_owner._left_in(file).split(", ") == [
        "its place", *(f"[{name}]" for name in (*tables, "roots")), "camera.url", "page.domain", "speaker.replies",
    ]  # fmt: skip
