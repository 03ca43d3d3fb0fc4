"""Web hooks of an organisation: made, removed, started again, and delivered.

The queue of a hook is the custody log, from `next_entry` on: an act and its event are one row in one transaction, so a
kill at any point loses no event. The position moves on after the receiver has said that it has the event. A kill in
between sends the event again, with the same id.
"""

from __future__ import annotations

import base64
import datetime
import secrets
import time
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from agent.errors import ConfigurationError
from desk.api import hook_delivery
from desk.api.hook_addresses import parse_address, resolve
from desk.api.hook_events import HookEvent, next_event
from desk.api.models import WebHook
from desk.custody import log
from desk.people.models import Organisation, Person

__all__ = ["deliver_due", "make_hook", "remove_hook", "resume_hook", "secret_of"]

_MOST: Final = 10
_LEASE: Final = datetime.timedelta(minutes=2)
"""No other process takes a hook for this long, which is more than one delivery takes."""
_PAUSES_S: Final = (10, 60, 300, 1800, 7200, 21_600)
"""Pause after the first failure, the second, and so on. The last one repeats."""
_MOST_FAILURES: Final = 15
_BATCH: Final = 50


@transaction.atomic
def make_hook(organisation: Organisation, person: Person, *, name: str, address: str) -> WebHook:
    """Makes a hook to an address that is allowed. Raises `ConfigurationError`."""
    if WebHook.objects.filter(organisation=organisation).count() >= _MOST:
        raise ConfigurationError(f"An organisation has at most {_MOST} web hooks.", remedy="Remove one.")
    resolve(parse_address(address), settings.DESK.hooks.private)
    hook = WebHook.objects.create(
        organisation=organisation, name=name, address=address, salt=secrets.token_hex(32), made_by=person
    )
    # The queue begins with this entry. The entries before it were not meant for this address.
    hook.next_entry = log.record(organisation, person, "hook.made", str(hook), name=name, address=address).number
    hook.save(update_fields=("next_entry",))
    return hook


@transaction.atomic
def remove_hook(hook: WebHook, person: Person) -> None:
    log.record(hook.organisation, person, "hook.removed", str(hook), name=hook.name, address=hook.address)
    hook.delete()


@transaction.atomic
def resume_hook(hook: WebHook, person: Person) -> bool:
    """Starts a stopped hook again, from the first event that it missed. Returns False if it was not stopped."""
    found = WebHook.objects.filter(pk=hook.pk).exclude(stopped_at=None)
    done = found.update(stopped_at=None, failures=0, next_try_at=timezone.now())
    if done:
        log.record(hook.organisation, person, "hook.resumed", str(hook), name=hook.name)
    return bool(done)


def secret_of(hook: WebHook) -> str:
    """Returns the secret with which the desk signs for this hook. The page shows it once."""
    made = salted_hmac("desk.api.hooks", hook.salt, algorithm="sha256").digest()
    return base64.urlsafe_b64encode(made).decode("ascii").rstrip("=")


def deliver_due() -> int:
    """Sends what waits, of each hook that may be tried now. Returns the number of delivered events."""
    now = timezone.now()
    due = WebHook.objects.filter(stopped_at=None, next_try_at__lte=now).select_related("organisation")
    return sum(_deliver(hook) for hook in due)


def _deliver(hook: WebHook) -> int:
    """Sends the events of one hook in their order, until one fails."""
    done = 0
    while done < _BATCH:
        number, event = next_event(hook)
        if event is None:
            if number != hook.next_entry:
                # Only from the place that was read, because another process may have moved it on.
                WebHook.objects.filter(pk=hook.pk, next_entry=hook.next_entry).update(next_entry=number)
            return done
        if not _claim(hook):
            return done
        problem = _send(hook, event)
        if problem:
            _failed(hook, problem)
            return done
        now = timezone.now()
        after = {"next_entry": number + 1, "failures": 0, "problem": "", "delivered_at": now, "next_try_at": now}
        WebHook.objects.filter(pk=hook.pk).update(**after)
        # As in the row: the next claim compares this time.
        hook.next_entry, hook.failures, hook.next_try_at = number + 1, 0, now
        done += 1
    return done


def _claim(hook: WebHook) -> bool:
    """Takes the hook for this process. A kill gives it back after the lease."""
    until = timezone.now() + _LEASE
    # Several processes read the same row, and one of them still finds the time that it read.
    mine = WebHook.objects.filter(pk=hook.pk, next_try_at=hook.next_try_at, stopped_at=None)
    return bool(mine.update(next_try_at=until))


def _send(hook: WebHook, event: HookEvent) -> str:
    allowed = settings.DESK.hooks
    body = event.model_dump_json().encode("utf-8")
    return hook_delivery.post(
        hook.address,
        body,
        secret_of(hook),
        now_s=int(time.time()),
        private=allowed.private,
        authority=allowed.authority,
    )


@transaction.atomic
def _failed(hook: WebHook, problem: str) -> None:
    now, failures = timezone.now(), hook.failures + 1
    pause_s = _PAUSES_S[min(failures, len(_PAUSES_S)) - 1]
    stopped = failures >= _MOST_FAILURES
    WebHook.objects.filter(pk=hook.pk).update(
        failures=failures,
        problem=problem[:300],
        next_try_at=now + datetime.timedelta(seconds=pause_s),
        stopped_at=now if stopped else None,
    )
    if stopped:
        log.record(hook.organisation, "web hooks", "hook.stopped", str(hook), name=hook.name, problem=problem)
