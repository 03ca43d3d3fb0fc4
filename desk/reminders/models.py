"""Reminders that were mailed, so that each thing is told once."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from desk.people.models import Organisation

__all__ = ["SentReminder"]


class SentReminder(models.Model):
    """One thing of which one person was reminded by mail."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=160)
    sent_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("organisation", "person", "key"), name="one_mail_for_each_thing"),
        )

    def __str__(self) -> str:
        return self.key
