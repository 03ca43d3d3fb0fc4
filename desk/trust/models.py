"""Lists of requesters that a root vouches for, root files, the keys of its people, their signatures, and publications.

A root has one key, with which a second person signs what another proposed. Or it has keys of several people, and a root
file says how many of them sign (`shared_root`).
"""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation

__all__ = ["BundleDraft", "Publication", "RootDraft", "RootKey", "Signature"]


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
    payload = models.BinaryField(default=bytes)
    """With several keys: the bundle that each person signs."""

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "version"), condition=models.Q(state="signed"), name="one_bundle_per_version"
            ),
        )
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.organisation}: {self.version}"


class RootKey(models.Model):
    """The key of one person, who signs with it for a root of several keys."""

    PLACES: ClassVar = (
        ("sealed", _("here, sealed with the person's passphrase")),
        ("token", _("in the token of the desk")),
        ("outside", _("elsewhere, with the person")),
    )

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="root_keys")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    public_key = models.CharField(max_length=120)
    place = models.CharField(max_length=10, choices=PLACES)
    made_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("organisation", "public_key"), name="one_root_key_per_text"),
            models.UniqueConstraint(
                fields=("organisation", "person"), condition=models.Q(retired_at=None), name="one_root_key_per_person"
            ),
        )
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.person}: {self.public_key}"


class RootDraft(models.Model):
    """A root file, from its proposal on: the keys of a root, and how many of them sign."""

    STATES: ClassVar = BundleDraft.STATES

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="root_files")
    version = models.PositiveIntegerField()
    payload = models.BinaryField()
    name_signature = models.BinaryField(default=bytes)
    """Signature of the name key, for version 1."""
    name_key = models.CharField(max_length=120)
    name_in_token = models.BooleanField(default=False)
    """True if the token of the desk holds the name key, which is deleted there once this is in force."""
    state = models.CharField(max_length=10, choices=STATES, default="proposed")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(auto_now_add=True)
    signed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "version"), condition=models.Q(state="signed"), name="one_root_file_per_version"
            ),
        )
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.organisation}: root file {self.version}"


class Signature(models.Model):
    """One person's signature of a bundle or of a root file."""

    key = models.ForeignKey(RootKey, on_delete=models.PROTECT, related_name="signatures")
    bundle = models.ForeignKey(BundleDraft, null=True, blank=True, on_delete=models.PROTECT, related_name="signatures")
    root_file = models.ForeignKey(RootDraft, null=True, blank=True, on_delete=models.PROTECT, related_name="signatures")
    signature = models.BinaryField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("key", "bundle"), name="one_signature_per_bundle"),
            models.UniqueConstraint(fields=("key", "root_file"), name="one_signature_per_root_file"),
        )
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.key} {self.at}"


class Publication(models.Model):
    """The newest package of a root that one broker took, and the newest fault."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="publications")
    broker = models.CharField(max_length=300)
    """Host and port. Empty for a fault before any broker is tried."""
    sha256 = models.CharField(max_length=64, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    problem = models.TextField(blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation", "broker"), name="one_publication_per_broker"),)
        ordering = ("broker",)

    def __str__(self) -> str:
        return f"{self.organisation}: {self.broker}"
