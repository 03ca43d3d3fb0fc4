"""Exports of a case, and guest links to it."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.cases.models import Case

__all__ = ["Export", "GuestLink"]


class GuestLink(models.Model):
    """A time-limited link to a case for a person outside the organisation, for example a prosecutor."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="guest_links")
    token_sha256 = models.CharField(max_length=64, unique=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    scope = models.JSONField(default=dict)

    class Meta:
        ordering = ("-made_at",)

    def __str__(self) -> str:
        return f"{self.case} ({self.pk})"


class Export(models.Model):
    """One exported folder, report or certificate."""

    KINDS: ClassVar = (("evidence", _("evidence folder")), ("report", _("report")), ("certificate", _("certificate")))

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="exports")
    kind = models.CharField(max_length=16, choices=KINDS)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    sha256 = models.CharField(max_length=64)
    path = models.CharField(max_length=240)
    """Relative to the folder of the organisation."""

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"{self.case}: {self.kind}"
