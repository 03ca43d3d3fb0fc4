"""Builds the alerts of a role that has the owner's settings: the custodian's, or solo's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from agent import config
from agent.adapters.alerts_sqlite import SqliteAlertQueue
from agent.adapters.private_text import PrivateText
from agent.config import Configuration
from agent.core.alerts.holding_back import HoldingBack
from agent.core.alerts.kinds import AlertKind
from agent.core.alerts.parcels import ChannelAddress
from agent.core.alerts.policy import ChannelRules, Policy, Span
from agent.core.alerts.wellbeing import Facts, Wellbeing, conditions
from agent.core.consent import State
from agent.core.timebase import NS_PER_MS
from agent.ports import Clock, Journal
from agent.services.alerts import Alerts, AlertSettings
from agent.services.push import PushChannels

__all__ = ["facts_of", "make_alerts", "offer_alerts", "quiet_hours", "told_outside"]

_MINUTE_NS: Final = 60 * 10**9


def make_alerts(
    configuration: Configuration,
    path: Path,
    clock: Clock,
    facts: Callable[[], Facts],
    holding_back: HoldingBack,
    journal: Journal,
    sleeps: Callable[[], bool],
) -> Alerts | None:
    """None without [alerts]: then the log tells.  `sleeps`: whether no request is to be told of at this hour."""
    wanted = configuration.alerts
    if wanted is None:
        return None
    return Alerts(
        AlertSettings(
            f"Doorward: {configuration.device.name}",
            wanted.link,
            tuple(ChannelAddress(channel.name, channel.url) for channel in wanted.channels),
        ),
        Policy(
            tuple(_rules(channel) for channel in wanted.channels),
            off=frozenset(wanted.off),
            digest=frozenset(wanted.digest),
            digest_minute=_minute(wanted.digest_at),
            cool_down_ns=wanted.cool_down_s * 10**9,
            quiet=quiet_hours(configuration),
        ),
        SqliteAlertQueue(path),
        clock,
        local_time,
        holding_back,
        Wellbeing(conditions(wanted.offline_after_minutes * _MINUTE_NS)),
        facts,
        lambda once: _waits(journal, once),
        sleeps,
    )


def offer_alerts(alerts: Alerts, push: Path, offer: Callable[[str, Callable[[Any], Any]], None]) -> None:
    """What the owner's client and page may ask about alerts.  `push`: where browsers that want to be told are kept."""
    offer("alerts_test", alerts.answer_test)
    for name, answer in PushChannels(PrivateText(push), alerts).answers.items():
        offer(name, answer)


def _waits(journal: Journal, once: str) -> bool:
    """Whether the request that this news is of, by the first of its words, still waits for an owner."""
    stored = journal.request(once.partition(" ")[0])
    return stored is None or stored.state.holds_footage


def told_outside(journal: Journal, holding_back: HoldingBack, clock: Clock) -> int:
    """How many of the requests that wait may be known outside of the house by now."""
    return holding_back.due(journal.requests(State.PENDING), clock.now().utc_ns // NS_PER_MS)


def facts_of(recorder: Mapping[str, Any], link: str, *, clock_unknown: bool) -> Facts:
    """From what `doorward status` shows."""
    return Facts(
        offline=None if link == "off" else link != "connected",
        clock_unknown=clock_unknown,
        not_storing=recorder.get("state") == "not recording",
    )


def local_time(utc_ms: int) -> tuple[int, str]:
    """The minute of the local day, and as people write it."""
    local = time.localtime(utc_ms / 1000)
    return local.tm_hour * 60 + local.tm_min, f"{local.tm_hour:02}:{local.tm_min:02}"


def quiet_hours(configuration: Configuration) -> Span | None:
    """The household's, for every channel."""
    quiet = configuration.alerts.quiet if configuration.alerts is not None else None
    return (_minute(quiet[0]), _minute(quiet[1])) if quiet else None


def _rules(channel: config.AlertChannel) -> ChannelRules:
    quiet: Span | None = (_minute(channel.quiet[0]), _minute(channel.quiet[1])) if channel.quiet else None
    return ChannelRules(channel.name, frozenset(channel.kinds or AlertKind), quiet)


def _minute(time_of_day: str) -> int:
    return int(time_of_day[:2]) * 60 + int(time_of_day[3:])
