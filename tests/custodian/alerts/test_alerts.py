"""From news to a channel: exactly once across all restarts, and recording never waits."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.alerts.alert_messages import (
    AlertMessage,
    AlertPicture,
    ChannelAddress,
    DeferredAlert,
    DelayedAlert,
    QueuedAlert,
    retry_pause_ns,
)
from agent.core.alerts.kinds import ALERTS, TEST, AlertKind, AlertPriority
from agent.core.alerts.notice_delay import LONGEST_MS, SHORTEST_MS, NoticeDelay
from agent.core.alerts.policy import ChannelRules, Policy
from agent.core.alerts.wellbeing import HealthFacts, HealthMonitor, health_conditions
from agent.core.consent import RequestState
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.custodian.alerts import alert_queue_sqlite
from agent.custodian.alerts import alerts as alerts_module
from agent.custodian.alerts.alert_queue_sqlite import SqliteAlertQueue
from agent.custodian.alerts.alerts import Alerts, AlertSettings
from agent.errors import NetworkError, StorageError
from agent.platform.sqlite_snapshot import open_snapshot
from agent.uplink import alert_sender
from agent.uplink.alert_sender import AlertDelivery
from agent.wire.area import Circle
from agent.wire.statements import OptOut, Scope
from tests.custodians import DOOR, FIRE, Door, stated
from tests.wire import samples

PRESSED, MOVED = "12:00  The doorbell rang.", "12:00  Something moved at the door."
ASKED_WORDS = ALERTS["request"].text
NOON_S = 12 * 3600
HOUR_S = 3600.0
HOLDING_BACK = NoticeDelay(b"k" * 32)


class TestClock:
    """Stands still until the test moves it."""

    __test__ = False

    def __init__(self) -> None:
        self.second = float(NOON_S)
        self.set_by_s = 0.0
        self.quality = ClockQuality.SYNCED

    boot_id = "0" * 32

    def now(self) -> ClockReading:
        ns = round(self.second * NS_PER_S)
        return ClockReading(BootNs(ns), UtcNs(ns + round(self.set_by_s * NS_PER_S)), self.quality)


class Phone:
    """A sender and the messages it brought.  `fails` says whether the next one gets through."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.fails = False
        self.attempts = 0
        self._changed = threading.Condition()

    def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
        assert (url, title) == ("ntfy://phone/door", "Doorward: door")
        with self._changed:
            self.attempts += 1
            self._changed.notify_all()
            if self.fails:
                raise NetworkError("The channel did not take it (it answered 503).")
            self.messages.append(body)

    def wait_for(self, met: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(met, 15.0), self.messages


def local(utc_ms: int) -> tuple[int, str]:
    minutes = utc_ms // 60_000 % 1440
    return minutes, f"{minutes // 60:02}:{minutes % 60:02}"


class House:
    """Alerts, delivery and a phone; `running` is one run of the process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "alerts.sqlite"
        self.clock = TestClock()
        self.phone = Phone()
        self.rules = ChannelRules("Ann", quiet=(22 * 60, 7 * 60))
        self.digest: frozenset[AlertKind] = frozenset()
        self.waiting = {"a1", "b2"}
        self.asleep = False
        self.looks = 0

    def alerts(self) -> Alerts:
        made = Alerts(
            AlertSettings("Doorward: door", "", (ChannelAddress("Ann", "ntfy://phone/door"),)),
            Policy((self.rules,), digest=self.digest),
            SqliteAlertQueue(self.path),
            self.clock,
            local,
            HOLDING_BACK,
            waits=lambda once: once in self.waiting,
            sleeps=lambda: self.asleep,
        )
        on_time = made._on_time

        def counted() -> None:
            on_time()
            self.looks += 1

        made._on_time = counted  # type: ignore[method-assign]
        return made

    def ask(self, alerts: Alerts, once: str) -> float:
        """A request comes; the second in which its news may leave.  It is delayed when this returns."""
        before, came_ms = alerts.status()["delayed"], self.clock.now().utc_ns // 10**6
        alerts.notify("request", "", once)
        wait_until(lambda: alerts.status()["delayed"] > before)
        return self.clock.second + HOLDING_BACK.of_ms(came_ms) / 1000

    def turn(self, second: float) -> None:
        """It is that late, and what is due by then has been done."""
        self.clock.second = second
        looks = self.looks
        wait_until(lambda: self.looks >= looks + 2)  # the first may have begun before

    @contextmanager
    def running(self, *, delivers: bool = True) -> Iterator[Alerts]:
        alerts = self.alerts()
        alerts.start()
        delivery = AlertDelivery(alerts, self.phone)
        if delivers:
            delivery.start()
        try:
            yield alerts
        finally:
            alerts.stop()
            delivery.stop()
            alerts.close()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(alerts_module, "_LOOK_S", 0.01)
    return House(tmp_path)


def test_a_press_reaches_the_phone_and_leaves_the_queue(house: House) -> None:
    with house.running() as alerts:
        alerts.notify("button", "ignored")
        house.phone.wait_for(lambda: house.phone.messages == [PRESSED])
        wait_until(lambda: alerts.status()["channels"]["Ann"] == shown(delivered=1))


def test_a_press_waits_for_nobody_s_next_turn(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """`bench.alerts` measures the resulting speed."""
    monkeypatch.setattr(alerts_module, "_LOOK_S", 3600.0)
    monkeypatch.setattr(alert_sender, "_WAIT_S", 3600.0)
    with house.running() as alerts:
        wait_until(lambda: house.looks > 0)
        for presses in (1, 2):
            house.clock.second += HOUR_S
            alerts.notify("button", "")
            house.phone.wait_for(lambda presses=presses: len(house.phone.messages) == presses)  # type: ignore[misc]


def test_what_was_raised_before_a_stop_is_told_after_the_start_and_once(house: House) -> None:
    with house.running(delivers=False) as alerts:
        alerts.notify("visitor", "")
        alerts.notify("button", "")
    for _ in range(3):
        with house.running():
            house.phone.wait_for(lambda: len(house.phone.messages) >= 2)
    assert house.phone.messages == [PRESSED, MOVED]


def test_a_channel_that_fails_is_tried_again_and_a_press_does_not_wait_for_that(house: House) -> None:
    house.phone.fails = True
    with house.running() as alerts:
        alerts.notify("visitor", "")
        wait_until(lambda: alerts.status()["channels"]["Ann"]["failures"] == 1)
        assert alerts.status()["channels"]["Ann"]["fault"] == "The channel did not take it (it answered 503)."
        house.phone.fails = False
        alerts.notify("button", "")
        house.phone.wait_for(lambda: house.phone.messages == [PRESSED, MOVED])


def test_a_desk_that_forgets_what_was_taken_does_not_double_it(house: House) -> None:
    """The custodian restarts between the channel's yes and the word that it said so."""
    alerts = house.alerts()
    alerts.start()
    told = threading.Event()

    class Deaf:
        def channels(self) -> tuple[ChannelAddress, ...]:
            return alerts.channels()

        def collect(self, wait_s: float) -> tuple[AlertMessage, ...]:
            return alerts.collect(wait_s)

        def acknowledge(self, parcel: AlertMessage, fault: str = "") -> None:
            if not told.is_set():
                told.set()
                alerts.channels()  # a new desk has nothing in any person's hands
                raise NetworkError("No custodian answers.")
            alerts.acknowledge(parcel, fault)

    delivery = AlertDelivery(Deaf(), house.phone)
    delivery.start()
    alerts.notify("button", "")
    wait_until(lambda: told.is_set() and alerts.status()["channels"]["Ann"]["waiting"] == 0)
    alerts.stop()
    delivery.stop()
    alerts.close()
    assert house.phone.messages == [PRESSED]


def test_a_request_is_told_once_however_often_it_is_raised(house: House) -> None:
    for _ in range(3):
        with house.running() as alerts:
            alerts.notify("request", "", once="a1")
            alerts.notify("request", "", once="a1")
    with house.running() as alerts:
        house.turn(house.clock.second + LONGEST_MS / 1000)
        house.phone.wait_for(lambda: len(house.phone.messages) == 1)
        alerts.notify("request", "", once="a1")
        due_s = house.ask(alerts, "b2")
        house.turn(due_s + 1)
        house.phone.wait_for(lambda: len(house.phone.messages) == 2)
        house.turn(due_s + LONGEST_MS / 1000)
    assert [message.partition("  ")[2] for message in house.phone.messages] == [ASKED_WORDS] * 2


# -- requests are delayed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("once", ["a1", "b2"])
def test_a_request_is_told_when_its_own_time_is_over_and_with_the_hour_at_which_it_is_told(
    house: House, once: str
) -> None:
    with house.running() as alerts:
        due_s = house.ask(alerts, once)
        for second in (NOON_S + 1, NOON_S + SHORTEST_MS / 1000 - 1, due_s - 1):
            house.turn(second)
            assert alerts.collect(0) == ()
            assert alerts.status()["channels"]["Ann"] == shown()
        house.turn(due_s + 1)
        clock = local(round(due_s + 1) * 1000)[1]
        house.phone.wait_for(lambda: house.phone.messages == [f"{clock}  {ASKED_WORDS}"])


@settings(deadline=None, max_examples=60)
@given(
    st.floats(0, 86_400),
    st.sampled_from(ClockQuality),
    st.lists(st.sampled_from(["visitor", "button", "tamper", "board", "request"]), max_size=5),
    st.floats(0, 7200),
    st.floats(0, 59),
    st.text(min_size=1, max_size=8),
)
def test_how_long_it_is_held_back_depends_on_nothing_but_the_span_in_which_it_came(
    hour_s: float, quality: ClockQuality, before: list[str], later_s: float, unwritten_s: float, once: str
) -> None:
    """Not on what was asked, quiet hours, what else was told, or how long ago the queue was written."""
    clock = TestClock()
    clock.second, clock.quality = hour_s, quality
    queue = SqliteAlertQueue(":memory:")
    policy = Policy((ChannelRules("Ann", quiet=(22 * 60, 7 * 60)),))
    alerts = Alerts(AlertSettings("", "", ()), policy, queue, clock, local, HOLDING_BACK)
    for number, name in enumerate(before):
        alerts._process([alerts_module._RaisedAlert(name, clock.now(), f"other {number}")])
    clock.second += later_s
    alerts._on_time()
    clock.second += unwritten_s
    alerts._process([alerts_module._RaisedAlert("request", clock.now(), once)])
    (held,) = [each for each in queue.delayed() if each.once == once]
    assert held.left_ms - alerts._passed_ms(clock.now().boot_ns) == HOLDING_BACK.of_ms(held.came_ms)
    clock.second += (SHORTEST_MS - 1) / 1000
    alerts._on_time()
    assert once in [each.once for each in queue.delayed()] or "request" in before
    alerts.close()


def test_what_leaves_meanwhile_is_to_the_letter_what_would_have_left_without_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts_module, "_LOOK_S", 0.01)

    def messages(*, asked: bool) -> list[str]:
        house = House(tmp_path / str(asked))
        house.path.parent.mkdir()
        with house.running() as alerts:
            if asked:
                house.ask(alerts, "a1")
            for minute, name in enumerate(("visitor", "button", "tamper", "board", "camera", "trust")):
                house.turn(NOON_S + 60 * minute)
                alerts.notify(name, "")
                house.phone.wait_for(lambda minute=minute: len(house.phone.messages) == minute + 1)  # type: ignore[misc]
        return house.phone.messages

    assert messages(asked=True) == messages(asked=False)


def test_another_request_that_comes_meanwhile_makes_no_message_and_no_byte_of_its_own(house: House) -> None:
    with house.running() as alerts:
        first_s = house.ask(alerts, "a1")
        second_s = house.ask(alerts, "b2")
        house.turn(min(first_s, second_s) + 1)
        house.phone.wait_for(lambda: len(house.phone.messages) == 1)
        house.turn(max(first_s, second_s) + 1)
    assert [message.partition("  ")[2] for message in house.phone.messages] == [ASKED_WORDS]


def test_a_request_that_waits_for_nobody_any_more_is_not_told_and_takes_no_other_with_it(house: House) -> None:
    """Answered, withdrawn, opted out of.  Or an asker could bring the next one out early by taking this one back."""
    with house.running() as alerts:
        due = {"a1": house.ask(alerts, "a1")}
        house.turn(house.clock.second + 600)
        due["b2"] = house.ask(alerts, "b2")
        early, late = sorted(due, key=due.__getitem__)
        house.waiting.remove(early)
        house.turn(due[early] + 1)
        house.turn(due[late] - 1)
        assert alerts.status()["channels"]["Ann"] == shown()
        house.turn(due[late] + 1)
        house.phone.wait_for(lambda: len(house.phone.messages) == 1)


def test_restarts_neither_shorten_nor_lengthen_the_time(house: House) -> None:
    with house.running() as alerts:
        due_s = house.ask(alerts, "a1")
    for second in range(NOON_S, int(due_s), 300):
        house.clock.second = second
        with house.running() as alerts:
            house.turn(min(second + 270, due_s - 0.02))
            house.turn(min(second + 300, due_s - 0.01))
            assert alerts.status()["channels"]["Ann"] == shown()
    with house.running():
        house.turn(due_s + 0.01)
        house.phone.wait_for(lambda: len(house.phone.messages) == 1)


def test_a_power_cut_lengthens_the_time_by_the_last_minute_at_most_and_never_shortens_it(house: House) -> None:
    with house.running() as alerts:
        due_s = house.ask(alerts, "a1")
        for minutes in range(1, 10):
            house.turn(NOON_S + minutes * 60 + 30)
        left_ms = {name: (house.path.with_name(name)).read_bytes() for name in ("alerts.sqlite", "alerts.sqlite-wal")}
    folder = house.path.with_name("after the cut")
    folder.mkdir()
    for name, data in left_ms.items():
        (folder / name).write_bytes(data)
    queue = SqliteAlertQueue(folder / "alerts.sqlite")
    (held,) = queue.delayed()
    queue.close()
    truly_ms = round((due_s - house.clock.second) * 1000)
    assert truly_ms <= held.left_ms <= truly_ms + 60_000


def test_a_clock_that_is_set_meanwhile_brings_nothing_out_and_keeps_nothing_in(house: House) -> None:
    with house.running() as alerts:
        due_s = house.ask(alerts, "a1")
        for set_by_s in (400 * 86_400.0, -400 * 86_400.0):
            house.clock.set_by_s = set_by_s
            house.turn(house.clock.second + 1)
            assert alerts.status()["channels"]["Ann"] == shown()
        house.clock.set_by_s = 0.0
        house.turn(due_s + 1)
        house.phone.wait_for(lambda: len(house.phone.messages) == 1)


def test_a_request_of_the_night_waits_for_the_morning_and_one_just_before_it_for_its_own_time(house: House) -> None:
    house.clock.second = 2 * HOUR_S
    with house.running() as alerts:
        due_s = house.ask(alerts, "a1")
        house.turn(due_s + 1)
        wait_until(lambda: alerts.status()["kept"] == 1)
        house.turn(7 * HOUR_S - 60)
        assert house.phone.messages == []
        house.ask(alerts, "b2")
        house.turn(7 * HOUR_S + 1)
        house.phone.wait_for(lambda: len(house.phone.messages) == 1)
        assert house.phone.messages[0].startswith(f"Meanwhile: {ASKED_WORDS.rstrip('.')} (")
        house.turn(7 * HOUR_S + SHORTEST_MS / 1000 - 61)
        assert len(house.phone.messages) == 1
        house.turn(10 * HOUR_S)
        house.phone.wait_for(lambda: len(house.phone.messages) == 2)


def test_while_the_owner_is_not_to_be_asked_what_is_held_back_stays_so(house: House) -> None:
    with house.running() as alerts:
        due_s = house.ask(alerts, "a1")
        house.asleep = True
        house.turn(due_s + 1)
        house.turn(due_s + 6 * HOUR_S)
        assert (alerts.status()["channels"]["Ann"], alerts.status()["kept"]) == (shown(), 0)
        house.asleep = False
        house.phone.wait_for(lambda: len(house.phone.messages) == 1)


def test_a_request_of_the_digest_waits_for_it_and_for_the_next_one_when_its_time_ends_after_it(house: House) -> None:
    house.digest = frozenset({AlertKind.REQUEST})
    with house.running() as alerts:
        house.ask(alerts, "a1")
        house.turn(NOON_S + LONGEST_MS / 1000)
        wait_until(lambda: alerts.status()["kept"] == 1)
        house.turn(20 * HOUR_S - 60)
        house.ask(alerts, "b2")
        house.turn(20 * HOUR_S + 1)
        house.phone.wait_for(lambda: len(house.phone.messages) == 1)
        house.turn(20 * HOUR_S + LONGEST_MS / 1000)
        assert len(house.phone.messages) == 1
        house.turn(44 * HOUR_S + 1)
        house.phone.wait_for(lambda: len(house.phone.messages) == 2)
    assert all(ASKED_WORDS.rstrip(".") in message for message in house.phone.messages)


def test_a_channel_that_is_gone_takes_along_what_was_held_back_for_it(house: House) -> None:
    with house.running() as alerts:
        house.ask(alerts, "a1")
    house.rules = ChannelRules("Ben")
    with house.running() as alerts:
        assert alerts._queue.delayed() == ()


def test_whatever_becomes_of_a_request_nothing_leaves_until_a_quarter_of_an_hour_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone who watches the house after a broadcast learns nothing from whether a connection is made."""
    monkeypatch.setattr(alerts_module, "_LOOK_S", 0.01)
    door = Door.enrolled()
    alerts = Alerts(
        AlertSettings("", "", (ChannelAddress("Ann", "ntfy://phone/door"),)),
        Policy((ChannelRules("Ann"),)),
        SqliteAlertQueue(tmp_path / "alerts.sqlite"),
        door.clock,
        local,
        HOLDING_BACK,
    )
    alerts.start()
    door.told.notify = alerts.notify  # type: ignore[method-assign]
    yesterday_s = samples.request().from_s - 90_000
    matched = door.ask()
    wait_until(lambda: alerts.status()["delayed"] == 1)
    unmatched = [
        door.ask(area=Circle(lat=DOOR[0] + 0.05, lon=DOOR[1], radius_m=400)),
        door.ask(from_s=yesterday_s, to_s=yesterday_s + 1200),
    ]
    denied = door.ask(FIRE)
    door.deny(denied)
    door.obey(OptOut(**stated(), scope=Scope.ALL))
    opted_out = door.ask(FIRE)
    for _ in range(2):
        assert alerts.collect(0.3) == ()
        door.clock.advance(SHORTEST_MS / 1000 - 2)
    states = [door.state(each) for each in (matched, *unmatched, denied, opted_out)]
    assert states == [
        RequestState.OPTED_OUT,
        RequestState.NO_MATCH,
        RequestState.NO_MATCH,
        RequestState.DENIED,
        RequestState.OPTED_OUT,
    ]
    # The witness was awake: two had matched, and one of them is heard of later.
    assert alerts.status()["delayed"] == 2
    door.clock.advance(LONGEST_MS / 1000)
    assert len(alerts.collect(10)) == 1
    alerts.stop()
    alerts.close()
    door.close()


def test_the_night_is_told_in_one_message_in_the_morning_and_the_button_at_once(house: House) -> None:
    house.clock.second = 3 * 3600.0
    with house.running(delivers=False) as alerts:
        for _ in range(12):
            alerts.notify("visitor", "")
        alerts.notify("board", "")
        alerts.notify("button", "")
    house.clock.second = 7 * 3600.0
    with house.running() as alerts:
        house.phone.wait_for(lambda: len(house.phone.messages) == 2)
    assert house.phone.messages[0] == "03:00  The doorbell rang."
    assert house.phone.messages[1].startswith("Meanwhile: 12 × Something moved at the door (last 03:00); The doorbell")


def test_a_thousand_events_in_a_minute_give_one_alert_and_the_button_comes_first(house: House) -> None:
    with house.running(delivers=False) as alerts:
        for number in range(1000):
            house.clock.second += 0.06
            alerts.notify("visitor", "")
            if number == 900:
                alerts.notify("button", "")
        wait_until(lambda: alerts.status()["rate_limited"] + alerts.status()["overflowed"] == 999)
        delivery = AlertDelivery(alerts, house.phone)
        delivery.start()
        house.phone.wait_for(lambda: len(house.phone.messages) == 2)
        delivery.stop()
    assert [message[7:] for message in house.phone.messages] == [PRESSED[7:], MOVED[7:]]


def test_whoever_raises_news_waits_for_no_disk(house: House) -> None:
    """With a queue that hangs in every call."""
    released = threading.Event()

    class Stuck(SqliteAlertQueue):
        def add(self, *arguments: object, **named: object) -> bool:
            released.wait()
            raise StorageError("The alerts cannot be kept.")

        def waiting(self, channel: str, most: int) -> tuple[()]:
            released.wait()
            return ()

    alerts = Alerts(
        AlertSettings("Doorward: door", "", ()),
        Policy((house.rules,)),
        Stuck(":memory:"),
        house.clock,
        local,
        HOLDING_BACK,
    )
    alerts.start()
    fetching = threading.Thread(target=alerts.collect, args=(0.1,))
    fetching.start()

    def raise_news() -> None:
        for _ in range(2000):
            alerts.notify("visitor", "")
            alerts.notify("button", "")

    raising = threading.Thread(target=raise_news)
    raising.start()
    raising.join(60)
    waited = raising.is_alive()
    released.set()
    raising.join()
    assert not waited, "for a queue that answers nobody"
    alerts.stop()
    fetching.join()
    alerts.close()


def test_a_channel_that_is_configured_no_more_takes_its_alerts_with_it(house: House) -> None:
    with house.running(delivers=False) as alerts:
        alerts.notify("visitor", "")
    house.rules = ChannelRules("Ben")
    with house.running(delivers=False) as alerts:
        assert alerts.status()["channels"] == {"Ben": shown()}
        assert SqliteAlertQueue.counts(alerts._queue) == {}  # type: ignore[arg-type]


def test_after_three_days_an_alert_is_given_up_and_counted(house: House) -> None:
    with house.running(delivers=False) as alerts:
        alerts.notify("visitor", "")
        wait_until(lambda: alerts.status()["queued"] == 1)
        house.clock.second += 4 * 86_400
        alerts.notify("button", "")
        wait_until(lambda: alerts.status()["given_up"] == 1)
        assert alerts.status()["channels"]["Ann"]["waiting"] == 1


def test_a_damaged_queue_is_set_aside_and_alerts_go_on(house: House) -> None:
    house.path.write_bytes(b"not a database" * 1000)
    with house.running() as alerts:
        alerts.notify("button", "")
        house.phone.wait_for(lambda: house.phone.messages == [PRESSED])
    assert house.path.with_name("alerts.sqlite.damaged").exists()


@pytest.mark.parametrize("place", ["alert", "alert_by_turn", "kept", "told"])
def test_a_queue_that_is_damaged_in_the_middle_costs_what_waited_and_nothing_that_comes(
    house: House, place: str
) -> None:
    """Such a file can be opened: the damage shows when a person gets there."""
    with house.running(delivers=False) as alerts:
        for number in range(200):
            alerts.notify("camera", "", f"{number}")
    with closing(sqlite3.connect(house.path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page_bytes,),) = db.execute("PRAGMA page_size").fetchall()
        ((root,),) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (place,)).fetchall()
    content = bytearray(house.path.read_bytes())
    content[(root - 1) * page_bytes : root * page_bytes] = b"\x55" * page_bytes
    house.path.write_bytes(content)
    with house.running() as alerts:
        alerts.notify("button", "", "a1")
        # One of the 200 may have left before the damage showed, and may come after it.
        house.phone.wait_for(lambda: PRESSED in house.phone.messages)
    assert house.path.with_name("alerts.sqlite.damaged").exists()
    with house.running(delivers=False) as alerts:
        assert alerts.status()["channels"]["Ann"]["waiting"] == 0


@pytest.mark.parametrize(
    ("written", "spoilt"),
    [(b"12:00  The", b"12:00\xff The"), (b"queued_ms INTEGER", b"qxeued_ms INTEGER"), (b"alert (id", b"\xfflert (id")],
)
def test_one_byte_of_a_queue_that_is_another_costs_nothing_that_comes(
    house: House, written: bytes, spoilt: bytes
) -> None:
    """SQLite notices none of these: it keeps no checksum of its rows."""
    with house.running(delivers=False) as alerts:
        alerts.notify("camera", "")
    with closing(sqlite3.connect(house.path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before, found, behind = house.path.read_bytes().rpartition(written)
    assert found
    house.path.write_bytes(before + spoilt + behind)
    with house.running() as alerts:
        alerts.notify("button", "", "a1")
        house.phone.wait_for(lambda: PRESSED in house.phone.messages)
    assert house.path.with_name("alerts.sqlite.damaged").exists()


def test_a_rank_that_nobody_wrote_keeps_nobody_from_being_told(tmp_path: Path) -> None:
    with closing(SqliteAlertQueue(tmp_path / "alerts.sqlite")) as queue:
        queue.add([QueuedAlert(0, "Ann", AlertPriority.SOON, "before", 1, "/live")], ())
        queue._db.execute("UPDATE alert SET rank = 99")
        assert [each.text for each in queue.waiting("Ann", 9)] == ["before"]


def test_what_can_be_read_of_a_damaged_queue_is_still_told(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    request, kept = (
        DelayedAlert(0, "Ann", "clip", "r1", 1, 5),
        DeferredAlert("Ann", "quiet", "Something moved", 2, 1, 1),
    )
    with closing(SqliteAlertQueue(path)) as queue:
        queue.add([QueuedAlert(0, "Ann", AlertPriority.SOON, "spoilt", 1, "/live")], [kept], "r1", [request])
        queue._db.execute("UPDATE alert SET text = CAST(x'ff' AS TEXT), queued_ms = 'never'")
        queue.add([QueuedAlert(0, "Ann", AlertPriority.BUTTON, "a press", 2, "/live")], ())
        assert [each.text for each in queue.waiting("Ann", 9)] == ["a press"]
        assert [replace(each, id=0) for each in queue.delayed()] == [request]
        assert queue.deferred("Ann", "quiet") == (kept,)
        assert not queue.add((), (), "r1")
    assert path.with_name("alerts.sqlite.damaged").exists()


@pytest.mark.parametrize("refusal", ["PRAGMA query_only = ON", "PRAGMA max_page_count = 1"])
def test_a_disk_that_takes_nothing_does_not_keep_its_owner_from_hearing_of_it(house: House, refusal: str) -> None:
    """A card that has become read-only, or is full: the first thing its owner has to know."""
    with house.running(delivers=False) as alerts:
        alerts.notify("camera", "")
        wait_until(lambda: alerts.status()["queued"] == 1)
        alerts._queue._db.execute(refusal)  # type: ignore[attr-defined]
        delivery = AlertDelivery(alerts, house.phone)
        delivery.start()
        for number in range(50):
            alerts.notify("storage", "x" * 200, f"{number}")
        alerts.notify("button", "")
        house.phone.wait_for(lambda: sum(PRESSED in message for message in house.phone.messages) == 1)
        house.phone.wait_for(lambda: sum(ALERTS["storage"].text in message for message in house.phone.messages) > 0)
        house.phone.wait_for(lambda: sum(ALERTS["camera"].text in message for message in house.phone.messages) == 1)
        alerts.stop()
        delivery.stop()


def test_what_was_kept_in_memory_returns_to_a_disk_that_takes_it_again(tmp_path: Path) -> None:
    now_s = 0.0
    path = tmp_path / "alerts.sqlite"
    queue = SqliteAlertQueue(path, lambda: now_s)
    first, second, third = (
        QueuedAlert(0, "Ann", AlertPriority.SOON, text, 1, "/live") for text in ("first", "second", "third")
    )
    queue.add([first], ())
    queue._db.execute("PRAGMA query_only = ON")
    queue.add([second], ())
    assert [each.text for each in queue.waiting("Ann", 9)] == ["first", "second"]
    with closing(SqliteAlertQueue(path)) as on_disk:
        assert [each.text for each in on_disk.waiting("Ann", 9)] == ["first"]
    now_s, memory = 61.0, queue._db
    queue.add([third], ())
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        memory.execute("SELECT 1")
    queue.close()
    with closing(SqliteAlertQueue(path)) as on_disk:
        assert [each.text for each in on_disk.waiting("Ann", 9)] == ["first", "second", "third"]
        assert len({each.id for each in on_disk.waiting("Ann", 9)}) == 3


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """If set, every opening of a file on it fails, as on a full disk that lacks room for a write-ahead log."""
    refuses = threading.Event()
    opened = alert_queue_sqlite._opened

    def open_or_refuse(path: str) -> sqlite3.Connection:
        if refuses.is_set() and path != ":memory:":
            raise sqlite3.OperationalError("disk I/O error")
        return opened(path)

    monkeypatch.setattr(alert_queue_sqlite, "_opened", open_or_refuse)
    return refuses


def test_what_waited_on_a_disk_that_was_full_at_the_start_is_there_again_with_what_has_come_since(
    tmp_path: Path, disk: threading.Event
) -> None:
    now_s = 0.0
    path = tmp_path / "alerts.sqlite"
    request, other = DelayedAlert(0, "Ann", "clip", "r1", 1, 5), DelayedAlert(0, "Ann", "clip", "r2", 2, 6)
    kept = DeferredAlert("Ann", "quiet", "Something moved", 2, 1, 1)
    with closing(SqliteAlertQueue(path)) as queue:
        queue.add([QueuedAlert(0, "Ann", AlertPriority.BUTTON, "before", 1, "/live")], [kept], "r1", [request])
    disk.set()
    queue = SqliteAlertQueue(path, lambda: now_s)
    queue.add(
        [QueuedAlert(0, "Ann", AlertPriority.BUTTON, "meanwhile", 2, "/live")],
        [replace(kept, last_ms=2)],
        "r2",
        [other],
    )
    ((meanwhile, meanwhile_held),) = zip(queue.waiting("Ann", 9), queue.delayed(), strict=True)
    disk.clear()
    now_s = 61.0
    queue.remove([meanwhile.id])
    queue.release_delayed([meanwhile_held], (), ())
    assert [each.text for each in queue.waiting("Ann", 9)] == ["before", "meanwhile"], "done with another's row"
    assert [replace(each, id=0) for each in queue.delayed()] == [request, other]
    assert queue.deferred("Ann", "quiet") == (replace(kept, count=4, last_ms=2),)
    assert not queue.add((), (), "r1")
    assert not queue.add((), (), "r2")
    queue._db.execute("PRAGMA query_only = ON")
    queue.date(5)
    now_s = 122.0
    assert [each.text for each in queue.waiting("Ann", 9)] == ["before", "meanwhile"], "each is there once"
    queue.remove([each.id for each in queue.waiting("Ann", 9)])
    assert queue.waiting("Ann", 9) == ()
    queue.close()


def test_a_file_that_is_no_queue_is_closed_before_it_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened, connect = tmp_path / "alerts.sqlite", list[sqlite3.Connection](), sqlite3.connect
    path.write_bytes(b"no database" * 1000)

    def connecting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connecting)
    with closing(SqliteAlertQueue(path)) as queue:
        first, second = opened
        assert second is queue._db
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            first.execute("SELECT 1")


class DeadDisk:
    """A connection to a file on a disk that gives and takes nothing."""

    in_transaction = False

    def execute(self, *_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    backup = execute

    def close(self) -> None:
        """There is nothing to write."""


def test_what_waits_on_a_disk_that_dies_meanwhile_is_joined_by_what_comes_until_it_returns(tmp_path: Path) -> None:
    now_s = 0.0
    queue = SqliteAlertQueue(tmp_path / "alerts.sqlite", lambda: now_s)
    before, meanwhile = (
        QueuedAlert(0, "Ann", AlertPriority.SOON, text, 1, "/live") for text in ("before", "meanwhile")
    )
    queue.add([before], ())
    (told,) = queue.waiting("Ann", 9)
    queue._db.close()
    queue._db = DeadDisk()  # type: ignore[assignment]
    queue.add([meanwhile], ())
    queue.remove([told.id])
    assert [each.text for each in queue.waiting("Ann", 9)] == ["meanwhile"], "another's row was removed"
    assert [each.id for each in queue.waiting("Ann", 9)] == [(1 << 40) + 1]
    now_s = 61.0
    assert [each.text for each in queue.waiting("Ann", 9)] == ["before", "meanwhile"]
    queue.close()


def test_a_disk_that_fails_again_while_it_takes_back_what_is_in_memory_costs_none_of_it(
    tmp_path: Path, disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    now_s = 0.0
    path = tmp_path / "alerts.sqlite"
    disk.set()
    queue = SqliteAlertQueue(path, lambda: now_s)
    queue.add([QueuedAlert(0, "Ann", AlertPriority.BUTTON, "a press", 1, "/live")], ())
    disk.clear()
    now_s = 61.0
    with monkeypatch.context() as still_full:
        still_full.setattr(alert_queue_sqlite, "_add_all", full)
        assert [each.text for each in queue.waiting("Ann", 9)] == ["a press"]
        assert str(path) not in {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}, "it stays open"
    now_s = 122.0
    assert queue.counts() == {"Ann": 1}
    queue.close()
    with closing(SqliteAlertQueue(path)) as on_disk:
        assert on_disk.counts() == {"Ann": 1}


def test_what_fails_in_the_middle_leaves_nothing_half_done_and_the_next_is_done(tmp_path: Path) -> None:
    db = alert_queue_sqlite._opened(":memory:")
    add = "INSERT INTO kept (channel, why, text, count, since_ms, last_ms) VALUES ('Ann', 'quiet', ?, 1, 1, 1)"

    def half(db: sqlite3.Connection) -> None:
        db.execute(add, ("half",))
        raise ValueError("the other half")

    with closing(db):
        with pytest.raises(ValueError, match="the other half"):
            alert_queue_sqlite._in_one_transaction(db, half)
        alert_queue_sqlite._in_one_transaction(db, lambda db: db.execute(add, ("whole",)))
        assert db.execute("SELECT text FROM kept").fetchall() == [("whole",)]


def test_what_is_in_memory_goes_to_a_disk_that_takes_it_when_the_queue_is_closed(
    tmp_path: Path, disk: threading.Event
) -> None:
    path = tmp_path / "alerts.sqlite"
    disk.set()
    queue = SqliteAlertQueue(path)
    queue.add([QueuedAlert(0, "Ann", AlertPriority.BUTTON, "a press", 1, "/live")], ())
    disk.clear()
    queue.close()
    with closing(SqliteAlertQueue(path)) as queue:
        assert queue.counts() == {"Ann": 1}


def test_a_file_that_is_found_damaged_when_its_disk_returns_keeps_nothing_in_memory(
    tmp_path: Path, disk: threading.Event
) -> None:
    now_s = 0.0
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(b"\x55" * 8192)
    disk.set()
    queue = SqliteAlertQueue(path, lambda: now_s)
    queue.add([QueuedAlert(0, "Ann", AlertPriority.BUTTON, "a press", 1, "/live")], ())
    disk.clear()
    now_s = 61.0
    assert queue.counts() == {"Ann": 1}
    now_s = 122.0
    assert queue.counts() == {"Ann": 1}
    with closing(open_snapshot(path)) as on_disk:
        assert on_disk.execute("SELECT channel, count(*) FROM alert GROUP BY channel").fetchall() == [("Ann", 1)]
    queue.close()


def test_a_disk_that_refuses_is_tried_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, tried = [1000.0], list[float]()

    def opened(path: str) -> sqlite3.Connection:
        if path != ":memory:":
            tried.append(now_s[0])
            raise sqlite3.OperationalError("disk I/O error")
        return sqlite3.connect(path, isolation_level=None)

    monkeypatch.setattr(alert_queue_sqlite, "_opened", opened)
    queue = SqliteAlertQueue(tmp_path / "alerts.sqlite", lambda: now_s[0])
    queue._db.executescript(alert_queue_sqlite._SCHEMA)
    for moment_s in (1001.0, 1059.9, 1060.0, 1061.0, 1119.9, 1120.0, 1300.0, 1301.0):
        now_s[0] = moment_s
        assert queue.counts() == {}
    queue.close()
    assert tried == [1000.0, 1060.0, 1120.0, 1300.0, 1301.0], "and once more at its end"


def test_each_transaction_is_flushed_and_the_file_belongs_to_one_process(tmp_path: Path) -> None:
    with closing(SqliteAlertQueue(tmp_path / "alerts.sqlite")) as queue:
        pragmas = ("locking_mode", "journal_mode", "synchronous")
        found = [queue._db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
        assert found == ["exclusive", "wal", 2]
        for text in ("one", "two"):
            queue.add([QueuedAlert(0, "Ann", AlertPriority.SOON, text, 1, "/live")], ())
        assert [each.id for each in queue.waiting("Ann", 9)] == [1, 2]


def test_a_queue_holds_each_row_as_it_was_given_until_it_is_taken_out() -> None:
    alert = QueuedAlert(0, "Ann", AlertPriority.SOON, "a clip", 0, "/live", b"sealed")
    press = QueuedAlert(0, "Ann", AlertPriority.BUTTON, "a press", 50, "/", b"")
    other = QueuedAlert(0, "Ben", AlertPriority.LATER, "a press", 90, "/", b"")
    kept, later = DeferredAlert("Ann", "quiet", "moved", 2, 10, 20), DeferredAlert("Ann", "digest", "moved", 1, 5, 5)
    held = DelayedAlert(0, "Ann", "request", "r1", 30, 500)
    with closing(SqliteAlertQueue(":memory:")) as queue:
        assert queue.add([alert, press, other], [kept, later], "r1", [held])
        assert not queue.add([alert], [kept], "r1", [held]), "it is told once, and nothing of it is added again"
        assert queue.counts() == {"Ann": 2, "Ben": 1}
        assert queue.waiting("Ann", 9) == (replace_id(press, 2), replace_id(alert, 1))
        assert queue.waiting("Ann", 1) == (replace_id(press, 2),)
        queue.date(77)
        assert [each.queued_ms for each in queue.waiting("Ann", 9)] == [50, 77]
        queue.pass_time(200)
        assert queue.delayed() == (DelayedAlert(1, "Ann", "request", "r1", 30, 300),)
        assert queue.add([], [replace(kept, count=3, since_ms=15, last_ms=15)])
        merged = replace(kept, count=5)
        assert (queue.deferred("Ann", "quiet"), queue.deferred("Ann", "digest")) == ((merged,), (later,))
        queue.release([merged], alert)
        assert (queue.deferred("Ann", "quiet"), queue.deferred("Ann", "digest")) == ((), (later,))
        queue.release_delayed(queue.delayed(), [other], [kept])
        assert (queue.delayed(), queue.deferred("Ann", "quiet")) == ((), (kept,))
        assert queue.counts() == {"Ann": 3, "Ben": 2}
        queue.remove([2, 99])
        assert [each.id for each in queue.waiting("Ann", 9)] == [1, 4]
        assert queue.add([], [], delayed=[replace(held, channel="Ben"), held])
        assert queue.retain(("Ann",), 77) == 3, "those of Ben, and one that has no time"
        assert queue.counts() == {"Ann": 1}
        assert [each.channel for each in queue.delayed()] == ["Ann"]
        assert queue.retain((), 0) == 1
        assert queue.deferred("Ann", "digest") == ()
        for once, rows in (
            ("r2", ([], [replace(kept, last_ms=40)], [held])),
            ("r3", ([], [kept], [held])),
            ("r4", ([], [], [])),
        ):
            assert queue.add(rows[0], rows[1], once, rows[2])
        told = queue._db.execute("SELECT * FROM told ORDER BY once").fetchall()
        assert told == [("r1", 90), ("r2", 40), ("r3", 30), ("r4", 0)], "the latest of its moments"


def test_of_what_was_told_once_the_newest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_queue_sqlite, "_TOLD_KEPT", 2)
    with closing(SqliteAlertQueue(":memory:")) as queue:
        for once, at_ms in (("r1", 30), ("r2", 10), ("r3", 20), ("r4", 40)):
            assert queue.add([QueuedAlert(0, "Ann", AlertPriority.SOON, "text", at_ms, "/")], (), once)
        assert queue._db.execute("SELECT * FROM told ORDER BY at_ms").fetchall() == [("r1", 30), ("r4", 40)]
        assert [queue.add((), (), once) for once in ("r1", "r4")] == [False, False]


def replace_id(alert: QueuedAlert, number: int) -> QueuedAlert:
    return replace(alert, id=number)


def test_a_queue_that_is_closed_takes_nothing(tmp_path: Path) -> None:
    queue = SqliteAlertQueue(tmp_path / "alerts.sqlite")
    queue.close()
    with pytest.raises(StorageError):
        queue.add([QueuedAlert(0, "Ann", AlertPriority.BUTTON, "a press", 1, "/live")], ())


def test_whoever_is_done_with_an_alert_of_a_damaged_queue_removes_none_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    with closing(SqliteAlertQueue(path)) as queue:
        queue.add(
            [QueuedAlert(0, "Ann", AlertPriority.SOON, "before", 1, "/live")],
            (),
            delayed=[DelayedAlert(0, "Ann", "clip", "", 1, 5)],
        )
        delivered, delayed = queue.waiting("Ann", 9), queue.delayed()
        queue._move(sqlite_damage())
        queue.add(
            [QueuedAlert(0, "Ann", AlertPriority.BUTTON, "a press", 1, "/live")],
            (),
            delayed=[DelayedAlert(0, "Ann", "clip", "b", 1, 5)],
        )
        queue.remove([each.id for each in delivered])
        queue.release_delayed(delayed, (), ())
        assert "a press" in [each.text for each in queue.waiting("Ann", 9)]
        assert "b" in [each.once for each in queue.delayed()]
        assert {each.id >> 40 for each in (*queue.waiting("Ann", 9), *queue.delayed())} == {1}
    assert path.with_name("alerts.sqlite.damaged").exists()


def sqlite_damage() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def test_a_queue_that_cannot_be_opened_at_all_is_kept_in_memory(tmp_path: Path) -> None:
    with closing(SqliteAlertQueue(tmp_path / "nowhere" / "alerts.sqlite")) as queue:
        queue.add([QueuedAlert(0, "Ann", AlertPriority.BUTTON, "a press", 1, "/live")], ())
        assert queue.counts() == {"Ann": 1}


def test_a_press_before_anybody_knew_the_time_is_not_given_up_when_the_clock_is_set(house: House) -> None:
    """A clock without a battery goes on where it stopped; the network, which sets it, is what the press waits for."""
    house.phone.fails = True
    house.clock.quality = ClockQuality.UNKNOWN
    with house.running(delivers=False) as alerts:
        alerts.notify("button", "")
        wait_until(lambda: alerts.status()["queued"] == 1)
    with house.running() as alerts:
        house.clock.set_by_s = 30 * 24 * HOUR_S
        house.clock.quality = ClockQuality.SYNCED
        house.turn(house.clock.second + 10)
        wait_until(lambda: alerts.status()["channels"]["Ann"]["failures"] >= 1)  # and so it waits for the next time
        house.phone.fails = False
        house.turn(house.clock.second + HOUR_S)
        house.phone.wait_for(lambda: house.phone.messages == ["The doorbell rang."])
        assert alerts.status()["given_up"] == 0


def test_what_came_before_anybody_knew_the_time_is_given_up_three_days_after_somebody_did(house: House) -> None:
    house.clock.quality = ClockQuality.UNKNOWN
    with house.running(delivers=False) as alerts:
        alerts.notify("button", "")
        wait_until(lambda: alerts.status()["queued"] == 1)
        house.clock.quality = ClockQuality.SYNCED
        house.turn(house.clock.second + 10)
        house.turn(house.clock.second + 71 * HOUR_S)
        assert alerts.status()["given_up"] == 0
        house.turn(house.clock.second + 2 * HOUR_S)
        assert alerts.status()["given_up"] == 1


def test_a_test_message_goes_to_every_channel_even_at_night(house: House) -> None:
    house.clock.second = 3 * 3600.0
    with house.running() as alerts:
        assert alerts.test() == ("Ann",)
        house.phone.wait_for(lambda: house.phone.messages == [f"03:00  {TEST}"])


def test_a_test_message_leads_to_the_settings(house: House) -> None:
    alerts = house.alerts()
    assert alerts.test() == ("Ann",)
    assert [each.page for each in alerts._queue.waiting("Ann", 9)] == ["/settings"]
    alerts.close()


def test_without_a_clock_an_alert_has_no_time_and_no_quiet_hours(house: House) -> None:
    house.clock.second, house.clock.quality = 3 * 3600.0, ClockQuality.UNKNOWN
    with house.running() as alerts:
        alerts.notify("visitor", "")
        house.phone.wait_for(lambda: house.phone.messages == ["Something moved at the door."])


# -- without a thread: step by step ------------------------------------------------------------------------------------


ADDRESSES = (ChannelAddress("Ann", "a"), ChannelAddress("Ben", "b"))


class Desk:
    """Alerts of two channels that the test moves, with a queue in memory."""

    def __init__(self, **changes: Any) -> None:
        self.clock = TestClock()
        self.queue = SqliteAlertQueue(":memory:")
        self.alerts = Alerts(
            AlertSettings(
                "Doorward: door", changes.pop("link", ""), (ChannelAddress("Ann", "a"), ChannelAddress("Ben", "b"))
            ),
            Policy((ChannelRules("Ann"), ChannelRules("Ben")), **changes.pop("policy", {})),
            self.queue,
            self.clock,
            local,
            HOLDING_BACK,
            **changes,
        )

    def tell(self, *names: str) -> None:
        for name in names:
            self.alerts.notify(name, "")
        while raised := self.alerts._next():
            self.alerts._process(raised)

    def collect(self) -> dict[str, AlertMessage]:
        return {each.channel: each for each in self.alerts.collect(0)}


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.alerts.close()


def test_one_channel_that_fails_rests_and_the_other_goes_on(desk: Desk) -> None:
    desk.tell("visitor")
    first = desk.collect()
    assert set(first) == {"Ann", "Ben"}
    assert desk.collect() == {}, "each has its message in hand"
    desk.alerts.acknowledge(first["Ann"], "It is away.")
    desk.alerts.acknowledge(first["Ben"])
    status = desk.alerts.status()["channels"]
    assert status["Ann"] == {"waiting": 1, "delivered": 0, "failures": 1, "fault": "It is away."}
    assert status["Ben"] == {"waiting": 0, "delivered": 1, "failures": 0, "fault": ""}
    assert desk.collect() == {}
    pause_s = desk.alerts._channels["Ann"].rests_until_ns / NS_PER_S - desk.clock.second
    assert pause_s == retry_pause_ns(1) / NS_PER_S
    assert desk.alerts._rest_s() == pytest.approx(pause_s)
    desk.clock.second += pause_s
    again = desk.collect()
    assert set(again) == {"Ann"}
    desk.alerts.acknowledge(again["Ann"])
    assert desk.alerts._taken == set(), "what is out of the queue need not be remembered"
    assert desk.alerts.status()["channels"]["Ann"] == {"waiting": 0, "delivered": 1, "failures": 0, "fault": ""}
    assert desk.alerts._channels["Ann"].rests_until_ns == 0


def test_the_sender_is_answered_when_the_first_of_two_channels_has_rested(desk: Desk) -> None:
    desk.tell("visitor")
    first = desk.collect()
    desk.alerts.acknowledge(first["Ann"], "It is away.")
    desk.clock.second += 0.5
    desk.alerts.acknowledge(first["Ben"], "It is away.")
    desk.clock.second += 0.5
    assert desk.alerts._rest_s() == pytest.approx(retry_pause_ns(1) / NS_PER_S - 1)


def test_a_message_that_nobody_acknowledges_is_given_out_again_after_three_minutes(desk: Desk) -> None:
    desk.tell("visitor")
    first = desk.collect()
    desk.clock.second += 180
    assert desk.collect() == {}
    desk.clock.second += 0.001
    assert desk.collect() == first


def test_an_acknowledgement_of_another_message_frees_no_channel(desk: Desk) -> None:
    desk.tell("visitor")
    first = desk.collect()
    desk.alerts.acknowledge(replace_alerts(first["Ann"], (99,)))
    assert desk.collect() == {}
    desk.alerts.acknowledge(replace_channel(first["Ann"], "Nobody"))
    desk.alerts.acknowledge(first["Ann"])
    assert set(desk.alerts.status()["channels"]) == {"Ann", "Ben"}


def replace_alerts(message: AlertMessage, alerts: tuple[int, ...]) -> AlertMessage:
    return msgspec.structs.replace(message, alerts=alerts)


def replace_channel(message: AlertMessage, channel: str) -> AlertMessage:
    return msgspec.structs.replace(message, channel=channel)


def test_a_sender_that_begins_gets_every_address_and_what_another_had_in_hand(desk: Desk) -> None:
    desk.tell("visitor")
    first = desk.collect()
    assert desk.alerts.channels() == ADDRESSES
    assert desk.collect() == first


def test_a_test_message_wakes_a_channel_that_rests(desk: Desk) -> None:
    desk.tell("visitor")
    first = desk.collect()
    desk.alerts.acknowledge(first["Ann"], "It is away.")
    assert desk.alerts.answer_test(None, b"") == ({"channels": ["Ann", "Ben"]}, b"")
    body = desk.collect()["Ann"].body
    assert f"12:00  {TEST}" in body
    assert desk.alerts.status()["channels"]["Ann"]["waiting"] == 2


def test_a_channel_of_a_browser_comes_and_goes_while_the_alerts_run(desk: Desk) -> None:
    rules, address = ChannelRules("Cleo"), ChannelAddress("Cleo", "webpush:1")
    desk.alerts.set_channel(rules, address, "a glance key")
    desk.alerts.set_channel(rules, ChannelAddress("Cleo", "webpush:2"), "a glance key")
    assert desk.alerts.channels()[2] == ChannelAddress("Cleo", "webpush:2")
    assert [each.name for each in desk.alerts._policy.channels] == ["Ann", "Ben", "Cleo"]
    pictures = (AlertPicture("another", b"x"), AlertPicture("a glance key", b"sealed"))
    desk.alerts.notify("visitor", "", pictures=pictures)
    desk.tell()
    assert {name: each.picture for name, each in desk.collect().items()} == {"Ann": b"", "Ben": b"", "Cleo": b"sealed"}
    desk.alerts.drop_channel("Cleo")
    desk.alerts.drop_channel("Cleo")
    assert desk.queue.counts() == {"Ann": 1, "Ben": 1}
    assert [each.name for each in desk.alerts._policy.channels] == ["Ann", "Ben"]
    assert len(desk.alerts.channels()) == 2
    assert desk.alerts._glances == {}


def test_quiet_hours_that_an_owner_sets_are_in_force_at_once(desk: Desk) -> None:
    desk.alerts.set_quiet((11 * 60, 13 * 60))
    desk.tell("visitor")
    assert desk.alerts.status()["kept"] == 2
    desk.alerts.set_quiet(None)
    desk.tell("camera")
    assert desk.alerts.status()["queued"] == 2


@pytest.mark.parametrize(
    ("configured", "shown"), [("", "https://door.local/"), ("https://door.example", "https://door.example")]
)
def test_a_message_ends_with_the_owners_page_unless_another_address_is_configured(configured: str, shown: str) -> None:
    desk = Desk(link=configured)
    desk.alerts.link_to("https://door.local/")
    desk.tell("visitor")
    assert desk.collect()["Ann"].body.splitlines()[-1].startswith(shown)
    desk.alerts.close()


def test_the_inbox_takes_five_hundred_and_twelve_and_every_press(desk: Desk) -> None:
    for _ in range(515):
        desk.alerts.notify("visitor", "")
        desk.alerts.notify("button", "")
    assert desk.alerts.status()["overflowed"] == 3
    assert (len(desk.alerts._inbox), len(desk.alerts._presses)) == (512, 515)
    assert [len(desk.alerts._next()) for _ in range(515)] == [1] * 515
    assert len(desk.alerts._next()) == 512
    assert desk.alerts._next() == []


def test_the_thread_looks_at_once_and_then_waits_for_news_or_its_interval(desk: Desk) -> None:
    waits: list[float] = []

    class Arrived(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            desk.alerts._stopping = len(waits) == 3
            return True

    desk.alerts._arrived = Arrived()
    desk.alerts._run()
    assert waits == [0.0, alerts_module._LOOK_S, alerts_module._LOOK_S]
    desk.alerts._stopping = False


def both(waiting: int) -> dict[str, int]:
    return {"Ann": waiting, "Ben": waiting}


@pytest.mark.parametrize("name", ["visitor", "button"])
def test_the_thread_waits_for_nothing_while_there_is_news_and_takes_all_of_it_before_its_end(
    desk: Desk, name: str
) -> None:
    spied = desk.alerts._arrived = Spied(lambda: setattr(desk.alerts, "_stopping", True))
    desk.alerts.notify(name, "")
    desk.alerts._run()
    assert spied.waits == [alerts_module._LOOK_S], "and not before the news was taken"
    assert desk.queue.counts() == both(1)
    desk.alerts.notify(name, "")
    desk.alerts._run()
    assert spied.waits == [alerts_module._LOOK_S]
    limited = desk.alerts.status()["rate_limited"]
    assert (limited, desk.queue.counts()) == {"visitor": (2, both(1)), "button": (0, both(2))}[name]


def test_the_time_that_has_passed_is_kept_at_the_end(desk: Desk) -> None:
    desk.tell("request")
    before = [each.left_ms for each in desk.queue.delayed()]
    desk.clock.second += 30
    desk.alerts._stopping = True
    desk.alerts._run()
    assert [each.left_ms for each in desk.queue.delayed()] == [left_ms - 30_000 for left_ms in before]
    desk.alerts._run()
    assert [each.left_ms for each in desk.queue.delayed()] == [left_ms - 30_000 for left_ms in before]


def test_alerts_of_a_channel_that_is_gone_leave_at_the_start_and_those_without_a_time_stay(desk: Desk) -> None:
    desk.clock.quality = ClockQuality.UNKNOWN
    desk.tell("visitor")
    desk.queue.add([QueuedAlert(0, "Gone", AlertPriority.SOON, "text", 0, "/")], ())
    desk.alerts.drop_channel("Ben")
    assert desk.queue.counts() == {"Ann": 1}
    desk.queue.add([QueuedAlert(0, "Gone", AlertPriority.SOON, "text", 0, "/")], ())
    desk.alerts._thread = mock.Mock(ident=None)
    desk.alerts.start()
    assert desk.queue.counts() == {"Ann": 1}
    desk.alerts._thread.start.assert_called_once_with()


def test_the_time_of_delayed_news_is_written_once_a_minute_when_it_is_over_and_while_there_is_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    pass_time = desk.queue.pass_time
    monkeypatch.setattr(desk.queue, "pass_time", lambda passed_ms: written.append(passed_ms) or pass_time(passed_ms))
    desk.tell("request")
    minute_ms = alerts_module._WRITTEN_MS
    assert minute_ms == 60_000
    for passed_ms, expected in ((minute_ms - 1, []), (1, [minute_ms]), (minute_ms - 1, [minute_ms])):
        desk.clock.second += passed_ms / 1000
        desk.alerts._on_time()
        assert written == expected
    (left_ms,) = {each.left_ms for each in desk.queue.delayed()}
    desk.clock.second += (left_ms - minute_ms) / 1000
    desk.alerts._on_time()
    assert (written, desk.queue.counts()) == ([minute_ms, left_ms - 1], {}), "it has a millisecond left"
    desk.clock.second += 0.001
    desk.alerts._on_time()
    assert (written, desk.queue.counts()) == ([minute_ms, left_ms - 1, 1], both(1))
    desk.clock.second += 0.005
    desk.alerts._on_time()
    assert written == [minute_ms, left_ms - 1, 1, 5]


@pytest.mark.parametrize(("waiting", "told"), [({"r1", "r2"}, 1), ({"r1"}, 1), ({"r2"}, 1), (set(), 0)])
def test_delayed_news_is_told_if_one_of_its_requests_still_waits(waiting: set[str], told: int) -> None:
    desk = Desk(waits=lambda once: once in waiting)
    for once in ("r1", "r2"):
        desk.alerts.notify("request", "", once)
    desk.tell()
    desk.clock.second += LONGEST_MS / 1000
    desk.alerts._on_time()
    assert desk.queue.counts() == (both(told) if told else {})
    assert desk.queue.delayed() == ()
    desk.alerts.close()


def test_each_look_forgets_what_was_taken_and_dates_what_came_before_the_time_was_known(desk: Desk) -> None:
    desk.clock.quality = ClockQuality.UNKNOWN
    desk.tell("visitor")
    (first,) = desk.queue.waiting("Ann", 9)
    assert first.queued_ms == 0
    desk.alerts._taken = {first.id}
    desk.alerts._on_time()
    assert desk.alerts._taken == set()
    assert (desk.queue.counts(), desk.queue.waiting("Ben", 9)[0].queued_ms) == ({"Ben": 1}, 0)
    desk.clock.quality = ClockQuality.SYNCED
    desk.alerts._on_time()
    queued_ms = round(desk.clock.second * 1000)
    assert desk.queue.waiting("Ben", 9)[0].queued_ms == queued_ms
    for after_ms, waiting in ((alerts_module._KEPT_FOR_MS, {"Ben": 1}), (alerts_module._KEPT_FOR_MS + 1, {})):
        desk.clock.second = (queued_ms + after_ms) / 1000
        desk.alerts._on_time()
        assert desk.queue.counts() == waiting
    assert desk.alerts.status()["given_up"] == 1


def test_what_was_kept_in_the_quiet_hours_is_one_message_that_leads_to_the_timeline(desk: Desk) -> None:
    minute = local(round(desk.clock.second * 1000))[0]
    desk.alerts.set_quiet((minute, minute + 60))
    desk.tell("visitor")
    desk.clock.second += 3600
    desk.alerts._on_time()
    (alert,) = desk.queue.waiting("Ann", 9)
    text, now_ms = "Meanwhile: Something moved at the door (12:00).", round(desk.clock.second * 1000)
    assert alert == QueuedAlert(1, "Ann", AlertPriority.LATER, text, now_ms, "/timeline")
    assert desk.queue.deferred("Ann", "quiet") == ()


class Spied(threading.Condition):
    """Notes each waking and each wait, of which none lasts. `meanwhile` happens during a wait."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(threading.RLock())
        self.woken, self.waits, self._meanwhile = 0, list[float | None](), meanwhile

    def notify_all(self) -> None:
        self.woken += 1

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        self._meanwhile()
        return True

    def wakings(self, act: Callable[[], object]) -> int:
        before = self.woken
        act()
        return self.woken - before


def test_the_senders_are_woken_by_all_that_gives_them_something_and_by_nothing_else(desk: Desk) -> None:
    spied = desk.alerts._changed = Spied()
    assert spied.wakings(lambda: desk.tell("visitor")) == 1
    assert spied.wakings(lambda: desk.tell("request")) == 0, "it is delayed"
    first = desk.alerts.collect(0)
    assert spied.wakings(lambda: desk.alerts.acknowledge(first[0], "It is away.")) == 1
    assert spied.wakings(lambda: desk.alerts.acknowledge(first[1])) == 1
    assert spied.wakings(lambda: desk.alerts.acknowledge(replace_channel(first[0], "Nobody"))) == 0
    assert spied.wakings(desk.alerts.channels) == 1
    assert spied.wakings(desk.alerts.test) == 1
    assert spied.wakings(desk.alerts._on_time) == 0
    desk.clock.second += LONGEST_MS / 1000
    assert spied.wakings(desk.alerts._on_time) == 2, "the request of each channel"
    desk.alerts.set_quiet((desk.alerts._minute(desk.clock.now()) or 0, 24 * 60 - 1))
    assert spied.wakings(lambda: desk.tell("camera")) == 0, "it is kept"
    desk.alerts.set_quiet(None)
    assert spied.wakings(desk.alerts._on_time) == 2, "and told in one message of each channel"
    arrived = desk.alerts._arrived = Spied()
    assert arrived.wakings(lambda: desk.alerts.notify("button", "")) == 1
    assert spied.wakings(desk.alerts.stop) == 1
    assert arrived.woken == 2, "its own thread, too"


def test_a_sender_waits_until_a_channel_has_rested_and_gets_what_came_meanwhile(desk: Desk) -> None:
    spied = desk.alerts._changed = Spied()
    assert desk.alerts.collect(5.0) == ()
    assert spied.waits == [5.0]
    desk.tell("visitor")
    first = desk.collect()
    desk.alerts.acknowledge(first["Ann"], "It is away.")
    desk.alerts.acknowledge(first["Ben"])
    pause_s = retry_pause_ns(1) / NS_PER_S
    assert desk.alerts.collect(pause_s + 1) == ()
    desk.clock.second += pause_s
    assert [each.channel for each in desk.alerts.collect(7.0)] == ["Ann"]
    assert spied.waits == [5.0, pytest.approx(pause_s)], "what is there is given at once"
    spied = desk.alerts._changed = Spied(lambda: desk.tell("camera"))
    assert [each.channel for each in desk.alerts.collect(7.0)] == ["Ben"]
    assert spied.waits == [7.0]
    desk.alerts.stop()
    assert desk.alerts.collect(7.0) == ()
    assert spied.waits == [7.0], "at its end it waits for nothing"


def test_a_status_is_given_though_the_queue_cannot_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.tell("visitor")

    def unread() -> dict[str, int]:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(desk.queue, "counts", unread)
    assert desk.alerts.status()["channels"]["Ann"] == shown()


def test_the_doorbells_health_is_looked_at_and_told() -> None:
    desk = Desk(wellbeing=HealthMonitor(health_conditions(60 * NS_PER_S)), facts=lambda: HealthFacts(offline=True))
    desk.alerts._on_time()
    assert desk.alerts.status()["queued"] == 0
    desk.clock.second += 61
    desk.alerts._on_time()
    assert ALERTS["offline"].text in desk.collect()["Ann"].body
    desk.alerts.close()


@pytest.mark.parametrize(("quiet", "counted"), [(None, (2, 0)), ((0, 24 * 60 - 1), (0, 2))])
def test_delayed_news_counts_as_queued_or_as_kept_once_its_delay_is_over(
    desk: Desk, quiet: tuple[int, int] | None, counted: tuple[int, int]
) -> None:
    desk.tell("request")
    status = desk.alerts.status()
    assert (status["queued"], status["delayed"], status["kept"]) == (0, 2, 0)
    desk.alerts.set_quiet(quiet)
    desk.clock.second += LONGEST_MS / 1000
    desk.alerts._on_time()
    status = desk.alerts.status()
    assert (status["queued"], status["kept"]) == counted


def test_a_state_that_changed_too_soon_is_told_once_when_its_pause_is_over() -> None:
    desk = Desk(policy={"cool_down_ns": 300 * NS_PER_S})
    desk.tell("privacy on")
    desk.tell("privacy off")
    status = desk.alerts.status()
    assert (status["queued"], status["rate_limited"]) == (2, 2)
    desk.clock.second += 301
    desk.alerts._on_time()
    assert desk.alerts.status()["queued"] == 4
    desk.alerts._on_time()
    assert desk.alerts.status()["queued"] == 4
    assert ALERTS["privacy off"].text in desk.collect()["Ann"].body
    desk.alerts.close()


def shown(*, waiting: int = 0, delivered: int = 0) -> dict[str, object]:
    return {"waiting": waiting, "delivered": delivered, "failures": 0, "fault": ""}


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15.0
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.005)
