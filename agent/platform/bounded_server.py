"""A server with one thread for each client, and a bound on their number: any program that reaches it may connect."""

from __future__ import annotations

import socketserver
import threading
from typing import Any, ClassVar

__all__ = ["BoundedServer"]


class BoundedServer(socketserver.ThreadingMixIn):
    """Refuses clients over `most_clients` by closing their connection. Mix it into a server of `socketserver`."""

    daemon_threads = True
    most_clients: ClassVar[int] = 4
    request_queue_size = 4

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.Semaphore(self.most_clients)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:
                # No thread began (for example at the limit of `TasksMax=`), so none gives the place back.
                self._free.release()
                raise
        else:
            self.shutdown_request(request)  # type: ignore[attr-defined]

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()
