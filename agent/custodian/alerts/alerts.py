"""The owner's alerts: takes news from every part, applies the policy, queues the alerts and hands them to the sender.

    notify ──▶ inbox (memory) ──▶ thread "alerts": policy ──▶ queue (durable) ──▶ collect ─▶ channel ─▶ acknowledge

Rules: `notify` only puts news into memory, because recording threads call it. News of the button overtakes all other
news. If the inbox is full, other news is dropped and counted; news of the button stays. An alert leaves the queue after
its channel has accepted it. If the process is killed between these two steps, the alert is sent twice. A queued alert
survives every crash. News of a request becomes an alert only after its delay (`core.alerts.notice_delay`). Until then
it causes zero traffic.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import structlog

from agent.core.alerts.alert_messages import (
    MOST_LINES,
    AlertMessage,
    AlertPicture,
    ChannelAddress,
    DeferredAlert,
    DelayedAlert,
    QueuedAlert,
    deferred_text,
    retry_pause_ns,
    summary,
    take_message,
)
from agent.core.alerts.kinds import TEST, AlertDefinition, AlertPriority, alert_named
from agent.core.alerts.notice_delay import NoticeDelay
from agent.core.alerts.policy import ChannelRules, Decision, Policy, Span, may_release
from agent.core.alerts.wellbeing import HealthFacts, HealthMonitor
from agent.core.timebase import NS_PER_MS, BootNs, ClockQuality, ClockReading
from agent.errors import RequestError, StorageError
from agent.ports import AlertQueue, Clock
from agent.sentences import in_language

__all__ = ["AlertSettings", "Alerts", "LocalTime"]

_LOOK_S: Final = 5.0
_INBOX: Final = 512
_WRITTEN_MS: Final = 60_000
"""The queue stores the elapsed part of each delay at this interval. A crash lengthens a delay by at most this time."""
_KEPT_FOR_MS: Final = 3 * 86_400_000
"""An alert that every channel has refused for this long is dropped and counted."""
_FORGOTTEN_NS: Final = 180 * 10**9
"""If a message lacks its acknowledgement for this long, its sender has gone. The message is handed out again."""

_COUNTED: Final = ("queued", "delayed", "kept", "rate_limited", "overflowed", "given_up")

LocalTime = Callable[[int], tuple[int, str]]
"""UTC in ms → the minute of the local day, and "14:03"."""


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """`title` heads every message, `link` ends it: the owner's page, or empty. `say`: returns a sentence in a
    language."""

    title: str
    link: str
    addresses: tuple[ChannelAddress, ...]
    say: Callable[[str, str], str] = in_language


@dataclass(slots=True)
class _ChannelState:
    rules: ChannelRules
    out: AlertMessage | None = None
    out_since_ns: int = 0
    failures: int = 0
    rests_until_ns: int = 0
    delivered: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class _RaisedAlert:
    name: str
    moment: ClockReading
    once: str = ""
    pictures: tuple[AlertPicture, ...] = ()


@dataclass(frozen=True, slots=True)
class _DecidedAlert:
    news: AlertDefinition
    raised: _RaisedAlert
    decisions: list[tuple[ChannelRules, Decision]]


class Alerts:
    """`ports.Notifier`, and the operations of an alert sender (`channels`, `collect`, `acknowledge`). Callable from any
    thread.

    `waits` returns whether the subject of a `once` still waits for its owner. If its wait is over, its delayed news is
    dropped. While the owner `sleeps`, delayed news of requests stays delayed.
    """

    def __init__(
        self,
        settings: AlertSettings,
        policy: Policy,
        queue: AlertQueue,
        clock: Clock,
        local_time: LocalTime,
        notice_delay: NoticeDelay,
        wellbeing: HealthMonitor | None = None,
        facts: Callable[[], HealthFacts] = HealthFacts,
        waits: Callable[[str], bool] = lambda _once: True,
        sleeps: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._link = settings.link
        self._addresses = {address.name: address for address in settings.addresses}
        self._glances: dict[str, str] = {}
        self._queue = queue
        self._clock = clock
        self._local_time = local_time
        self._notice_delay = notice_delay
        self._wellbeing = wellbeing
        self._facts = facts
        self._waits = waits
        self._sleeps = sleeps
        self._written_ns = self._now()
        """Until when the queue knows that time has passed."""
        self._log = structlog.get_logger("owner")
        self._channels = {rules.name: _ChannelState(rules) for rules in policy.channels}
        self._arrived = threading.Condition()
        """Guards the inbox. The recording threads take this lock, so its holders must not touch a disk."""
        self._changed = threading.Condition()
        self._presses: deque[_RaisedAlert] = deque()
        self._inbox: deque[_RaisedAlert] = deque()
        self._taken: set[int] = set()
        self._counted: Counter[str] = Counter()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="alerts")

    # -- news comes in -------------------------------------------------------------------------------------------------

    def notify(self, kind: str, text: str, once: str = "", pictures: Sequence[AlertPicture] = ()) -> None:
        """Queues news in memory. It returns at once and cannot raise."""
        self._log.info("owner_told", about=kind, says=text)
        raised = _RaisedAlert(kind, self._clock.now(), once, tuple(pictures))
        with self._arrived:
            # Apart from the bounded inbox, because a flood of other news must not push out the ring of a visitor.
            if alert_named(kind).rank is AlertPriority.BUTTON:
                self._presses.append(raised)
            elif len(self._inbox) < _INBOX:
                self._inbox.append(raised)
            else:
                self._counted["overflowed"] += 1
            self._arrived.notify_all()

    def test(self) -> tuple[str, ...]:
        """Queues one test message for every channel, regardless of its rules, and returns the channels' names."""
        moment, channels = self._clock.now(), tuple(self._channels.values())
        if not channels:
            raise RequestError("No channel is configured.", remedy="Add [[alerts.channels]] to the configuration.")
        self._queue.add(
            [self._waiting(each.rules, AlertPriority.SOON, TEST, moment, "/settings") for each in channels], ()
        )
        with self._changed:
            for channel in channels:
                channel.rests_until_ns = 0
            self._changed.notify_all()
        return tuple(each.rules.name for each in channels)

    def answer_test(self, _asked: object, _body: bytes) -> tuple[dict[str, Any], bytes]:
        """`test`, for the control socket."""
        return {"channels": list(self.test())}, b""

    def set_channel(self, rules: ChannelRules, address: ChannelAddress, glance: str = "") -> None:
        """Adds a channel or changes its address. It takes effect at once; the caller keeps it over restarts. `glance`:
        the id of the key that opens its pictures."""
        with self._changed:
            self._glances[rules.name] = glance
            self._addresses[rules.name] = address
            self._channels.setdefault(rules.name, _ChannelState(rules)).rules = rules
            others = (each for each in self._policy.channels if each.name != rules.name)
            self._policy.channels = (*others, rules)

    def set_quiet(self, quiet: Span | None) -> None:
        """The household's quiet hours, for every channel.  In force at once."""
        with self._changed:
            self._policy.quiet = quiet

    def drop_channel(self, name: str) -> None:
        """Removes a channel and its queue. An unknown name is ignored."""
        with self._changed:
            self._addresses.pop(name, None)
            self._glances.pop(name, None)
            self._channels.pop(name, None)
            self._policy.channels = tuple(each for each in self._policy.channels if each.name != name)
        self._queue.retain(tuple(self._channels), 0)

    def link_to(self, page: str) -> None:
        """Sets the address of the owner's page, which ends every message unless the settings name another address."""
        self._link = self._settings.link or page

    def start(self) -> None:
        """Raises `StorageError`."""
        self._queue.retain(tuple(self._channels), 0)
        self._thread.start()

    def stop(self) -> None:
        """Queues all earlier news, then stops. Idempotent."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify_all()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def close(self) -> None:
        """After `stop`, and after the senders have gone."""
        self._queue.close()

    def status(self) -> dict[str, Any]:
        """For the owner: each channel, what waits for it, and since how many attempts it fails."""
        try:
            counts = self._queue.counts()
        except StorageError:
            counts = {}
        with self._changed:
            return {
                "channels": {
                    name: {
                        "waiting": counts.get(name, 0),
                        "delivered": each.delivered,
                        "failures": each.failures,
                        "fault": each.fault,
                    }
                    for name, each in self._channels.items()
                },
                **{key: self._counted[key] for key in _COUNTED},
            }

    # -- alerts go out -------------------------------------------------------------------------------------------------

    def channels(self) -> tuple[ChannelAddress, ...]:
        """For a sender that has just begun: messages that another one had taken are handed out again."""
        with self._changed:
            for channel in self._channels.values():
                channel.out = None
            self._changed.notify_all()
            return tuple(self._addresses.values())

    def collect(self, wait_s: float) -> tuple[AlertMessage, ...]:
        """Returns the next message of each idle channel. Waits at most `wait_s` for one."""
        with self._changed:
            if not (messages := self._due()) and not self._stopping:
                # Until the first rest is over, because no thread notifies when a pause ends.
                self._changed.wait(min(wait_s, self._rest_s()))
                messages = self._due()
        return messages

    def acknowledge(self, message: AlertMessage, fault: str = "") -> None:
        """Records that the channel accepted the message, or its fault."""
        with self._changed:
            if not fault:
                self._taken.update(message.alerts)
            channel = self._channels.get(message.channel)
            if channel is None:
                return
            # An answer that comes after `_FORGOTTEN_NS` may be about a message that was handed out again with more
            # lines.
            if channel.out is not None and not set(channel.out.alerts).isdisjoint(message.alerts):
                channel.out = None
            channel.fault = fault
            if not fault:
                channel.delivered += len(message.alerts)
                channel.failures, channel.rests_until_ns = 0, 0
            else:
                channel.failures += 1
                channel.rests_until_ns = self._now() + retry_pause_ns(channel.failures)
                self._log.warning("channel_failed", channel=message.channel, failures=channel.failures)
            self._changed.notify_all()
        self._forget_collected()

    def _forget_collected(self) -> None:
        """Out of the queue.  While the disk refuses that, `_taken` keeps them from being sent again."""
        with self._changed:
            taken = tuple(self._taken)
        if taken:
            self._queue.remove(taken)
            with self._changed:
                # Only these: a channel may have acknowledged others while the disk was written.
                self._taken.difference_update(taken)

    def _due(self) -> tuple[AlertMessage, ...]:
        now_ns, messages = self._now(), []
        for name, channel in self._channels.items():
            if channel.out is not None and now_ns - channel.out_since_ns > _FORGOTTEN_NS:
                channel.out = None
            if channel.out is None and now_ns >= channel.rests_until_ns:
                waiting = [w for w in self._queue.waiting(name, MOST_LINES) if w.id not in self._taken]
                message = take_message(waiting, self._settings.title, self._link)
                if message is not None:
                    channel.out, channel.out_since_ns = message, now_ns
                    messages.append(message)
        return tuple(messages)

    def _rest_s(self) -> float:
        """Until the first channel has rested enough."""
        left = [each.rests_until_ns - self._now() for each in self._channels.values() if each.rests_until_ns]
        return max(0.01, min([ns / 1e9 for ns in left if ns > 0], default=3600.0))

    # -- the thread between --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait_s = 0.0  # deferred alerts may have become due while the device was off
        while True:
            with self._arrived:
                if not (self._presses or self._inbox or self._stopping):
                    self._arrived.wait(wait_s)
                wait_s = _LOOK_S
                over = self._stopping and not (self._presses or self._inbox)
            if over:
                with suppress(StorageError):
                    self._time_passed()
                return
            try:
                while raised := self._next():
                    self._process(raised)
                self._on_time()
            except StorageError as error:
                self._log.error("alert_not_kept", error=error.message)

    def _next(self) -> list[_RaisedAlert]:
        """Returns a press of the button alone and first; otherwise all news, to be committed together."""
        with self._arrived:
            if self._presses:
                return [self._presses.popleft()]
            raised = list(self._inbox)
            self._inbox.clear()
            return raised

    def _process(self, raised: list[_RaisedAlert]) -> None:
        now_ns = self._now()
        told: list[_DecidedAlert] = []
        for each in raised:
            news, minute = alert_named(each.name), self._minute(each.moment)
            decisions = [(rules, self._policy.decide(rules, news, now_ns, minute)) for rules in self._policy.channels]
            told.append(_DecidedAlert(news, each, decisions))
        for each_told in told:
            # Alone in its transaction, because a repeated `once` writes nothing and would take the others with it.
            if each_told.raised.once:
                self._store([each_told])
        self._store([each_told for each_told in told if not each_told.raised.once])

    def _store(self, told: list[_DecidedAlert]) -> None:
        """Stores the alerts in one transaction; in several if one of them must be sent only once."""
        now: list[QueuedAlert] = []
        delayed: list[DelayedAlert] = []
        deferred: list[DeferredAlert] = []
        urgent: set[str] = set()
        for each in told:
            moment, once = each.raised.moment, each.raised.once
            at_ms = moment.utc_ns // NS_PER_MS
            for rules, decision in each.decisions:
                if decision is Decision.NOW:
                    alert = self._waiting(rules, each.news.rank, each.news.text, moment, each.news.page)
                    now.append(replace(alert, picture=self._picture(rules.name, each.raised)))
                    urgent |= {rules.name} if each.news.rank is AlertPriority.BUTTON else set()
                elif decision is Decision.DELAYED:
                    # The queue subtracts the elapsed time at its next write, which includes a part from before this
                    # alert.
                    left_ms = self._notice_delay.of_ms(at_ms) + self._passed_ms(moment.boot_ns)
                    delayed.append(DelayedAlert(0, rules.name, each.raised.name, once, at_ms, left_ms))
                elif decision in (Decision.QUIET, Decision.DIGEST):
                    deferred.append(self._deferred(rules, decision, each.news, at_ms))
                self._counted["rate_limited"] += decision is Decision.RATE_LIMITED
        if not (now or delayed or deferred) or not self._queue.add(now, deferred, told[0].raised.once, delayed):
            return
        self._counted["queued"] += len(now)
        self._counted["delayed"] += len(delayed)
        self._counted["kept"] += len(deferred)
        with self._changed:
            for name in urgent.intersection(self._channels):
                # A press at the door tries a failing channel at once: the visitor does not wait for the pause.
                self._channels[name].rests_until_ns = 0
            if now:
                self._changed.notify_all()

    def _on_time(self) -> None:
        moment = self._clock.now()
        if self._wellbeing is not None:
            for name in self._wellbeing.step(self._facts(), moment.boot_ns):
                self._process([_RaisedAlert(name, moment)])
        minute, now_ms = self._minute(moment), moment.utc_ns // NS_PER_MS
        for rules, news in self._policy.rate_limited(moment.boot_ns):
            decision = self._policy.decide(rules, news, moment.boot_ns, minute)
            self._store([_DecidedAlert(news, _RaisedAlert("", moment), [(rules, decision)])])
        self._release_delayed(moment)
        self._forget_collected()
        for rules in self._policy.channels:
            for why in (Decision.QUIET, Decision.DIGEST):
                kept = self._queue.deferred(rules.name, why.value)
                if kept and may_release(self._policy, rules, why, kept[0].since_ms, now_ms, minute):
                    clocks = [self._local_time(each.last_ms)[1] for each in kept]
                    text = summary(kept, clocks, partial(self._say, rules))
                    alert = QueuedAlert(0, rules.name, AlertPriority.LATER, text, _known_ms(moment), "/timeline")
                    self._queue.release(kept, alert)
                    with self._changed:
                        self._changed.notify_all()
        if moment.quality is not ClockQuality.UNKNOWN:
            # First: an alert from before the clock was known has the date 0, and `retain` would drop it at once.
            self._queue.date(now_ms)
            self._counted["given_up"] += self._queue.retain(tuple(self._channels), now_ms - _KEPT_FOR_MS)

    def _release_delayed(self, moment: ClockReading) -> None:
        """Sends the news after its delay. One line covers all delayed news of the same kind."""
        delayed, passed_ms = self._queue.delayed(), self._passed_ms(moment.boot_ns)
        over = [each for each in delayed if each.left_ms <= passed_ms]
        # Otherwise the delays would be written every five seconds, which wears the card.
        if over or not delayed or passed_ms >= _WRITTEN_MS:
            self._time_passed()
        if over and self._sleeps():
            return
        for rules in self._policy.channels:
            for name in sorted({each.news for each in over if each.channel == rules.name}):
                mine = [each for each in delayed if (each.channel, each.news) == (rules.name, name)]
                gone = [each for each in mine if each in over]
                now: list[QueuedAlert] = []
                deferred: list[DeferredAlert] = []
                # An owner who has answered meanwhile needs no alert.
                if any(self._waits(each.once) for each in gone):
                    gone, news, at_ms = mine, alert_named(name), moment.utc_ns // NS_PER_MS
                    decision = self._policy.decide(rules, news, moment.boot_ns, self._minute(moment), delay_over=True)
                    if decision is Decision.NOW:
                        now.append(self._waiting(rules, news.rank, news.text, moment, news.page))
                    elif decision in (Decision.QUIET, Decision.DIGEST):
                        deferred.append(self._deferred(rules, decision, news, at_ms))
                self._queue.release_delayed(gone, now, deferred)
                self._counted["queued"] += len(now)
                self._counted["kept"] += len(deferred)
                with self._changed:
                    self._changed.notify_all()

    def _passed_ms(self, boot_ns: BootNs) -> int:
        """Returns the elapsed time since the queue last stored it."""
        return (boot_ns - self._written_ns) // NS_PER_MS

    def _time_passed(self) -> None:
        passed_ms = self._passed_ms(self._now())
        self._queue.pass_time(passed_ms)
        # By what was written, in whole milliseconds: the rest counts the next time.
        self._written_ns = BootNs(self._written_ns + passed_ms * NS_PER_MS)

    def _waiting(
        self, rules: ChannelRules, rank: AlertPriority, text: str, moment: ClockReading, page: str
    ) -> QueuedAlert:
        at_ms = _known_ms(moment)
        said = deferred_text(self._say(rules, text), self._local_time(at_ms)[1] if at_ms else "")
        return QueuedAlert(0, rules.name, rank, said, at_ms, page)

    def _deferred(self, rules: ChannelRules, decision: Decision, news: AlertDefinition, at_ms: int) -> DeferredAlert:
        return DeferredAlert(rules.name, decision.value, self._say(rules, news.text), 1, at_ms, at_ms)

    def _say(self, rules: ChannelRules, sentence: str) -> str:
        return self._settings.say(sentence, rules.language)

    def _picture(self, channel: str, raised: _RaisedAlert) -> bytes:
        glance = self._glances.get(channel)
        return next((each.sealed for each in raised.pictures if glance and each.glance == glance), b"")

    def _minute(self, moment: ClockReading) -> int | None:
        if moment.quality is ClockQuality.UNKNOWN:
            return None
        return self._local_time(moment.utc_ns // NS_PER_MS)[0]

    def _now(self) -> BootNs:
        return self._clock.now().boot_ns


def _known_ms(moment: ClockReading) -> int:
    """Returns UTC, or 0 if the clock is unknown. A clock without a battery is days behind until it is set."""
    return moment.utc_ns // NS_PER_MS if moment.quality is not ClockQuality.UNKNOWN else 0
