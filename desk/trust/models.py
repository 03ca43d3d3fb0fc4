"""Lists of requesters that a root vouches for: proposed by one person, signed by another."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation

__all__ = ["BundleDraft"]


class BundleDraft(models.Model):
    """One version of the list, from its proposal on. Once it is signed, `envelope` is the bundle for doorbells."""

    STATES: ClassVar = (
        ("proposed", _("waits for a signature")),
        ("signed", _("signed")),
        ("withdrawn", _("withdrawn")),
    )

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="bundles")
    version = models.PositiveBigIntegerField()
    text = models.TextField(_("list of requesters (TOML)"))
    state = models.CharField(max_length=10, choices=STATES, default="proposed")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(auto_now_add=True)
    signed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    signed_at = models.DateTimeField(null=True, blank=True)
    envelope = models.BinaryField(default=bytes)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "version"), condition=models.Q(state="signed"), name="one_bundle_per_version"
            ),
        )
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.organisation}: {self.version}"
