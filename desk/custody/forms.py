"""Forms of the auditor's pages."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agent.core.ledger.checkpoint import MAX_NOTE_BYTES
from desk.custody.models import Entry

__all__ = ["CompareForm", "FilterForm"]

_MS_PER_S: Final = 1000
_DAYS = (MinValueValidator(date(1970, 1, 2)), MaxValueValidator(date(9999, 12, 30)))
"""Days that a clock of the desk can show, in each time zone and with the day after."""
_DAY = forms.DateInput(attrs={"type": "date"})


class FilterForm(forms.Form):
    """Which entries the list shows."""

    case = forms.CharField(label=_("Case"), required=False, max_length=64)
    actor = forms.CharField(label=_("Who (part of the name)"), required=False, max_length=160)
    action = forms.CharField(label=_("What (its beginning)"), required=False, max_length=40)
    first = forms.DateField(label=_("From"), required=False, widget=_DAY, validators=_DAYS)
    last = forms.DateField(label=_("To"), required=False, widget=_DAY, validators=_DAYS)

    def narrowed(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        """Returns those of `entries` that match."""
        wanted = self.cleaned_data
        if wanted.get("case"):
            entries = entries.filter(case_number=wanted["case"].strip())
        if wanted.get("actor"):
            entries = entries.filter(actor__icontains=wanted["actor"].strip())
        if wanted.get("action"):
            entries = entries.filter(action__startswith=wanted["action"].strip())
        if wanted.get("first"):
            entries = entries.filter(at_ms__gte=_ms(wanted["first"]))
        if wanted.get("last"):
            entries = entries.filter(at_ms__lt=_ms(wanted["last"] + timedelta(days=1)))
        return entries


def _ms(day: datetime) -> int:
    """Returns the beginning of the day in the desk's time zone."""
    begin = timezone.make_aware(datetime.combine(day, time()))
    return int(begin.timestamp()) * _MS_PER_S


class CompareForm(forms.Form):
    """A checkpoint that the auditor kept."""

    checkpoint = forms.FileField(label=_("A checkpoint that you kept"))

    def clean_checkpoint(self) -> bytes:
        upload: UploadedFile[Any] = self.cleaned_data["checkpoint"]
        if upload.size is None or upload.size > MAX_NOTE_BYTES:
            raise forms.ValidationError(_("A checkpoint is a small text file. This file is too large."))
        data: bytes = upload.read()
        return data
