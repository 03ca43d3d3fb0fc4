"""Setting up an organisation: its row, its keys, its trust root, and its certificate for the broker."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.db import transaction

from agent.clients.requester.broker_files import password_hosts, remove_password
from agent.clients.requester.identity import Requester
from agent.clients.requester.keys import Signer
from agent.clients.requester.roots import KnownRoots
from agent.clients.requester.sealed_parts import SealedParts
from agent.clients.requester.time_trust import write_time_trust
from agent.clients.time_confirmations import TimeTrust
from agent.errors import DoorwardError
from agent.platform import files
from agent.wire.fields import Kind
from agent.wire.trust import TrustedRequester
from desk.custody import log
from desk.people.broker_certificates import (
    BrokerCertificate,
    certificate_for,
    certificates_for,
    make_request,
    store_certificate,
    store_password,
)
from desk.people.models import Membership, Organisation, Person
from desk.people.roles import Role
from desk.sealed_keys import is_sealed, sealed_signer
from desk.storage.shared_parts import shared_parts
from desk.storage.shared_stores import SharedStores, shared_stores, worker_stores

__all__ = [
    "broker_certificates",
    "broker_hosts",
    "certificate_request",
    "connection_name",
    "drop_password",
    "folder_of",
    "import_bundle",
    "left_password_hosts",
    "requester_of",
    "set_up",
    "take_certificate",
    "take_password",
    "trust_times_of",
    "worker_of",
]


def folder_of(organisation: Organisation) -> Path:
    """Returns the folder with the keys, requests and answers of the organisation."""
    folder: Path = settings.ORGANISATIONS / organisation.requester_id
    return folder


def requester_of(organisation: Organisation) -> Requester:
    """Returns the organisation's requester. Raises `ConfigurationError` with the remedy."""
    folder, parts = folder_of(organisation), shared_parts(organisation.requester_id)
    return _opened(organisation, parts, shared_stores(organisation.requester_id, folder, parts))


def worker_of(organisation: Organisation) -> Requester:
    """Returns the same for a receiver, which may share the work with others. Close its claims afterwards."""
    folder, parts = folder_of(organisation), shared_parts(organisation.requester_id)
    stores = worker_stores(organisation.requester_id, folder, parts)
    try:
        return _opened(organisation, parts, stores)
    except BaseException:
        if stores is not None:
            stores.claims.close()
        raise


def _opened(organisation: Organisation, parts: SealedParts | None, stores: SharedStores | None) -> Requester:
    folder = folder_of(organisation)
    signer: Signer | None = None
    if is_sealed(folder):
        signer = sealed_signer(folder)
    elif not files.is_there(folder / "signing.key"):
        signer = _token_signer(organisation)
    if stores is None:
        return Requester.open(folder, signer, None, parts)
    return Requester.open(folder, signer, stores.index, parts, stores.notes, stores.claims)


def _token_signer(organisation: Organisation) -> Signer | None:
    token = settings.DESK.token
    if token is None:
        return None
    from desk.tokens import token_signer  # loads a library that most desks do without

    return token_signer(token, organisation.requester_id)


@transaction.atomic
def set_up(organisation: Organisation, admin: Person) -> None:
    """Stores a new organisation with its keys, and makes `admin` its first member. Raises `ConfigurationError`.

    With a token in desk.toml, the signing key is made there.
    """
    organisation.save()
    Membership.objects.create(person=admin, organisation=organisation, role=Role.ADMIN)
    signer = _token_signer(organisation)
    place = "token" if signer else "file"
    log.record(organisation, admin, "organisation.made", organisation.requester_id, key=place)
    # Last, because files do not roll back: a failure before leaves no folder that would block another try.
    Requester.create(
        folder_of(organisation),
        organisation.requester_id,
        Kind(organisation.kind),
        signer=signer,
        retention_days=organisation.retention_days,
        language=organisation.language,
    )


@transaction.atomic
def import_bundle(
    organisation: Organisation, by: Person, root: str, bundle: bytes, brokers: bytes | None = None
) -> TrustedRequester:
    """Takes the bundle of the root with the public key `root`, which vouches for the organisation from now on.

    `brokers`: the broker directory that the bundle names. Raises `ConfigurationError` with the remedy, for example if
    the bundle lists another key.
    """
    roots = KnownRoots(requester_of(organisation))
    listed = roots.accept(root.strip(), bundle, int(time.time()), brokers)
    roots.choose(listed.root)
    organisation.trust_root = listed.root
    organisation.save(update_fields=["trust_root"])
    log.record(organisation, by, "organisation.trust-root", listed.root, name=listed.name, key=root.strip())
    return listed


@transaction.atomic
def trust_times_of(organisation: Organisation, by: Person, witnesses: str, authorities: bytes | None) -> TimeTrust:
    """Stores those that may confirm times. Raises `ConfigurationError`, and then nothing changes."""
    notes = requester_of(organisation).notes
    checked = TimeTrust.of(witnesses, [] if authorities is None else [authorities])
    names = ", ".join(each.name for each in checked.witnesses)
    added = None if authorities is None else hashlib.sha256(authorities).hexdigest()
    log.record(organisation, by, "organisation.time-trust", names or "nothing", authorities_sha256=added)
    return write_time_trust(notes, witnesses, authorities)


def certificate_request(organisation: Organisation) -> bytes:
    """Returns the signing request for the brokers' operators, in PEM. The key stays in the organisation's folder."""
    return make_request(folder_of(organisation), connection_name(organisation))


def take_certificate(
    organisation: Organisation, by: Person, certificate: bytes, authority: bytes, host: str = ""
) -> None:
    """Stores the certificate that the operator of the broker `host` signed, and the broker's authority.

    An empty `host` stands for every broker without an own one. Raises `ConfigurationError` if the certificate is for
    another key or name.
    """
    name, named = connection_name(organisation), {"broker": host} if host else {}
    store_certificate(
        folder_of(organisation), name, certificate, authority, host,
        record=lambda: log.record(organisation, by, "organisation.certificate", name, **named),
    )  # fmt: skip


def take_password(organisation: Organisation, by: Person, host: str, password: str, authority: bytes | None) -> None:
    """Stores the password or token with which the desk signs in at the broker `host`. Raises as `store_password` does.
    The custody log says for which broker, and nothing of the password."""
    action, name, is_new = "organisation.broker-password", connection_name(organisation), authority is not None
    store_password(
        folder_of(organisation), host, password, authority,
        record=lambda: log.record(organisation, by, action, name, broker=host, authority=is_new),
    )  # fmt: skip


def drop_password(organisation: Organisation, by: Person, host: str) -> None:
    """Removes the password for the broker `host`."""
    name = connection_name(organisation)
    log.record(organisation, by, "organisation.broker-password-removed", name, broker=host)
    remove_password(folder_of(organisation), host)  # after the entry is committed, because files do not roll back


def broker_hosts(organisation: Organisation) -> list[str]:
    """Returns the names of the brokers that the desk connects to: that of desk.toml, or those of the root's list."""
    if settings.DESK.broker.host:
        return [settings.DESK.broker.host]
    try:
        listed = KnownRoots(requester_of(organisation)).own_brokers(int(time.time()))
    except DoorwardError:
        return []  # the step of the broker says what is wrong
    return list(dict.fromkeys(each.host for each in listed[1])) if listed is not None else []


def left_password_hosts(organisation: Organisation) -> list[str]:
    """Returns the brokers with a password to which the desk no longer connects."""
    used = broker_hosts(organisation)
    return [host for host in password_hosts(folder_of(organisation)) if host not in used]


def broker_certificates(organisation: Organisation) -> list[BrokerCertificate]:
    """Returns the certificate of each broker that the desk connects to. Without a list, that for every broker."""
    folder, host = folder_of(organisation), settings.DESK.broker.host
    if not host:
        return certificates_for(folder, broker_hosts(organisation))
    return [replace(certificate_for(folder, host), host="", is_own=True)]


def connection_name(organisation: Organisation) -> str:
    """Returns the name under which the desk connects to the broker."""
    worker: str = settings.DESK.broker.worker
    return f"{organisation.requester_id}.{worker}" if worker else organisation.requester_id
