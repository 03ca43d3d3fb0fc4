"""Rows that the public page counts: one for each signed request, taken from the request itself."""

from __future__ import annotations

from django.db import models

from desk.people.models import Organisation

__all__ = ["Counted"]


class Counted(models.Model):
    """The public part of one signed request. Its case, place and words are left out."""

    request_id = models.CharField(max_length=32, unique=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16)
    incident = models.CharField(max_length=32)
    month = models.CharField(max_length=7, db_index=True)
    """Year and month of the time that was asked about (UTC)."""
    area_m2 = models.PositiveIntegerField()

    class Meta:
        ordering = ("-month", "organisation", "incident")

    def __str__(self) -> str:
        return f"{self.month} {self.organisation} {self.incident}"
