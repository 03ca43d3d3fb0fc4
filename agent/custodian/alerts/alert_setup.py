"""Builds what tells of news in a role that has the owner's settings: the custodian's, or solo's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from agent.config import Configuration
from agent.config.settings import AlertChannelConfig
from agent.core.alerts.alert_messages import ChannelAddress
from agent.core.alerts.kinds import AlertKind
from agent.core.alerts.notice_delay import NoticeDelay
from agent.core.alerts.policy import ChannelRules, Policy, Span, minute_of_day
from agent.core.alerts.wellbeing import HealthFacts, HealthMonitor, health_conditions
from agent.core.device_secret import DeviceSecret
from agent.core.languages import LanguageCode
from agent.core.requests import WAITING
from agent.custodian.alerts.alert_queue_sqlite import SqliteAlertQueue
from agent.custodian.alerts.alerts import Alerts, AlertSettings
from agent.custodian.alerts.log_notifier import LogNotifier
from agent.custodian.alerts.private_file import PrivateText
from agent.custodian.alerts.push_channels import PushChannels
from agent.custodian.clock_trust import TrustedClock
from agent.custodian.custodian import Custodian
from agent.custodian.home_status import HomeStateHandler
from agent.ports import Journal, PictureNotifier

__all__ = ["AlertsFactory", "health_facts", "offer_alerts", "quiet_hours"]

_MINUTE_NS: Final = 60 * 10**9


class AlertsFactory:
    """Builds the receivers of news: the channels of [alerts] and Home Assistant, or else the log.

    `sleeps`: returns whether alerts about requests must wait at this hour.
    """

    def __init__(
        self,
        configuration: Configuration,
        path: Path,
        secret: DeviceSecret,
        clock: TrustedClock,
        journal: Journal,
        *,
        facts: Callable[[], HealthFacts],
        status: Callable[[], dict[str, Any]],
        sleeps: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._notice_delay = NoticeDelay.of_device(secret)
        self.alerts = self._make_alerts(configuration, path, facts, sleeps)
        """None if the configuration has no [alerts]."""
        notifier: PictureNotifier = self.alerts or LogNotifier()
        self.home = HomeStateHandler(notifier, status) if configuration.home_assistant is not None else None
        """None if the configuration has no [home_assistant]."""
        self.notifier = self.home or notifier

    def requests(self) -> dict[str, int]:
        """For `doorward status`: the number of requests that wait for an owner, and how many may be known outside the
        house."""
        waiting = self._journal.requests(*WAITING)
        told = self._notice_delay.due(waiting, self._clock.believed_ms)
        return {"requests_waiting": len(waiting), "requests_told": told}

    def _make_alerts(
        self, configuration: Configuration, path: Path, facts: Callable[[], HealthFacts], sleeps: Callable[[], bool]
    ) -> Alerts | None:
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
                tuple(_rules(channel, wanted.language) for channel in wanted.channels),
                off=frozenset(wanted.off),
                digest=frozenset(wanted.digest),
                digest_minute=minute_of_day(wanted.digest_at),
                cool_down_ns=wanted.cool_down_s * 10**9,
                quiet=quiet_hours(configuration),
            ),
            SqliteAlertQueue(path),
            self._clock,
            local_time,
            self._notice_delay,
            HealthMonitor(health_conditions(wanted.offline_after_minutes * _MINUTE_NS)),
            facts,
            self._waits,
            sleeps,
        )

    def _waits(self, once: str) -> bool:
        """Returns whether the request of this news (the first word of `once`) still waits for an owner."""
        stored = self._journal.request(once.partition(" ")[0])
        return stored is None or stored.state.holds_footage


def offer_alerts(alerts: Alerts, push: Path, custodian: Custodian, now_ms: Callable[[], int]) -> PushChannels:
    """Registers the operations on alerts for the owner's client and page. `push`: the file of the subscribed browsers.
    `now_ms`: believed UTC. Returns those browsers."""
    custodian.control.offer("alerts_test", alerts.answer_test)
    browsers = PushChannels(
        PrivateText(push),
        alerts,
        custodian.custodian_state.decisions.after,
        alerts.notify,
        now_ms,
        custodian.enrolments.owner_name,
    )
    for name, answer in browsers.answers.items():
        custodian.control.offer(name, answer)
    custodian.statements.subscribe = browsers.subscribe
    custodian.owners_changed = partial(browsers.leave, custodian.enrolments.has_left)
    custodian.owners_changed()  # a power cut may have come between the change and this
    return browsers


def health_facts(
    recorder: Mapping[str, Any], link: str, *, clock_unknown: bool, no_page: bool | None = None
) -> HealthFacts:
    """From what `doorward status` shows. `no_page`: None without a page."""
    return HealthFacts(
        offline=None if link == "off" else link != "connected",
        clock_unknown=clock_unknown,
        not_storing=recorder.get("state") == "not recording",
        no_recorder=recorder.get("state") == "no recorder",
        no_page=no_page,
    )


def local_time(utc_ms: int) -> tuple[int, str]:
    """The minute of the local day, and as people write it."""
    local = time.localtime(utc_ms / 1000)
    return local.tm_hour * 60 + local.tm_min, f"{local.tm_hour:02}:{local.tm_min:02}"


def quiet_hours(configuration: Configuration) -> Span | None:
    """The household's, for every channel."""
    quiet = configuration.alerts.quiet if configuration.alerts is not None else None
    return (minute_of_day(quiet[0]), minute_of_day(quiet[1])) if quiet else None


def _rules(channel: AlertChannelConfig, language: LanguageCode) -> ChannelRules:
    quiet: Span | None = (minute_of_day(channel.quiet[0]), minute_of_day(channel.quiet[1])) if channel.quiet else None
    return ChannelRules(
        channel.name, frozenset(channel.kinds or AlertKind), quiet, (channel.language or language).value
    )
