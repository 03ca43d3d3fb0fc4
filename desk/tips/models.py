"""Tips that arrived, and bulletins to the doors."""

from __future__ import annotations

import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.cases.models import Case
from desk.people.models import DEFAULT_RETENTION_DAYS, LANGUAGES, Organisation

__all__ = ["Bulletin", "Tip"]


class Tip(models.Model):
    """A message that an owner sent unasked and anonymously. It stays sealed in the organisation's folder."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="tips")
    disclosure_id = models.CharField(max_length=32, unique=True)
    arrived_at = models.DateTimeField(auto_now_add=True)
    case = models.ForeignKey(Case, null=True, blank=True, on_delete=models.PROTECT, related_name="tips")
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    opened_at = models.DateTimeField(null=True, blank=True)
    problem = models.TextField(blank=True)
    """Why it does not open."""
    retention_days = models.PositiveIntegerField(default=DEFAULT_RETENTION_DAYS)
    """The days that its receipt promised."""
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    """Time at which it is deleted."""
    deleted_at = models.DateTimeField(null=True, blank=True)
    locked = models.BooleanField(default=False)
    """True if the store of sealed parts locks it, because it is held."""
    legal_hold = models.BooleanField(default=False)
    hold_reason = models.TextField(blank=True)
    hold_at = models.DateTimeField(null=True, blank=True)
    hold_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.disclosure_id

    @property
    def held(self) -> bool:
        """Returns True if a legal hold of the tip or of its case stops its deletion."""
        return self.legal_hold or (self.case is not None and self.case.legal_hold)


class Bulletin(models.Model):
    """A safety message to the doors of an area. Doors list it until its last day, and never answer."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="bulletins")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    title = models.CharField(_("title"), max_length=100)
    description = models.TextField(_("description"))
    language = models.CharField(_("language"), max_length=8, choices=LANGUAGES, default="en")
    area = models.JSONField()
    days = models.PositiveSmallIntegerField(_("days to show it"), default=3)
    written_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True)
    bulletin_id = models.CharField(max_length=32, blank=True)
    not_after_s = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.title

    @property
    def until(self) -> datetime.datetime | None:
        """Returns the moment from which doors hide it."""
        return None if self.not_after_s is None else datetime.datetime.fromtimestamp(self.not_after_s, datetime.UTC)
