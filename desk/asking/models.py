"""Drafts of footage requests, and templates for them."""

from __future__ import annotations

import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.cases.models import Case
from desk.people.models import LANGUAGES, Organisation

__all__ = ["Draft", "Preferences", "Template"]


class Draft(models.Model):
    """A footage request, from its first words until its answers are deleted."""

    STATES: ClassVar = (
        ("draft", _("draft")),
        ("submitted", _("waits for approval")),
        ("approved", _("approved")),
        ("signed", _("signed")),
        ("published", _("published")),
        ("withdrawn", _("withdrawn")),
        ("expired", _("expired")),
        ("deleted", _("deleted")),
    )

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="drafts")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="drafts")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    title = models.CharField(_("title"), max_length=160, blank=True)
    area = models.JSONField(null=True, blank=True)
    """A polygon or a disc, as in the request's `area`."""
    from_s = models.BigIntegerField(null=True, blank=True)
    to_s = models.BigIntegerField(null=True, blank=True)
    incident = models.CharField(_("incident"), max_length=32, blank=True)
    description = models.TextField(_("description"), blank=True)
    contact_name = models.CharField(_("contact"), max_length=120, blank=True)
    contact_phone = models.CharField(_("telephone"), max_length=40, blank=True)
    contact_email = models.EmailField(_("e-mail address"), blank=True)
    days = models.PositiveSmallIntegerField(_("days to answer"), default=7)
    retention_days = models.PositiveIntegerField(_("days to keep footage"), null=True, blank=True)
    onward = models.JSONField(_("passed on to"), default=list, blank=True)
    """Kinds of parties (`wire.fields.OnwardKind`) that law or policy may make the organisation pass footage on to."""
    onward_basis = models.CharField(_("law or policy"), max_length=120, blank=True)
    language = models.CharField(_("language"), max_length=8, choices=LANGUAGES, default="en")
    state = models.CharField(max_length=12, choices=STATES, default="draft", db_index=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    submitted_content = models.CharField(max_length=64, blank=True)
    """Hash of the content that was submitted: an approver approves exactly this (`states.fingerprint`)."""
    remark = models.TextField(_("remark"), blank=True)
    """Why a supervisor sent it back, or why it was withdrawn."""
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    request_id = models.CharField(max_length=32, blank=True, db_index=True)
    signed_at = models.DateTimeField(null=True, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    not_after_s = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        # Each question about earlier requests has its index, so that its cost does not grow with the history.
        indexes = (
            models.Index(fields=("organisation", "state", "not_after_s"), name="draft_state"),
            models.Index(fields=("organisation", "signed_at"), name="draft_signed"),
            models.Index(fields=("organisation", "from_s"), name="draft_window"),
        )

    def __str__(self) -> str:
        return self.title or f"{self.case} ({self.pk})"

    @property
    def until(self) -> datetime.datetime | None:
        """Returns the last moment at which an owner may answer."""
        return None if self.not_after_s is None else datetime.datetime.fromtimestamp(self.not_after_s, datetime.UTC)


class Template(models.Model):
    """Prepared words for one kind of incident: for one organisation, or for all if it is None."""

    organisation = models.ForeignKey(
        Organisation, null=True, blank=True, on_delete=models.CASCADE, related_name="templates"
    )
    name = models.CharField(_("name"), max_length=80)
    incident = models.CharField(_("incident"), max_length=32)
    description = models.TextField(_("description"), blank=True)
    minutes = models.PositiveSmallIntegerField(_("minutes around the incident"), default=60)
    days = models.PositiveSmallIntegerField(_("days to answer"), default=7)
    retention_days = models.PositiveIntegerField(_("days to keep footage"), null=True, blank=True)
    onward = models.JSONField(_("passed on to"), default=list, blank=True)
    onward_basis = models.CharField(_("law or policy"), max_length=120, blank=True)
    language = models.CharField(_("language"), max_length=8, choices=LANGUAGES, default="en")

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Preferences(models.Model):
    """How an organisation asks: its time zone, and its own file of places for the search."""

    organisation = models.OneToOneField(Organisation, on_delete=models.CASCADE, related_name="preferences")
    time_zone = models.CharField(_("time zone"), max_length=40, blank=True)
    places = models.JSONField(default=list, blank=True)
    """Name, latitude and longitude of each place (`places.to_json`)."""

    def __str__(self) -> str:
        return str(self.organisation)
