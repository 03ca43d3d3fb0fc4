"""`doorward-desk database`: which server of PostgreSQL is the primary, and what would lose an acknowledged answer."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
from django.conf import settings

from agent.errors import ConfigurationError
from desk.storage.postgres_servers import DatabasePlace, Server, known_remedy
from desk.storage.shared_stores import database_address, servers_at

__all__ = ["database", "report"]


@click.command("database")
def database() -> None:
    """Say which server of PostgreSQL is the primary. Exit status 1 if a fault would lose what was acknowledged."""
    address = database_address()
    if address is None:
        raise ConfigurationError("The database of this desk is a file.", remedy="See [database] in desk.toml.")
    import psycopg

    chosen = settings.DATABASES["default"]
    servers = servers_at(chosen["HOST"], chosen["PORT"])
    lines, problems = report(
        servers.look(lambda place: psycopg.connect(address, host=place.host, port=place.port, autocommit=True))
    )
    for line in (*lines, *(f"Problem: {problem}" for problem in problems)):
        click.echo(line)
    sys.exit(1 if problems else 0)


def report(found: Iterable[tuple[DatabasePlace, Server | str]]) -> tuple[list[str], list[str]]:
    """Returns a line for each server, and the problems with what to do."""
    lines, problems, primaries = [], [], []
    count = 0
    for place, server in found:
        count += 1
        if isinstance(server, str):
            lines.append(f"{place}  does not answer: {server}")
            remedy = known_remedy(server) or "Start it, or take it out of [database] host."
            problems.append(f"{place} does not answer. {remedy}")
        elif not server.takes_writes:
            lines.append(f"{place}  standby")
        else:
            waits = f"for {server.waits_for}" if server.waits_for else "for no standby"
            lines.append(f"{place}  primary on timeline {server.timeline}, commits wait {waits}")
            primaries.append((server, place))
    if not primaries:
        problems.append("no server takes writes. Promote the standby that has all commits (docs/desk.md).")
    elif len(primaries) > 1:
        highest = max(server.timeline for server, _ in primaries)
        newest = [str(place) for server, place in primaries if server.timeline == highest]
        rest = ", and make them its standbys."
        if len(newest) == 1:
            problems.append(f"{len(primaries)} servers take writes. Stop all but {newest[0]}{rest}")
        else:
            said = f"{' and '.join(newest)} take writes on one timeline, so each has commits that the others lack."
            problems.append(f"{said} Stop desk and workers, keep the server that they used (docs/desk.md){rest}")
    elif count > 1 and not primaries[0][0].waits_for:
        problems.append(
            "a promoted standby may lack acknowledged answers. Set synchronous_standby_names on the primary as soon as "
            "a standby follows it."
        )
    return lines, problems
