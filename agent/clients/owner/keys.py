"""An owner's keys: an age identity that opens footage, an approval key, and a recovery identity on paper.

    owner.json         the public halves, which the device learns
    identity.txt       age identity, as `age-keygen` writes it     or identity.age, sealed with a passphrase (age -p)
    approval.pem       approval key, Ed25519, PKCS #8              or approval.age
    recovery-kit.txt   to be printed and removed; only enrolment reads it
    known_devices.json    see `known_devices`

The approval key's second half, by ML-DSA-44, is derived from it (`wire.identities`), so a backup needs no further file.
Secret files are 0600 in a folder that is 0700. The client asks for the passphrase at the first use of a secret and
never stores it. There is no passphrase by default, because a forgotten passphrase without a printed kit loses all
footage.
"""

from __future__ import annotations

import enum
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from agent.clients.opening import (
    HybridIdentity,
    PassphraseIdentity,
    X25519Identity,
    open_bytes,
    parse_identity_file,
)
from agent.clients.owner.known_devices import KnownDevices
from agent.clients.owner.recovery_kit import RECOVERY_NAME, read_kit, recovery_kit
from agent.core.vault.age.recipients import HybridRecipient, PassphraseRecipient, X25519Recipient, parse_recipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError
from agent.platform import files
from agent.sentences import spoken
from agent.wire import strictjson
from agent.wire.fields import Base64Text, KeyText, Label, RecipientText, Version1
from agent.wire.identities import (
    MLDSA_KEY_CHARACTERS,
    MldsaPublicKey,
    PublicKey,
    dump_private_key,
    load_private_key,
    parse_public_key,
    private_key_from_seed,
    public_key_of,
)
from agent.wire.statements import approval_mldsa
from agent.wire.strictjson import Message

__all__ = [
    "DEFAULT_FOLDER",
    "KIT",
    "NEW_KIT",
    "RECOVERY_NAME",
    "AgeIdentity",
    "IdentityKind",
    "OwnerCard",
    "OwnerKeys",
    "OwnerSeeds",
    "read_identities",
    "read_kit_file",
]

DEFAULT_FOLDER: Final = Path("~/.config/doorward/owner")
KIT: Final = "recovery-kit.txt"
NEW_KIT: Final = "recovery-kit.new.txt"
"""A kit that is not in force yet."""

_IDENTITY, _APPROVAL = "identity", "approval"
_SEED_BYTES: Final = 32
_SECRET_BYTES: Final = 16
_LIMIT_BYTES: Final = 64 * 1024

AgeIdentity = HybridIdentity | X25519Identity
Passphrase = Callable[[], str]


class IdentityKind(enum.Enum):
    """Which age keys an owner has.  One enrolment has one kind: a file is as weak as its weakest recipient."""

    HYBRID = "hybrid"
    """ML-KEM-768 with X25519: safe against a later quantum computer.  Opens with npm age-encryption."""
    X25519 = "x25519"
    """Keys that every version of stock `age` opens."""

    def identity(self, seed: bytes) -> AgeIdentity:
        return HybridIdentity(seed) if self is IdentityKind.HYBRID else X25519Identity(seed)

    @classmethod
    def of(cls, recipient: HybridRecipient | X25519Recipient) -> IdentityKind:
        return cls.HYBRID if isinstance(recipient, HybridRecipient) else cls.X25519


@dataclass(frozen=True, slots=True)
class OwnerSeeds:
    """32 random bytes for each key.  Give them only where the same owner is wanted again (tests, demo)."""

    identity: bytes = field(default_factory=lambda: secrets.token_bytes(_SEED_BYTES), repr=False)
    approval: bytes = field(default_factory=lambda: secrets.token_bytes(_SEED_BYTES), repr=False)
    recovery: bytes = field(default_factory=lambda: secrets.token_bytes(_SEED_BYTES), repr=False)


class OwnerCard(Message, frozen=True):
    """An owner's public halves: `owner.json`, and what one owner gives another to be enrolled beside them."""

    FILE: ClassVar[str] = "owner.json"

    v: Version1
    name: Label
    recipient: RecipientText
    approver: KeyText
    approver_mldsa: Annotated[Base64Text, Meta(max_length=MLDSA_KEY_CHARACTERS)]
    """The ML-DSA-44 key beside `approver` (`wire.identities`), in base64."""
    recovery: RecipientText

    def __post_init__(self) -> None:
        if self.name == RECOVERY_NAME:
            raise FormatError("name: 'recovery' names the recovery key.", remedy="Choose another name.")
        parse_public_key(self.approver)
        MldsaPublicKey.parse(self.approver_mldsa)
        if IdentityKind.of(parse_recipient(self.recipient)) is not IdentityKind.of(parse_recipient(self.recovery)):
            raise FormatError("recovery: a recovery key is of the same kind as the owner's.")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises `FormatError`."""
        return strictjson.decode(data, cls)

    @property
    def kind(self) -> IdentityKind:
        return IdentityKind.of(parse_recipient(self.recipient))


class OwnerKeys:
    """The keys in one folder.  Secrets are read, and a passphrase asked for, when they are first used."""

    def __init__(self, folder: Path, card: OwnerCard, passphrase: Passphrase | None) -> None:
        self.folder = folder
        self.card = card
        self.memory = KnownDevices(folder / KnownDevices.FILE)
        self._ask_passphrase = passphrase

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        name: str = "owner",
        kind: IdentityKind = IdentityKind.HYBRID,
        passphrase: str | None = None,
        seeds: OwnerSeeds | None = None,
        kit: AgeIdentity | None = None,
        log2_work_factor: int = 18,
    ) -> Self:
        """Creates an owner's keys in `folder`, including a recovery kit. Raises `ConfigurationError` if the folder has
        keys already.

        `kit`: the recovery identity of a returning owner. Then no new kit is made. The identity file lists this kit
        after the new identity, because the kit opens the earlier footage.
        """
        names = (OwnerCard.FILE, KIT, "identity.txt", "identity.age", "approval.pem", "approval.age")
        # Any one of these files is a reason to stop. For example, a lost card must not cost the identity beside it.
        found = next((name for name in names if files.is_there(folder / name)), None)
        if found is not None:
            raise ConfigurationError(f"{folder} already holds keys: {found}.", remedy="Choose another folder.")
        seeds = seeds or OwnerSeeds()
        identity, recovery = kind.identity(seeds.identity), kit or kind.identity(seeds.recovery)
        approval = private_key_from_seed(seeds.approval)
        data = _card(name, identity, approval, recovery)
        files.make_folder(folder)
        secret = f"# opens the footage of Doorward owner {name}\n{identity.secret_text()}\n"
        if kit is not None:
            secret += f"# opens what was recorded before these keys were made\n{kit.secret_text()}\n"
        for stem, plain, suffix in ((_IDENTITY, secret, ".txt"), (_APPROVAL, dump_private_key(approval), ".pem")):
            if passphrase is None:
                files.write(folder / f"{stem}{suffix}", plain.encode(), secret=True)
            else:
                sealed = _seal(plain.encode(), passphrase, log2_work_factor)
                files.write(folder / f"{stem}.age", sealed, secret=True)
        if kit is None:
            page = recovery_kit(name, recovery, time.strftime("%Y-%m-%d"), spoken())
            files.write(folder / KIT, page.encode(), secret=True)
        # Write the card last. A folder without a card is incomplete, and `load` says so.
        files.write(folder / OwnerCard.FILE, data)
        return cls.load(folder, passphrase=None if passphrase is None else lambda: passphrase)

    @classmethod
    def load(cls, folder: Path, *, passphrase: Passphrase | None = None) -> Self:
        """The keys in `folder`.  `passphrase` is called, at most once, when they are sealed with one.

        Raises `ConfigurationError` with the remedy.
        """
        path = folder / OwnerCard.FILE
        if not files.is_file(path):
            raise ConfigurationError(f"{folder} holds no owner's keys.", remedy="Make them: doorward owner keygen.")
        try:
            return cls(folder, OwnerCard.parse(files.read(path, _LIMIT_BYTES)), passphrase)
        except FormatError as error:
            raise ConfigurationError(f"{path}: {error.message}", remedy="Restore it from a backup.") from error

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def sealed(self) -> bool:
        """Returns whether the keys need a passphrase."""
        return files.is_there(self.folder / f"{_IDENTITY}.age")

    @property
    def approver(self) -> PublicKey:
        return parse_public_key(self.card.approver)

    @property
    def identity(self) -> AgeIdentity:
        """The identity that opens footage."""
        return self.identities[0]

    @cached_property
    def identities(self) -> tuple[AgeIdentity, ...]:
        """The identity of the card, then older ones that open what was recorded before it was made."""
        found = parse_identity_file(self._secret(_IDENTITY, ".txt"))
        # The card decides which one is the owner's: in a file with older identities, the order is a person's.
        own = [each for each in found if str(each.recipient()) == self.card.recipient]
        if not own:
            raise self._does_not_fit(_IDENTITY)
        return (own[0], *(each for each in found if each not in own))

    @cached_property
    def approval(self) -> Ed25519PrivateKey:
        """The key that signs an owner's statements."""
        key = load_private_key(self._secret(_APPROVAL, ".pem"))
        # Files of two backups would sign statements that no device takes, and each refusal would blame the device.
        if (public_key_of(key).text, approval_mldsa(key)) != (self.card.approver, self.card.approver_mldsa):
            raise self._does_not_fit(_APPROVAL)
        return key

    def recovery(self, kit: Path | None = None) -> AgeIdentity:
        """The recovery identity from its kit (default: the one keygen left here).  Raises `ConfigurationError`."""
        return read_kit_file(kit or self.folder / KIT)

    def make_kit(self) -> AgeIdentity:
        """Creates another recovery identity. Its page stays beside the one in force until `adopt_kit` replaces it."""
        identity = self.card.kind.identity(secrets.token_bytes(_SEED_BYTES))
        page = recovery_kit(self.name, identity, time.strftime("%Y-%m-%d"), spoken())
        files.write(self.folder / NEW_KIT, page.encode(), secret=True)
        return identity

    def adopt_kit(self) -> None:
        """The kit of `make_kit` is in force from now on."""
        recipient = str(self.recovery(self.folder / NEW_KIT).recipient())
        card = msgspec.structs.replace(self.card, recovery=recipient)
        files.write(self.folder / OwnerCard.FILE, strictjson.encode(card))
        with files.storage_errors(self.folder / KIT):
            # After the card: a cut between the two leaves the page under its new name, and `new_kit_is` finds it there.
            (self.folder / NEW_KIT).replace(self.folder / KIT)
            files.sync_folder(self.folder)
        self.card = card

    def new_kit_is(self, recipient: str) -> bool:
        """Returns whether the kit of `make_kit` is on this machine and has this recipient."""
        if not files.is_there(self.folder / NEW_KIT):
            return False
        try:
            return str(self.recovery(self.folder / NEW_KIT).recipient()) == recipient
        except DoorwardError:  # it is damaged, and another one takes its place
            return False

    def has_kit_of(self, recipient: str) -> bool | None:
        """Returns whether the kit on this machine has this recipient; None if there is no kit."""
        if not files.is_there(self.folder / KIT):
            return None
        try:
            return str(self.recovery().recipient()) == recipient
        except DoorwardError:  # the kit is missing or unreadable
            return None

    @cached_property
    def _passphrase(self) -> str:
        if self._ask_passphrase is None:
            raise ConfigurationError("These keys need a passphrase, but there is no terminal to ask for it.")
        return self._ask_passphrase()

    def _secret(self, stem: str, suffix: str) -> str:
        plain, sealed = self.folder / f"{stem}{suffix}", self.folder / f"{stem}.age"
        if not files.is_there(sealed):
            return files.read_private(plain, _LIMIT_BYTES).decode("utf-8", "replace")
        try:
            return open_bytes(files.read_private(sealed, _LIMIT_BYTES), [PassphraseIdentity(self._passphrase)]).decode()
        except OpenError as error:
            raise OpenError(f"This passphrase does not open {sealed}.", remedy="Try it again.") from error
        except UnicodeDecodeError as error:
            raise FormatError(f"{sealed} does not hold a key.", remedy="Restore it from a backup.") from error

    def _does_not_fit(self, stem: str) -> ConfigurationError:
        return ConfigurationError(
            f"The {stem} key in {self.folder} is not the one that {OwnerCard.FILE} names.",
            remedy="Restore all files of the folder from one backup.",
        )


def read_kit_file(path: Path) -> AgeIdentity:
    """The recovery identity on a page in a file.  Raises `ConfigurationError`."""
    if not files.is_file(path):
        raise ConfigurationError(
            f"The recovery kit is not at {path}.",
            remedy="Type the last line of the printed page into a file and give it with --recovery-kit.",
        )
    try:
        return read_kit(files.read_private(path, _LIMIT_BYTES).decode("utf-8", "replace"))
    except FormatError as error:
        raise ConfigurationError(f"{path}: {error.message}", remedy="Compare it with the printed page.") from error


def read_identities(path: Path, passphrase: Passphrase) -> tuple[AgeIdentity, ...]:
    """Returns the identities of any age identity file (0600), for example of a recovery kit. Asks `passphrase` if it is
    sealed.

    Raises `FormatError`, or `OpenError` for a wrong passphrase.
    """
    data = files.read_private(path, _LIMIT_BYTES)
    if data.startswith(b"age-encryption.org/"):
        data = open_bytes(data, [PassphraseIdentity(passphrase())])
    return parse_identity_file(data.decode("utf-8", "replace"))


def _card(name: str, identity: AgeIdentity, approval: Ed25519PrivateKey, recovery: AgeIdentity) -> bytes:
    try:
        return strictjson.encode(
            OwnerCard(
                v=1,
                name=name,
                recipient=str(identity.recipient()),
                approver=public_key_of(approval).text,
                approver_mldsa=approval_mldsa(approval),
                recovery=str(recovery.recipient()),
            )
        )
    except FormatError as error:
        raise ConfigurationError(
            error.message,
            remedy=error.remedy or "Use 1 to 32 of a-z, 0-9 and -. Every disclosure contains the name.",
        ) from error


def _seal(plain: bytes, passphrase: str, log2_work_factor: int) -> bytes:
    if not passphrase:
        raise ConfigurationError(
            "An empty passphrase gives no protection.", remedy="Give one, or leave --passphrase out."
        )
    recipient = PassphraseRecipient(
        passphrase, salt=secrets.token_bytes(_SECRET_BYTES), log2_work_factor=log2_work_factor
    )
    return seal_bytes(
        plain, [recipient], file_key=secrets.token_bytes(_SECRET_BYTES), nonce=secrets.token_bytes(_SECRET_BYTES)
    )
