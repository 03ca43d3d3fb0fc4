"""The thread that delivers web hooks. It also ends requests after their last day, so that their event goes out
before a person looks at the page.

    with hook_sender():
        serve()
"""

from __future__ import annotations

import time
from typing import Final

from desk.api.hooks import deliver_due
from desk.asking.drafts import expire_due
from desk.people.models import Organisation
from desk.periodic import PeriodicThread

__all__ = ["hook_sender"]

_EVERY_S: Final = 2.0


def hook_sender(every_s: float = _EVERY_S) -> PeriodicThread:
    """Returns the thread of the deliveries."""
    return PeriodicThread("web-hooks", _step, every_s=every_s)


def _step() -> None:
    for organisation in Organisation.objects.filter(web_hooks__isnull=False).distinct():
        expire_due(organisation, int(time.time()))
    deliver_due()
