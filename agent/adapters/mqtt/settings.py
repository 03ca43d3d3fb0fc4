"""What one MQTT client needs to know: where, as whom, and how much of everything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["BusSettings"]


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Defaults are a device's: it sends large messages and takes small ones.  A requester raises the inbound limits,
    and has nothing to be silent about."""

    host: str
    port: int
    name: str
    """The CN of the certificate; also the MQTT client id, so that nobody can take over a session by its id."""
    authority: Path
    certificate: Path
    key: Path
    window_messages: int = 16
    """Publications unacknowledged at once; the broker's receive maximum lowers it."""
    window_bytes: int = 1 << 20
    """Payload bytes unacknowledged at once.  One larger message may go alone."""
    inbound_packet_bytes: int = 16 << 10
    inbound_window: int = 8
    """Messages the broker may have outstanding to us (receive maximum)."""
    inbound_queue: int = 256
    """Messages waiting to be taken; more are dropped and counted.  They are asked for again at the next connection,
    as far as the broker retains them.  More than the window, for mosquitto 2.0.11 (Debian 12) does not mind that."""
    inbound_beat_s: float = 0.1
    """Inbound messages are acknowledged one at each beat of so long, whatever becomes of those before, so that no
    acknowledgement tells how long a message was thought about.  0: when one is taken."""
    keepalive_s: int = 60
    """A 64 KiB chunk takes 4 s at 128 kbit/s: a shorter keepalive kills slow uploads."""
    connect_s: float = 10.0
    """For TCP, for TLS and for the CONNACK, each."""
    stall_s: float = 60.0
    """Publications in flight and no answer for so long: the connection is dead, whatever TCP says."""
    user_timeout_ms: int = 8000
    """TCP_USER_TIMEOUT: sent bytes unacknowledged for so long end the connection."""
    congestion: bytes = b"bbr"
    """TCP_CONGESTION: 5 MB at 200 ms and 3 % loss take 4–9 s with bbr and 86–117 s with cubic."""
