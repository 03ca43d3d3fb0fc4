"""The outbox's contract with custodian and uplink, on disk and in memory: whole or absent, the same every time."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from agent.core.requests import OutboxPart
from agent.errors import StorageError
from agent.ipc.outbox_files import DiskOutbox
from agent.ports import Outbox
from tests.custodians import FakeOutbox
from tests.open_files import open_below

ONE, TWO = "11" * 16, "22" * 16


@pytest.fixture(params=["on disk", "in memory"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Outbox:
    return DiskOutbox(tmp_path / "outbox") if request.param == "on disk" else FakeOutbox()


def make(outbox: Outbox, disclosure: str = ONE, data: bytes = b"payload" * 100) -> tuple[OutboxPart, ...]:
    with outbox.begin(disclosure) as draft:
        parts = (draft.write(1, "segment", (data[:9], data[9:])), draft.write(0, "", [b"manifest"]))
        draft.commit()
    return parts


def test_an_outbox_is_made_with_the_folders_above_it_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "outbox"
    make(DiskOutbox(folder))
    assert folder.stat().st_mode & 0o7 == 0
    assert DiskOutbox(folder).read(ONE, 0, 0, 8) == b"manifest"


def test_an_object_is_read_as_it_was_written_as_often_as_one_likes(outbox: Outbox) -> None:
    part, first = make(outbox)
    data = b"payload" * 100
    assert part == OutboxPart(1, "segment", len(data), hashlib.sha256(data).hexdigest())
    assert first == OutboxPart(0, "", 8, hashlib.sha256(b"manifest").hexdigest())
    for _ in range(2):
        assert outbox.read(ONE, 1, 0, len(data)) == data
        assert outbox.read(ONE, 1, 690, 10) == data[690:]
        assert outbox.read(ONE, 0, 0, 8) == b"manifest"


def test_more_bytes_than_there_are_is_an_error_and_never_fewer(outbox: Outbox) -> None:
    make(outbox)
    for number, offset, size in ((1, 695, 10), (2, 0, 1), (0, 8, 1)):
        with pytest.raises(StorageError):
            outbox.read(ONE, number, offset, size)
    with pytest.raises(StorageError):
        outbox.read(TWO, 0, 0, 1)


def test_an_object_that_was_not_committed_is_not_there(outbox: Outbox) -> None:
    with outbox.begin(ONE) as draft:
        draft.write(0, "", [b"manifest"])
    with pytest.raises(StorageError):
        outbox.read(ONE, 0, 0, 8)
    with pytest.raises(ValueError, match="damaged"), outbox.begin(ONE) as draft:  # noqa: PT012
        draft.write(0, "", [b"manifest"])
        raise ValueError("damaged")
    with pytest.raises(StorageError):
        outbox.read(ONE, 0, 0, 8)
    make(outbox)
    assert outbox.read(ONE, 0, 0, 8) == b"manifest"


def test_the_uplinks_user_may_read_an_object_only_once_it_was_shown(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path)
    with outbox.begin(ONE) as draft:
        draft.write(0, "", [b"manifest"])
        assert (tmp_path / f"{ONE}.making").stat().st_mode & 0o077 == 0
        draft.commit()
    assert (tmp_path / ONE).stat().st_mode & 0o077 == 0
    for _ in range(2):
        outbox.show_to_uplink(ONE)
        assert (tmp_path / ONE).stat().st_mode & 0o077 == 0o050
    assert outbox.read(ONE, 0, 0, 8) == b"manifest"


def test_what_is_not_there_cannot_be_shown(outbox: Outbox) -> None:
    with pytest.raises(StorageError):
        outbox.show_to_uplink(ONE)


def test_a_draft_that_a_killed_process_left_does_not_stop_the_next_one(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path)
    outbox.begin(ONE).write(1, "segment", [b"half"])
    assert [path.name for path in tmp_path.iterdir()] == [f"{ONE}.making"]
    assert make(outbox)
    assert [path.name for path in tmp_path.iterdir()] == [ONE]


def test_removing_takes_one_object_and_may_be_repeated(outbox: Outbox) -> None:
    make(outbox)
    make(outbox, TWO)
    assert (outbox.has(ONE), outbox.has(TWO)) == (True, True)
    outbox.remove(ONE)
    outbox.remove(ONE)
    assert (outbox.has(ONE), outbox.has(TWO)) == (False, True)
    with pytest.raises(StorageError):
        outbox.read(ONE, 0, 0, 8)
    assert outbox.read(TWO, 0, 0, 8) == b"manifest"


def test_a_sweep_leaves_what_is_known_and_nothing_else(outbox: Outbox) -> None:
    make(outbox)
    make(outbox, TWO)
    outbox.sweep(frozenset({TWO}))
    with pytest.raises(StorageError):
        outbox.read(ONE, 0, 0, 8)
    assert outbox.read(TWO, 0, 0, 8) == b"manifest"


# -- on disk -----------------------------------------------------------------------------------------------------------


class Cut(BaseException):
    """The power is gone: not even clean-up happens."""


def test_a_power_cut_at_any_call_leaves_a_whole_object_or_one_that_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = calls_of(tmp_path / "whole", monkeypatch, None)
    assert whole.count("fsync") == 4  # both parts, the object, the outbox
    assert whole.index("rename") > [at for at, call in enumerate(whole) if call == "fsync"][2]
    for cut in range(len(whole)):
        folder = tmp_path / str(cut)
        calls_of(folder, monkeypatch, cut)
        again = DiskOutbox(folder)
        committed = (folder / ONE).is_dir()
        if committed:
            assert again.read(ONE, 0, 0, 8) == b"manifest"
            assert again.read(ONE, 1, 0, 700) == b"payload" * 100
        again.sweep(frozenset())
        assert list(folder.iterdir()) == []


def calls_of(folder: Path, monkeypatch: pytest.MonkeyPatch, cut: int | None) -> list[str]:
    """The calls of making one object; with `cut`, the power goes before call number `cut`."""
    outbox = DiskOutbox(folder)
    calls: list[str] = []
    with monkeypatch.context() as patch:
        for owner, name in ((Path, "mkdir"), (Path, "open"), (os, "fsync"), (Path, "rename")):
            original = getattr(owner, name)

            def counted(*args: object, _original: object = original, _name: str = name, **kwargs: object) -> object:
                if len(calls) == cut:
                    raise Cut
                calls.append(_name)
                return _original(*args, **kwargs)  # type: ignore[operator]

            patch.setattr(owner, name, counted)
        patch.setattr("agent.ipc.outbox_files.shutil.rmtree", lambda *_, **__: None)  # the dead clean nothing up
        if cut is None:
            make(outbox)
        else:
            with pytest.raises(Cut):
                make(outbox)
    return calls


@pytest.mark.parametrize("name", ["mkdir", "fsync", "rename"])
def test_a_disk_that_fails_is_told_with_the_remedy_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = DiskOutbox(tmp_path)

    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os if name == "fsync" else Path, name, failing)
        with pytest.raises(StorageError, match="No space left") as caught:
            make(outbox)
    assert "nothing was sent" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_part_is_whole_in_the_file_before_it_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: sizes.append(os.fstat(handle).st_size))
    with DiskOutbox(tmp_path).begin(ONE) as draft:
        draft.write(1, "segment", [b"part", b"s"])
        assert sizes == [5]


def test_reading_and_making_durable_leave_no_file_open(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path)
    make(outbox)
    for _ in range(5):
        outbox.read(ONE, 1, 0, 10)
        with pytest.raises(StorageError):
            outbox.read(ONE, 1, 0, 10_000)
        outbox.remove(TWO)
        make(outbox, TWO)
    assert open_below(tmp_path) == []


def test_a_sweep_is_not_stopped_by_a_file_that_is_no_object(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path)
    make(outbox)
    (tmp_path / "0-a-file").write_text("a stranger")
    (tmp_path / "zz").mkdir()
    outbox.sweep(frozenset({ONE}))
    assert outbox.read(ONE, 0, 0, 8) == b"manifest"
    assert not (tmp_path / "zz").exists()


def test_objects_are_the_devices_own_business(tmp_path: Path) -> None:
    make(DiskOutbox(tmp_path / "outbox"))
    assert {(tmp_path / "outbox").stat().st_mode & 0o007} == {0}
    assert {path.stat().st_mode & 0o007 for path in (tmp_path / "outbox").iterdir()} == {0}


def test_an_outbox_that_cannot_be_made_or_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="outbox"):
        DiskOutbox(tmp_path / "file" / "outbox")
    outbox = DiskOutbox(tmp_path / "outbox")
    (tmp_path / "outbox").rmdir()
    with pytest.raises(StorageError):
        outbox.sweep(frozenset())
