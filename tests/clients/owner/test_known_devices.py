"""An owner's machine remembers each device in a private file, and reads it again as it was."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.known_devices import KnownDevice, KnownDevices, ReviewedOrder, SeenBundle, hash_of_order
from agent.clients.owner.sync import sync
from agent.errors import ConfigurationError, FormatError
from agent.wire import strictjson
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Enrolment, NamedKey, read_statement
from agent.wire.trust import SeenVersion
from tests.clients.owner.conftest import Home, now, seeds
from tests.wire import package_vectors, samples


def known_of(home: Home) -> KnownDevice:
    return sync(home.device, home.keys).known


def test_every_list_of_owners_is_known_by_its_hash_and_each_owner_by_key(home: Home, tmp_path: Path) -> None:
    bob = OwnerKeys.create(tmp_path / "bob", name="bob", seeds=seeds("bob"))
    enrol(home.device, home.keys, add=[bob.card], clock=now)
    enrol(home.device, bob, clock=now)
    enrol(home.device, home.keys, remove=["bob"], clock=now)
    known = known_of(home)
    payloads = [read_statement(each.encode()).payload for each in known.enrolments]
    lists = [strictjson.decode(each, Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES) for each in payloads]
    assert [[each.name for each in one.approvers] for one in lists] == [["anna"], ["anna", "bob"], ["anna"]]
    assert known.enrolments_by_sha256 == {
        hashlib.sha256(payload).hexdigest(): one for payload, one in zip(payloads, lists, strict=True)
    }
    assert (known.enrolment_payload, known.enrolled) == (payloads[-1], lists[-1])
    assert known.approvers_ever == {
        keys.approver.id: NamedKey.of(keys.name, keys.approval).public_keys for keys in (home.keys, bob)
    }
    assert (known.name_ever(home.keys.approver.id), known.name_ever(bob.approver.id)) == ("anna", "bob")
    with pytest.raises(KeyError):
        known.name_ever("0" * 16)


def test_the_roots_that_an_owner_chose_and_their_newest_bundles_are_known(home: Home) -> None:
    known = known_of(home)
    assert list(known.trust.roots) == [samples.ROOT_KEY.id]
    seen = SeenVersion(7, "ab" * 32, 3, 99, root_sha256="cd" * 32)
    alone = SeenVersion(7, "ab" * 32)
    assert SeenBundle.of(alone).plain == alone
    assert SeenBundle.of(seen).plain == seen
    changed = msgspec.structs.replace(known, bundles={samples.ROOT_KEY.text: SeenBundle.of(seen)})
    assert changed.trust.newest == {samples.ROOT_KEY.text: seen}
    assert known.with_trust(changed.trust) == changed
    assert known.device_key == home.device.key
    assert known.ledger.size == len(home.device.leaves)


def test_what_is_remembered_is_private_and_read_again_as_it_was(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "memory" / KnownDevices.FILE
    path.parent.mkdir()
    memory, known = KnownDevices(path), known_of(home)
    assert (memory.devices(), memory.device(home.device.key.id)) == ({}, None)
    seen = SeenBundle(version=7, sha256="ab" * 32, root_version=3, timestamp=9, root_sha256="cd" * 32)
    known = msgspec.structs.replace(known, bundles={**known.bundles, samples.OWNER_ROOT.text: seen})
    memory.remember(known)
    assert memory.devices() == {home.device.key.id: known}
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {
        KnownDevices.FILE: 0o600,
        f".{KnownDevices.FILE}.lock": 0o600,
    }
    without_roots = msgspec.structs.replace(known, roots=())
    memory.remember(without_roots)
    assert memory.device(home.device.key.id) == without_roots, "the newer one takes its place"


def test_a_client_that_was_overtaken_takes_back_nothing_of_what_another_one_has_seen_of_a_root(
    home: Home, tmp_path: Path
) -> None:
    memory, known = KnownDevices(tmp_path / KnownDevices.FILE), known_of(home)
    root = samples.ROOT_KEY.text

    def having(**bundles: SeenBundle) -> KnownDevice:
        return msgspec.structs.replace(known, bundles=bundles)

    def seen(version: int, file: int, stamp: int = 1) -> SeenBundle:
        sha256, file_sha256 = f"{version:02}" * 32, f"{file:02}" * 32
        return SeenBundle(version=version, sha256=sha256, root_version=file, timestamp=stamp, root_sha256=file_sha256)

    first, newer = seen(4, 1, 7), seen(5, 2)
    for each, stays in (
        (first, first),
        (newer, newer),
        (first, newer),
        (seen(6, 1), newer),
        (seen(5, 2, 2), seen(5, 2, 2)),
    ):
        memory.remember(having(**{root: each}))
        found = memory.device(home.device.key.id)
        assert found is not None
        assert found.bundles == {root: stays}
    memory.remember(having())
    assert memory.device(home.device.key.id) == having(**{root: seen(5, 2, 2)})


def test_two_commands_at_once_undo_nothing_of_each_other(home: Home, tmp_path: Path) -> None:
    """A timer's export that had begun before brought a removed root back, and an earlier list of owners."""
    memory, read = KnownDevices(tmp_path / KnownDevices.FILE), known_of(home)
    root, other = samples.ROOT_KEY.text, samples.OWNER_ROOT.text
    memory.remember(read)

    def now_known() -> KnownDevice:
        found = memory.device(home.device.key.id)
        assert found is not None
        return found

    longer = (*read.enrolments, read.enrolments[-1])
    memory.remember(msgspec.structs.replace(read, roots=(), enrolments=longer, time="a head"), read)
    memory.note_review(home.device.key.id, "ab" * 32, ["one", "two"])
    grown = msgspec.structs.replace(read, checkpoint=read.checkpoint)
    memory.remember(grown, read)
    found = now_known()
    assert (found.roots, found.enrolments, found.time) == ((), longer, "a head")
    assert found.order_of("ab" * 32) == hash_of_order(["one", "two"])
    memory.remember(msgspec.structs.replace(read, roots=(root, other)), read)
    assert now_known().roots == (other,), "only what this client chose itself"
    memory.remember(msgspec.structs.replace(read, roots=()), read)
    assert now_known().roots == (other,)


def test_of_two_pairs_with_one_id_that_are_chosen_at_once_the_first_stays(home: Home, tmp_path: Path) -> None:
    memory, read = KnownDevices(tmp_path / KnownDevices.FILE), msgspec.structs.replace(known_of(home), roots=())
    memory.remember(read)
    for each in (samples.ROOT_KEY.text, package_vectors.FORGED.text):
        memory.remember(msgspec.structs.replace(read, roots=(each,)), read)
    found = memory.device(home.device.key.id)
    assert found is not None
    assert found.roots == (samples.ROOT_KEY.text,)


def test_the_numbers_of_the_newest_256_reviews_are_remembered(home: Home, tmp_path: Path) -> None:
    memory, read = KnownDevices(tmp_path / KnownDevices.FILE), known_of(home)
    memory.note_review(home.device.key.id, "ab" * 32, ["one"])
    assert memory.devices() == {}, "a device that was never met"
    many = tuple(ReviewedOrder(request=f"{number:064x}", order="cd" * 32) for number in range(256))
    memory.remember(msgspec.structs.replace(read, reviewed=many))
    memory.note_review(home.device.key.id, f"{1:064x}", ["one"])
    memory.note_review(home.device.key.id, "ab" * 32, ["one"])
    found = memory.device(home.device.key.id)
    assert found is not None
    assert [each.request for each in found.reviewed[-2:]] == [f"{1:064x}", "ab" * 32]
    assert found.order_of(f"{1:064x}") == hash_of_order(["one"])
    assert (len(found.reviewed), found.order_of(f"{0:064x}")) == (256, None)


@pytest.mark.parametrize("said", [{"root_version": 1}, {"root_sha256": "ab" * 32}])
def test_a_root_file_is_known_by_version_and_hash_or_not_at_all(said: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="root_sha256"):
        SeenBundle(version=7, sha256="ab" * 32, **said)


def test_a_damaged_file_is_named_with_what_is_lost_without_it(home: Home, tmp_path: Path) -> None:
    path = tmp_path / KnownDevices.FILE
    path.write_text("{}")
    with pytest.raises(ConfigurationError) as refused:
        KnownDevices(path).devices()
    assert refused.value.message.startswith(f"{path}: ")
    assert refused.value.remedy == (
        "Restore it from a backup. Without it this machine cannot detect a rolled-back device."
    )
    with pytest.raises(ConfigurationError):
        KnownDevices(path).remember(known_of(home))
    assert path.read_text() == "{}", "it is not overwritten"
