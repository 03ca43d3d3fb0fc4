"""The part of the trust root's page for a root of several keys: people's keys, root files, signatures, publication."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from agent.clients.requester.broker_files import password_hosts, remove_password
from agent.clients.requester.root_folder import sections_file
from agent.errors import DoorwardError, RequestError
from agent.wire.trust_keys import TrustKey, parse_trust_key
from agent.wire.trust_package import RootFile
from desk.custody import log
from desk.passphrase_tries import forget_tries, take_try
from desk.people.broker_certificates import (
    BrokerCertificate,
    certificate_for,
    certificates_for,
    make_request,
    store_certificate,
    store_password,
)
from desk.people.forms import BrokerPasswordForm, CertificateForm
from desk.people.permissions import Action, DeskRequest, get_in, needs
from desk.reasons import error_words
from desk.streaming import attachment
from desk.trust import bundles, root_publisher, shared_root
from desk.trust.forms import PersonKeyForm, RootForm, SignForm
from desk.trust.models import BundleDraft, Publication, RootDraft, RootKey
from desk.trust.root_keys import is_sealed

__all__ = [
    "add_key",
    "broker_password",
    "bundle_payload",
    "certificate",
    "certificate_request",
    "package",
    "propose_root",
    "retire_key",
    "root_payload",
    "root_view",
    "sign_root",
    "sign_with_own_key",
    "signing_view",
    "withdraw_root",
]

_SOON_DAYS: Final = 60
_FEW_SETS: Final = 3
_PEM_LIMIT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A person's key. `in_force`: the root file in force lists it."""

    key: RootKey
    id: str
    in_force: bool


@dataclass(frozen=True, slots=True)
class BrokerRow:
    """One broker, the root's certificate for it, and what it has."""

    address: str
    certificate: BrokerCertificate
    publication: Publication | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class RootView:
    """All that the page shows of a root of several keys. `root_file` is None for a root with one key, or none."""

    name_key: TrustKey | None
    root_file: RootFile | None
    ends: datetime | None
    ends_soon: bool
    is_over: bool
    keys: tuple[KeyRow, ...]
    own_key: RootKey | None
    can_propose: bool
    sets_left: int | None
    """How many more sets of keys the root can have and still publish its list, if these are few."""
    one_key_in_token: bool
    """True if the root has one key, in the token, which is deleted when a proposal comes into force."""
    proposals: tuple[dict[str, Any], ...]
    again: dict[str, Any] | None
    """How to sign the list in force again, if the next keys have not signed it."""
    problem: str
    """Why no package can be made, or empty."""
    stamped_until: datetime | None
    brokers: tuple[BrokerRow, ...]
    left_passwords: tuple[BrokerCertificate, ...]
    """Brokers with a password of the root on which it does not publish now."""
    connection: str

    @property
    def hosts(self) -> list[str]:
        return [row.certificate.host for row in self.brokers if row.certificate.host]


def root_view(request: DeskRequest) -> RootView:
    organisation = request.organisation
    root_file, newest = shared_root.root_file_of(organisation), shared_root.newest_root(organisation)
    rows = tuple(
        KeyRow(
            each,
            parse_trust_key(each.public_key).id,
            root_file is not None and each.public_key in root_file.keys,
        )
        for each in shared_root.active_keys(organisation)
    )
    drafts = RootDraft.objects.filter(organisation=organisation, state="proposed").select_related("proposed_by")
    current = bundles.newest_signed(organisation)
    lacks = current is not None and root_file is not None and shared_root.missing_signatures(current) > 0
    stamped_s = root_publisher.stamped_until_s(organisation) if newest is not None else 0
    ends = _day(root_file.expires_s) if root_file is not None else None
    left = shared_root.root_files_left(organisation)
    sets_left = min(left, root_publisher.root_files_with_room(organisation))
    fault = Publication.objects.filter(organisation=organisation, broker=root_publisher.NO_BROKER).first()
    now = timezone.now()
    return RootView(
        name_key=parse_trust_key(newest.name_key) if newest is not None else None,
        root_file=root_file,
        ends=ends,
        ends_soon=ends is not None and (ends - now).days < _SOON_DAYS,
        is_over=ends is not None and ends <= now,
        keys=rows,
        own_key=shared_root.active_key(organisation, request.user),
        can_propose=len(rows) >= shared_root.LEAST_SIGNERS and not drafts and left > 0,
        sets_left=sets_left if sets_left <= _FEW_SETS else None,
        one_key_in_token=newest is None and shared_root.has_token_key(organisation),
        proposals=tuple(_root_proposal(request, each) for each in drafts),
        again=signing_view(request, current) if lacks and current is not None and current.payload else None,
        problem=fault.problem if fault is not None else "",
        stamped_until=_day(stamped_s) if stamped_s else None,
        brokers=_broker_rows(request) if newest is not None else (),
        left_passwords=_left_passwords(request) if newest is not None else (),
        connection=root_publisher.connection_of(organisation)[1] if newest is not None else "",
    )


def signing_view(request: DeskRequest, draft: BundleDraft | RootDraft) -> dict[str, Any] | None:
    """Returns who signed, how many are missing, and the form of this person. None for a root with one key."""
    if not draft.payload:
        return None
    signers, key = shared_root.signers_of(draft), shared_root.active_key(request.organisation, request.user)
    may = key is not None and key not in signers and request.may(Action.SIGN_TRUST)
    kind = "root" if isinstance(draft, RootDraft) else "bundle"
    return {
        "draft": draft,
        "kind": kind,
        "signers": [str(each.person) for each in signers],
        "missing": shared_root.missing_signatures(draft),
        "outside": key is not None and key.place == "outside",
        "form": SignForm(auto_id=f"{kind}-{draft.pk}-%s", place=key.place, own=True) if may and key else None,
    }


@sensitive_post_parameters("passphrase", "again")
@require_POST
@needs(Action.SIGN_TRUST)
def add_key(request: DeskRequest) -> HttpResponse:
    """Makes this person's key, or notes the public key that they made elsewhere."""
    token = settings.DESK.token is not None
    form = PersonKeyForm(request.POST, in_token=token)
    if not form.is_valid():
        return _refused(request, form)
    try:
        shared_root.add_key(
            request.organisation,
            request.user,
            form.cleaned_data.get("passphrase") or "",
            form.cleaned_data["outside"],
            in_token=token and not form.cleaned_data["outside"],
        )
    except DoorwardError as error:
        messages.error(request, error_words(error))
    else:
        messages.success(request, _("Your key is here. It signs once it is among the keys in force."))
    return redirect("trust:bundles")


@require_POST
@needs(Action.SIGN_TRUST)
def retire_key(request: DeskRequest, pk: int) -> HttpResponse:
    """Retires a key that is not in force."""
    try:
        shared_root.retire_key(get_in(request.organisation, RootKey, pk), request.user)
    except DoorwardError as error:
        messages.error(request, error_words(error))
    return redirect("trust:bundles")


@sensitive_post_parameters("passphrase")
@sensitive_variables("form")
@require_POST
@needs(Action.SIGN_TRUST)
def propose_root(request: DeskRequest) -> HttpResponse:
    """Proposes the keys of the root."""
    organisation = request.organisation
    sealed = shared_root.newest_root(organisation) is None and is_sealed(shared_root.root_folder(organisation))
    form = RootForm(request.POST, organisation=organisation, sealed=sealed)
    if not form.is_valid():
        return _refused(request, form)
    words = form.cleaned_data
    try:
        if sealed:
            take_try(organisation, request.user, "root key")
        shared_root.propose_root(
            organisation, request.user, words["keys"], words["threshold"], words["days"],
            passphrase=words.get("passphrase", ""),
        )  # fmt: skip
        if sealed:
            forget_tries(organisation, request.user, "root key")
    except DoorwardError as error:
        messages.error(request, error_words(error))
    else:
        messages.success(request, _("Proposed. The people of these keys have to sign."))
    return redirect("trust:bundles")


@sensitive_post_parameters("passphrase")
@require_POST
@needs(Action.SIGN_TRUST)
def sign_root(request: DeskRequest, pk: int) -> HttpResponse:
    """Signs a proposal of keys with this person's key."""
    return sign_with_own_key(request, get_in(request.organisation, RootDraft, pk))


@sensitive_variables("form")
def sign_with_own_key(request: DeskRequest, draft: BundleDraft | RootDraft) -> HttpResponse:
    """Signs a list or a proposal of keys with this person's key."""
    organisation, key = request.organisation, shared_root.active_key(request.organisation, request.user)
    form = SignForm(request.POST, place=key.place if key else "token")
    if not form.is_valid():
        return _refused(request, form)
    sealed, tried = key is not None and key.place == "sealed", f"root key {key.pk if key else ''}"
    try:
        if sealed:
            take_try(organisation, request.user, tried)
        words = form.cleaned_data
        done = shared_root.add_signature(draft, request.user, words.get("passphrase", ""), words.get("signature", ""))
        if sealed:
            forget_tries(organisation, request.user, tried)
    except RequestError as error:
        messages.error(request, error_words(error))
    except DoorwardError as error:
        kind = "root-file" if isinstance(draft, RootDraft) else "bundle"
        log.record(organisation, request.user, f"{kind}.not-signed", f"{kind} {draft.pk}", problem=error.message)
        messages.error(request, error_words(error))
    else:
        missing = shared_root.missing_signatures(done)
        words_said = _("Signed. More people have to sign.") if missing else _("Signed by all who have to sign.")
        messages.success(request, words_said)
    return redirect("trust:bundles")


@require_POST
@needs(Action.SIGN_TRUST)
def withdraw_root(request: DeskRequest, pk: int) -> HttpResponse:
    """Withdraws a proposal of keys."""
    shared_root.withdraw_root(get_in(request.organisation, RootDraft, pk), request.user)
    return redirect("trust:bundles")


@require_safe
@needs(Action.SEE_TRUST)
def root_payload(request: DeskRequest, pk: int) -> HttpResponse:
    """The proposed root file, to sign elsewhere."""
    name, data = shared_root.payload_of(get_in(request.organisation, RootDraft, pk))
    return attachment(data, name=name, content_type="application/json")


@require_safe
@needs(Action.SEE_TRUST)
def bundle_payload(request: DeskRequest, pk: int) -> HttpResponse:
    """The proposed bundle, to sign elsewhere. A long list comes with its sections, in one archive."""
    draft = get_in(request.organisation, BundleDraft, pk)
    name, data = shared_root.payload_of(draft)
    if not data:
        raise Http404
    sections = shared_root.sections_of(draft)
    if not sections:
        return attachment(data, name=name, content_type="application/json")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        archive.writestr(*sections_file(draft.version, sections))
    return attachment(packed.getvalue(), name=f"bundle-{draft.version}.zip", content_type="application/zip")


@require_safe
@needs(Action.SEE_TRUST)
def package(request: DeskRequest) -> HttpResponse:
    """The newest package, as it is published."""
    if not root_publisher.stamped_until_s(request.organisation):
        raise Http404
    data = shared_root.files_of(request.organisation).package()
    return attachment(data, name="package.json", content_type="application/json")


@require_safe
@needs(Action.SIGN_TRUST)
def certificate_request(request: DeskRequest) -> HttpResponse:
    """The root's signing request for the operators of brokers."""
    if shared_root.newest_root(request.organisation) is None:
        raise Http404
    folder, name = root_publisher.connection_of(request.organisation)
    return attachment(make_request(folder, name), name="root.csr", content_type="application/octet-stream")


@require_POST
@needs(Action.SIGN_TRUST)
def certificate(request: DeskRequest) -> HttpResponse:
    """Takes the root's certificate for one broker, or for every broker."""
    if shared_root.newest_root(request.organisation) is None:
        raise Http404
    form = CertificateForm(request.POST, request.FILES, hosts=root_view(request).hosts)
    if not form.is_valid():
        return _refused(request, form)
    folder, name = root_publisher.connection_of(request.organisation)
    given = [form.cleaned_data[each].read(_PEM_LIMIT_BYTES) for each in ("certificate", "authority")]
    host = form.cleaned_data.get("host", "")
    try:
        store_certificate(
            folder, name, given[0], given[1], host,
            record=lambda: log.record(request.organisation, request.user, "root.certificate", host or name),
        )  # fmt: skip
    except DoorwardError as error:
        messages.error(request, error_words(error))
    else:
        messages.success(request, _("The root publishes with this certificate within a minute."))
    return redirect("trust:bundles")


@sensitive_post_parameters("password")
@sensitive_variables("form")
@require_POST
@needs(Action.SIGN_TRUST)
def broker_password(request: DeskRequest) -> HttpResponse:
    """Takes the root's password for one broker, or removes it: `remove` names the broker."""
    organisation = request.organisation
    if shared_root.newest_root(organisation) is None:
        raise Http404
    hosts, (folder, name) = root_view(request).hosts, root_publisher.connection_of(organisation)
    if request.POST.get("remove") in password_hosts(folder):
        host = request.POST["remove"]
        log.record(organisation, request.user, "root.broker-password-removed", name, broker=host)
        remove_password(folder, host)  # after the entry is committed, because files do not roll back
        messages.success(request, _("The password is removed."))
        return redirect("trust:bundles")
    form = BrokerPasswordForm(request.POST, request.FILES, hosts=hosts)
    if not form.is_valid():
        return _refused(request, form)
    given, host = form.cleaned_data["authority"], form.cleaned_data["host"]
    authority = given.read(_PEM_LIMIT_BYTES) if given else None
    action, is_new = "root.broker-password", authority is not None
    try:
        store_password(
            folder, host, form.cleaned_data["password"], authority,
            record=lambda: log.record(organisation, request.user, action, name, broker=host, authority=is_new),
        )  # fmt: skip
    except DoorwardError as error:
        messages.error(request, error_words(error))
    else:
        messages.success(request, _("The root signs in with this password within a minute."))
    return redirect("trust:bundles")


def _root_proposal(request: DeskRequest, draft: RootDraft) -> dict[str, Any]:
    listed = shared_root.proposed_file(draft)
    known = {each.public_key: str(each.person) for each in shared_root.active_keys(request.organisation)}
    return {
        "draft": draft,
        "people": [known.get(text, text) for text in listed.keys],
        "threshold": listed.threshold,
        "ends": _day(listed.expires_s),
        "signing": signing_view(request, draft),
    }


def _broker_rows(request: DeskRequest) -> tuple[BrokerRow, ...]:
    organisation = request.organisation
    addresses = root_publisher.brokers_of(organisation)
    if not addresses:
        return ()
    folder, _name = root_publisher.connection_of(organisation)
    certificates = {each.host: each for each in certificates_for(folder, [each.host for each in addresses])}
    rows = {each.broker: each for each in Publication.objects.filter(organisation=organisation)}
    newest = {each: root_publisher.package_sha256(organisation, each) for each in addresses}
    return tuple(
        BrokerRow(
            str(address),
            certificates[address.host],
            rows.get(str(address)),
            str(address) in rows and bool(newest[address]) and rows[str(address)].sha256 == newest[address],
        )
        for address in addresses
    )


def _left_passwords(request: DeskRequest) -> tuple[BrokerCertificate, ...]:
    used = {each.host for each in root_publisher.brokers_of(request.organisation)}
    folder, _name = root_publisher.connection_of(request.organisation)
    return tuple(certificate_for(folder, host) for host in password_hosts(folder) if host not in used)


def _refused(request: DeskRequest, form: Any) -> HttpResponse:
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else ""
        messages.error(request, " ".join((f"{label}:" if label else "", *map(str, errors))).strip())
    return redirect("trust:bundles")


def _day(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
