"""Settings of one MQTT client: address, identity and limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

__all__ = ["WATCHFUL_KEEPALIVE_S", "BusSettings", "sessionless"]

WATCHFUL_KEEPALIVE_S: Final = 15
"""For the digest service and for requesters, which mostly listen: a connection that died silently is found by the ping.
With 60 s, doorbells of a shard waited for a request for as long."""


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Defaults are a device's: it sends large messages and takes small ones. A requester raises the inbound limits, and
    may answer at once."""

    host: str
    port: int
    name: str
    """The CN of the certificate. It is also the MQTT client id, so a client cannot take over a session by its id."""
    authority: Path
    certificate: Path | None = None
    """None, with `key`: a broker that takes passwords only."""
    key: Path | None = None
    window_messages: int = 16
    """Publications unacknowledged at once; the broker's receive maximum lowers it."""
    window_bytes: int = 1 << 20
    """Payload bytes unacknowledged at once.  One larger message may go alone."""
    inbound_packet_bytes: int = 16 << 10
    inbound_window: int = 128
    """Messages the broker may have outstanding to us (receive maximum): with the beat, 1 280 a second."""
    inbound_queue: int = 256
    """Messages that wait for their beat, or without a beat to be taken; more are dropped and counted. They are
    requested again, as far as the broker retains them. Larger than the window, because mosquitto 2.0.11 (Debian 12)
    ignores it."""
    inbound_beat_s: float = 0.1
    """Messages are acknowledged at each beat of this length, so that an acknowledgement hides how long a message was
    processed. Afterwards a message waits among those of its sender (`pacing.py`). 0: each message is acknowledged at
    the moment it is taken, in order of arrival."""
    inbound_bytes: int = 4 << 20
    """Limit on messages that wait for their beat, or without a beat to be taken. With a beat the same again, and
    512 KiB for trust roots, for messages that wait to be taken. More are dropped and counted."""
    inbound_of_one: int = 80
    """With a beat: messages of one sender that wait to be taken.  As many as a broker keeps of one in a cell."""
    inbound_per_s: float = 20.0
    """With a beat: messages handed out in a second.  Each costs the board a signature, 15 ms of a Zero 2 W."""
    keepalive_s: int = 60
    """A 64 KiB chunk takes 4 s at 128 kbit/s: a shorter keepalive kills slow uploads. Clients that doorbells wait for
    have `WATCHFUL_KEEPALIVE_S`."""
    connect_s: float = 10.0
    """For TCP, for TLS and for the CONNACK, each."""
    stall_s: float = 60.0
    """If publications in flight get no answer for this long, the connection is dead, even if TCP is alive."""
    session_s: int = 0
    """For how long the broker keeps messages for this client while it is away. 0: it keeps none, and each connection
    begins without a session."""
    unique_id: bool = False
    """Each connection has another client id: `name`, a dot and 8 random hex digits. A broker keeps a connection that
    the network has cut off for up to 90 s. While RabbitMQ ends it for the next one with the same id, it may delete the
    next one's queue, too."""
    qos: int = 1
    """The quality of service of subscriptions. 0: the broker neither queues a message for this client nor waits for its
    acknowledgement."""
    user_timeout_ms: int = 8000
    """TCP_USER_TIMEOUT: the connection ends if sent bytes stay unacknowledged for this long."""
    user: str = ""
    """The user name beside the password, which is `name` if this is empty. Beside a certificate it is sent if it is
    given: RabbitMQ refuses it there, and Azure Event Grid lets a client have two connections only with it."""
    password_file: Path | None = None
    """A password or token for a broker that wants one. It is read for each connection (an installation has a copy of
    the start, by systemd), and sent only to a broker that `authority` vouches for."""
    congestion: bytes = b"bbr"
    """TCP_CONGESTION: 5 MB at 200 ms and 3 % loss take 4–9 s with bbr and 86–117 s with cubic."""


def sessionless(settings: BusSettings) -> BusSettings | None:
    """Returns the settings of a device's second connection, without a session, or None if the first one lacks one, too.

    A broker keeps all that a session is subscribed to while the device is away. Lists and pages must not wait there, so
    they come over the second connection. It has the device's rights, and other client ids, because a broker has one
    connection for each id. With QoS 0, RabbitMQ makes no queue for it.
    """
    if not settings.session_s:
        return None
    user = settings.user or (settings.name if settings.password_file is not None else "")
    return replace(settings, name=f"{settings.name}.live", user=user, session_s=0, unique_id=True, qos=0)
