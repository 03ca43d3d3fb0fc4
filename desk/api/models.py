"""Tokens with which another program of an organisation calls the desk."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation

__all__ = ["ApiToken"]


class ApiToken(models.Model):
    """A token of one program, for example a case-management system, with the roles that it acts in."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(_("name of the program"), max_length=60)
    roles = models.JSONField(default=list)
    token_sha256 = models.CharField(max_length=64, unique=True)
    """The database holds only the hash, so a copy of it opens nothing."""
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-made_at",)

    def __str__(self) -> str:
        return f"program {self.name} (token {self.pk})"

    @property
    def works(self) -> bool:
        """True if the token has neither expired nor been revoked."""
        return self.revoked_at is None and timezone.now() < self.expires_at
