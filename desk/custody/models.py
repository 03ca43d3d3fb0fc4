"""The custody log: one entry for each act, and the checkpoints that an auditor keeps."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from desk.people.models import Organisation

__all__ = ["Checkpoint", "Entry"]


class Entry(models.Model):
    """One act. Only `custody.log.record` writes entries, in the transaction of the act."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="entries")
    number = models.PositiveBigIntegerField()
    """Position in the log of the organisation, from 0 without gaps."""
    at_ms = models.BigIntegerField()
    actor = models.CharField(max_length=160)
    """Name and address of the person at that time, or the process."""
    action = models.CharField(max_length=40)
    object = models.CharField(max_length=120)
    detail = models.JSONField(default=dict)
    leaf = models.BinaryField()
    """Hash of the entry in the Merkle tree."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation", "number"), name="one_entry_per_number"),)
        ordering = ("organisation", "number")

    def __str__(self) -> str:
        return f"{self.number} {self.action} {self.object}"


class Checkpoint(models.Model):
    """The size and root of a log at one moment."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="checkpoints")
    size = models.PositiveBigIntegerField()
    root = models.BinaryField()
    made_at = models.DateTimeField(auto_now_add=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    note = models.TextField(blank=True)

    class Meta:
        ordering = ("organisation", "size")

    def __str__(self) -> str:
        return f"{self.organisation}: {self.size}"
