"""The forms of a new token and of a new web hook."""

from __future__ import annotations

from typing import Final

from django import forms
from django.utils.translation import gettext_lazy as _

from agent.wire.fields import clean_text
from desk.api.tokens import ROLES
from desk.people.models import Membership
from desk.people.roles import Role

__all__ = ["HookForm", "TokenForm"]

_DAYS: Final = ((30, _("30 days")), (90, _("90 days")), (365, _("1 year")))


class TokenForm(forms.Form):
    """A token for one program."""

    name = forms.CharField(label=_("Name of the program"), max_length=60)
    roles = forms.MultipleChoiceField(
        label=_("Roles of the program"),
        widget=forms.CheckboxSelectMultiple,
        choices=[(role, label) for role, label in Membership.ROLES if Role(role) in ROLES],
    )
    days = forms.TypedChoiceField(label=_("The token works for"), coerce=int, choices=_DAYS, initial=90)

    def clean_name(self) -> str:
        name = clean_text(self.cleaned_data["name"])
        if not name:
            raise forms.ValidationError(_("Give a name."))
        return name

    def clean_roles(self) -> list[Role]:
        return list(map(Role, self.cleaned_data["roles"]))


class HookForm(forms.Form):
    """A web hook to one program. The desk judges the address when it makes the hook."""

    prefix = "hook"
    name = forms.CharField(label=_("Name of the program"), max_length=60)
    address = forms.CharField(
        label=_("Address"), max_length=500, help_text=_("Starts with https:// and leads out of the desk's network.")
    )

    def clean_name(self) -> str:
        name = clean_text(self.cleaned_data["name"])
        if not name:
            raise forms.ValidationError(_("Give a name."))
        return name
