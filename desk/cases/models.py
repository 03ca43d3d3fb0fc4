"""Cases, and the answers, clips, notes and verdicts in them."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation

__all__ = ["Answer", "Case", "Clip", "Note", "Triage"]


class Case(models.Model):
    """One case of an organisation. Requests, answers and exports are in a case."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="cases")
    number = models.CharField(_("case number"), max_length=64)
    title = models.CharField(_("title"), max_length=160, blank=True)
    category = models.CharField(_("category"), max_length=40, blank=True)
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    retention_until = models.DateTimeField(null=True, blank=True)
    legal_hold = models.BooleanField(_("legal hold"), default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation", "number"), name="one_case_per_number"),)
        ordering = ("-opened_at",)

    def __str__(self) -> str:
        return self.number


class Answer(models.Model):
    """One disclosure of a doorbell: what it sent for a request."""

    STATES: ClassVar = (
        ("receiving", _("receiving")),
        ("complete", _("complete")),
        ("quarantined", _("quarantined")),
        ("deleted", _("deleted")),
    )

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="answers")
    request_id = models.CharField(max_length=32, db_index=True)
    disclosure_id = models.CharField(max_length=32, unique=True)
    device = models.CharField(max_length=80, blank=True)
    received_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=12, choices=STATES, default="receiving")
    reason = models.TextField(blank=True)
    """Why the answer is quarantined."""
    grade = models.CharField(max_length=24, blank=True)
    from_ms = models.BigIntegerField(null=True, blank=True)
    to_ms = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ("from_ms", "pk")

    def __str__(self) -> str:
        return self.disclosure_id


class Clip(models.Model):
    """One clip of an answer, on the time axis of the case."""

    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="clips")
    index = models.PositiveIntegerField()
    from_ms = models.BigIntegerField()
    to_ms = models.BigIntegerField()
    clock_quality = models.CharField(max_length=24, blank=True)
    gaps = models.JSONField(default=list)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("answer", "index"), name="one_clip_per_index"),)
        ordering = ("answer", "index")

    def __str__(self) -> str:
        return f"{self.answer} {self.index}"


class Note(models.Model):
    """A note about a case, or about one answer of it."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="notes")
    answer = models.ForeignKey(Answer, null=True, blank=True, on_delete=models.CASCADE, related_name="notes")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(_("text"))
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("written_at",)

    def __str__(self) -> str:
        return f"{self.case}: {self.text[:40]}"


class Triage(models.Model):
    """The verdict of a person about an answer. The newest counts."""

    VERDICTS: ClassVar = (
        ("relevant", _("relevant")),
        ("not-relevant", _("not relevant")),
        ("unclear", _("look again")),
    )

    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="triages")
    verdict = models.CharField(max_length=16, choices=VERDICTS)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("at",)

    def __str__(self) -> str:
        return f"{self.answer}: {self.verdict}"
