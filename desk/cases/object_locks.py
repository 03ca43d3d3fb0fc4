"""Legal holds in a store with object lock: the store refuses to delete what is held here, also to another program.

The rows of cases and tips decide, and the receiver's clock brings the store in line once a minute. The desk itself
refuses a deletion from the moment of the hold on.
"""

from __future__ import annotations

from django.db.models import F

from desk.cases.models import Answer
from desk.people.models import Organisation
from desk.storage.shared_parts import shared_parts
from desk.tips.models import Tip

__all__ = ["lock_what_is_held", "unlock"]

_WHOLE = ("complete", "quarantined")
"""States in which no further part arrives."""


def lock_what_is_held(organisation: Organisation) -> None:
    """Locks the parts of what is held, and unlocks the rest. Raises `NetworkError` and `ConfigurationError`."""
    parts = shared_parts(organisation.requester_id)
    if parts is None:
        return
    answers = Answer.objects.filter(case__organisation=organisation, state__in=_WHOLE)
    for answer in answers.exclude(locked=F("case__legal_hold")).select_related("case"):
        parts.hold(answer.disclosure_id, on=answer.case.legal_hold)
        # After the store: a stop between the two locks again, which changes nothing.
        Answer.objects.filter(pk=answer.pk).update(locked=answer.case.legal_hold)
    for tip in Tip.objects.filter(organisation=organisation, deleted_at=None).select_related("case"):
        if tip.locked != tip.held:
            parts.hold(tip.disclosure_id, on=tip.held)
            Tip.objects.filter(pk=tip.pk).update(locked=tip.held)


def unlock(organisation: Organisation, held: Answer | Tip) -> None:
    """Ends the lock of what is about to be deleted. Raises the errors of `lock_what_is_held`."""
    parts = shared_parts(organisation.requester_id)
    if parts is not None:
        parts.hold(held.disclosure_id, on=False)
    held.locked = False
    held.save(update_fields=("locked",))
