"""Forms of people and organisations."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation, Person

__all__ = ["OneTimeLinkForm", "OrganisationForm"]


class OneTimeLinkForm(forms.Form):
    """A person who comes by a one-time link says who they are, and chooses a password."""

    name = forms.CharField(label=_("Your name"), max_length=120)
    email = forms.EmailField(label=_("E-mail address"))
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 12 characters. You can add a passkey afterwards."),
    )

    def __init__(self, *args: Any, person: Person | None = None, email: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._person = person
        if person:
            del self.fields["name"], self.fields["email"]
        elif email:
            self.fields["email"].initial, self.fields["email"].disabled = email, True

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        if Person.objects.filter(email__iexact=email).exists():
            raise ValidationError(_("A person with this address already has an account."))
        return email

    def clean_password(self) -> str:
        password = str(self.cleaned_data["password"])
        person = self._person or Person(email=self.cleaned_data.get("email", ""))
        password_validation.validate_password(password, person)
        return password


class OrganisationForm(forms.ModelForm[Organisation]):
    """Name and rules of an organisation."""

    requester_id = forms.CharField(
        label=_("Short name"),
        max_length=32,
        validators=[RegexValidator(r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z", _("Use a to z, 0 to 9 and -."))],
        help_text=_("Part of each request, for example rijnstad-police. It cannot be changed later."),
    )

    class Meta:
        model = Organisation
        fields = ("name", "requester_id", "kind", "language", "two_person_rule", "retention_days")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["requester_id"].disabled = self.fields["kind"].disabled = True
