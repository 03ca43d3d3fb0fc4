"""Figures of the desk for Prometheus: its receivers, answers and work that waits, as counts.

No name of an organisation, person, case, device or place is in them, and no words that a person wrote: labels are the
states in the code. So they may go to the machine that watches all services.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Count, Model, Q, Sum
from django.utils import timezone

from agent.core.metrics import Metric, write
from desk.api.models import WebHook
from desk.asking.models import Draft
from desk.cases.models import Answer, SignedRequest
from desk.people.models import Organisation
from desk.people.organisations import broker_certificates
from desk.receiving.models import Notice, Receiver, still_there
from desk.storage.shared_stores import servers_at
from desk.tips.models import Tip

__all__ = ["page", "page_of_thread"]

_PREFIX: Final = "doorward_desk_"
_REPLICATION: Final = """
SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), count(*), current_setting('synchronous_standby_names'),
  max(pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn))
FROM pg_stat_replication
"""


def page() -> str:
    """Returns the figures of now in Prometheus' text format."""
    return write(_figures(timezone.now()), _PREFIX)


def page_of_thread() -> str:
    """As `page`, in a thread that lives for one reader: it leaves no connection to the database behind.

    While the database is away, it says that alone, and the figures of the worker beside it go on.
    """
    try:
        return page()
    except (DatabaseError, InterfaceError):
        return write([_database_up(False)], _PREFIX)
    finally:
        connection.close()


def _figures(now: datetime.datetime) -> Iterator[Metric]:
    yield _one("organisations", "Organisations of this desk.", Organisation.objects.count())
    yield _database_up(True)
    yield from _receivers(now)
    yield from _certificates()
    yield _by_state(Answer, "answers", "Answers of doorbells.", Answer.STATES)
    kept = Answer.objects.aggregate(held=Sum("held_bytes"))["held"] or 0
    yield _one("answers_held_bytes", "Sealed footage that the desk keeps.", kept)
    is_overdue = Q(due_at__lt=now, deleted_at=None)
    overdue = Answer.objects.filter(is_overdue, case__legal_hold=False).count()
    overdue += Tip.objects.filter(is_overdue, legal_hold=False).exclude(case__legal_hold=True).count()
    yield _one("deletions_overdue", "Answers and tips that should have been deleted by now.", overdue)
    yield _by_state(Draft, "drafts", "Requests before and after they are signed.", Draft.STATES)
    open_ones = SignedRequest.objects.filter(not_after__gt=now, withdrawn_at=None)
    yield _one("requests_open", "Signed requests that owners may still answer.", open_ones.count())
    unpublished = open_ones.filter(published_at=None).count()
    yield _one("requests_unpublished", "Signed requests that the broker has not taken yet.", unpublished)
    yield _by_state(Notice, "notices", "Notices of receivers that belong to no case.", Notice.KINDS, "kind")
    yield _one("tips", "Tips of people.", Tip.objects.count())
    failing = WebHook.objects.filter(Q(failures__gt=0) | Q(stopped_at__isnull=False)).count()
    yield _one("hooks_failing", "Web hooks that failed at the last delivery, or were given up.", failing)
    if connection.vendor == "postgresql":
        yield from _replication()


def _database_up(is_up: bool) -> Metric:
    return _one("database_up", "1 while the database answers. If it is 0, the desk has no other figures.", is_up)


def _receivers(now: datetime.datetime) -> Iterator[Metric]:
    """A receiver that was killed has written no last word: its row still says "connected"."""
    by_organisation: dict[int, list[Receiver]] = {}
    for row in Receiver.objects.order_by("pk"):
        by_organisation.setdefault(row.organisation_id, []).append(row)
    rows = [row for each in by_organisation.values() for row in still_there(each, now)]
    silent = [row for row in rows if row.state != "stopped" and row.is_silent(now)]
    counts = Counter(row.state for row in rows if row not in silent)
    samples = [(f'{{state="{state}"}}', float(counts[state])) for state, _ in Receiver.STATES]
    words = "Receivers of answers, one for each organisation and worker. Silent: none of its words for a minute."
    yield Metric("receivers", "gauge", words, (*samples, ('{state="silent"}', float(len(silent)))))
    seen = [row.seen_at for row in rows if row.state != "stopped" and row.seen_at is not None]
    if seen:
        words = "Seconds since the most silent receiver gave a sign of life."
        yield _one("receiver_silence_seconds", words, (now - min(seen)).total_seconds())


def _certificates() -> Iterator[Metric]:
    """The desk's own. Those of a worker are on its machine, and the worker's state says that one has ended."""
    found = [each.until for organisation in Organisation.objects.all() for each in broker_certificates(organisation)]
    ends = [until.timestamp() for until in found if until is not None]
    if ends:
        words = "The first end of the desk's certificates for brokers, in seconds since 1970."
        yield _one("certificate_expiry_timestamp_seconds", words, min(ends))


def _replication() -> Iterator[Metric]:
    """The standbys as the primary sees them. Their lag needs the right `pg_monitor`, and is left out without it."""
    with connection.cursor() as cursor:
        cursor.execute(_REPLICATION)
        timeline, standbys, waits_for, lag = cursor.fetchone()
    database = settings.DATABASES["default"]
    servers = servers_at(database["HOST"], database["PORT"])
    yield _one("database_servers", "Servers of PostgreSQL in desk.toml.", servers.count)
    words = "Other servers that take writes on the timeline of the primary. Each has commits that the others lack."
    yield _one("database_twins", words, servers.twins)
    yield _one("database_standbys", "Standbys that are connected to the primary.", standbys)
    yield _one("database_commits_wait", "1 if a commit waits for a standby, else 0.", bool(waits_for))
    yield _one("database_timeline", "Timeline of the primary: one more after each promotion.", int(timeline, 16))
    if lag is not None:
        words = "Bytes of the log that the slowest standby has not on its disk."
        yield _one("database_standby_lag_bytes", words, max(0, lag))


def _by_state(model: type[Model], name: str, words: str, states: Any, field: str = "state") -> Metric:
    """Counts rows by a field."""
    rows = model._default_manager.order_by().values(field).annotate(count=Count("pk"))
    counts = {row[field]: row["count"] for row in rows}
    # A sample for each state that the code knows, so that an alert can compare with 0.
    samples = tuple((f'{{{field}="{state}"}}', float(counts.get(state, 0))) for state, _ in states)
    return Metric(name, "gauge", words, samples)


def _one(name: str, words: str, value: float) -> Metric:
    return Metric(name, "gauge", words, (("", float(value)),))
