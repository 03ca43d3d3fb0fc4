"""Notices of the receiver: the newest of each organisation, so that a stranger who sends rubbish fills no table.

A doorbell has a small share of them. So one that sends rubbish pushes out its own notices instead of other doorbells'
and the desk's.
"""

from __future__ import annotations

from typing import Final

from django.db.models import QuerySet

from desk.people.models import Organisation
from desk.receiving.models import Notice

__all__ = ["MOST_NOTICES", "MOST_OF_A_DOORBELL", "add_notice"]

MOST_NOTICES: Final = 200
MOST_OF_A_DOORBELL: Final = 20
_LONGEST_DETAIL: Final = 500


def add_notice(organisation: Organisation, kind: str, about: str, detail: str, *, device: str = "") -> None:
    """Adds a notice, or renews the same one. Removes the oldest beyond `MOST_OF_A_DOORBELL` and `MOST_NOTICES`."""
    notices = Notice.objects.filter(organisation=organisation)
    same = notices.filter(kind=kind, object=about[:64], device=device[:80], detail=detail[:_LONGEST_DETAIL])
    same.delete()
    Notice.objects.create(
        organisation=organisation, kind=kind, object=about[:64], device=device[:80], detail=detail[:_LONGEST_DETAIL]
    )
    if device:
        _keep_newest(notices.filter(device=device[:80]), MOST_OF_A_DOORBELL)
    _keep_newest(notices, MOST_NOTICES)


def _keep_newest(notices: QuerySet[Notice], most: int) -> None:
    oldest = notices.order_by("-pk").values_list("pk", flat=True)[most : most + 1].first()
    if oldest is not None:
        notices.filter(pk__lte=oldest).delete()
