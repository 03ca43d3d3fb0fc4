"""Limits of managed MQTT services, as their documentation states them. `service_broker.py` enforces a profile.

Read on 2026-11-29 from stored copies of the pages; the dates are those of the copies. A service can change a limit at
any time, and most of them are per plan. None: the pages that we read give no limit.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROFILES", "ServiceProfile"]

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class ServiceProfile:
    """Sizes in bytes. `sources`: page and date of each group of limits."""

    name: str
    sources: tuple[str, ...]
    payload_bytes: int | None = None
    packet_bytes: int | None = None
    """Told in CONNACK."""
    topic_levels: int | None = None
    """In topics and filters."""
    topic_bytes: int | None = None
    client_id_bytes: int | None = None
    filters_in_subscribe: int | None = None
    subscriptions: int | None = None
    """For one connection."""
    subscribes_per_s: int | None = None
    """SUBSCRIBE and UNSUBSCRIBE packets, for one connection."""
    publishes_per_s: int | None = None
    """For one connection."""
    receive_maximum: int | None = None
    """Told in CONNACK."""
    keepalive_s: tuple[int, int] | None = None
    session_s: int | None = None
    retained_bytes: int | None = None
    """The largest retained payload."""
    retained_by_wildcard: bool = True
    """A subscription with a wildcard gets retained messages."""
    client_certificates: bool = True
    second_by_user: bool = False
    """A client may have several connections, each with its client id, if it sends its user name."""


AWS_IOT_CORE = ServiceProfile(
    name="AWS IoT Core",
    sources=(
        "AWS IoT Developer Guide, MQTT (2022): retained messages, wildcards, session of an hour",
        "AWS IoT Device SDK, ClientExtendedValidationAndFlowControl (2025): filters, topics, client id, 100 a second",
        "ESP RainMaker Neo, Limits (2026), after the AWS quotas page: payload, subscriptions, 100 unacknowledged",
        "AWS service limits (2017): keep-alive",
    ),
    payload_bytes=128 * KIB,
    topic_levels=8,
    topic_bytes=256,
    client_id_bytes=128,
    filters_in_subscribe=8,
    subscriptions=50,
    publishes_per_s=100,
    receive_maximum=100,
    keepalive_s=(5, 1200),
    session_s=3600,
    retained_by_wildcard=False,
)

HIVEMQ = ServiceProfile(
    name="HiveMQ",
    sources=(
        "HiveMQ Edge, MQTT-specific configuration (2025): defaults of the broker; no page of limits of HiveMQ Cloud",
        "HiveMQ Cloud, Console (2025): clients sign in with credentials",
    ),
    packet_bytes=268_435_455,
    topic_bytes=65_535,
    receive_maximum=10,
    keepalive_s=(0, 65_535),
    client_certificates=False,
)

AZURE_EVENT_GRID = ServiceProfile(
    name="Azure Event Grid",
    sources=(
        "Azure Event Grid quotas and limits (2023-11-15): all but the following",
        "What's new in Azure Event Grid (2025): 1000 messages a second of a session, 15 levels",
        "MQTT retain support (2025): 64 KB; MQTT features (2025): keep-alive of at most 1160 s, QoS 1",
        "How to establish multiple sessions for a single client (2025): the user name, beside a certificate, too",
    ),
    packet_bytes=512 * KIB,
    topic_levels=8,  # 15 since May 2025; we keep to the older one
    topic_bytes=256,
    filters_in_subscribe=10,
    subscriptions=50,
    subscribes_per_s=5,
    publishes_per_s=100,  # 1000 since 2025
    keepalive_s=(0, 1160),
    session_s=8 * 3600,
    retained_bytes=64 * KIB,
    second_by_user=True,
)

EMQX_SERVERLESS = ServiceProfile(
    name="EMQX Cloud Serverless",
    sources=(
        "EMQX Cloud, Quotas and limits (2025): all but the following",
        "EMQX Cloud, Authentication (2025): X.509 certificates, also on Serverless",
    ),
    payload_bytes=1 * MIB,
    topic_levels=10,
    client_id_bytes=1024,
    subscriptions=10,
    publishes_per_s=10,
    retained_bytes=1 * MIB,
)

PROFILES = (AWS_IOT_CORE, HIVEMQ, AZURE_EVENT_GRID, EMQX_SERVERLESS)
