"""Bundles of a trust root: proposed, compared with the one before, signed by a second person, watched for expiry."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agent.clients.requester.trust_bundles import make_bundle
from agent.errors import ConfigurationError
from agent.wire import envelope, strictjson
from agent.wire.broker_directory import CellBroker
from agent.wire.trust import BUNDLE_ENVELOPE_LIMIT_BYTES, BUNDLE_LIMIT_BYTES, RequesterEntry, TrustBundle
from desk.custody import log
from desk.people.models import Organisation, Person
from desk.trust import lists, shared_root
from desk.trust.models import BundleDraft
from desk.trust.root_keys import open_root_key

__all__ = [
    "ChangedEntry",
    "Difference",
    "EndingKey",
    "brokers_in",
    "compare",
    "directory_in",
    "entries_in",
    "newest_signed",
    "next_list",
    "propose",
    "reminders",
    "sign",
    "withdraw",
]

_REMIND_DAYS: Final = 60
_DAY_S: Final = 86_400
_MOST_CHARACTERS: Final = 1_500_000
_VERSION_LINE: Final = re.compile(r"^version\s*=\s*[0-9_]+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ChangedEntry:
    """A requester that a proposal changes. `fields`: the names of the fields of its entry that differ."""

    id: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """The requesters that a proposal adds and removes, by id, and those that it changes."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[ChangedEntry, ...]


@dataclass(frozen=True, slots=True)
class EndingKey:
    """A key of a listed requester that ends soon, or has ended."""

    requester: str
    until_s: int
    over: bool


def entries_in(text: str) -> tuple[int, tuple[RequesterEntry, ...]]:
    """Returns version and entries of a list. Raises `ConfigurationError` that names line and key."""
    if len(text) > _MOST_CHARACTERS:
        raise ConfigurationError("This list is too long.", remedy="A list has at most 1 500 000 characters.")
    try:
        listed = lists.read(text)
    except RecursionError as error:
        raise ConfigurationError("This list is nested too deeply.", remedy="Write plain tables.") from error
    if listed.version > strictjson.MAX_INTEGER:
        raise ConfigurationError("version: this number is too large.", remedy="Count the versions from 1.")
    return listed.version, listed.requesters


def brokers_in(text: str) -> tuple[CellBroker, ...]:
    """Returns the brokers that a sound list names."""
    return lists.read(text).brokers


def directory_in(draft: BundleDraft) -> bytes | None:
    """Returns the broker directory that the signed bundle names, or None. Made again from the list."""
    payload = bytes(draft.payload) or (
        envelope.read_several(
            bytes(draft.envelope), TrustBundle.PAYLOAD_TYPE, limit_bytes=BUNDLE_ENVELOPE_LIMIT_BYTES
        ).payload
    )
    bundle = strictjson.decode(payload, TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES)
    return lists.read(draft.text).directory(bundle.root)


@transaction.atomic
def propose(organisation: Organisation, person: Person, text: str) -> BundleDraft:
    """Stores a proposal. Raises `ConfigurationError` if doorbells would refuse its bundle."""
    version, entries = entries_in(text)
    last = newest_signed(organisation)
    if last is not None and version <= last.version:
        raise ConfigurationError(
            f"version: {version} is not higher than {last.version}, the version of the last bundle.",
            remedy=f"Set version = {last.version + 1}.",
        )
    payload = shared_root.bundle_payload(organisation, text, int(time.time()))
    draft = BundleDraft.objects.create(
        organisation=organisation, version=version, text=text, proposed_by=person, payload=payload
    )
    log.record(
        organisation, person, "bundle.proposed", f"bundle {draft.pk}", version=version, requesters=len(entries),
        text_sha256=_sha256(text),
    )  # fmt: skip
    return draft


@transaction.atomic
def sign(draft: BundleDraft, person: Person, passphrase: str, now_s: int | None = None) -> BundleDraft:
    """Signs a proposal of another person. Raises `ConfigurationError`, and then nothing is signed."""
    draft = (
        BundleDraft.objects.select_for_update(of=("self",), no_key=True).select_related("organisation").get(pk=draft.pk)
    )
    organisation = draft.organisation
    if draft.state != "proposed":
        raise ConfigurationError("This proposal is signed or withdrawn already.", remedy="Propose a new version.")
    # With one key, the rule of two persons is the desk's alone: doorbells see a single signature.
    if draft.proposed_by_id == person.pk:
        raise ConfigurationError("A second person signs a bundle.", remedy="Ask a colleague to sign your proposal.")
    if shared_root.is_shared(organisation):
        raise ConfigurationError("Several keys sign for this root.", remedy="Propose the list again.")
    last = newest_signed(organisation)
    key = open_root_key(
        shared_root.root_folder(organisation), passphrase, settings.DESK.token, shared_root.root_label(organisation)
    )
    with lists.as_file(draft.text) as path:
        previous = bytes(last.envelope) if last else None
        draft.envelope = make_bundle(path, key, issued_s=now_s or int(time.time()), previous=previous)
    draft.state, draft.signed_by, draft.signed_at = "signed", person, timezone.now()
    draft.save()
    log.record(
        organisation, person, "bundle.signed", f"bundle {draft.pk}", version=draft.version,
        proposed_by=draft.proposed_by.email, bundle_sha256=hashlib.sha256(draft.envelope).hexdigest(),
    )  # fmt: skip
    return draft


@transaction.atomic
def withdraw(draft: BundleDraft, person: Person) -> bool:
    """Withdraws a proposal and deletes its signatures. Returns False if it is signed or withdrawn already."""
    done = BundleDraft.objects.filter(pk=draft.pk, state="proposed").update(state="withdrawn")
    if done:
        draft.signatures.all().delete()  # one more person could otherwise complete it elsewhere
        log.record(draft.organisation, person, "bundle.withdrawn", f"bundle {draft.pk}", version=draft.version)
    return bool(done)


def newest_signed(organisation: Organisation) -> BundleDraft | None:
    return BundleDraft.objects.filter(organisation=organisation, state="signed").order_by("-version").first()


def compare(old: Sequence[RequesterEntry], new: Sequence[RequesterEntry]) -> Difference:
    """Returns what a person who signs must look at."""
    before, after = ({entry.id: entry for entry in entries} for entries in (old, new))
    changed = (
        ChangedEntry(name, _fields_that_differ(before[name], after[name]))
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    )
    return Difference(
        tuple(sorted(after.keys() - before.keys())), tuple(sorted(before.keys() - after.keys())), tuple(changed)
    )


def _fields_that_differ(old: RequesterEntry, new: RequesterEntry) -> tuple[str, ...]:
    names = RequesterEntry.__struct_fields__
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))


def next_list(text: str, version: int) -> str:
    """Returns the list with the next version, to start a proposal from. `version`: that of the list."""
    return _VERSION_LINE.sub(f"version = {version + 1}", text, count=1)


def reminders(entries: Sequence[RequesterEntry], now_s: int) -> list[EndingKey]:
    """Returns the requesters with a last key that has ended or ends within 60 days, the first to end first."""
    found = []
    for entry in entries:
        until_s = max((key.until_s for key in entry.keys if not key.revoked), default=0)
        if until_s < now_s + _REMIND_DAYS * _DAY_S:
            found.append(EndingKey(entry.name, until_s, until_s < now_s))
    return sorted(found, key=lambda each: (each.until_s, each.requester))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
