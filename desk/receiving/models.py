"""The state of each organisation's receiver, and its notices that belong to no case."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import ClassVar, Final

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.people.models import Organisation

__all__ = ["Notice", "Receiver", "receivers", "still_there", "worker_name"]

_SILENT: Final = datetime.timedelta(minutes=1)
_TAKEN_AWAY: Final = datetime.timedelta(days=1)


class Receiver(models.Model):
    """One receiver of an organisation, as it last reported. There is one for each worker (`[broker] worker`)."""

    STATES: ClassVar = (
        ("stopped", _("stopped")),
        ("starting", _("starting")),
        ("connected", _("connected")),
        ("disconnected", _("not connected")),
        ("failed", _("failed")),
    )

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="receivers")
    worker = models.CharField(max_length=32, blank=True)
    """Name of the worker, empty for the only one."""
    state = models.CharField(max_length=12, choices=STATES, default="stopped")
    since = models.DateTimeField(auto_now_add=True)
    """Start of this state."""
    detail = models.TextField(blank=True)
    """Reason of the state, with the remedy."""
    seen_at = models.DateTimeField(null=True, blank=True)
    """Last sign of life of its thread."""
    index_made = models.CharField(max_length=32, blank=True)
    index_change = models.BigIntegerField(default=0)
    """The place in the index of answers up to which the rows say the same (`reconcile`)."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation", "worker"), name="one_row_for_each_worker"),)

    def __str__(self) -> str:
        return f"{self.organisation} {self.worker}: {self.state}"

    def is_silent(self, now: datetime.datetime) -> bool:
        """Returns True if it has written nothing for a minute. Then it has ended, whatever its row says."""
        return self.seen_at is not None and now - self.seen_at > _SILENT


def worker_name() -> str:
    """Returns the name of this process among the workers of an organisation."""
    name: str = settings.DESK.broker.worker
    return name


def receivers(organisation: Organisation) -> models.QuerySet[Receiver]:
    """Returns the row of this process's receiver, in a set of at most one."""
    return Receiver.objects.filter(organisation=organisation, worker=worker_name())


def still_there(rows: Iterable[Receiver], now: datetime.datetime) -> list[Receiver]:
    """Returns one organisation's rows without those of workers that were taken away long ago, if another one runs."""
    rows = list(rows)
    if all(row.is_silent(now) for row in rows):
        return rows
    return [row for row in rows if row.seen_at is None or now - row.seen_at < _TAKEN_AWAY]


class Notice(models.Model):
    """Something that the receiver reports and that belongs to no answer of a case."""

    KINDS: ClassVar = (
        ("dropped", _("An upload opens with none of our keys. It was dropped.")),
        ("no room", _("An answer waits for room.")),
        ("not published", _("The broker refused a message.")),
        ("damaged", _("The files of a request cannot be read.")),
        ("missing", _("The files of an answer are missing.")),
        ("not deleted", _("Footage could not be deleted. The desk tries again each minute.")),
        ("root refused", _("A message in the name of your trust root was refused.")),
        ("error", _("The receiver stopped, and starts again.")),
    )

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=16, choices=KINDS)
    object = models.CharField(max_length=64, blank=True)
    """Id of the upload, answer or request."""
    device = models.CharField(max_length=80, blank=True)
    detail = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (models.Index(fields=("organisation", "-id"), name="notices_newest_first"),)
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.kind}: {self.object}"
