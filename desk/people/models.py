"""Organisations, people, and which role a person has where."""

from __future__ import annotations

from typing import ClassVar, Final

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.people.roles import Role

__all__ = ["LANGUAGES", "GuardedChange", "Membership", "OneTimeLink", "Organisation", "Person"]

LANGUAGES: Final = (("en", _("English")), ("nl", _("Dutch")))
DEFAULT_RETENTION_DAYS: Final = 30


class Organisation(models.Model):
    """A requester of Doorward. Its keys and messages are in its folder (`people.organisations.folder_of`)."""

    KINDS: ClassVar = (
        ("police", _("Police")),
        ("fire", _("Fire brigade")),
        ("insurer", _("Insurer")),
        ("neighbour", _("Neighbour")),
        ("court", _("Court")),
        ("defence", _("Defence")),
    )

    requester_id = models.CharField(_("short name"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=16, choices=KINDS)
    trust_root = models.CharField(max_length=16, blank=True)
    """Key id of the root that vouches for the organisation; empty until its bundle is imported."""
    language = models.CharField(_("language"), max_length=8, choices=LANGUAGES, default="en")
    two_person_rule = models.BooleanField(_("a second person approves each request"), default=True)
    retention_days = models.PositiveIntegerField(_("days to keep footage"), default=DEFAULT_RETENTION_DAYS)
    confirms_since = models.DateTimeField(null=True, blank=True)
    """Moment from which two people could confirm changes. From then on no person changes guarded roles alone, also if
    one of the two leaves."""

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Person(AbstractUser):
    """A user of the desk. The e-mail address is the name for signing in."""

    email = models.EmailField(_("e-mail address"), unique=True)
    language = models.CharField(_("language"), max_length=8, choices=LANGUAGES, blank=True)
    sessions_valid_from = models.DateTimeField(null=True, blank=True)
    """Sessions that began earlier are signed out."""

    def __str__(self) -> str:
        return self.get_full_name() or self.email


class Membership(models.Model):
    """One role of a person in an organisation."""

    ROLES: ClassVar = (
        (Role.ADMIN.value, _("Admin")),
        (Role.ASKER.value, _("Asker")),
        (Role.SUPERVISOR.value, _("Supervisor")),
        (Role.EVIDENCE_OFFICER.value, _("Evidence officer")),
        (Role.VIEWER.value, _("Viewer")),
        (Role.AUDITOR.value, _("Auditor")),
        (Role.MODERATOR.value, _("Moderator")),
    )

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=ROLES)
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("person", "organisation", "role"), name="one_role_once"),)
        ordering = ("organisation", "person", "role")

    def __str__(self) -> str:
        return f"{self.person}: {self.role} ({self.organisation})"


class OneTimeLink(models.Model):
    """A link that signs a person in once: the first admin, an invited colleague, or a person who lost a passkey."""

    PURPOSES: ClassVar = (("first-admin", "first admin"), ("invitation", "invitation"), ("recovery", "recovery"))

    token_sha256 = models.CharField(max_length=64, unique=True)
    """The database holds only the hash, so a copy of it opens nothing."""
    purpose = models.CharField(max_length=16, choices=PURPOSES)
    organisation = models.ForeignKey(Organisation, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    email = models.EmailField(blank=True)
    roles = models.JSONField(default=list)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.purpose} {self.email}".strip()

    @property
    def role_names(self) -> list[str]:
        """Returns the roles of an invitation in words."""
        names = dict(Membership.ROLES)
        return [str(names[role]) for role in self.roles if role in names]


class GuardedChange(models.Model):
    """A change that one person alone must not make: a role of a rule of two persons, or the end of that rule."""

    KINDS: ClassVar = (
        ("roles", _("Roles")),
        ("invitation", _("Roles of a new colleague")),
        ("recovery", _("Roles after a lost passkey or password")),
        ("rule-off", _("One person alone asks and approves")),
    )
    STATES: ClassVar = (
        ("waits", _("waits for a second person")),
        ("confirmed", _("confirmed")),
        ("refused", _("refused")),
        ("withdrawn", _("withdrawn")),
        ("alone", _("made alone, before a second admin or supervisor was there")),
    )

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="guarded_changes")
    kind = models.CharField(max_length=12, choices=KINDS)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    roles = models.JSONField(default=list)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=12, choices=STATES, default="waits")
    decided_by = models.CharField(max_length=160, blank=True)
    """Name and address of the person, or "operator" for the operator of the desk. People choose their names."""
    decided_at = models.DateTimeField(null=True, blank=True)
    wrong_codes = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
