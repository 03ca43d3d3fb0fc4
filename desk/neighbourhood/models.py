"""Tips on their way from a browser to an organisation, and the requests and notices of neighbours."""

from __future__ import annotations

import datetime
import secrets
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from desk.people.models import LANGUAGES, Organisation

__all__ = ["NoticeReport", "Submission", "WaitingTip", "random_key"]


def random_key() -> int:
    """Returns a random primary key. A counted one would keep the order in which the tips of an hour came."""
    # 31 bits, because SQLite orders rows by a key of the type INTEGER only, which is an `IntegerField`.
    return secrets.randbits(31)


class WaitingTip(models.Model):
    """A sealed tip that waits for the end of its hour. Nothing here says who sent it, or when within the hour.

    Its id and its bytes are encrypted under the key of its hour (`hour_keys`).
    """

    id = models.IntegerField(primary_key=True, default=random_key)
    code = models.CharField(max_length=32, unique=True)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    hour = models.PositiveIntegerField(db_index=True)
    """Whole hours since 1970."""
    wrapped = models.BinaryField()

    class Meta:
        # By the code, which is random: not by the order in which the tips came.
        ordering = ("hour", "code")

    def __str__(self) -> str:
        return self.code


class Submission(models.Model):
    """A request or notice that a neighbour wrote. A moderator decides about it. Nothing here names the neighbour."""

    KINDS: ClassVar = (("request", _("Request for footage")), ("notice", _("Notice")))
    STATES: ClassVar = (
        ("waiting", _("waits for a moderator")),
        ("seconded", _("waits for a second moderator")),
        ("published", _("published")),
        ("rejected", _("rejected")),
        ("removed", _("removed")),
        ("withdrawn", _("withdrawn")),
    )

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="submissions")
    kind = models.CharField(max_length=8, choices=KINDS)
    token_sha256 = models.CharField(max_length=64, unique=True)
    """Hash of the token in the neighbour's link. The token itself is known to their browser only."""
    title = models.CharField(max_length=100, blank=True)
    """The title of a notice."""
    description = models.TextField()
    language = models.CharField(max_length=8, choices=LANGUAGES)
    area = models.JSONField()
    incident = models.CharField(max_length=24, blank=True)
    from_s = models.BigIntegerField(null=True, blank=True)
    to_s = models.BigIntegerField(null=True, blank=True)
    reply = models.TextField(blank=True)
    """Recipient of the answers: the neighbour's browser has its key."""
    written_hour = models.PositiveIntegerField()
    """Whole hours since 1970."""
    state = models.CharField(max_length=12, choices=STATES, default="waiting", db_index=True)
    first_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    """The moderator who accepted a request first, if the organisation wants two."""
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    remark = models.TextField(blank=True)
    """Reason of a rejection or removal, for the neighbour."""
    appeal = models.TextField(blank=True)
    appeal_state = models.CharField(max_length=8, blank=True)
    """Empty, "open", "granted" or "denied". A neighbour appeals once."""
    reports_hide = models.BooleanField(default=True)
    """True until a moderator has judged a report: the first report hides a notice, and later ones do not."""
    hidden = models.BooleanField(default=False)
    message_id = models.CharField(max_length=32, blank=True, db_index=True)
    """Id of the signed request or notice."""
    signed = models.BinaryField(default=b"")
    """The signed notice. A request is in the organisation's folder."""
    until_s = models.BigIntegerField(db_index=True)
    """The moment at which this row ends: for a notice the last one at which it is shown."""

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def until(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.until_s, datetime.UTC)

    @property
    def written(self) -> datetime.datetime:
        """Returns the beginning of the hour in which it was written."""
        return datetime.datetime.fromtimestamp(self.written_hour * 3600, datetime.UTC)

    @property
    def begins(self) -> datetime.datetime | None:
        return None if self.from_s is None else datetime.datetime.fromtimestamp(self.from_s, datetime.UTC)

    @property
    def ends(self) -> datetime.datetime | None:
        return None if self.to_s is None else datetime.datetime.fromtimestamp(self.to_s, datetime.UTC)


class NoticeReport(models.Model):
    """A reader's words about a notice. Nothing here names the reader."""

    notice = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="reports")
    reason = models.TextField()
    reported_hour = models.PositiveIntegerField()
    state = models.CharField(max_length=10, default="open")
    """ "open", "dismissed" or "upheld"."""

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"report {self.pk}"
