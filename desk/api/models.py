"""Tokens with which a program of an organisation calls the desk, and web hooks with which the desk calls a program."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from desk.people.models import Membership, Organisation
from desk.people.roles import Role

__all__ = ["ApiToken", "WebHook"]


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
        """True until the token expires, is revoked, or its maker is no longer an admin: they may know its text."""
        return self.revoked_at is None and timezone.now() < self.expires_at and self.maker_is_admin

    @property
    def role_names(self) -> list[str]:
        """Returns the roles in words."""
        names = dict(Membership.ROLES)
        return [str(names[role]) for role in self.roles if role in names]

    @property
    def maker_is_admin(self) -> bool:
        made = {"organisation": self.organisation_id, "person": self.made_by_id}
        return Membership.objects.filter(**made, role=Role.ADMIN).exists()


class WebHook(models.Model):
    """An address that is told of requests and answers. Its queue is the custody log, from `next_entry` on."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="web_hooks")
    name = models.CharField(_("name of the program"), max_length=60)
    address = models.CharField(_("address"), max_length=500)
    salt = models.CharField(max_length=64)
    """Makes the secret, with the secret key of the desk (`hooks.secret_of`). A copy of the database signs nothing."""
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    next_entry = models.PositiveBigIntegerField(default=0)
    """Number of the next entry of the custody log to look at."""
    next_try_at = models.DateTimeField(default=timezone.now)
    failures = models.PositiveIntegerField(default=0)
    """Failed tries since the last delivery."""
    problem = models.CharField(max_length=300, blank=True)
    """Why the last try failed."""
    delivered_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    """When the desk gave up."""

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"hook {self.pk}"
