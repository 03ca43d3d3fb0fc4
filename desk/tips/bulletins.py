"""Bulletins: written, seen as an owner will see them, and published until their last day."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from agent.clients.requester import messages
from agent.errors import RequestError
from desk.asking.shapes import area_from_json
from desk.custody import log
from desk.people.models import Person
from desk.people.organisations import requester_of
from desk.tips.models import Bulletin

__all__ = ["publish"]

_DAY_S = 86_400


@transaction.atomic
def publish(bulletin: Bulletin, person: Person) -> None:
    """Signs the bulletin. The receiving service publishes it. Raises `RequestError` if doors would refuse it."""
    bulletin = (
        Bulletin.objects.select_for_update(of=("self",), no_key=True).select_related("organisation").get(pk=bulletin.pk)
    )
    if bulletin.bulletin_id:
        raise RequestError("The bulletin is published already.", remedy="Load the page again.")
    organisation, now = bulletin.organisation, timezone.now()
    bulletin.not_after_s = int(now.timestamp()) + bulletin.days * _DAY_S
    made = messages.make_bulletin(
        requester_of(organisation),
        bulletin.title,
        bulletin.description,
        language=bulletin.language,
        not_after_s=bulletin.not_after_s,
        area=area_from_json(bulletin.area),
        trust_root=organisation.trust_root or None,
    )
    bulletin.bulletin_id, bulletin.published_at = made.id, now
    bulletin.save()
    log.record(organisation, person, "bulletin.signed", f"bulletin {made.id}", title=bulletin.title)
