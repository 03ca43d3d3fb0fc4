"""A device may only go forwards: replaced, rolled back or rewritten, it is found out before anything is shared."""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.clients.owner import ledger_reader
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.known_devices import KnownDevices
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.sync import ask_enrolments, sync
from agent.core.ledger.checkpoint import sign_checkpoint
from agent.core.ledger.entries import EntryKind
from agent.core.ledger.merkle import Frontier, leaf_hash
from agent.errors import ConfigurationError, FormatError, NetworkError, OpenError
from agent.ipc.control_operations import GetCheckpoint, GetEntries
from agent.ipc.rpc import Request
from agent.wire import strictjson
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed
from agent.wire.statements import Enrolment, NamedKey, sign_statement
from tests.clients.owner.conftest import NOW_MS, Home, now
from tests.clients.owner.fake_device import FakeDevice
from tests.open_files import open_below
from tests.wire import samples

STRANGER = mldsa_key_from_seed(b"s" * 32)


def test_a_ledger_that_grew_is_remembered(home: Home) -> None:
    sync(home.device, home.keys)
    for _ in range(3):
        home.device.write(EntryKind.BOOT)
    assert sync(home.device, home.keys).ledger_grown == 3
    assert sync(home.device, home.keys).ledger_grown == 0


def test_a_ledger_rolled_back_is_refused_and_the_memory_stays(home: Home) -> None:
    size = sync(home.device, home.keys).known.ledger.size
    del home.device.leaves[-2:]
    for _ in range(2):
        with pytest.raises(OpenError, match="rolled back or rewritten") as caught:
            sync(home.device, home.keys)
        assert "evidence" in caught.value.remedy
    known = home.keys.memory.device(home.device.key.id)
    assert known is not None
    assert known.ledger.size == size


def test_a_ledger_rewritten_under_the_same_or_a_larger_size_is_refused(home: Home) -> None:
    sync(home.device, home.keys)
    home.device.leaves[1] = home.device.leaves[0]
    with pytest.raises(OpenError, match="rolled back or rewritten"):
        sync(home.device, home.keys)
    home.device.write(EntryKind.BOOT)
    with pytest.raises(OpenError, match="rolled back or rewritten"):
        sync(home.device, home.keys)


def test_an_old_checkpoint_shown_again_is_refused(home: Home) -> None:
    old = home.device.on_checkpoint(b"", 0)
    home.device.write(EntryKind.BOOT)
    sync(home.device, home.keys)
    home.device.lies["checkpoint"] = lambda result, data: (old, data)
    with pytest.raises(OpenError, match="rolled back"):
        sync(home.device, home.keys)


def test_another_device_at_the_same_socket_is_not_the_one_known(home: Home) -> None:
    impostor = FakeDevice(NOW_MS, seed=b"i" * 32)
    impostor.enrolled = home.device.enrolled
    with pytest.raises(ConfigurationError, match="never met"):
        sync(impostor, home.keys)


def test_a_device_that_claims_anothers_key_cannot_sign_for_it(home: Home) -> None:
    impostor = FakeDevice(NOW_MS, seed=b"i" * 32)
    impostor.enrolled = home.device.enrolled
    impostor.lies["device"] = lambda result, data: ({**result, "device": home.device.key.text}, data)
    with pytest.raises(OpenError, match="not signed by the device"):
        sync(impostor, home.keys)


def changed_head(change: Callable[[list[str]], list[str]]) -> Any:
    """A lie about the checkpoint: its lines, changed."""

    def lie(result: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        lines = str(result["checkpoint"]).splitlines(keepends=True)
        return {**result, "checkpoint": "".join(change(lines))}, data

    return lie


def test_a_head_without_the_devices_second_signature_is_refused_by_name(home: Home) -> None:
    """One who can forge Ed25519 by then has the first signature of any head."""
    entries = [leaf_hash(leaf) for leaf in home.device.leaves]
    frontier = Frontier()
    for each in (*entries, leaf_hash(b"forged")):
        frontier = frontier.append(each)
    forged = sign_checkpoint(frontier, home.device.private, STRANGER).decode().splitlines(keepends=True)
    for change, words in (
        (lambda lines: lines[:5], "is missing"),
        (lambda lines: forged, "is missing"),
        (lambda lines: [*forged[:5], lines[5]], "does not verify"),
    ):
        home.device.lies["checkpoint"] = changed_head(change)
        with pytest.raises(OpenError, match=f"ML-DSA-44 signature {words}"):
            sync(home.device, home.keys)


def test_a_second_key_that_the_owners_did_not_sign_is_refused(home: Home) -> None:
    shown = MldsaPublicKey.of(STRANGER).text
    home.device.lies["device"] = lambda result, data: ({**result, "device_mldsa": shown}, data)
    with pytest.raises(OpenError, match="shows another ML-DSA-44 key than the one that its owners signed"):
        sync(home.device, home.keys)


def test_a_device_that_forgot_its_owner_is_refused(home: Home) -> None:
    home.device.enrolled = None
    with pytest.raises(OpenError, match="shows no owner"):
        sync(home.device, home.keys)


def test_owners_that_did_not_come_from_the_owners_are_refused(home: Home, tmp_path: Path) -> None:
    mallory = OwnerKeys.create(tmp_path / "mallory", name="mallory")
    other = FakeDevice(NOW_MS)
    enrol(other, mallory, clock=now)
    home.device.enrolled = other.enrolled
    with pytest.raises(OpenError, match="do not follow"):
        sync(home.device, home.keys)


def test_a_damaged_memory_is_not_taken_for_an_empty_one(home: Home) -> None:
    path = home.keys.folder / KnownDevices.FILE
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ConfigurationError, match="Restore it from a backup"):
        sync(home.device, home.keys)


def test_two_clients_of_one_owner_keep_the_newer_ledger(home: Home) -> None:
    older = sync(home.device, home.keys).known
    home.device.write(EntryKind.BOOT)
    newer = sync(home.device, home.keys).known
    home.keys.memory.remember(older)
    known = home.keys.memory.device(home.device.key.id)
    assert known is not None
    assert known.ledger.size == newer.ledger.size


def test_an_answer_in_another_language_is_a_matter_of_versions(home: Home) -> None:
    home.device.lies["checkpoint"] = lambda result, data: ({"checkpoint": 7}, data)
    with pytest.raises(NetworkError, match="'checkpoint' cannot be used"):
        sync(home.device, home.keys)


def test_the_ledger_is_read_as_a_whole_and_verified(home: Home) -> None:
    view = read_ledger(home.device, home.keys)
    kinds = [each.kind for each in view.entries]
    assert kinds[0] is EntryKind.BOOT
    assert EntryKind.RECIPIENTS_CHANGED in kinds
    assert kinds[-1] is EntryKind.RECEIVED
    assert len(kinds) == view.checkpoint.size


def asked_of(home: Home, monkeypatch: pytest.MonkeyPatch) -> list[Request[Any]]:
    """Each question that the device is asked from now on."""
    asked: list[Request[Any]] = []
    answer = home.device.ask

    def noting(request: Request[Any], *, body: bytes = b"") -> Any:
        asked.append(request)
        return answer(request, body=body)

    monkeypatch.setattr(home.device, "ask", noting)
    return asked


def test_entries_are_asked_for_page_by_page_up_to_the_last_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_reader, "_PAGE", 2)
    while len(home.device.leaves) % 2 == 0:
        home.device.write(EntryKind.BOOT)
    size = len(home.device.leaves)
    asked = asked_of(home, monkeypatch)
    assert len(read_ledger(home.device, home.keys).entries) == size
    pages = [(each.start, each.end) for each in asked if isinstance(each, GetEntries)]
    assert pages == [(first, min(first + 2, size)) for first in range(0, size, 2)]


def test_of_a_ledger_that_became_shorter_the_head_alone_is_asked_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sync(home.device, home.keys).known.ledger.size
    del home.device.leaves[-2:]
    asked = asked_of(home, monkeypatch)
    with pytest.raises(OpenError, match="rolled back or rewritten"):
        sync(home.device, home.keys)
    assert [each for each in asked if isinstance(each, GetCheckpoint)] == [GetCheckpoint(size), GetCheckpoint(0)]


def test_a_ledger_entry_altered_on_the_way_to_its_reader_shows(home: Home) -> None:
    def alter(result: dict[str, object], data: bytes) -> tuple[dict[str, object], bytes]:
        entries = list(result["entries"])  # type: ignore[call-overload]
        entry = json.loads(entries[-1])
        entry["utc_ms"] += 1
        return {"entries": [*entries[:-1], json.dumps(entry, separators=(",", ":"), sort_keys=True)]}, data

    home.device.lies["ledger"] = alter
    with pytest.raises(OpenError, match="are not the"):
        read_ledger(home.device, home.keys)
    home.device.lies["ledger"] = lambda result, data: ({"entries": []}, data)
    with pytest.raises(OpenError, match="are not the"):
        read_ledger(home.device, home.keys)


def successor(home: Home, signer: object, *, epoch: int, device: str | None = None) -> bytes:
    """An enrolment that lets a stranger in, after the one in force."""
    before = home.device.enrolment
    bob = NamedKey.of("bob", samples.OWNER)
    after = Enrolment(
        v=1, device=device or before.device, owner_time_ms=NOW_MS, nonce="0" * 32, epoch=epoch,
        recipients=before.recipients, recovery=before.recovery, device_mldsa=before.device_mldsa,
        approvers=(*(each for each in before.approvers if each != bob), bob),
        previous=hashlib.sha256(strictjson.encode(before)).hexdigest(),
    )  # fmt: skip
    return sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(after), signer)  # type: ignore[arg-type]


@pytest.mark.parametrize("epoch", [2, 5])
def test_a_change_of_owners_is_followed_when_an_owner_signed_it_and_only_then(home: Home, epoch: int) -> None:
    before = home.device.enrolled
    home.device.enrolled = successor(home, samples.OWNER, epoch=epoch)
    with pytest.raises(OpenError, match="do not follow"):
        sync(home.device, home.keys)
    home.device.enrolled = before
    for each in range(2, epoch + 1):
        home.device.enrolled = successor(home, home.keys.approval, epoch=each)
    assert sync(home.device, home.keys).known.enrolled.epoch == epoch


def test_owners_of_before_cannot_come_back(home: Home) -> None:
    before, size = home.device.enrolled, len(home.device.leaves)
    home.device.enrolled = successor(home, home.keys.approval, epoch=2)
    sync(home.device, home.keys)
    home.device.enrolled = before
    assert len(home.device.leaves) == size
    with pytest.raises(OpenError, match="epoch 1 that do not follow from epoch 2"):
        sync(home.device, home.keys)


def test_the_owners_of_another_device_are_not_this_ones(home: Home, keys: OwnerKeys) -> None:
    other = FakeDevice(NOW_MS, seed=b"o" * 32)
    home.device.enrolled = successor(home, keys.approval, epoch=5, device=other.key.text)
    with pytest.raises(OpenError, match="do not follow"):
        sync(home.device, home.keys)


def test_a_change_of_owners_whose_links_are_not_all_shown_is_not_followed(home: Home) -> None:
    home.device.enrolled = successor(home, home.keys.approval, epoch=5)
    with pytest.raises(OpenError, match="do not follow"):
        sync(home.device, home.keys)


def test_an_owner_whom_another_added_later_may_have_signed_the_newest_list(home: Home) -> None:
    home.device.enrolled = successor(home, home.keys.approval, epoch=2)
    home.device.enrolled = successor(home, samples.OWNER, epoch=3)
    assert sync(home.device, home.keys).known.enrolled.epoch == 3


def test_answers_that_are_no_text_and_no_proof_are_refused(home: Home) -> None:
    honest = home.device.enrolled
    assert honest is not None
    home.device.write(EntryKind.BOOT)
    home.device.lies["checkpoint"] = lambda result, data: ({**result, "proof": ["no hex"]}, data)
    with pytest.raises(FormatError, match="consistency proof for its ledger is malformed"):
        sync(home.device, home.keys)
    del home.device.lies["checkpoint"]
    home.device.lies["enrolments"] = lambda _, __: ({}, b"\xff")
    with pytest.raises(FormatError, match="list of enrolments is not a text"):
        ask_enrolments(home.device)


def test_two_programs_do_not_forget_what_the_other_remembers(home: Home) -> None:
    known = home.keys.memory.device(home.device.key.id)
    assert known is not None
    remembered = threading.Event()
    with (home.keys.folder / f".{KnownDevices.FILE}.lock").open("ab") as another_program:
        fcntl.flock(another_program, fcntl.LOCK_EX)
        writer = threading.Thread(target=lambda: (home.keys.memory.remember(known), remembered.set()))
        writer.start()
        assert not remembered.wait(0.3), "it waits until the other has written"
    assert remembered.wait(20)
    writer.join()
    assert open_below(home.keys.folder) == [], "and leaves no file open"


def test_a_device_that_is_new_to_this_machine_is_asked_for_a_ledger_from_its_beginning(
    device: FakeDevice, keys: OwnerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request[Any]] = []
    answer = device.ask
    monkeypatch.setattr(device, "ask", lambda request, body=b"": asked.append(request) or answer(request, body=body))
    enrol(device, keys, clock=now)
    assert [each for each in asked if isinstance(each, GetCheckpoint)] == [GetCheckpoint(0)]
