"""A trust root with keys of several people: m of n sign each list and each next set of keys.

    add_key(organisation, person, passphrase)          each person makes a key, here, in the token, or elsewhere
    propose_root(organisation, person, …)              the keys, how many of them sign, and for how long
    add_signature(draft, person, passphrase)           of a root file or a list; the last one completes it

The database holds proposals and signatures, and decides what is published. `write_files` copies complete ones to
`root/files` below the organisation's folder, in the form of `doorward requester trust-root`. That command can go on
with the folder after the desk is gone. Source: PROTOCOL.md, "Trust package".
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from agent.clients.requester.keys import FileSigner, Signer, load_key, make_key, trust_key_of, trust_signature
from agent.clients.requester.root_folder import RootFolder
from agent.errors import ConfigurationError, DoorwardError
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.identities import KEY_BYTES, private_key_from_seed
from agent.wire.trust import BUNDLE_LIMIT_BYTES, TrustBundle
from agent.wire.trust_keys import TrustKey, parse_trust_key
from agent.wire.trust_package import MAX_ROOT_FILES, RootFile
from desk.custody import log
from desk.people.models import Organisation, Person
from desk.people.organisations import folder_of
from desk.trust import lists
from desk.trust.models import BundleDraft, RootDraft, RootKey, Signature
from desk.trust.root_keys import (
    SEALED_NAME,
    is_sealed,
    make_sealed_key,
    open_root_key,
    open_sealed_key,
    root_key_of,
)

__all__ = [
    "LEAST_SIGNERS",
    "active_key",
    "active_keys",
    "add_key",
    "add_signature",
    "bundle_payload",
    "delete_sealed_name_key",
    "files_of",
    "has_token_key",
    "is_shared",
    "missing_signatures",
    "newest_root",
    "payload_of",
    "propose_root",
    "proposed_file",
    "require_one_key",
    "retire_key",
    "root_file_of",
    "root_files_left",
    "root_folder",
    "root_label",
    "sections_of",
    "signers_of",
    "timestamp_signer",
    "withdraw_root",
    "write_files",
]

LEAST_SIGNERS: Final = 2
_DAY_S: Final = 86_400


# --- State


def root_folder(organisation: Organisation) -> Path:
    return folder_of(organisation) / "root"


def root_label(organisation: Organisation) -> str:
    """Returns the label of the root's key in the token. No requester's id has a dot, so it is no requester's key."""
    return f"{organisation.requester_id}.root"


def files_of(organisation: Organisation) -> RootFolder:
    return RootFolder(root_folder(organisation) / "files")


def is_shared(organisation: Organisation) -> bool:
    """Returns True if a root file is in force, so that several keys sign."""
    return RootDraft.objects.filter(organisation=organisation, state="signed").exists()


def has_token_key(organisation: Organisation) -> bool:
    """Returns True if the root has, or had, one key in the token."""
    folder = root_folder(organisation)
    return root_key_of(folder) is not None and not is_sealed(folder)


def require_one_key(organisation: Organisation) -> None:
    """Raises `ConfigurationError` if several keys sign for the root, or are proposed: it then has no one key."""
    if RootDraft.objects.filter(organisation=organisation, state__in=("proposed", "signed")).exists():
        raise ConfigurationError("Several keys sign for this root.", remedy="Sign or withdraw it first.")


def newest_root(organisation: Organisation) -> RootDraft | None:
    return RootDraft.objects.filter(organisation=organisation, state="signed").order_by("-version").first()


def root_file_of(organisation: Organisation) -> RootFile | None:
    """Returns the root file in force, or None for a root with one key."""
    draft = newest_root(organisation)
    return _root_file(draft) if draft is not None else None


def root_files_left(organisation: Organisation) -> int:
    """Returns how many more sets of keys the root can have: its package holds each root file."""
    newest = newest_root(organisation)
    return MAX_ROOT_FILES - (newest.version if newest is not None else 0)


def active_keys(organisation: Organisation) -> list[RootKey]:
    return list(RootKey.objects.filter(organisation=organisation, retired_at=None).select_related("person"))


def active_key(organisation: Organisation, person: Person) -> RootKey | None:
    return RootKey.objects.filter(organisation=organisation, person=person, retired_at=None).first()


def signers_of(draft: BundleDraft | RootDraft) -> list[RootKey]:
    """Returns the keys that signed it and count, in their order."""
    counted = _counted(draft)
    found = draft.signatures.select_related("key__person")
    return [each.key for each in found if parse_trust_key(each.key.public_key).id in counted]


def missing_signatures(draft: BundleDraft | RootDraft) -> int:
    """Returns how many signatures are missing until doorbells take it."""
    wanted = _wanted(draft)  # once, because it reads root files from the database
    signed = _counted(draft, wanted).keys()
    lacking = [threshold - len(signed & keys.keys()) for threshold, keys in wanted]
    return max(0, *lacking)


def payload_of(draft: BundleDraft | RootDraft) -> tuple[str, bytes]:
    """Returns the name of the file that people sign elsewhere, and its bytes."""
    kind = "root" if isinstance(draft, RootDraft) else "bundle"
    return f"{kind}-{draft.version}.json", bytes(draft.payload)


# --- Keys


@transaction.atomic
def add_key(
    organisation: Organisation, person: Person, passphrase: str = "", outside: str = "", *, in_token: bool = False
) -> RootKey:
    """Gives a person a key: sealed with their passphrase, in the token, or `outside`, by its public text.

    Raises `ConfigurationError` if they have one. A new key signs once a root file with it is in force.
    """
    if active_key(organisation, person) is not None:
        raise _has_a_key()
    if outside:
        place, public = "outside", _public(outside)
    elif in_token:
        place, public = "token", trust_key_of(_token_signer(organisation, person))
    else:
        folder = files.make_folder(files.make_folder(root_folder(organisation)) / "people")
        with tempfile.TemporaryDirectory(dir=folder) as trial:
            public = make_sealed_key(Path(trial) / "key.age", passphrase)
            files.write(
                folder / f"{public.id}.key.age", files.read_private(Path(trial) / "key.age", 16_384), secret=True
            )
        place = "sealed"
    known = [_public(each.public_key) for each in RootKey.objects.filter(organisation=organisation)]
    # Neither half may repeat: one person with a half of two pairs would count twice.
    if any(public.ed25519 == each.ed25519 or public.mldsa_sha256 == each.mldsa_sha256 for each in known):
        raise ConfigurationError("Another person has this key, or it is retired.", remedy="Make a new key.")
    try:
        with transaction.atomic():
            key = RootKey.objects.create(organisation=organisation, person=person, public_key=public.text, place=place)
    except IntegrityError as error:  # the same form was sent twice at once
        if place == "sealed":
            (folder / f"{public.id}.key.age").unlink(missing_ok=True)
        raise _has_a_key() from error
    log.record(organisation, person, "root-key.made", f"root key {public.id}", key=public.text, place=place)
    return key


def _has_a_key() -> ConfigurationError:
    return ConfigurationError("This person has a key of this root.", remedy="Retire it first.")


@transaction.atomic
def retire_key(key: RootKey, by: Person) -> None:
    """Retires a key. Raises `ConfigurationError` while the root file in force or a proposed one lists it."""
    _lock_active_keys(key.organisation)
    root_file = root_file_of(key.organisation)
    if root_file is not None and key.public_key in root_file.keys:
        raise ConfigurationError(
            "The keys in force include this one.", remedy="Propose the next keys without it first."
        )
    proposed = RootDraft.objects.filter(organisation=key.organisation, state="proposed")
    if any(key.public_key in _root_file(each).keys for each in proposed):
        # Its signatures would still count, and the key in force could then sign nothing more.
        raise ConfigurationError("A proposal of keys includes this one.", remedy="Withdraw the proposal first.")
    RootKey.objects.filter(pk=key.pk, retired_at=None).update(retired_at=timezone.now())
    log.record(key.organisation, by, "root-key.retired", f"root key {_public(key.public_key).id}", of=key.person.email)


def _lock_active_keys(organisation: Organisation) -> set[str]:
    """Returns the public texts of active keys. None of them is retired before this transaction ends."""
    found = RootKey.objects.select_for_update(no_key=True).filter(organisation=organisation, retired_at=None)
    return set(found.values_list("public_key", flat=True))


def timestamp_signer(organisation: Organisation, version: int | None = None) -> Signer:
    """Returns the key that is online and signs timestamps only. Each root file has another one, made at its proposal.

    `version`: of the root file, by default the one in force.
    """
    newest = newest_root(organisation)
    path = root_folder(organisation) / f"timestamp-{version or (newest.version if newest else 1)}.key"
    if not files.is_there(path):
        make_key(path)
    return FileSigner(load_key(path))


# --- Root files


@transaction.atomic
def propose_root(
    organisation: Organisation, person: Person, keys: Iterable[RootKey], threshold: int, days: int, *,
    passphrase: str = "", now_s: int | None = None,
) -> RootDraft:  # fmt: skip
    """Proposes the keys of the root. The name key signs its first root file here.

    `passphrase`: of the one key that the root has until now, which becomes its name key. That key is deleted, in the
    token too, when the root file is in force. A new name key is forgotten here. Raises `ConfigurationError`.
    """
    chosen = list(keys)
    if len({each.person_id for each in chosen}) < LEAST_SIGNERS or not LEAST_SIGNERS <= threshold <= len(chosen):
        raise ConfigurationError(
            "At least two people sign for a root of several keys, and no more than there are keys.",
            remedy="Choose two or more keys, and how many of them sign.",
        )
    if not {each.public_key for each in chosen} <= _lock_active_keys(organisation):
        raise ConfigurationError("A key of this proposal is retired.", remedy="Choose the keys again.")
    if root_files_left(organisation) < 1:
        raise ConfigurationError(
            f"A trust root has at most {MAX_ROOT_FILES} sets of keys.",
            remedy="Found a new root, and ask owners and requesters to choose it.",
        )
    if RootDraft.objects.filter(organisation=organisation, state="proposed").exists():
        raise ConfigurationError("A proposal of keys waits already.", remedy="Sign or withdraw it first.")
    issued_s, newest = now_s or int(time.time()), newest_root(organisation)
    name_key: Signer | None = None
    version = newest.version + 1 if newest else 1
    if newest is None:
        name_key = _name_signer(organisation, passphrase)
    root = trust_key_of(name_key) if name_key is not None else _public(newest.name_key if newest else "")
    root_file = RootFile(
        v=1,
        root=root.id,
        version=version,
        issued_s=issued_s,
        expires_s=issued_s + days * _DAY_S,
        keys=tuple(each.public_key for each in chosen),
        threshold=threshold,
        timestamp_keys=(trust_key_of(timestamp_signer(organisation, version)).text,),
    )
    payload = strictjson.encode(root_file)
    signed = envelope.pae(RootFile.PAYLOAD_TYPE, payload)
    draft = RootDraft.objects.create(
        organisation=organisation,
        version=root_file.version,
        payload=payload,
        name_signature=trust_signature(name_key, signed) if name_key is not None else b"",
        name_key=root.text,
        name_in_token=newest is None and has_token_key(organisation),
        proposed_by=person,
    )
    log.record(
        organisation, person, "root-file.proposed", f"root file {draft.pk}", version=draft.version,
        threshold=threshold, keys=[_public(each.public_key).id for each in chosen],
    )  # fmt: skip
    return draft


@transaction.atomic
def withdraw_root(draft: RootDraft, person: Person) -> bool:
    """Withdraws a proposal and deletes its signatures. Returns False if it is signed or withdrawn already."""
    done = RootDraft.objects.filter(pk=draft.pk, state="proposed").update(state="withdrawn", name_signature=b"")
    if done:
        # With these, one more person could complete the withdrawn file elsewhere, and owners would believe it.
        draft.signatures.all().delete()
        log.record(draft.organisation, person, "root-file.withdrawn", f"root file {draft.pk}", version=draft.version)
    return bool(done)


# --- Signatures


def bundle_payload(organisation: Organisation, text: str, now_s: int) -> bytes:
    """Returns the bundle of a sound list that the people of the root sign."""
    newest = newest_root(organisation)
    if newest is None:
        return b""
    return strictjson.encode(lists.read(text).in_sections(_public(newest.name_key).id, now_s)[0])


@transaction.atomic
def add_signature(
    draft: BundleDraft | RootDraft, person: Person, passphrase: str = "", signature: str = ""
) -> BundleDraft | RootDraft:
    """Signs with the person's key. `signature`: what they made elsewhere, in base64.

    Raises `ConfigurationError` if it does not fit, or if the key of this person is not asked for.
    """
    draft = (
        type(draft).objects.select_for_update(of=("self",), no_key=True).select_related("organisation").get(pk=draft.pk)
    )
    organisation = draft.organisation
    if isinstance(draft, RootDraft):
        _lock_active_keys(organisation)  # before the log's head, as `retire_key` does: two acts never wait in a circle
    if draft.state == "withdrawn" or (draft.state == "signed" and not missing_signatures(draft)):
        raise ConfigurationError("This proposal is signed or withdrawn already.", remedy="Propose a new version.")
    if not draft.payload:
        raise ConfigurationError("Several keys sign for this root.", remedy="Propose the list again.")
    key = active_key(organisation, person)
    if key is None or not any(_public(key.public_key).id in keys for _, keys in _wanted(draft)):
        raise ConfigurationError("You have no key that signs this.", remedy="Make a key, and propose keys with it.")
    kind, payload = _type_of(draft), bytes(draft.payload)
    signed = envelope.pae(kind, payload)
    made = _from_elsewhere(signature) if key.place == "outside" else trust_signature(_signer(key, passphrase), signed)
    # Also for a key that is here: a token may hold another key by now.
    if not _public(key.public_key).verifies(made, signed):
        raise ConfigurationError(
            "This signature is not of this file by your key.", remedy="Download the file again, and sign it."
        )
    place = {"root_file": draft} if isinstance(draft, RootDraft) else {"bundle": draft}
    _, is_new = Signature.objects.get_or_create(key=key, **place, defaults={"signature": made})
    if not is_new:
        raise ConfigurationError("You have signed this.", remedy="Wait for the others.")
    log.record(
        organisation, person, f"{_noun(draft)}.signature", f"{_words(draft)} {draft.pk}", version=draft.version,
        key=_public(key.public_key).id, sha256=hashlib.sha256(payload).hexdigest(),
    )  # fmt: skip
    if not missing_signatures(draft):
        _complete(draft, person)
    return draft


def _complete(draft: BundleDraft | RootDraft, person: Person) -> None:
    organisation, counted = draft.organisation, _counted(draft)
    is_first = draft.state == "proposed"
    draft.state = "signed"
    draft.signed_at = draft.signed_at or timezone.now()
    if isinstance(draft, BundleDraft):
        if (
            is_first
            and BundleDraft.objects.filter(
                organisation=organisation, state="signed", version__gte=draft.version
            ).exists()
        ):
            raise ConfigurationError(
                "A list with this version or a higher one is signed.", remedy="Propose a new version."
            )
        draft.signed_by = draft.signed_by or person
        # With the signatures that count now: another one would spoil the envelope.
        draft.envelope = _envelope_of(draft)
        draft.save()
    else:
        if not set(_root_file(draft).keys) <= _lock_active_keys(organisation):
            raise ConfigurationError(
                "A key of this proposal is retired.", remedy="Withdraw it, and propose the keys again."
            )
        draft.save()
        current = _list_in_force(organisation)
        if current is not None:
            # The keys in force are others now, so the list is joined again with the signatures that count.
            current.envelope = _envelope_of(current)
            current.save(update_fields=("envelope",))
    log.record(
        organisation, person, f"{_noun(draft)}.signed", f"{_words(draft)} {draft.pk}", version=draft.version,
        keys=sorted(counted),
    )  # fmt: skip
    transaction.on_commit(lambda: write_files(organisation), robust=True)  # a stamp writes them, too
    if isinstance(draft, RootDraft) and draft.version == 1:
        _forget_name_key(draft)  # last: the key does not come back if something else fails


def write_files(organisation: Organisation) -> None:
    """Writes the root files in force, and the list if enough people signed it, to the root's folder."""
    folder = files_of(organisation)
    for draft in RootDraft.objects.filter(organisation=organisation, state="signed").order_by("version"):
        name_key = _public(draft.name_key) if draft.version == 1 else None
        folder.accept(_root_file(draft), _counted(draft), name_key)
    current = _list_in_force(organisation)
    if current is not None:
        bundle = strictjson.decode(bytes(current.payload), TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES)
        folder.write_sections(bundle.version, sections_of(current))
        # With the signatures that count now: after other keys came into force, an old one would spoil the package.
        folder.accept(bundle, _counted(current))
        directory = lists.read(current.text).directory(bundle.root)
        if directory is not None:
            files.write(folder.directory_path(bundle.version), directory)


def sections_of(draft: BundleDraft) -> tuple[bytes, ...]:
    """Returns the sections that the bundle of a list names. Made again from the list."""
    # Root and time are in the signed head alone, so any values give the same sections.
    return lists.read(draft.text).in_sections("0" * 16, 0)[1]


def _list_in_force(organisation: Organisation) -> BundleDraft | None:
    """Returns the newest signed list, or None if it lacks signatures of the keys in force."""
    current = BundleDraft.objects.filter(organisation=organisation, state="signed").order_by("-version").first()
    return current if current is not None and current.payload and not missing_signatures(current) else None


def _envelope_of(draft: BundleDraft) -> bytes:
    return envelope.with_signatures(TrustBundle.PAYLOAD_TYPE, bytes(draft.payload), _counted(draft))


def _wanted(draft: BundleDraft | RootDraft) -> list[tuple[int, Mapping[str, TrustKey]]]:
    """Returns each threshold that the signatures must reach, and the keys that count for it."""
    if isinstance(draft, BundleDraft):
        root_file = root_file_of(draft.organisation)
        return [(root_file.threshold, root_file.signers)] if root_file is not None else []
    own = _root_file(draft)
    wanted: list[tuple[int, Mapping[str, TrustKey]]] = [(own.threshold, own.signers)]
    if draft.version > 1:
        before = RootDraft.objects.get(organisation=draft.organisation, version=draft.version - 1, state="signed")
        wanted.append((_root_file(before).threshold, _root_file(before).signers))
    else:
        name = _public(draft.name_key)
        wanted.append((1, {name.id: name}))
    return wanted


def _counted(
    draft: BundleDraft | RootDraft, wanted: list[tuple[int, Mapping[str, TrustKey]]] | None = None
) -> dict[str, bytes]:
    """Returns the signatures that count, by key id.

    `wanted`: the draft's `_wanted`, if the caller has it.
    """
    keys = {key_id: key for _, found in (_wanted(draft) if wanted is None else wanted) for key_id, key in found.items()}
    signatures = {
        _public(each.key.public_key).id: bytes(each.signature) for each in draft.signatures.select_related("key")
    }
    if isinstance(draft, RootDraft) and draft.name_signature:
        signatures[_public(draft.name_key).id] = bytes(draft.name_signature)
    signed = envelope.pae(_type_of(draft), bytes(draft.payload))
    # A signature that does not count would spoil the envelope: its readers refuse one.
    return {
        key_id: made for key_id, made in signatures.items() if key_id in keys and keys[key_id].verifies(made, signed)
    }


def _signer(key: RootKey, passphrase: str) -> Signer:
    if key.place == "token":
        return _token_signer(key.organisation, key.person)
    path = root_folder(key.organisation) / "people" / f"{_public(key.public_key).id}.key.age"
    return open_sealed_key(path, passphrase)


def _token_signer(organisation: Organisation, person: Person) -> Signer:
    token = settings.DESK.token
    if token is None:
        raise ConfigurationError(
            "Your key is in a token.", remedy="Name the token under [token] in desk.toml, and start the desk again."
        )
    from desk.tokens import token_signer  # loads a library that most desks do without

    # In the label, so that a person with a retired key gets another one and not the same again.
    retired = RootKey.objects.filter(organisation=organisation, person=person).exclude(retired_at=None).count()
    return token_signer(token, f"{organisation.requester_id}.root.{person.pk}.{retired}")


def _name_signer(organisation: Organisation, passphrase: str) -> Signer:
    """Returns the one key that the root has until now, or a new key that is forgotten after this signature."""
    if root_key_of(root_folder(organisation)) is None:
        return FileSigner(private_key_from_seed(secrets.token_bytes(KEY_BYTES)))
    return open_root_key(root_folder(organisation), passphrase, settings.DESK.token, root_label(organisation))


def _forget_name_key(draft: RootDraft) -> None:
    """Deletes the one key that the root had until this first root file, in its sealed file or in the token.

    Raises `ConfigurationError` if the token is missing or keeps it.
    """
    organisation = draft.organisation
    # After the commit, because a proposal that is withdrawn in the end needs the key again. The publisher tries again.
    transaction.on_commit(lambda: delete_sealed_name_key(organisation), robust=True)
    if not draft.name_in_token:
        return
    token = settings.DESK.token
    if token is None:
        raise ConfigurationError(
            "The root's one key is in a token, and must be deleted there.",
            remedy="Name the token under [token] in desk.toml, and start the desk again.",
        )
    from desk.tokens import destroy_token_key  # loads a library that most desks do without

    # The key could otherwise sign another first root file, which readers would follow.
    destroy_token_key(token, root_label(organisation), _public(draft.name_key).ed25519)


def delete_sealed_name_key(organisation: Organisation) -> None:
    """Deletes the sealed file of the one key that a root of several keys had before. Does nothing without one."""
    path = root_folder(organisation) / SEALED_NAME
    with files.storage_errors(path):
        path.unlink(missing_ok=True)


def proposed_file(draft: RootDraft) -> RootFile:
    """Returns the root file of a proposal."""
    return _root_file(draft)


def _root_file(draft: RootDraft) -> RootFile:
    return strictjson.decode(bytes(draft.payload), RootFile)


def _type_of(draft: BundleDraft | RootDraft) -> str:
    return RootFile.PAYLOAD_TYPE if isinstance(draft, RootDraft) else TrustBundle.PAYLOAD_TYPE


def _noun(draft: BundleDraft | RootDraft) -> str:
    return "root-file" if isinstance(draft, RootDraft) else "bundle"


def _words(draft: BundleDraft | RootDraft) -> str:
    return "root file" if isinstance(draft, RootDraft) else "bundle"


def _public(text: str) -> TrustKey:
    try:
        return parse_trust_key(text.strip())
    except DoorwardError as error:
        raise ConfigurationError(error.message, remedy="It is a line ed25519:…+mldsa44:…") from error


def _from_elsewhere(text: str) -> bytes:
    try:
        return strictjson.decode_base64(text.strip())
    except DoorwardError as error:
        raise ConfigurationError(
            "This is no signature.", remedy="Paste the line in the file that ends in .sig."
        ) from error
