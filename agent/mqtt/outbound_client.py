"""paho's client for a process that only opens connections: it works without bind(2) and listen(2).

It also bounds the memory that a broker can use: paho alone reads any packet into memory, up to 256 MB.

The uplink's sandbox forbids both (systemd/doorward-uplink.service). paho binds before every connection, to the address
it would get anyway, and its thread wakes itself through a TCP socket that it listens on. Here the bind is left out, and
the thread has a socket pair. Source: paho-mqtt 2.2, `Client._create_socket_connection` and `_socketpair_compat`.
"""

from __future__ import annotations

import socket

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

__all__ = ["PahoClient"]


class PahoClient(paho.Client):
    """`paho.Client` with the same behaviour for its callers.  It ends a connection that announces a larger packet."""

    most_packet_bytes = 64 << 10
    """Without the first byte and the length."""

    def _sock_recv(self, bufsize: int) -> bytes:
        # Before each read, because a fast broker fills one read with as much as was asked for.
        if self._in_packet["remaining_length"] > self.most_packet_bytes:
            raise ConnectionAbortedError("The broker sends a larger packet than this client takes.")
        return super()._sock_recv(bufsize)

    def loop_stop(self) -> MQTTErrorCode:
        """Ends the thread of `loop_start` and waits for it."""
        try:
            return super().loop_stop()
        except AttributeError:  # paho: it waits for `self._thread`, which the thread sets to None as it ends
            return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _create_socket_connection(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), timeout=self._connect_timeout)


def _pair() -> tuple[socket.socket, socket.socket]:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    return reader, writer


paho._socketpair_compat = _pair
