"""Tips on their way from a browser to an organisation."""

from __future__ import annotations

from django.db import models

from desk.people.models import Organisation

__all__ = ["WaitingTip"]


class WaitingTip(models.Model):
    """A sealed tip that waits for the end of its hour. Nothing here says who sent it, or when within the hour."""

    tip = models.CharField(max_length=32, unique=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    hour = models.PositiveIntegerField(db_index=True)
    """Whole hours since 1970."""
    sealed = models.BinaryField()

    class Meta:
        # By the random id: the order in which the tips came is stored nowhere.
        ordering = ("hour", "tip")

    def __str__(self) -> str:
        return self.tip
