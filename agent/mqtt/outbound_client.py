"""paho's client for a process that only opens connections: it works without bind(2) and listen(2).

The uplink's sandbox forbids both (systemd/doorward-uplink.service). paho binds before every connection, to the address
it would get anyway, and its thread wakes itself through a TCP socket that it listens on. Here the bind is left out, and
the thread has a socket pair. Source: paho-mqtt 2.2, `Client._create_socket_connection` and `_socketpair_compat`.
"""

from __future__ import annotations

import socket

import paho.mqtt.client as paho

__all__ = ["PahoClient"]


class PahoClient(paho.Client):
    """`paho.Client` with the same behaviour for its callers."""

    def _create_socket_connection(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), timeout=self._connect_timeout)


def _pair() -> tuple[socket.socket, socket.socket]:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    return reader, writer


paho._socketpair_compat = _pair
