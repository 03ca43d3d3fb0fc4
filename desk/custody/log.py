"""The only writer of the custody log."""

from __future__ import annotations

import json
import time

from django.db import transaction

from agent.core.ledger.merkle import leaf_hash
from desk.custody.models import Entry
from desk.people.models import Organisation, Person

__all__ = ["record"]


@transaction.atomic
def record(organisation: Organisation, actor: Person | str, action: str, object: str, **detail: object) -> Entry:
    """Appends one entry, in the transaction of the act that it tells of.

    `actor`: the person, or the name of a process, for example "receiver".
    """
    Organisation.objects.select_for_update().get(pk=organisation.pk)  # one writer at a time, so numbers have no gaps
    last = Entry.objects.filter(organisation=organisation).order_by("-number").first()
    entry = Entry(
        organisation=organisation,
        number=last.number + 1 if last else 0,
        at_ms=time.time_ns() // 1_000_000,
        actor=f"{actor.get_full_name()} <{actor.email}>".strip() if isinstance(actor, Person) else actor,
        action=action,
        object=object,
        detail=detail,
    )
    entry.leaf = leaf_hash(leaf_of(entry))
    entry.save(force_insert=True)
    return entry


def leaf_of(entry: Entry) -> bytes:
    """Returns the bytes of an entry that the Merkle tree hashes."""
    content = {
        "organisation": entry.organisation.requester_id,
        "number": entry.number,
        "at_ms": entry.at_ms,
        "actor": entry.actor,
        "action": entry.action,
        "object": entry.object,
        "detail": entry.detail,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
