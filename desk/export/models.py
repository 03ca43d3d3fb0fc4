"""Exports of a case, and guest links to chosen clips of it."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from desk.cases.models import Case
from desk.people.models import Membership
from desk.people.roles import PERMISSIONS, Action

__all__ = ["Export", "GuestLink"]


class GuestLink(models.Model):
    """A time-limited link to chosen clips, for a person outside the organisation, for example a prosecutor."""

    PARTIES: ClassVar = (
        ("prosecution", _("prosecution")),
        ("defence", _("defence")),
        ("court", _("court")),
        ("other", _("other")),
    )

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="guest_links")
    recipient = models.CharField(_("for whom"), max_length=100)
    party = models.CharField(_("party"), max_length=12, choices=PARTIES)
    token_sha256 = models.CharField(max_length=64, unique=True)
    """The database holds only the hash, so a copy of it opens nothing."""
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    scope = models.JSONField(default=list)
    """Disclosure and number of each chosen clip."""

    class Meta:
        ordering = ("-made_at",)

    def __str__(self) -> str:
        return f"guest link {self.pk} ({self.recipient})"

    @property
    def works(self) -> bool:
        """True until the link expires, is revoked, or its maker may no longer share: they may know its address."""
        return self.revoked_at is None and timezone.now() < self.expires_at and self.maker_may_share

    @property
    def maker_may_share(self) -> bool:
        made = {"organisation": self.case.organisation_id, "person": self.made_by_id}
        return Membership.objects.filter(**made, role__in=PERMISSIONS[Action.SHARE]).exists()

    @property
    def clips(self) -> set[tuple[str, int]]:
        return {(str(disclosure), int(number)) for disclosure, number in self.scope}


class Export(models.Model):
    """One export that left the desk. Its files are not kept: the sealed answers and the log can make it again."""

    KINDS: ClassVar = (("evidence", _("evidence folder")), ("report", _("report")))

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="exports")
    kind = models.CharField(max_length=16, choices=KINDS)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    sha256 = models.CharField(max_length=64)
    """Hash of SHA256SUMS in the folder, or of the report."""

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"{self.case}: {self.kind}"
