"""Forms of the trust root's page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from agent.errors import ConfigurationError
from desk.reasons import error_words
from desk.trust.bundles import entries_in
from desk.trust.root_keys import LEAST_PASSPHRASE

__all__ = ["KeyForm", "ProposalForm", "SignForm"]


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
    """The passphrase that opens the root's key. A key in a token needs none."""

    passphrase = forms.CharField(
        label=_("Passphrase of the root's key"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "off"})
    )

    def __init__(self, *args: Any, sealed: bool = True, **more: Any) -> None:
        super().__init__(*args, **more)
        if not sealed:
            del self.fields["passphrase"]


class KeyForm(forms.Form):
    """The passphrase of a new root key, twice. A key in a token has none."""

    passphrase = forms.CharField(
        label=_("New passphrase"),
        min_length=LEAST_PASSPHRASE,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 16 characters. It is stored nowhere: without it no bundle can be signed."),
    )
    again = forms.CharField(
        label=_("The same again"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def __init__(self, *args: Any, in_token: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        if in_token:
            del self.fields["passphrase"], self.fields["again"]

    def clean(self) -> dict[str, Any]:
        words = super().clean() or {}
        if words.get("passphrase") != words.get("again"):
            self.add_error("again", _("The two differ."))
        return words
