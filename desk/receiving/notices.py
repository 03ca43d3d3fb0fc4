"""Notices of the receiver: the newest of each organisation, so that a stranger who sends rubbish fills no table."""

from __future__ import annotations

from typing import Final

from desk.people.models import Organisation
from desk.receiving.models import Notice

__all__ = ["MOST_NOTICES", "add_notice"]

MOST_NOTICES: Final = 200
_LONGEST_DETAIL: Final = 500


def add_notice(organisation: Organisation, kind: str, about: str, detail: str, *, device: str = "") -> None:
    """Adds a notice, or renews the same one. Removes the oldest beyond `MOST_NOTICES`."""
    notices = Notice.objects.filter(organisation=organisation)
    same = notices.filter(kind=kind, object=about[:64], device=device[:80], detail=detail[:_LONGEST_DETAIL])
    same.delete()
    Notice.objects.create(
        organisation=organisation, kind=kind, object=about[:64], device=device[:80], detail=detail[:_LONGEST_DETAIL]
    )
    oldest = notices.order_by("-pk").values_list("pk", flat=True)[MOST_NOTICES : MOST_NOTICES + 1].first()
    if oldest is not None:
        notices.filter(pk__lte=oldest).delete()
