"""Forms of the trust root's page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from agent.errors import ConfigurationError
from desk.people.forms import NewPassphraseForm
from desk.people.models import Organisation
from desk.reasons import error_words
from desk.trust.bundles import entries_in
from desk.trust.models import RootKey

__all__ = ["KeyForm", "PersonKeyForm", "ProposalForm", "RootForm", "SignForm"]


class ProposalForm(forms.Form):
    """A new version of the list."""

    text = forms.CharField(
        label=_("List of requesters (TOML)"),
        strip=False,
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false", "class": "code-lines"}),
    )

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"].replace("\r\n", "\n")
        try:
            entries_in(text)
        except ConfigurationError as error:
            raise ValidationError(error_words(error)) from error
        return text


class SignForm(forms.Form):
    """The passphrase that opens a key. A key in a token needs none, and one elsewhere sends its signature."""

    passphrase = forms.CharField(
        label=_("Passphrase of the root's key"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "off"})
    )
    signature = forms.CharField(label=_("Signature that you made elsewhere"), max_length=8192)

    def __init__(self, *args: Any, place: str = "sealed", own: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        if place != "sealed":
            del self.fields["passphrase"]
        elif own:
            self.fields["passphrase"].label = _("Passphrase of your key")
        if place != "outside":
            del self.fields["signature"]


class KeyForm(NewPassphraseForm):
    """The passphrase of a new root key, twice. A key in a token has none."""

    def __init__(self, *args: Any, in_token: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        if in_token:
            del self.fields["passphrase"], self.fields["again"]
        else:
            self.fields["passphrase"].help_text = _(
                "At least 16 characters. It is stored nowhere: without it no bundle can be signed."
            )


class PersonKeyForm(KeyForm):
    """A person's key of a root of several keys: made here or in the token, or made elsewhere."""

    outside = forms.CharField(
        label=_("Or the public key that you made elsewhere"),
        required=False,
        max_length=120,
        help_text=_("The line ed25519:… of “doorward requester keygen --root”. The desk then never has your key."),
    )

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        for name in ("passphrase", "again"):
            if name in self.fields:
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        words = super().clean()
        if "passphrase" in self.fields and bool(words.get("passphrase")) == bool(words.get("outside")):
            self.add_error("outside", _("Give a passphrase, or a public key."))
        return words


class RootForm(forms.Form):
    """The keys of a root of several keys, and how many of them sign."""

    keys = forms.ModelMultipleChoiceField(RootKey.objects.none(), label=_("Keys"), widget=forms.CheckboxSelectMultiple)
    threshold = forms.IntegerField(
        label=_("How many of them sign"), min_value=2, max_value=8, initial=2,
        help_text=_("A thief of fewer keys signs nothing. If too many keys are lost, the root is lost, too."),
    )  # fmt: skip
    days = forms.IntegerField(label=_("Days until the keys end"), min_value=30, max_value=3650, initial=730)
    passphrase = forms.CharField(
        label=_("Passphrase of the root's one key"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_(
            "That key signs the new keys once. It is deleted when they are in force. Delete its copies in backups, too."
        ),
    )

    def __init__(self, *args: Any, organisation: Organisation, sealed: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["keys"].queryset = RootKey.objects.filter(organisation=organisation, retired_at=None)  # type: ignore[attr-defined]
        self.fields["keys"].label_from_instance = lambda key: f"{key.person} ({key.get_place_display()})"  # type: ignore[attr-defined]
        if not sealed:
            del self.fields["passphrase"]
