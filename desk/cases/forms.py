"""Forms of the case pages."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agent.wire.fields import clean_text
from desk.cases.case_work import latest_date
from desk.cases.models import Answer, Case, Note, Triage
from desk.people.models import Organisation, Person

__all__ = ["AssignForm", "CaseForm", "HoldForm", "KeepForm", "NoteForm", "TimeForm", "TriageForm"]


class CaseForm(forms.ModelForm[Case]):
    """A new case."""

    class Meta:
        model = Case
        fields = ("number", "title", "category")

    def __init__(self, *args: Any, organisation: Organisation, **more: Any) -> None:
        super().__init__(*args, **more)
        self.instance.organisation = organisation

    def clean_number(self) -> str:
        # As in the form of a request: with an invisible character two cases would look like one.
        number = clean_text(self.cleaned_data["number"])
        if not number:
            raise forms.ValidationError(self.fields["number"].error_messages["required"])
        if Case.objects.filter(organisation=self.instance.organisation, number=number).exists():
            raise forms.ValidationError(_("There is a case with this number."))
        return number

    def clean_title(self) -> str:
        return clean_text(self.cleaned_data["title"])

    def clean_category(self) -> str:
        return clean_text(self.cleaned_data["category"])


class NoteForm(forms.ModelForm[Note]):
    """A note."""

    class Meta:
        model = Note
        fields = ("text",)
        widgets = {"text": forms.Textarea(attrs={"rows": 3})}  # noqa: RUF012 (Django's form of it)


class TriageForm(forms.Form):
    """A verdict about an answer."""

    verdict = forms.ChoiceField(choices=Triage.VERDICTS)


class AssignForm(forms.Form):
    """The person who works on a case."""

    person = forms.ModelChoiceField(Person.objects.none(), required=False, empty_label="–")

    def __init__(self, *args: Any, organisation: Organisation, **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["person"].queryset = members(organisation)  # type: ignore[attr-defined]
        self.fields["person"].label = _("Assigned to")


class HoldForm(forms.Form):
    """The reason of a legal hold, or of its end."""

    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=1000, widget=forms.Textarea(attrs={"rows": 2}))


class TimeForm(forms.Form):
    """The owner's later proof of time."""

    file = forms.FileField(
        label=gettext_lazy("The owner's file"),
        help_text=gettext_lazy(
            "The owner makes it with “doorward owner time DISCLOSURE --out FILE” and sends it to you."
        ),
    )


class KeepForm(forms.Form):
    """The day until which an answer is kept. Empty for the promised day."""

    day = forms.DateField(required=False)

    def __init__(self, *args: Any, answer: Answer, **more: Any) -> None:
        super().__init__(*args, **more)
        self._answer = answer

    def clean_day(self) -> datetime.datetime | None:
        day = self.cleaned_data["day"]
        if day is None:
            return None
        latest = latest_date(self._answer)
        last_day = timezone.localtime(latest).date()
        if day > last_day:
            raise forms.ValidationError(
                _("The request promised its owner deletion on %(day)s. Only a legal hold keeps it longer.")
                % {"day": formats.date_format(last_day, "j M Y")}
            )
        until = timezone.make_aware(datetime.datetime.combine(day, datetime.time.max))
        return min(until, latest)


def members(organisation: Organisation) -> Any:
    """Returns the people of an organisation."""
    return Person.objects.filter(memberships__organisation=organisation).distinct().order_by("email")
