"""An owner's keys on disk: private, complete, and theirs alone."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import msgspec
import pytest

from agent.clients.opening import PassphraseIdentity, open_bytes, parse_identity_file
from agent.clients.owner import keys as keys_module
from agent.clients.owner.keys import KIT, NEW_KIT, IdentityKind, OwnerCard, OwnerKeys, read_identities, read_kit_file
from agent.clients.owner.recovery_kit import recovery_kit
from agent.core.vault.age.recipients import PassphraseRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.identities import dump_private_key, public_key_of
from tests.clients.owner.conftest import seeds


def sealed_to(keys: OwnerKeys) -> bytes:
    return seal_bytes(b"footage", [keys.identity.recipient()], file_key=bytes(16), nonce=bytes(16))


def test_keys_made_are_the_keys_loaded(tmp_path: Path) -> None:
    made = OwnerKeys.create(tmp_path / "owner", name="anna", seeds=seeds("anna"))
    loaded = OwnerKeys.load(tmp_path / "owner")
    assert loaded.card == made.card
    assert open_bytes(sealed_to(made), [loaded.identity]) == b"footage"
    assert str(loaded.recovery().recipient()) == loaded.card.recovery


def test_no_two_owners_are_alike_without_seeds(tmp_path: Path) -> None:
    one, other = (OwnerKeys.create(tmp_path / name).card for name in ("a", "b"))
    texts = {one.recipient, one.recovery, one.approver, other.recipient, other.recovery, other.approver}
    assert len(texts) == 6


def test_every_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    OwnerKeys.create(tmp_path / "owner", seeds=seeds("anna"))
    assert stat.S_IMODE((tmp_path / "owner").stat().st_mode) == 0o700
    for name in ("identity.txt", "approval.pem", KIT):
        assert stat.S_IMODE((tmp_path / "owner" / name).stat().st_mode) == 0o600
    OwnerKeys.create(tmp_path / "sealed", passphrase="correct horse", log2_work_factor=8)
    for name in ("identity.age", "approval.age"):
        assert stat.S_IMODE((tmp_path / "sealed" / name).stat().st_mode) == 0o600


def test_a_secret_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    keys = OwnerKeys.create(tmp_path / "owner", seeds=seeds("anna"))
    (tmp_path / "owner" / "identity.txt").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        _ = OwnerKeys.load(keys.folder).identity


@pytest.mark.parametrize("name", ["owner.json", KIT, "identity.txt", "identity.age", "approval.pem", "approval.age"])
def test_one_file_that_is_left_of_earlier_keys_keeps_new_ones_from_being_made(tmp_path: Path, name: str) -> None:
    """An owner who lost the card must not lose the identity beside it."""
    (tmp_path / name).write_bytes(b"what is left")
    with pytest.raises(ConfigurationError, match=f"already holds keys: {name}"):
        OwnerKeys.create(tmp_path, seeds=seeds("bob"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"what is left"


def test_an_identity_that_does_not_fit_is_said_to_not_fit(tmp_path: Path) -> None:
    for name in ("anna", "bob"):
        OwnerKeys.create(tmp_path / name, seeds=seeds(name))
    for file in ("identity.txt", "approval.pem"):
        (tmp_path / "bob" / file).replace(tmp_path / "anna" / file)
    keys = OwnerKeys.load(tmp_path / "anna")
    for secret in ("identity", "approval"):
        with pytest.raises(ConfigurationError, match=f"The {secret} key in"):
            getattr(keys, secret)


def test_a_passphrase_is_asked_for_once_and_only_when_needed(tmp_path: Path) -> None:
    OwnerKeys.create(tmp_path, seeds=seeds("anna"), passphrase="correct horse", log2_work_factor=8)
    asked = []
    keys = OwnerKeys.load(tmp_path, passphrase=lambda: asked.append(1) or "correct horse")
    assert keys.sealed
    assert not asked
    assert open_bytes(sealed_to(keys), [keys.identity]) == b"footage"
    assert keys.approval is not None
    assert len(asked) == 1
    assert not (tmp_path / "identity.txt").exists()


def test_a_wrong_passphrase_says_so(tmp_path: Path) -> None:
    OwnerKeys.create(tmp_path, seeds=seeds("anna"), passphrase="correct horse", log2_work_factor=8)
    with pytest.raises(OpenError, match="passphrase does not open"):
        _ = OwnerKeys.load(tmp_path, passphrase=lambda: "battery staple").identity


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="gives no protection"):
        OwnerKeys.create(tmp_path, seeds=seeds("anna"), passphrase="")


@pytest.mark.parametrize("kind", IdentityKind)
def test_the_recovery_page_is_an_age_identity_file_as_it_is_printed(tmp_path: Path, kind: IdentityKind) -> None:
    keys = OwnerKeys.create(tmp_path, seeds=seeds("anna"), kind=kind)
    page = (tmp_path / KIT).read_text()
    (identity,) = parse_identity_file(page)
    assert str(identity.recipient()) == keys.card.recovery
    assert all(line.startswith(("#", "AGE-SECRET-KEY-")) for line in page.splitlines())
    assert "Print this page" in page
    assert "delete this file" in page
    assert read_identities(tmp_path / KIT, lambda: "") == (identity,)


@pytest.mark.parametrize("name", ["Anna", "", "anna müller", "recovery", "a" * 33])
def test_a_name_that_cannot_travel_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        OwnerKeys.create(tmp_path / "owner", name=name, seeds=seeds("anna"))
    assert not (tmp_path / "owner").exists()


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    keys = OwnerKeys.create(tmp_path, seeds=seeds("anna"))
    shown = repr((keys, keys.identity, keys.card, seeds("anna")))
    assert "SECRET" not in shown
    assert "anna identity" not in shown


@pytest.mark.parametrize("kind", IdentityKind)
def test_an_identity_file_under_a_passphrase_opens_with_it(tmp_path: Path, kind: IdentityKind) -> None:
    asked: list[str] = []
    keys = OwnerKeys.create(tmp_path, seeds=seeds("anna"), kind=kind, passphrase="open sesame", log2_work_factor=8)
    path = tmp_path / "identity.age"

    def passphrase() -> str:
        asked.append("once")
        return "open sesame"

    assert read_identities(path, passphrase) == (keys.identity,)
    assert asked == ["once"]
    with pytest.raises(OpenError):
        read_identities(path, lambda: "open barley")


def test_a_folder_without_keys_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no owner's keys") as refused:
        OwnerKeys.load(tmp_path)
    assert refused.value.remedy == "Make them: doorward owner keygen."


def test_a_damaged_card_is_named_with_its_file(tmp_path: Path) -> None:
    OwnerKeys.create(tmp_path, seeds=seeds("anna"))
    (tmp_path / "owner.json").write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match=r"owner\.json") as refused:
        OwnerKeys.load(tmp_path)
    assert refused.value.remedy == "Restore it from a backup."


def test_a_card_whose_kit_is_of_the_weaker_kind_is_no_card(tmp_path: Path) -> None:
    strong = OwnerKeys.create(tmp_path / "a", seeds=seeds("anna")).card
    weak = OwnerKeys.create(tmp_path / "b", seeds=seeds("anna"), kind=IdentityKind.X25519).card
    for card, kind in ((strong, IdentityKind.HYBRID), (weak, IdentityKind.X25519)):
        assert OwnerCard.parse(strictjson.encode(card)) == card
        assert card.kind is kind
    for one, other in ((strong, weak), (weak, strong)):
        mixed = {**msgspec.structs.asdict(one), "recovery": other.recovery}
        with pytest.raises(FormatError, match="of the same kind"):
            OwnerCard.parse(msgspec.json.encode(mixed))


def test_keys_under_a_passphrase_without_a_terminal_say_so(tmp_path: Path) -> None:
    OwnerKeys.create(tmp_path, seeds=seeds("anna"), passphrase="open sesame", log2_work_factor=8)
    with pytest.raises(ConfigurationError, match="there is no terminal to ask for it"):
        _ = OwnerKeys.load(tmp_path).identity


def test_a_sealed_file_that_holds_no_text_holds_no_key(tmp_path: Path) -> None:
    OwnerKeys.create(tmp_path, seeds=seeds("anna"), passphrase="open sesame", log2_work_factor=8)
    recipient = PassphraseRecipient("open sesame", salt=bytes(16), log2_work_factor=8)
    path = tmp_path / "identity.age"
    path.write_bytes(seal_bytes(b"\xff\xfe", [recipient], file_key=bytes(16), nonce=bytes(16)))
    with pytest.raises(FormatError, match="does not hold a key"):
        _ = OwnerKeys.load(tmp_path, passphrase=lambda: "open sesame").identity


def test_a_kit_holds_one_identity_and_no_other_text(tmp_path: Path) -> None:
    keys = OwnerKeys.create(tmp_path, seeds=seeds("anna"))
    kit = tmp_path / KIT
    line = kit.read_text().splitlines()[-1]
    for text in (f"{line}\n{line}\n", "mistyped\n"):
        kit.write_text(text)
        with pytest.raises(ConfigurationError) as refused:
            keys.recovery()
        assert str(kit) in refused.value.message
        assert refused.value.remedy == "Compare it with the printed page."
        assert keys.has_kit_of(keys.card.recovery) is None


def test_the_identity_of_the_card_comes_first_and_each_older_one_once(tmp_path: Path) -> None:
    old = OwnerKeys.create(tmp_path / "old", seeds=seeds("anna"))
    new = OwnerKeys.create(tmp_path / "new", seeds=seeds("bob"), kit=old.recovery())
    path = tmp_path / "new" / "identity.txt"
    path.write_text("\n".join(reversed(path.read_text().splitlines())) + "\n")
    loaded = OwnerKeys.load(tmp_path / "new")
    assert [str(each.recipient()) for each in loaded.identities] == [new.card.recipient, old.card.recovery]


def test_another_kit_lies_beside_the_one_in_force_until_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = OwnerKeys.create(tmp_path / "owner", name="marta")
    first = keys.card.recovery
    made = keys.make_kit()
    second = str(made.recipient())
    assert stat.S_IMODE((keys.folder / NEW_KIT).stat().st_mode) == 0o600
    assert "marta" in (keys.folder / NEW_KIT).read_text()
    assert time.strftime("%Y-%m-%d") in (keys.folder / NEW_KIT).read_text()
    assert (keys.has_kit_of(first), keys.has_kit_of(second)) == (True, False)
    durable: list[tuple[Path, bool]] = []
    monkeypatch.setattr(files, "sync_folder", lambda folder: durable.append((folder, (keys.folder / NEW_KIT).exists())))
    keys.adopt_kit()
    assert durable[-1] == (keys.folder, False), "after a power cut the new page is there, too"
    assert (keys.has_kit_of(first), keys.has_kit_of(second)) == (False, True)
    assert keys.card == OwnerKeys.load(keys.folder).card
    assert keys.card.recovery == second
    assert not (keys.folder / NEW_KIT).exists()
    (keys.folder / KIT).write_text("torn")
    assert keys.has_kit_of(second) is None
    (keys.folder / KIT).unlink()
    assert keys.has_kit_of(second) is None


def test_a_card_with_an_approver_that_is_no_key_is_no_card(tmp_path: Path) -> None:
    keys = OwnerKeys.create(tmp_path / "owner", name="marta")
    with pytest.raises(FormatError):
        msgspec.structs.replace(keys.card, approver="ed25519:none")


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> str:
    """The date on each page. Its page is in English."""
    monkeypatch.setattr(keys_module.time, "strftime", lambda shape: {"%Y-%m-%d": "2027-01-15"}[shape])
    monkeypatch.setattr(keys_module, "spoken", lambda: "en")
    return "2027-01-15"


def test_each_file_of_new_keys_holds_exactly_its_key(tmp_path: Path, today: str) -> None:
    old = OwnerKeys.create(tmp_path / "old", name="anna", seeds=seeds("anna"))
    assert {path.name: path.read_text() for path in old.folder.iterdir()} == {
        "owner.json": strictjson.encode(old.card).decode(),
        "identity.txt": f"# opens the footage of Doorward owner anna\n{old.identity.secret_text()}\n",
        "approval.pem": dump_private_key(old.approval),
        KIT: recovery_kit("anna", old.recovery(), today),
    }
    kit = old.recovery()
    new = OwnerKeys.create(
        tmp_path / "new", name="bob", seeds=seeds("bob"), kit=kit, passphrase="open sesame", log2_work_factor=8
    )
    sesame = [PassphraseIdentity("open sesame")]
    assert {path.name: open_bytes(path.read_bytes(), sesame).decode() for path in new.folder.glob("*.age")} == {
        "identity.age": f"# opens the footage of Doorward owner bob\n{new.identity.secret_text()}\n"
        f"# opens what was recorded before these keys were made\n{kit.secret_text()}\n",
        "approval.age": dump_private_key(new.approval),
    }
    assert (sorted(path.name for path in new.folder.glob("*.*")), new.sealed, old.sealed) == (
        ["approval.age", "identity.age", "owner.json"], True, False,
    )  # fmt: skip
    made = old.make_kit()
    assert (old.folder / NEW_KIT).read_text() == recovery_kit("anna", made, today)
    assert (new.name, new.approver, new.card.recovery) == ("bob", public_key_of(new.approval), str(kit.recipient()))


def test_a_comment_in_another_encoding_keeps_no_key_from_being_read(tmp_path: Path) -> None:
    keys = OwnerKeys.create(tmp_path / "owner", seeds=seeds("anna"))
    for name in ("identity.txt", KIT):
        path = keys.folder / name
        path.write_bytes(b"# von Frau M\xfcller\n" + path.read_bytes())
    loaded = OwnerKeys.load(keys.folder)
    assert loaded.identity == keys.identity
    assert read_identities(keys.folder / "identity.txt", lambda: "") == (keys.identity,)
    assert str(loaded.recovery().recipient()) == keys.card.recovery


def test_a_kit_that_is_not_there_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_kit_file(tmp_path / "kit")
    assert str(refused.value) == (
        f"The recovery kit is not at {tmp_path / 'kit'}. "
        "Type the last line of the printed page into a file and give it with --recovery-kit."
    )
