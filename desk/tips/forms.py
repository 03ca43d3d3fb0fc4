"""The form of a bulletin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agent.wire.messages import MAX_DESCRIPTION_CHARACTERS, MAX_TITLE_CHARACTERS
from desk.asking.area_form import AreaForm
from desk.asking.shapes import area_to_json
from desk.people.models import LANGUAGES, Organisation, Person
from desk.tips.models import Bulletin

__all__ = ["BulletinForm"]


class BulletinForm(AreaForm):
    """A title, words, a place and a number of days."""

    title = forms.CharField(label=_("Title"), max_length=MAX_TITLE_CHARACTERS)
    description = forms.CharField(
        label=_("Words to the owners"), max_length=MAX_DESCRIPTION_CHARACTERS, widget=forms.Textarea
    )
    language = forms.ChoiceField(label=_("Language of your words"), choices=LANGUAGES)
    days = forms.IntegerField(label=_("Days to show it"), min_value=1, max_value=30, initial=3)

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        for name, most in (("title", MAX_TITLE_CHARACTERS), ("description", MAX_DESCRIPTION_CHARACTERS)):
            if values.get(name):
                values[name] = self.plain(name, values[name], most)
        return values

    def write_to(self, bulletin: Bulletin, organisation: Organisation, person: Person) -> Bulletin:
        values = self.cleaned_data
        bulletin.organisation, bulletin.author = organisation, person
        bulletin.title, bulletin.description, bulletin.days = values["title"], values["description"], values["days"]
        bulletin.language = values["language"]
        bulletin.area = area_to_json(self.area) if self.area else None
        bulletin.save()
        return bulletin
