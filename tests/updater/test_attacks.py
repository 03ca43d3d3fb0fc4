"""Attacks on the way of an update: none of them changes what root would install, and each is told by its name.

The table is that of the TUF specification (section 1.5.2) and of docs/updates.md. The server is a real one on loopback,
the repository real files with real keys, and both of our steps run: the updater fetches, then root takes in.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import tarfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError

from agent.core.timebase import ClockQuality, ClockReading, UtcNs
from agent.core.updates import UpdateSource, UpdateTrouble
from agent.errors import DoorwardError, NetworkError, StorageError, UpdateError
from agent.updater import fetchers
from agent.updater.fetchers import FolderFetcher, TarFetcher
from agent.updater.fetching import Staging
from agent.updater.machine import Machine
from agent.updater.release_store import ReleaseStore
from tests.update_repositories import Repository, deb, package
from tests.updater.doors import pass_days, reading

MACHINE = Machine("0.2.0", "amd64", "13")


class _Handler(http.server.SimpleHTTPRequestHandler):
    answer: Callable[[_Handler], bool] | None = None
    """Answers instead, and returns True if it did."""

    def do_GET(self) -> None:
        if type(self).answer is None or not type(self).answer(self):
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


class Door:
    """A repository behind a server, the updater's folder and root's."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder / "repository")
        self.staging = Staging(folder / "updater")
        (folder / "update").mkdir()
        self.store = ReleaseStore(folder / "update", self.repository.first_root, MACHINE)
        handler = type("Handler", (_Handler,), {})
        self.handler = handler
        served = str(self.repository.folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: handler(*a, directory=served))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.source = UpdateSource(
            v=1, source=f"http://127.0.0.1:{self.server.server_port}", root=self.repository.first_root.decode()
        )

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def fetch(self, now: ClockReading | None = None) -> None:
        self.staging.fetch(self.source, MACHINE, now or reading())

    def take_in(self, now: ClockReading | None = None) -> str | None:
        offer = self.store.admit(FolderFetcher(self.staging.repository, self.store.folder), now or reading())
        return None if offer is None else offer.version

    def update(self) -> str | None:
        self.fetch()
        return self.take_in()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.close()


def packages_of(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "targets").iterdir()]


def test_a_signed_release_arrives_at_root_byte_for_byte_with_its_notes(door: Door) -> None:
    data = deb()
    door.repository.release(data, package(security_below="0.2.1"))
    assert door.update() == "0.2.1"
    assert packages_of(door.store.folder / "repository") == [data]
    offer = door.store.state.offer
    assert offer is not None
    assert (offer.security, offer.notes["nl"]) == (True, "- Beter.\n")
    assert door.store.package(offer, reading()).read_bytes() == data


def test_without_a_newer_release_nothing_is_on_offer_and_the_check_is_remembered(door: Door) -> None:
    door.repository.release(deb("0.2.0"), package("0.2.0"))
    assert door.update() is None
    assert door.store.state.checked_ms is not None
    assert packages_of(door.store.folder / "repository") == []


@pytest.mark.parametrize(
    "custom",
    [
        package(architecture="arm64"),
        package(debian=["12"]),
        package(upgrade_from="0.2.1"),
        package("0.1.9"),
        package(kind="wheel"),
        {**package(), "version": "0.2.1-evil"},
    ],
    ids=["architecture", "debian", "too far", "older", "no package", "no version"],
)
def test_a_release_for_another_doorbell_is_not_taken(door: Door, custom: dict[str, Any]) -> None:
    door.repository.release(deb(), custom)
    assert door.update() is None


def test_of_several_releases_the_newest_that_can_be_reached_is_taken(door: Door) -> None:
    for version in ("0.2.9", "0.2.10", "0.3.0"):
        door.repository.release(deb(version), package(version, upgrade_from="0.2.10" if version == "0.3.0" else None))
    assert door.update() == "0.2.10"


def test_a_package_under_another_name_than_its_version_is_not_taken(door: Door) -> None:
    door.repository.release(deb(), package(), name="doorward_0.2.2_amd64.deb")
    assert door.update() is None


# --- Attacks


def _unsigned(door: Door) -> None:
    door.repository.files.clear()
    door.repository.release(deb(body=b"evil"), package())
    door.repository.write_targets(signers=[door.repository.keys["snapshot"][0]])
    door.repository.write_snapshot()
    door.repository.write_timestamp()


def _one_targets_key(door: Door) -> None:
    door.repository.release(deb(body=b"evil"), package())
    door.repository.write_targets(signers=door.repository.keys["targets"][:1])
    door.repository.write_snapshot()
    door.repository.write_timestamp()


def _one_root_key(door: Door) -> None:
    repository = door.repository
    honest = repository.keys
    thief = Repository(repository.folder.with_name("thief"))
    repository.keys = {**thief.keys, "root": honest["root"]}
    repository.versions["root"] = 2
    repository.write_root(honest["root"][:1])
    repository.release(deb(body=b"evil"), package())


def _snapshot_key(door: Door) -> None:
    """A snapshot of the thief's, which the honest timestamp does not name."""
    repository = door.repository
    repository.release(deb(body=b"evil"), package())
    name = f"{repository.versions['snapshot']}.snapshot.json"
    repository.versions["snapshot"] -= 1
    repository.write_snapshot(targets=1)
    assert (repository.folder / "metadata" / name).is_file()


def _timestamp_key(door: Door) -> None:
    """A timestamp of the thief's names a snapshot that the thief could not sign."""
    repository = door.repository
    repository.files.clear()
    repository.release(deb(body=b"evil"), package())
    repository.keys["snapshot"] = [repository.keys["timestamp"][0]]
    repository.write_snapshot()
    repository.write_timestamp()


def _expired(role: str) -> Callable[[Door], None]:
    def expire(door: Door) -> None:
        door.repository.release(deb(), package())
        door.repository.publish(**{role: -0.01})

    return expire


def _wrong_bytes(door: Door) -> None:
    stored = door.repository.release(deb(), package())
    (door.repository.folder / "targets" / stored).write_bytes(deb(body=b"the pr0gram"))


def _shorter(door: Door) -> None:
    stored = door.repository.release(deb(), package())
    (door.repository.folder / "targets" / stored).write_bytes(deb()[:-10])


def _longer(door: Door) -> None:
    stored = door.repository.release(deb(), package())
    (door.repository.folder / "targets" / stored).write_bytes(deb() + b"x")


def _huge(door: Door) -> None:
    door.repository.release(deb(), package(), length=(1 << 30) + 1)


def _mix_and_match(door: Door) -> None:
    """The snapshot names a targets.json that never belonged to it."""
    repository = door.repository
    repository.release(deb("0.2.2"), package("0.2.2"))
    metadata = repository.folder / "metadata"
    shutil.copy(metadata / "1.targets.json", metadata / f"{repository.versions['targets']}.targets.json")


def _snapshot_of_before(door: Door) -> None:
    """The snapshot of the release before, under the number that the honest timestamp names."""
    repository = door.repository
    repository.release(deb("0.2.2"), package("0.2.2"))
    metadata = repository.folder / "metadata"
    shutil.copy(metadata / "1.snapshot.json", metadata / f"{repository.versions['snapshot']}.snapshot.json")


def _snapshot_without_targets(door: Door) -> None:
    """By a thief of the snapshot and timestamp keys: its snapshot names no targets.json."""
    door.repository.write_snapshot(name="other.json")
    door.repository.write_timestamp()


def _old_root_as_next(door: Door) -> None:
    metadata = door.repository.folder / "metadata"
    shutil.copy(metadata / "1.root.json", metadata / "2.root.json")


def _root_left_out(door: Door) -> None:
    """Root 3, honestly signed, under the number 2."""
    repository = door.repository
    repository.versions["root"] = 3
    repository.write_root()
    metadata = repository.folder / "metadata"
    (metadata / "3.root.json").rename(metadata / "2.root.json")


def _expired_root(door: Door) -> None:
    door.repository.versions["root"] = 2
    door.repository.write_root(days=-0.01)
    door.repository.release(deb(), package())


def _another_type(door: Door) -> None:
    """An honest snapshot in the place of the timestamp."""
    door.repository.release(deb(), package())
    metadata = door.repository.folder / "metadata"
    shutil.copy(metadata / f"{door.repository.versions['snapshot']}.snapshot.json", metadata / "timestamp.json")


def _signed_twice(role: str) -> Callable[[Door], None]:
    """One of the three keys, which are two by threshold, signs twice."""

    def sign(door: Door) -> None:
        repository = door.repository
        repository.release(deb(body=b"evil"), package())
        if role == "root":
            repository.versions["root"] = 2
            repository.write_root(repository.keys["root"][:1])
        else:
            repository.write_targets(signers=repository.keys["targets"][:1])
        path = repository.folder / "metadata" / f"{repository.versions[role]}.{role}.json"
        metadata = json.loads(path.read_bytes())
        metadata["signatures"] *= 2
        path.write_text(json.dumps(metadata))
        repository.write_snapshot()
        repository.write_timestamp()

    return sign


def _without_signature(role: str) -> Callable[[Door], None]:
    """Keys of the roles above it are stolen too, so only this signature is missing."""

    def write(door: Door) -> None:
        repository = door.repository
        repository.release(deb(body=b"evil"), package())
        name = "timestamp.json" if role == "timestamp" else f"{repository.versions[role]}.{role}.json"
        path = repository.folder / "metadata" / name
        path.write_text(json.dumps(json.loads(path.read_bytes()) | {"signatures": []}))
        if role == "snapshot":
            repository.write_timestamp()

    return write


def _junk(door: Door) -> None:
    door.repository.release(deb(), package())
    (door.repository.folder / "metadata" / "timestamp.json").write_bytes(b"[" * 9000)


def _gone(role: str) -> Callable[[Door], None]:
    def remove(door: Door) -> None:
        door.repository.release(deb(), package())
        name = "timestamp.json" if role == "timestamp" else f"{door.repository.versions[role]}.{role}.json"
        (door.repository.folder / "metadata" / name).unlink()

    return remove


ATTACKS: dict[str, tuple[Callable[[Door], None], UpdateTrouble]] = {
    "unsigned": (_unsigned, UpdateTrouble.REFUSED),
    "one stolen root key": (_one_root_key, UpdateTrouble.REFUSED),
    "one stolen targets key": (_one_targets_key, UpdateTrouble.REFUSED),
    "a stolen snapshot key": (_snapshot_key, UpdateTrouble.REFUSED),
    "a stolen timestamp key": (_timestamp_key, UpdateTrouble.REFUSED),
    "a root key that signs twice": (_signed_twice("root"), UpdateTrouble.REFUSED),
    "a targets key that signs twice": (_signed_twice("targets"), UpdateTrouble.REFUSED),
    "targets without a signature": (_without_signature("targets"), UpdateTrouble.REFUSED),
    "a snapshot without a signature": (_without_signature("snapshot"), UpdateTrouble.REFUSED),
    "a timestamp without a signature": (_without_signature("timestamp"), UpdateTrouble.REFUSED),
    "an expired root": (_expired_root, UpdateTrouble.EXPIRED),
    "an expired timestamp": (_expired("timestamp"), UpdateTrouble.EXPIRED),
    "an expired snapshot": (_expired("snapshot"), UpdateTrouble.EXPIRED),
    "expired targets": (_expired("targets"), UpdateTrouble.EXPIRED),
    "wrong bytes": (_wrong_bytes, UpdateTrouble.REFUSED),
    "a shorter package": (_shorter, UpdateTrouble.REFUSED),
    "a longer package": (_longer, UpdateTrouble.REFUSED),
    "a huge package": (_huge, UpdateTrouble.REFUSED),
    "mix and match": (_mix_and_match, UpdateTrouble.REFUSED),
    "a snapshot of before under the new number": (_snapshot_of_before, UpdateTrouble.REFUSED),
    "a snapshot without targets": (_snapshot_without_targets, UpdateTrouble.REFUSED),
    "an old root as the next one": (_old_root_as_next, UpdateTrouble.REFUSED),
    "a root left out": (_root_left_out, UpdateTrouble.REFUSED),
    "metadata of another type": (_another_type, UpdateTrouble.REFUSED),
    "junk": (_junk, UpdateTrouble.REFUSED),
    "a server without timestamp": (_gone("timestamp"), UpdateTrouble.NETWORK),
    "a server without the snapshot": (_gone("snapshot"), UpdateTrouble.NETWORK),
    "a server without the targets": (_gone("targets"), UpdateTrouble.NETWORK),
}


FAST_FORWARDS = {"timestamp": ("timestamp",), "snapshot": ("snapshot", "timestamp"), "targets": ("snapshot",)}
"""A role whose key is stolen, and the keys that are replaced afterwards. Source: TUF specification 5.3.11."""
ONLY_OVER_A_NETWORK = {name for name in ATTACKS if name.startswith("a server without")}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_the_server_gives_root_nothing_to_install(door: Door, attack: str) -> None:
    do, trouble = ATTACKS[attack]
    assert door.update() is None
    do(door)
    with pytest.raises(DoorwardError):
        door.fetch()
    assert UpdateTrouble(_reported(door)) is trouble
    assert packages_of(door.store.folder / "repository") == []
    assert door.store.state.offer is None


@pytest.mark.parametrize("attack", sorted(ATTACKS.keys() - ONLY_OVER_A_NETWORK))
def test_an_updater_that_was_taken_over_and_stages_an_attack_gives_root_nothing(door: Door, attack: str) -> None:
    assert door.update() is None
    ATTACKS[attack][0](door)
    shutil.rmtree(door.staging.repository)
    shutil.copytree(door.repository.folder, door.staging.repository)
    with pytest.raises(UpdateError):
        door.take_in()
    assert door.store.state.trouble is ATTACKS[attack][1]
    assert packages_of(door.store.folder / "repository") == []


def _reported(door: Door) -> str:
    return str(json.loads(door.staging.report.read_text())["trouble"])


@pytest.mark.parametrize("kind", ["root.json", "timestamp.json", "snapshot.json", "targets.json", ".deb"])
def test_an_answer_without_an_end_is_given_up_at_the_length_that_is_allowed(door: Door, kind: str) -> None:
    sent = 0

    def pour(handler: _Handler) -> bool:
        nonlocal sent
        if not handler.path.endswith(kind):
            return False
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while sent < 1 << 30:
                sent += handler.wfile.write(bytes(65536))
        return True

    assert door.update() is None
    door.repository.release(deb(), package())
    door.handler.answer = staticmethod(pour)
    with pytest.raises(UpdateError):
        door.fetch()
    assert _reported(door) == "refused"
    door.close()
    assert 0 < sent < 64 << 20, "2 MiB at most are read; the sockets hold the rest"
    assert packages_of(door.staging.repository) == []


def _versions(folder: Path) -> dict[str, int]:
    """Returns which version of each kind of metadata a client believes."""
    roots = [int(path.name.split(".")[0]) for path in (folder / "root_history").glob("*.root.json")]
    kinds = ("timestamp", "snapshot", "targets")
    return {"root": max(roots)} | {
        kind: int(json.loads((folder / f"{kind}.json").read_bytes())["signed"]["version"]) for kind in kinds
    }


def _roll_back_timestamp(repository: Repository, before: Path) -> None:
    """Needs no key: the timestamp of the release before."""
    shutil.copy(before / "metadata" / "timestamp.json", repository.folder / "metadata")


def _roll_back_snapshot(repository: Repository, before: Path) -> None:
    """By a thief of the timestamp key: a new timestamp names the snapshot of the release before."""
    repository.write_timestamp(snapshot=repository.versions["snapshot"] - 1)


def _roll_back_targets(repository: Repository, before: Path) -> None:
    """By a thief of the snapshot and timestamp keys: new ones name the targets of the release before."""
    repository.write_snapshot(targets=repository.versions["targets"] - 1)
    repository.write_timestamp()


def _roll_back_root(repository: Repository, before: Path) -> None:
    """By a thief of a timestamp key that root 2 replaced: root 2 is gone, and the old key signs."""
    repository.keys["timestamp"] = [repository.replaced["timestamp"]]
    (repository.folder / "metadata" / "2.root.json").unlink()
    repository.write_timestamp()


def _roll_back_all(repository: Repository, before: Path) -> None:
    shutil.rmtree(repository.folder)
    shutil.copytree(before, repository.folder)


@pytest.mark.parametrize(
    "roll_back",
    [_roll_back_timestamp, _roll_back_snapshot, _roll_back_targets, _roll_back_root, _roll_back_all],
    ids=["timestamp", "snapshot", "targets", "root", "whole repository"],
)
def test_a_rollback_of_each_kind_of_metadata_is_refused_by_both_steps(
    door: Door, tmp_path: Path, roll_back: Callable[[Repository, Path], None]
) -> None:
    door.repository.release(deb(), package())
    assert door.update() == "0.2.1"
    door.repository.replace_key("timestamp")
    before = shutil.copytree(door.repository.folder, tmp_path / "before")
    door.repository.release(deb("0.2.2"), package("0.2.2"))
    assert door.update() == "0.2.2"
    believed = _versions(door.store.folder / "trusted")
    assert believed == door.repository.versions
    roll_back(door.repository, before)

    with pytest.raises(UpdateError):
        door.fetch()
    assert _reported(door) == "refused"
    shutil.rmtree(door.staging.repository)
    shutil.copytree(door.repository.folder, door.staging.repository)
    with pytest.raises(UpdateError):
        door.take_in()

    assert door.store.state.trouble is UpdateTrouble.REFUSED
    offer = door.store.state.offer
    assert offer is not None
    assert offer.version == "0.2.2", "what was verified before stays on offer"
    for folder in (door.store.folder / "trusted", door.staging.folder / "trusted"):
        assert {kind: max(version, believed[kind]) for kind, version in _versions(folder).items()} == _versions(folder)


@pytest.mark.parametrize(("stolen", "replaced"), FAST_FORWARDS.items())
def test_after_a_thief_counted_far_ahead_new_keys_let_the_makers_count_from_below(
    door: Door, stolen: str, replaced: tuple[str, ...]
) -> None:
    """A thief's highest number would otherwise refuse all that the makers sign afterwards."""
    repository = door.repository
    repository.versions[stolen] += 1000
    repository.publish()
    assert door.update() is None
    assert _versions(door.store.folder / "trusted")[stolen] == repository.versions[stolen]

    repository.versions[stolen] = 1
    repository.release(deb(), package())
    with pytest.raises(UpdateError):
        door.fetch()
    for role in replaced:
        repository.replace_key(role)
    assert door.update() == "0.2.1"
    assert _versions(door.store.folder / "trusted") == repository.versions


@pytest.mark.parametrize(
    ("of_before", "of_its_own", "is_believed"),
    [(2, 2, True), (1, 3, False), (3, 1, False), (0, 3, False), (3, 0, False)],
)
def test_a_new_root_needs_two_keys_of_the_one_before_and_two_of_its_own(
    door: Door, of_before: int, of_its_own: int, is_believed: bool
) -> None:
    assert door.update() is None
    repository = door.repository
    before, own = repository.keys["root"], [CryptoSigner.generate_ed25519() for _ in range(3)]
    repository.keys["root"] = own
    repository.versions["root"] = 2
    repository.write_root([*before[:of_before], *own[:of_its_own]])
    with contextlib.nullcontext() if is_believed else pytest.raises(UpdateError, match="not what its makers signed"):
        door.fetch()
    assert _versions(door.staging.folder / "trusted")["root"] == (2 if is_believed else 1)


def test_a_doorbell_that_missed_forty_new_roots_follows_all_of_them_and_the_next_one(door: Door) -> None:
    """Each visit counts from the root that came with the program, so a limit would hold for the doorbell's life."""
    for number in range(2, 42):
        door.repository.versions["root"] = number
        door.repository.write_root()
    assert door.update() is None
    assert _versions(door.store.folder / "trusted")["root"] == 41
    door.repository.replace_key("timestamp")
    door.repository.release(deb(), package())
    assert door.update() == "0.2.1"


def test_a_withdrawn_release_is_no_longer_on_offer_and_its_bytes_go(door: Door) -> None:
    door.repository.release(deb(), package())
    assert door.update() == "0.2.1"
    door.repository.files.clear()
    door.repository.publish()
    assert door.update() is None
    assert packages_of(door.store.folder / "repository") == []
    assert packages_of(door.staging.repository) == []


def test_a_freeze_ends_when_the_news_expires_and_what_was_on_offer_is_not_installed_any_more(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.repository.release(deb(), package())
    assert door.update() == "0.2.1"
    offer = door.store.state.offer
    assert offer is not None
    pass_days(monkeypatch, 8)
    with pytest.raises(UpdateError, match="too old"):
        door.fetch()
    assert _reported(door) == "expired"
    with pytest.raises(UpdateError, match="too old"):
        door.take_in()
    assert door.store.state.trouble is UpdateTrouble.EXPIRED
    with pytest.raises(UpdateError, match="too old"):
        door.store.package(offer, reading())


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_after_a_theft_two_root_holders_replace_the_key_and_the_door_follows(door: Door, role: str) -> None:
    assert door.update() is None
    door.repository.replace_key(role)
    door.repository.release(deb(), package())
    assert door.update() == "0.2.1"
    offer = door.store.state.offer
    assert offer is not None
    assert door.store.package(offer, reading()).is_file()


# --- The clock


def test_without_the_time_of_day_nothing_is_fetched_or_taken_in_and_the_owner_is_told_why(door: Door) -> None:
    door.repository.release(deb(), package())
    unknown = reading(ClockQuality.UNKNOWN)
    with pytest.raises(UpdateError, match="does not know the time"):
        door.fetch(unknown)
    assert _reported(door) == "clock"
    door.fetch()
    with pytest.raises(UpdateError, match="does not know the time"):
        door.take_in(unknown)
    assert door.store.state.trouble is UpdateTrouble.CLOCK


def test_a_person_may_update_a_doorbell_without_time_server_but_not_in_1970(door: Door) -> None:
    door.repository.release(deb(), package())
    folder = FolderFetcher(door.repository.folder, door.store.folder)
    in_1970 = replace(reading(ClockQuality.UNKNOWN), utc_ns=UtcNs(10**9))
    with pytest.raises(UpdateError, match="does not know the time"):
        door.store.admit(folder, in_1970, by_hand=True)
    assert door.store.admit(folder, reading(ClockQuality.UNKNOWN), by_hand=True) is not None


# --- Slow, silent and full


def test_a_server_that_drips_is_given_up_and_the_door_says_so(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetchers, "GRACE_S", 0.0)
    monkeypatch.setattr(fetchers, "LEAST_BYTES_PER_S", 10**12)
    with pytest.raises(NetworkError, match="are too few"):
        door.fetch()
    assert _reported(door) == "network"


@pytest.mark.parametrize(
    "status",
    ["HTTP/1.0 200 OK\r\nX-Endless: ", "HTTP/1.0 200 O", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"],
)
def test_a_server_that_drips_the_head_of_its_answer_or_of_a_chunk_is_given_up(
    door: Door, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    def drip(handler: _Handler) -> bool:
        handler.close_connection = True
        handler.wfile.write(status.encode())
        with contextlib.suppress(OSError):
            for _ in range(3000):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.01)
        return True

    door.handler.answer = staticmethod(drip)
    monkeypatch.setattr(fetchers, "GRACE_S", 0.3)
    with pytest.raises(NetworkError, match="are too few"):
        door.fetch()
    assert _reported(door) == "network"


def test_a_server_that_falls_silent_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def silent(handler: _Handler) -> bool:
        over.wait(60)
        return True

    door.handler.answer = staticmethod(silent)
    monkeypatch.setattr(fetchers, "SILENCE_S", 0.2)
    try:
        with pytest.raises(NetworkError):
            door.fetch()
    finally:
        over.set()


def test_a_full_disk_is_told_before_anything_is_downloaded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.repository.release(deb(), package())
    monkeypatch.setattr(fetchers.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(StorageError, match="are free"):
        door.fetch()
    assert _reported(door) == "disk"
    assert packages_of(door.staging.repository) == []


def test_a_server_may_not_lead_to_a_file_of_this_machine(door: Door) -> None:
    def elsewhere(handler: _Handler) -> bool:
        handler.send_response(302)
        handler.send_header("Location", "file:///etc/passwd")
        handler.end_headers()
        return True

    door.handler.answer = staticmethod(elsewhere)
    with pytest.raises(NetworkError):
        door.fetch()


# --- The staging folder, which belongs to another user


@pytest.mark.parametrize("what", ["file", "folder", "pipe", "device folder"])
def test_root_follows_no_link_and_opens_no_pipe_in_the_staging_folder(door: Door, tmp_path: Path, what: str) -> None:
    stored = door.repository.release(deb(), package())
    door.fetch()
    targets = door.staging.targets
    away = tmp_path / "away"
    if what == "folder":
        targets.rename(away)
        targets.symlink_to(away)
    else:
        (targets / stored).rename(away)
        if what == "file":
            (targets / stored).symlink_to(away)
        elif what == "pipe":
            os.mkfifo(targets / stored)
        else:
            (targets / stored).mkdir()
    with pytest.raises(NetworkError):
        door.take_in()
    assert packages_of(door.store.folder / "repository") == []


def test_bytes_that_are_exchanged_after_the_check_do_not_reach_root(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The updater exchanges the package at the moment when root has read it to its end."""
    data = deb()
    stored = door.repository.release(data, package())
    door.fetch()
    real = FolderFetcher._fetch

    def racing(self: FolderFetcher, url: str) -> Iterator[bytes]:
        yield from real(self, url)
        if url.endswith(".deb"):
            (door.staging.targets / stored).write_bytes(deb(body=b"evil"))

    monkeypatch.setattr(FolderFetcher, "_fetch", racing)
    assert door.take_in() == "0.2.1"
    assert packages_of(door.store.folder / "repository") == [data]


def test_bytes_that_are_exchanged_while_root_reads_them_are_refused(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = door.repository.release(deb(body=os.urandom(400_000)), package())
    door.fetch()
    monkeypatch.setattr(fetchers, "CHUNK_BYTES", 256)
    real = FolderFetcher._fetch

    def racing(self: FolderFetcher, url: str) -> Iterator[bytes]:
        for number, chunk in enumerate(real(self, url)):
            yield chunk
            if url.endswith(".deb") and number == 0:
                with (door.staging.targets / stored).open("r+b") as file:
                    file.seek(300_000)
                    file.write(b"evil")

    monkeypatch.setattr(FolderFetcher, "_fetch", racing)
    with pytest.raises(UpdateError):
        door.take_in()
    assert packages_of(door.store.folder / "repository") == []


def test_a_staged_package_without_an_end_stops_at_the_length_that_was_signed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = door.repository.release(deb(), package())
    door.fetch()
    file = door.staging.targets / stored
    with file.open("ab") as more:
        more.truncate(1 << 34)
    read = []
    real = FolderFetcher._fetch

    def counting(self: FolderFetcher, url: str) -> Iterator[bytes]:
        for chunk in real(self, url):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(FolderFetcher, "_fetch", counting)
    with pytest.raises(UpdateError):
        door.take_in()
    assert sum(read) < 1_000_000


def test_a_path_of_the_repository_cannot_leave_its_folder(tmp_path: Path) -> None:
    for url in ("/metadata/../../etc/passwd", "/metadata//x", "/metadata/.hidden", ""):
        with pytest.raises(Exception, match="is no path of a repository"):
            list(FolderFetcher(tmp_path, tmp_path)._fetch(url))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_file_on_a_stick_takes_no_memory_before_its_signatures_are_verified(tmp_path: Path, kind: bytes) -> None:
    """Root reads it. A header of 200 MB would be read whole, on a board with 512 MB."""
    entry = tarfile.TarInfo("metadata/timestamp.json")
    entry.size, entry.type = 200 << 20, kind
    path = tmp_path / "doorward_0.2.1_arm64.update"
    with path.open("wb") as file:
        file.write(entry.tobuf(tarfile.USTAR_FORMAT))
        file.truncate((200 << 20) + 4096)
    tracemalloc.start()
    try:
        with pytest.raises(UpdateError, match="plain files"):
            list(TarFetcher(path, tmp_path).fetch("metadata/timestamp.json"))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_file_on_a_stick_that_is_cut_or_is_no_tar_is_named(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("metadata/timestamp.json")
    entry.size = 100
    path = tmp_path / "doorward_0.2.1_arm64.update"
    header = entry.tobuf(tarfile.USTAR_FORMAT)
    for data, said in (
        (header + b"x" * 50, "ends too early"),
        (header[:300], "is no update"),
        (b"PK" + bytes(2000), "is no update"),
        (header.replace(b"0", b"\x80", 1) + b"x" * 512, "is no update"),
    ):
        path.write_bytes(data)
        with pytest.raises(UpdateError, match=said):
            list(TarFetcher(path, tmp_path).fetch("metadata/timestamp.json"))
    path.write_bytes(header + b"x" * 512)
    assert list(TarFetcher(path, tmp_path).fetch("metadata/timestamp.json")) == [b"x" * 100]
    with pytest.raises(DownloadHTTPError):
        list(TarFetcher(path, tmp_path).fetch("metadata/other.json"))
