"""Forms of people and organisations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from agent.wire.fields import clean_text
from desk.people.models import DEFAULT_RETENTION_DAYS, Membership, Organisation, Person
from desk.people.roles import Role
from desk.sealed_keys import LEAST_PASSPHRASE

__all__ = [
    "AccountForm",
    "AddPasskeyForm",
    "BrokerPasswordForm",
    "BundleForm",
    "CertificateForm",
    "InvitationForm",
    "NewPassphraseForm",
    "OneTimeLinkForm",
    "OrganisationForm",
    "PassphraseForm",
    "RolesForm",
    "TimeTrustForm",
]


def _without_invisible(form: forms.Form | forms.ModelForm[Any], name: str) -> str:
    """Returns a name without marks that turn the text around it, or that make two names look like one.

    Colleagues who confirm roles, readers of bulletins and auditors read such names.
    """
    cleaned = clean_text(form.cleaned_data[name])
    if not cleaned and form.fields[name].required:
        raise ValidationError(form.fields[name].error_messages["required"])
    return cleaned


class OneTimeLinkForm(forms.Form):
    """A person who comes by a one-time link says who they are, and how they will sign in."""

    WITH_PASSKEY: ClassVar = "passkey"
    WAYS: ClassVar = ((WITH_PASSKEY, _("with a passkey of this device")), ("password", _("with a password")))

    name = forms.CharField(label=_("Your name"), max_length=120)
    email = forms.EmailField(label=_("E-mail address"))
    way = forms.ChoiceField(label=_("You will sign in"), choices=WAYS, widget=forms.RadioSelect, initial="passkey")
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 12 characters."),
    )

    def __init__(self, *args: Any, person: Person | None = None, email: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._person = person
        if person:
            del self.fields["name"], self.fields["email"]
        elif email:
            self.fields["email"].initial, self.fields["email"].disabled = email, True

    def clean_name(self) -> str:
        return _without_invisible(self, "name")

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        if Person.objects.filter(email__iexact=email).exists():
            raise ValidationError(_("A person with this address already has an account."))
        return email

    def clean(self) -> dict[str, Any]:
        words = super().clean() or self.cleaned_data
        if words.get("way") == self.WITH_PASSKEY:
            words["password"] = None
        else:
            person = self._person or Person(email=words.get("email", ""), first_name=words.get("name", ""))
            try:
                password_validation.validate_password(words.get("password") or "", person)
            except ValidationError as error:
                self.add_error("password", error)
        return words


class AddPasskeyForm(AddWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """A passkey of the desk always signs in alone, so it needs no tick for that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["passwordless"]
        self.fields["name"].label = _("Name of the passkey")

    def clean(self) -> dict[str, Any]:
        self.cleaned_data["passwordless"] = True  # allauth then wants a PIN, a finger or a face to have been checked
        cleaned: dict[str, Any] = super().clean()
        return cleaned


class AccountForm(forms.ModelForm[Person]):
    """A person's name and language."""

    class Meta:
        model = Person
        fields = ("first_name", "language")
        labels: ClassVar = {"first_name": _("Name")}

    def clean_first_name(self) -> str:
        return _without_invisible(self, "first_name")


ROLE_WORDS: Final[dict[str, str | Promise]] = {
    Role.ADMIN: _("Manages the people, the organisation and its keys. Sees no footage."),
    Role.ASKER: _("Writes requests, and works on cases and their footage."),
    Role.SUPERVISOR: _("Approves requests of others, publishes bulletins, sets legal holds, exports, works on cases."),
    Role.EVIDENCE_OFFICER: _("Exports, shares with guests, sets legal holds, deletes footage, works on cases."),
    Role.VIEWER: _("Sees requests, cases and footage, and changes nothing."),
    Role.AUDITOR: _("Reads the custody log and what is known about cases. Sees no footage."),
    Role.MODERATOR: _("Decides what neighbours ask and write. Sees no cases and no footage."),
}
"""A sentence about each role, from the table `roles.PERMISSIONS`."""


def _roles_in_words() -> list[tuple[str, SafeString]]:
    return [(role, format_html("{} <small>{}</small>", name, ROLE_WORDS[role])) for role, name in Membership.ROLES]


class RolesForm(forms.Form):
    """The roles of a person in an organisation."""

    roles = forms.MultipleChoiceField(
        label=_("Roles"), choices=_roles_in_words, widget=forms.CheckboxSelectMultiple, required=True
    )


class InvitationForm(RolesForm):
    """A colleague to invite."""

    email = forms.EmailField(label=_("E-mail address"))
    field_order = ("email", "roles")


class BundleForm(forms.Form):
    """The bundle of the root that vouches for the organisation."""

    root = forms.CharField(
        label=_("Public key of the root"), max_length=120, help_text=_("The root publishes it: ed25519:…")
    )
    bundle = forms.FileField(label=_("Bundle"), help_text=_("The file bundle.dsse that the root signed."))
    brokers = forms.FileField(
        label=_("List of brokers"),
        required=False,
        help_text=_("The file brokers.json, if the root gave you one with the bundle."),
    )


class CertificateForm(forms.Form):
    """The certificate for the broker and the broker's authority. With several brokers, for which of them."""

    host = forms.ChoiceField(label=_("Broker"), required=False)
    certificate = forms.FileField(label=_("Certificate"), help_text=_("The file that the broker's operator signed."))
    authority = forms.FileField(label=_("Authority of the broker"), help_text=_("The file broker.pem."))

    def __init__(self, *args: Any, hosts: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        if hosts:
            every = ("", _("all of them: one operator signs for every broker"))
            self.fields["host"].choices = [*((each, each) for each in hosts), every]  # type: ignore[attr-defined]
            self.fields["host"].initial = hosts[0]
        else:
            del self.fields["host"]


class BrokerPasswordForm(forms.Form):
    """The password or token for a broker that takes no certificates, and that broker's authority. The page never shows
    a password again, also after an error."""

    MOST_BYTES: ClassVar = 16_384
    """As `agent.mqtt.tls.read_password`, without the end of the line."""

    host = forms.ChoiceField(label=_("Broker"))
    password = forms.CharField(
        label=_("Password or token"),
        max_length=MOST_BYTES,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("A new one replaces the one before. The desk reads it at its next connection."),
    )
    authority = forms.FileField(
        label=_("Authority of the broker"),
        required=False,
        help_text=_("Needed once. The service gives it: the certificate of the authority that signed the broker's."),
    )

    def __init__(self, *args: Any, hosts: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["host"].choices = [(each, each) for each in hosts]  # type: ignore[attr-defined]

    def clean_password(self) -> str:
        password = str(self.cleaned_data["password"])
        if any(each in password for each in "\r\n") or len(password.encode()) >= self.MOST_BYTES:
            raise ValidationError(_("It must be one line of less than 16 KiB."))
        return password


class TimeTrustForm(forms.Form):
    """The witnesses and authorities of time-stampers that may confirm times."""

    witnesses = forms.CharField(
        label=_("Keys of witnesses"),
        required=False,
        max_length=16_384,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("One verifier key a line: name+hash+key. Take it from the witness itself, not from a doorbell."),
    )
    authorities = forms.FileField(
        label=_("Authorities of time-stampers"),
        required=False,
        help_text=_("Their certificates in one PEM file, from the authorities themselves. It replaces the one before."),
    )


class OrganisationForm(forms.ModelForm[Organisation]):
    """Name and rules of an organisation."""

    requester_id = forms.CharField(
        label=_("Short name"),
        max_length=32,
        validators=[RegexValidator(r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z", _("Use a to z, 0 to 9 and -."))],
        help_text=_(
            "Part of each request, for example rijnstad-police: small letters, digits and -. "
            "It cannot be changed later."
        ),
    )

    retention_days = forms.IntegerField(
        label=capfirst(_("days to keep footage")),
        min_value=1,
        max_value=36_525,
        initial=DEFAULT_RETENTION_DAYS,
        help_text=_("For requests that do not say otherwise, and for tips. Receipts of tips promise it."),
    )

    class Meta:
        model = Organisation
        fields = ("name", "requester_id", "kind", "language", "two_person_rule", "retention_days")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["requester_id"].disabled = self.fields["kind"].disabled = True

    def clean_name(self) -> str:
        return _without_invisible(self, "name")


class PassphraseForm(forms.Form):
    """The passphrase that unlocks the signing key."""

    passphrase = forms.CharField(
        label=_("Passphrase of the signing key"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )


class NewPassphraseForm(forms.Form):
    """The passphrase of a signing key that is to be sealed, twice."""

    passphrase = forms.CharField(
        label=_("New passphrase"),
        min_length=LEAST_PASSPHRASE,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 16 characters. It is stored nowhere: without it the organisation needs a new key."),
    )
    again = forms.CharField(
        label=_("The same again"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def clean(self) -> dict[str, Any]:
        words = super().clean() or {}
        if words.get("passphrase") != words.get("again"):
            self.add_error("again", _("The two differ."))
        return words
