"""Cases, and the requests, answers, clips, notes and verdicts in them."""

from __future__ import annotations

import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation

__all__ = ["Answer", "Case", "Clip", "FilmView", "Note", "SignedRequest", "Triage"]


class Case(models.Model):
    """One case of an organisation. Requests, answers and exports are in a case."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="cases")
    number = models.CharField(_("case number"), max_length=64)
    title = models.CharField(_("title"), max_length=160, blank=True)
    category = models.CharField(_("category"), max_length=40, blank=True)
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    retention_until = models.DateTimeField(null=True, blank=True)
    """Time at which the next footage of the case is deleted; empty if it holds none."""
    legal_hold = models.BooleanField(_("legal hold"), default=False)
    hold_reason = models.TextField(_("reason of the legal hold"), blank=True)
    hold_at = models.DateTimeField(null=True, blank=True)
    hold_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    """Empty if the receiver made the case, for a request that another program signed."""
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation", "number"), name="one_case_per_number"),)
        indexes = (
            models.Index(fields=("organisation", "-id"), name="cases_newest_first"),
            models.Index(fields=("organisation", "category"), name="cases_by_category"),
        )
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.number


class SignedRequest(models.Model):
    """A request of a case as it was signed: what its answers and their deletion need to know of it."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="requests")
    request_id = models.CharField(max_length=32, unique=True)
    from_ms = models.BigIntegerField()
    to_ms = models.BigIntegerField()
    """The window that it asks about."""
    signed_at = models.DateTimeField(auto_now_add=True)
    not_after = models.DateTimeField(db_index=True)
    """The last moment at which a door may answer."""
    retention_days = models.PositiveIntegerField()
    published_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    deletion_signed_at = models.DateTimeField(null=True, blank=True, db_index=True)
    deletion_published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.request_id


class Answer(models.Model):
    """One disclosure of a doorbell: what it sent for a request."""

    STATES: ClassVar = (
        ("receiving", _("receiving")),
        ("complete", _("complete")),
        ("quarantined", _("quarantined")),
        ("stopped", _("stopped by its owner")),
        ("deleted", _("deleted")),
    )

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="answers")
    request_id = models.CharField(max_length=32, db_index=True)
    disclosure_id = models.CharField(max_length=32, unique=True)
    device = models.CharField(max_length=80, blank=True)
    received_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=12, choices=STATES, default="receiving")
    reason = models.TextField(blank=True)
    """Why the answer is quarantined, or why it waits."""
    grade = models.CharField(max_length=24, blank=True)
    from_ms = models.BigIntegerField(null=True, blank=True)
    to_ms = models.BigIntegerField(null=True, blank=True)
    held_bytes = models.PositiveBigIntegerField(default=0)
    expected_bytes = models.PositiveBigIntegerField(default=0)
    unopened = models.PositiveIntegerField(default=0)
    """Number of files that arrived as the doorbell sealed them but do not open."""
    shared = models.JSONField(default=list)
    """Sentences that say what was shared, the most first."""
    confirmed = models.JSONField(default=dict, blank=True)
    """Times that others confirmed, UTC s: `from_s`, `until_s` (`time_statements.confirmed_times`)."""
    told = models.JSONField(default=list)
    """Clips of which the owner told that they exist: from, to (ms), matching segments, shared segments."""
    verdict = models.CharField(max_length=16, blank=True)
    """The newest verdict, repeated here for the list of cases."""
    keep_until = models.DateTimeField(null=True, blank=True)
    """A person's choice to delete earlier than promised."""
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    """Time at which the footage is deleted."""
    deleted_at = models.DateTimeField(null=True, blank=True)
    locked = models.BooleanField(default=False)
    """True if the store of sealed parts locks it, because its case is held."""

    class Meta:
        indexes = (models.Index(fields=("case", "state", "verdict"), name="answers_of_case"),)
        ordering = ("from_ms", "pk")

    def __str__(self) -> str:
        return self.disclosure_id

    @property
    def door(self) -> str:
        """Returns what tells doors apart: the device, or the answer itself until its device is known."""
        return self.device or self.disclosure_id

    @property
    def share_percent(self) -> int:
        return min(100, self.held_bytes * 100 // self.expected_bytes) if self.expected_bytes else 0


class Clip(models.Model):
    """One clip of an answer, on the time axis of the case."""

    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="clips")
    index = models.PositiveIntegerField()
    from_ms = models.BigIntegerField()
    to_ms = models.BigIntegerField()
    clock_quality = models.CharField(max_length=24, blank=True)
    gaps = models.JSONField(default=list)
    """Pauses between its segments: from, to (ms)."""
    segments = models.JSONField(default=list)
    """Its segments in order: from, to (ms). Empty if only a still was shared."""
    still = models.BooleanField(default=False)
    """True if its poster was shared."""
    sounds = models.PositiveIntegerField(default=0)
    """Number of segments that were shared with sound."""
    continuity = models.CharField(max_length=12, blank=True)

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
    text = models.TextField(_("text"), max_length=4000)
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("written_at", "pk")

    def __str__(self) -> str:
        return f"{self.case}: {self.text[:40]}"


class Triage(models.Model):
    """The verdict of a person about an answer. The newest counts."""

    VERDICTS: ClassVar = (
        ("relevant", _("relevant")),
        ("not-relevant", _("not relevant")),
        ("keep", _("keep as evidence")),
        ("unclear", _("look again")),
    )

    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="triages")
    verdict = models.CharField(max_length=16, choices=VERDICTS)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("at", "pk")

    def __str__(self) -> str:
        return f"{self.answer}: {self.verdict}"


class FilmView(models.Model):
    """One opening of a clip or still by a person. Its address works for that person until it expires."""

    answer = models.ForeignKey(Answer, on_delete=models.CASCADE, related_name="views")
    clip = models.PositiveIntegerField()
    """Index of the clip."""
    kind = models.CharField(max_length=8, choices=(("film", "film"), ("still", "still")))
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    token_sha256 = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(db_index=True)

    LASTS: ClassVar = datetime.timedelta(hours=1)

    def __str__(self) -> str:
        return f"{self.kind} {self.answer} {self.clip}"
