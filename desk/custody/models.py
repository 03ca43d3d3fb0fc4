"""The custody log: one entry for each act, the head of each log, and the checkpoints that an auditor keeps."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation

__all__ = ["Checkpoint", "Entry", "LogHead"]


class Entry(models.Model):
    """One act. Only `custody.log.record` writes entries, in the transaction of the act."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="entries")
    number = models.PositiveBigIntegerField()
    """Position in the log of the organisation, from 0 without gaps."""
    at_ms = models.BigIntegerField()
    actor = models.CharField(_("who"), max_length=160)
    """Name and address of the person at that time, or the process."""
    action = models.CharField(_("what"), max_length=40)
    object = models.CharField(_("which"), max_length=120)
    detail = models.JSONField(default=dict)
    case_number = models.CharField(_("case"), max_length=64, blank=True)
    """Number of the case that the entry is about, for the index. It follows from `detail` and `object`."""
    leaf = models.BinaryField()
    """Hash of the entry in the Merkle tree."""
    nodes = models.BinaryField(default=bytes)
    """Nodes of the tree that the entry completed (`custody.tree`)."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation", "number"), name="one_entry_per_number"),)
        indexes = (models.Index(fields=("organisation", "case_number", "number"), name="entries_of_a_case"),)
        ordering = ("organisation", "number")

    def __str__(self) -> str:
        return f"{self.number} {self.action} {self.object}"


class LogHead(models.Model):
    """The newest state of one log. Its row is locked while an entry is written, so numbers have no gaps."""

    organisation = models.OneToOneField(Organisation, on_delete=models.PROTECT, related_name="log_head")
    frontier = models.BinaryField(default=bytes)
    """`agent.core.ledger.merkle.Frontier`, or nothing before the first entry."""
    note = models.TextField(blank=True)
    """The signed checkpoint of the newest entry."""

    def __str__(self) -> str:
        return f"{self.organisation}"


class Checkpoint(models.Model):
    """A checkpoint that was handed to an auditor."""

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
