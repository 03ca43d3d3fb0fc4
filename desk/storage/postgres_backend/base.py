"""The connection that Django opens for each page and thread."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from desk.storage.shared_stores import servers_at

__all__ = ["DatabaseWrapper"]


class DatabaseWrapper(base.DatabaseWrapper):
    """Connects to the primary, and refuses a server that was replaced. Django looks this class up by its name."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        servers = servers_at(conn_params.pop("host"), conn_params.pop("port"))
        return servers.connect(
            lambda place: super(DatabaseWrapper, self).get_new_connection(
                conn_params | {"host": place.host, "port": place.port}
            )
        )
