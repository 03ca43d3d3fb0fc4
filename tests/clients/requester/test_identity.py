"""A requester's keys, numbers and requests: secret as far as they must be, used once, durable before use."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import stat
from pathlib import Path

import pytest

from agent.clients.opening import HybridIdentity, X25519Identity
from agent.clients.requester import messages
from agent.clients.requester.claims import SoleReceiver
from agent.clients.requester.disclosure_folder import DisclosureOrigin
from agent.clients.requester.folder_index import FolderIndex
from agent.clients.requester.identity import Requester, RequesterProfile, SentRequest, indexed_tables
from agent.clients.requester.keys import FileSigner, load_key, make_key
from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.sealed_parts import FolderParts
from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.core.transfer import PartSize
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.platform import files
from agent.wire import envelope
from agent.wire.fields import Kind, OnwardKind
from agent.wire.identities import private_key_from_seed
from agent.wire.messages import FootageRequest, Onward
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question

# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    public = make_key(tmp_path / "keys" / "root.key")
    assert load_key(tmp_path / "keys" / "root.key").public_key().public_bytes_raw() == public.raw
    assert stat.S_IMODE((tmp_path / "keys" / "root.key").stat().st_mode) == 0o600
    with pytest.raises(ConfigurationError, match="already exists"):
        make_key(tmp_path / "keys" / "root.key")


def test_a_key_that_others_may_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    make_key(tmp_path / "root.key")
    (tmp_path / "root.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_key(tmp_path / "root.key")


@pytest.mark.parametrize(
    "content", [b"", b"no key", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused_without_being_quoted(content: bytes, tmp_path: Path) -> None:
    files.write(tmp_path / "root.key", content, secret=True)
    with pytest.raises(ConfigurationError, match=r"root\.key") as raised:
        load_key(tmp_path / "root.key")
    assert "AAAA" not in str(raised.value)
    assert raised.value.remedy


def test_a_folder_holds_one_requester_and_keeps_what_it_is(requester: Requester) -> None:
    again = Requester.open(requester.folder)
    assert (again.id, again.profile.kind, again.key) == ("rijnstad-police", Kind.POLICE, requester.key)
    with pytest.raises(ConfigurationError, match="already holds a requester"):
        Requester.create(requester.folder, "other", Kind.FIRE)


def test_a_profile_keeps_the_promises_that_requests_make_unless_they_say_otherwise(tmp_path: Path) -> None:
    onward = Onward(to=(OnwardKind.COURT,), basis="Police Act")
    Requester.create(tmp_path / "r", "fire-brigade", Kind.FIRE, retention_days=30, onward=onward, language="nl-BE")
    profile = Requester.open(tmp_path / "r").profile
    assert (profile.retention_days, profile.onward, profile.language) == (30, onward, "nl-BE")
    with pytest.raises(ConfigurationError, match="language"):
        Requester.create(tmp_path / "q", "fire-brigade", Kind.FIRE, language="Dutch")


def test_a_folder_without_a_requester_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="keygen"):
        Requester.open(tmp_path)


@pytest.mark.parametrize("name", ["", "Police", "a/b", "a+", "-a", "x" * 33, "a\n"])
def test_a_name_that_could_not_be_a_topic_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        Requester.create(tmp_path / "requester", name, Kind.POLICE)
    assert not (tmp_path / "requester").exists()


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_numbers_grow_and_outlive_restarts(tmp_path: Path) -> None:
    SequenceCounter(FolderNotes(tmp_path)).create()
    numbers = [SequenceCounter(FolderNotes(tmp_path)).next() for _ in range(5)]
    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("damage", [b"", b"-1\n", b"07\n", b"3", b"9007199254740991\n", b"x\n"])
def test_a_damaged_counter_is_an_error_and_never_a_fresh_start(damage: bytes, tmp_path: Path) -> None:
    SequenceCounter(FolderNotes(tmp_path)).create()
    (tmp_path / "sequence").write_bytes(damage)
    with pytest.raises(StorageError, match="Doors refuse numbers that were used before"):
        SequenceCounter(FolderNotes(tmp_path)).next()


def test_a_missing_counter_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Doors refuse numbers that were used before"):
        SequenceCounter(FolderNotes(tmp_path)).next()


STEPS = ["os.fsync", "pathlib.Path.replace", "agent.platform.files.sync_folder"]


@pytest.mark.parametrize("step", STEPS)
def test_a_number_is_durable_before_it_is_used(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any failing step: either the number was never handed out, or it is not handed out again."""
    counter = SequenceCounter(FolderNotes(tmp_path))
    counter.create()
    used = [counter.next()]

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(step, fails)
    with pytest.raises(StorageError):
        used.append(counter.next())
    monkeypatch.undo()
    used += [SequenceCounter(FolderNotes(tmp_path)).next() for _ in range(3)]
    assert len(set(used)) == len(used) == 4
    assert used == sorted(used)


def _take(folder: Path, count: int, numbers: multiprocessing.SimpleQueue) -> None:  # type: ignore[type-arg]
    for _ in range(count):
        numbers.put(SequenceCounter(FolderNotes(folder)).next())


def test_two_processes_never_get_the_same_number(tmp_path: Path) -> None:
    SequenceCounter(FolderNotes(tmp_path)).create()
    context = multiprocessing.get_context("spawn")
    numbers = context.SimpleQueue()
    workers = [context.Process(target=_take, args=(tmp_path, 20, numbers)) for _ in range(2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    taken = [numbers.get() for _ in range(40)]
    numbers.close()
    assert sorted(taken) == list(range(1, 41))


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "..", "../../etc", "0" * 31, "0" * 32, "g" * 32])
def test_a_request_that_is_not_ours_is_not_found(name: str, requester: Requester) -> None:
    with pytest.raises(ConfigurationError, match="no request"):
        requester.sent_request(name)


def test_a_request_changed_on_the_disk_is_noticed(requester: Requester, asked: SentRequest) -> None:
    path = requester.folder / "requests" / asked.request.id / "request.dsse"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"request\.dsse"):
        requester.sent_request(asked.request.id)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no identity"),
        (b"# only a remark\n", "holds no identity"),
        (b"no identity\n", "Restore it from a backup"),
        (
            f"{HybridIdentity(bytes(32)).secret_text()}\n{HybridIdentity(b'1' * 32).secret_text()}\n".encode(),
            "must hold exactly one",
        ),
        (f"{X25519Identity(bytes(32)).secret_text()}\n".encode(), "must hold exactly one hybrid identity"),
        (b"\xff\xfe\n", "Restore it from a backup"),
    ],
    ids=["empty", "a remark", "other text", "two", "another kind", "no text"],
)
@pytest.mark.parametrize("file", ["tips", "reply"])
def test_a_damaged_identity_is_named_and_nothing_is_opened_with_it(
    requester: Requester, asked: SentRequest, file: str, content: bytes, why: str
) -> None:
    path = (
        requester.folder / "tips.identity"
        if file == "tips"
        else next((requester.folder / "requests" / asked.request.id).glob("*identity*"))
    )
    files.write(path, content, secret=True)
    with pytest.raises(ConfigurationError) as raised:
        _ = requester.tips_identity() if file == "tips" else requester.reply_identity(asked.request.id)
    assert why in f"{raised.value.message} {raised.value.remedy}"
    assert str(path) in raised.value.message


@pytest.mark.parametrize("file", ["tips", "reply"])
def test_an_identity_that_others_may_read_is_refused(requester: Requester, asked: SentRequest, file: str) -> None:
    path = (
        requester.folder / "tips.identity"
        if file == "tips"
        else next((requester.folder / "requests" / asked.request.id).glob("*identity*"))
    )
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        _ = requester.tips_identity() if file == "tips" else requester.reply_identity(asked.request.id)


def test_the_identity_for_tips_opens_what_is_sealed_to_its_recipient(requester: Requester) -> None:
    identity = requester.tips_identity()
    assert identity is not None
    assert (requester.folder / "tips.recipient").read_text() == f"{identity.recipient()}\n"
    (requester.folder / "tips.identity").unlink()
    assert requester.tips_identity() is None


def test_a_damaged_profile_is_named_with_its_remedy(requester: Requester) -> None:
    (requester.folder / RequesterProfile.FILE).write_text("{}")
    with pytest.raises(ConfigurationError, match=RequesterProfile.FILE) as raised:
        Requester.open(requester.folder)
    assert raised.value.remedy == "Restore it from a backup."


def test_a_key_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no key at .*signing\.key"):
        load_key(tmp_path / "signing.key")


def test_requests_are_listed_by_their_ids_and_nothing_else_is(requester: Requester) -> None:
    assert requester.request_ids() == []
    asked = sorted(messages.make_request(requester, question(case=case), now_s=NOW_S).id for case in ("1", "2", "3"))
    for name in ("ab" * 16, "notes", "AB" * 16):
        (requester.folder / "requests" / name).mkdir()
    assert requester.request_ids() == asked
    assert requester.request_ids(asked[1]) == requester.request_ids(asked[1][:12]) == [asked[1]]
    assert requester.request_ids("g") == []


def flags(asked: SentRequest) -> tuple[bool, bool]:
    return asked.withdrawn, asked.deleted


def test_a_request_is_withdrawn_by_its_withdrawal_or_by_its_deletion(requester: Requester, asked: SentRequest) -> None:
    folder = requester.folder / "requests" / asked.request.id
    assert flags(asked) == (False, False)
    (folder / "withdrawal.dsse").touch()
    assert flags(asked) == (True, False)
    (folder / "deletion.dsse").touch()
    assert flags(asked) == (True, True)
    (folder / "withdrawal.dsse").unlink()
    assert flags(asked) == (True, True)


def test_a_missing_reply_key_is_told_apart_from_a_deleted_one(requester: Requester, asked: SentRequest) -> None:
    folder = requester.folder / "requests" / asked.request.id
    key = asked.reply_identity()
    assert str(key.recipient()) == asked.request.reply
    (folder / "deletion.dsse").touch()
    assert asked.reply_identity().secret_text() == key.secret_text(), "a crash came before it was deleted"
    asked.delete_reply_identity()
    asked.delete_reply_identity()
    assert not (folder / "reply.identity").exists()
    with pytest.raises(ConfigurationError, match="was deleted with everything received for it") as raised:
        asked.reply_identity()
    assert asked.request.id in raised.value.message
    (folder / "deletion.dsse").unlink()
    with pytest.raises(ConfigurationError, match=r"reply\.identity is missing\.") as raised:
        asked.reply_identity()
    assert raised.value.remedy == "Restore it from a backup."
    assert requester.reply_identity(asked.request.id) is None


def test_a_copy_of_a_request_is_ours_only_word_for_word(requester: Requester, asked: SentRequest) -> None:
    assert requester.sent_request_in(asked.envelope) == asked
    with pytest.raises(FormatError, match="differs from the signed one"):
        requester.sent_request_in(asked.envelope + b" ")
    assert asked.payload_sha256 == hashlib.sha256(asked.payload).hexdigest()


def test_the_roots_of_a_requester_are_its_own_and_those_under_which_it_asked(tmp_path: Path) -> None:
    requester = Requester.create(tmp_path / "police", "police", Kind.POLICE, ROOT_ID)
    assert requester.trust_roots() == {ROOT_ID}
    messages.make_request(requester, question(), now_s=NOW_S, trust_root="ab" * 8)
    assert requester.trust_roots() == {ROOT_ID, "ab" * 8}
    assert Requester.create(tmp_path / "fire", "fire", Kind.FIRE).trust_roots() == frozenset()


def test_the_requests_of_a_case_are_those_that_are_stored(requester: Requester) -> None:
    first, second, _ = (
        messages.make_request(requester, question(case=case), now_s=NOW_S).id for case in ("1", "1", "2")
    )
    assert {each.request.id for each in requester.sent_requests_in_case("1")} == {first, second}
    shutil.rmtree(requester.folder / "requests" / second)
    assert [each.request.id for each in requester.sent_requests_in_case("1")] == [first]
    assert [requester.has_request(each) for each in (first, second)] == [True, False]


def test_a_requester_works_with_the_places_that_it_is_given(requester: Requester, tmp_path: Path) -> None:
    notes, parts = FolderNotes(requester.folder), FolderParts(tmp_path / "parts")
    index, claims = FolderIndex(tmp_path, indexed_tables(parts)), SoleReceiver()
    other = Requester.open(requester.folder, None, index, parts, notes, claims)
    assert (other.index, other.notes, other.claims) == (index, notes, claims)
    answer = other.answer("a" * 32)
    answer.create(DisclosureOrigin(v=1, device="b" * 16, parts=1, size_bytes=1, sha256="5e" * 32))
    answer.write(0, 0, b"x")
    assert answer.seal(0, PartSize(1, hashlib.sha256(b"x").hexdigest()))
    assert (tmp_path / "parts" / answer.disclosure / "0.age").exists()
    assert other.room(3, 5) == 5
    assert (other.next_number(), requester.next_number()) == (1, 2)


# -- a key that is not in a file ---------------------------------------------------------------------------------------


class Token:
    """A key in a token: signs, and counts."""

    def __init__(self, seed: bytes, *, faulty: bool = False) -> None:
        self._key = FileSigner(private_key_from_seed(seed * 32))
        self.public_key = self._key.public_key
        self.faulty = faulty
        self.signed = 0

    def sign(self, data: bytes) -> bytes:
        self.signed += 1
        return self._key.sign(data[:-1] if self.faulty else data)


def test_a_requester_whose_key_is_in_a_token_asks_as_any_other_and_keeps_no_key(tmp_path: Path) -> None:
    token = Token(b"t")
    requester = Requester.create(tmp_path / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID, token)
    asked = messages.make_request(requester, question(), now_s=NOW_S)
    assert (token.signed, requester.key) == (1, token.public_key)
    assert not (requester.folder / "signing.key").exists()
    again = Requester.open(requester.folder, token)
    assert again.sent_request(asked.id).envelope == asked.envelope
    opened = envelope.open_envelope(asked.envelope, FootageRequest.PAYLOAD_TYPE, {token.public_key.id: again.key})
    assert opened.key_id == token.public_key.id


def test_a_folder_opens_only_with_the_key_that_it_was_made_for(tmp_path: Path) -> None:
    folder = tmp_path / "requester"
    Requester.create(folder, "rijnstad-police", Kind.POLICE, ROOT_ID, Token(b"t"))
    with pytest.raises(ConfigurationError, match="belongs to the key"):
        Requester.open(folder, Token(b"u"))
    with pytest.raises(ConfigurationError, match="not in a file here"):
        Requester.open(folder)


def test_a_signer_may_hold_the_key_of_a_folder_that_has_it_in_a_file(requester: Requester) -> None:
    key = FileSigner(load_key(requester.folder / "signing.key"))
    assert Requester.open(requester.folder, key).key == requester.key
    assert requester.profile == RequesterProfile(v=1, id="rijnstad-police", kind=Kind.POLICE, trust_root=ROOT_ID)


def test_a_token_that_signs_wrongly_sends_nothing(tmp_path: Path) -> None:
    token = Token(b"t")
    requester = Requester.create(tmp_path / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID, token)
    token.faulty = True
    with pytest.raises(ConfigurationError, match="does not fit the key"):
        messages.make_request(requester, question(), now_s=NOW_S)
    assert list(requester.request_ids()) == []


def test_other_days_and_another_language_count_from_now_on_and_after_a_restart(tmp_path: Path) -> None:
    made = Requester.create(tmp_path, "police", Kind.POLICE, language="nl", retention_days=30)
    made.change_defaults(90, "en")
    for profile in (made.profile, Requester.open(tmp_path).profile):
        assert (profile.retention_days, profile.language) == (90, "en")
        assert (profile.id, profile.kind) == ("police", Kind.POLICE)
