"""A lock that root made serves the owner of its folder, and root follows no link of the owner."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent.errors import StorageError
from desk import cli, config
from desk.storage.folder_lock import folder_lock, leave_to_owner
from desk.storage.postgres_servers import DatabasePlace, PostgresServers, Server, places_of

OWNER = 54_321
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be lent another user's rights")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may pass through. Its files are the owner's."""
    made = Path(tempfile.mkdtemp(prefix="doorward-lock-"))
    made.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(made, OWNER, OWNER)
    yield made
    shutil.rmtree(made)


def as_owner(act: object) -> int:
    """Runs `act` in another process with the owner's rights. Returns 0 if it ends without an error."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(OWNER, OWNER, OWNER)
        os.setresuid(OWNER, OWNER, OWNER)
        try:
            act()  # type: ignore[operator]
        except BaseException:  # noqa: BLE001 (it is told by the status)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@only_root
def test_a_lock_and_a_file_that_root_made_are_the_owners(place: Path) -> None:
    with folder_lock(place / "lock"):
        (place / "note").write_text("by root")
        leave_to_owner(place / "note")
    assert [(place / name).stat().st_uid for name in ("lock", "note")] == [OWNER, OWNER]


@only_root
def test_the_note_of_the_servers_that_a_command_of_root_writes_is_the_owners(place: Path) -> None:
    """The service changes it at the next promotion."""
    server = Server("7713609342307113383", 1, True, "")
    PostgresServers(places_of("a", 1), place)._admit(DatabasePlace("a", 1), server)
    assert {path.name: path.stat().st_uid for path in place.iterdir()} == {
        "database.json": OWNER,
        "database.json.lock": OWNER,
    }


@only_root
def test_a_lock_that_root_made_before_and_kept_serves_the_owner(place: Path) -> None:
    (place / "lock").touch(0o644)

    def lock() -> None:
        with folder_lock(place / "lock"):
            pass

    assert as_owner(lock) == 0


@only_root
@pytest.mark.parametrize("words", [("confirm",), ("link", "ada@example.org"), ("restored",), ("database",)])
def test_a_command_of_root_in_the_folder_of_the_service_has_the_rights_of_the_service(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """All that it makes is the service's: the files of SQLite, the index, locks and numbers."""
    (place / "desk.toml").write_text('data = "data"\n')
    (place / "data").mkdir()
    os.chown(place / "data", OWNER, OWNER)
    monkeypatch.setenv(config.ENVIRONMENT, "")
    seen: list[int] = []
    command = cli.desk.get_command(click.Context(cli.desk), words[0])
    assert command is not None
    monkeypatch.setattr(command, "callback", lambda **_: seen.append(os.geteuid()))
    cli.desk.main(["--config", str(place / "desk.toml"), *words], standalone_mode=False)
    assert seen == [OWNER]
    assert os.geteuid() == 0


@only_root
@pytest.mark.parametrize("how", ["symlink", "link"])
def test_root_gives_no_file_away_to_which_the_owner_made_a_link(place: Path, how: str) -> None:
    secret = place.with_name(f"{place.name}.secret")
    secret.touch(0o600)
    try:
        getattr(os, how)(secret, place / "lock")
        if how == "symlink":
            with pytest.raises(StorageError, match="lock"):
                leave_to_owner(place / "lock")
        else:
            leave_to_owner(place / "lock")
        assert secret.stat().st_uid == 0
    finally:
        secret.unlink()


def test_a_pipe_in_place_of_the_lock_keeps_no_command_waiting(place: Path) -> None:
    os.mkfifo(place / "lock")
    with folder_lock(place / "lock"):
        assert (place / "lock").stat().st_uid == os.geteuid()


def test_a_lock_that_cannot_be_opened_is_named_with_its_remedy(place: Path) -> None:
    with pytest.raises(StorageError, match="lock") as caught, folder_lock(place / "missing" / "lock"):
        pass
    assert "permissions" in caught.value.remedy
