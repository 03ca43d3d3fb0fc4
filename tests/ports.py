"""A port for a server that a test starts a moment later."""

from __future__ import annotations

from agent.clients.broker.private_broker import _free_ports

__all__ = ["free_port"]


def free_port() -> int:
    """Returns a free port on loopback that the kernel lends to no connection before the server listens."""
    return _free_ports(1)[0]
