"""Passes connections on to a broker, and counts the bytes that come from it."""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["ByteCounter"]


class ByteCounter:
    """`came_bytes`: of all connections since the first one, or since the last cut."""

    def __init__(self, broker_port: int, broker_host: str = "127.0.0.1") -> None:
        self._broker = (broker_host, broker_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.came_bytes = self.connections = 0
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._broker) as broker:
            with self._lock:
                self._clients.add(client)
                self.connections += 1
                if len(self._clients) == 1:
                    self.came_bytes = 0
            up = threading.Thread(target=self._pass, args=(client, broker))
            up.start()
            self._pass(broker, client)
            up.join()
            with self._lock:
                self._clients.discard(client)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # a side that stops may reset the connection
            while data := source.recv(65_536):
                if target.getsockname()[1] == self.port:
                    with self._lock:
                        self.came_bytes += len(data)
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):  # it has gone
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Ends the connections. The doorbell makes the next ones."""
        with self._lock:
            assert self._clients
            self.came_bytes = 0
            for each in self._clients:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Waits for connections to end: stop the doorbell before."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._threads:
            each.join()
