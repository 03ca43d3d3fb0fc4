"""The database of a run: a primary of PostgreSQL and a standby, for which each commit waits. They change places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tests.postgres import PostgresServer, postgres_server, postgres_standby

__all__ = ["Database", "database_addresses"]


class Database:
    """The pair. `kill` and `start` are those of the primary."""

    def __init__(self, ends: ExitStack, clients: int, port: int, connections: int) -> None:
        self.port = port
        first, second = ([database_addresses(client)[place] for client in range(clients)] for place in (0, 1))
        self.primary: PostgresServer = ends.enter_context(postgres_server(first, port, connections))
        self.standby: PostgresServer = ends.enter_context(postgres_standby(self.primary, second, port, connections))

    @property
    def address(self) -> str:
        """The primary's, for a program that this run does not test."""
        return self.primary.address

    def kill(self) -> None:
        self.primary.kill()

    def start(self) -> None:
        self.primary.start()

    def fail_over(self, away: Callable[[], None], *, by_mistake: bool) -> None:
        """The primary dies, and the standby is promoted. The old primary becomes the standby of the new one.

        `by_mistake`: before that it comes back as it was, and takes writes.
        """
        old, new = self.primary, self.standby
        old.kill()
        away()
        new.promote()
        self.primary, self.standby = new, old
        if by_mistake:
            old.start()
        away()
        old.stop()
        old.copy(new)
        old.start()
        new.let_commits_wait()


def database_addresses(client: int) -> Sequence[str]:
    """Returns the addresses of both servers for this client: 0 is the desk, and worker n has n."""
    return f"127.0.4.{client + 1}", f"127.0.14.{client + 1}"
