"""From news to a channel: neither lost nor doubled, whatever restarts, and nobody who records ever waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.adapters.alerts_sqlite import SqliteAlertQueue
from agent.core.alerts.kinds import TEST, AlertKind
from agent.core.alerts.parcels import ChannelAddress, Parcel
from agent.core.alerts.policy import ChannelRules, Policy
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, Moment, UtcNs
from agent.errors import NetworkError, StorageError
from agent.services.alerts import Alerts, AlertSettings
from agent.services.courier import Delivery

PRESSED, MOVED = "12:00  Somebody pressed the button.", "12:00  Something moved at the door."
ASKED = "12:00  A request for footage is waiting for you."
NOON_S = 12 * 3600


class TestClock:
    """Stands still until the test moves it."""

    __test__ = False

    def __init__(self) -> None:
        self.second = float(NOON_S)
        self.quality = ClockQuality.SYNCED

    boot_id = "0" * 32

    def now(self) -> Moment:
        ns = round(self.second * NS_PER_S)
        return Moment(BootNs(ns), UtcNs(ns), self.quality)


class Phone:
    """A courier and what it brought.  `fails` says whether the next one gets through."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.fails = False
        self.attempts = 0
        self._changed = threading.Condition()

    def send(self, url: str, title: str, body: str) -> None:
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

    def alerts(self) -> Alerts:
        return Alerts(
            AlertSettings("Doorward: door", "", (ChannelAddress("Ann", "ntfy://phone/door"),)),
            Policy((self.rules,), digest=self.digest),
            SqliteAlertQueue(self.path),
            self.clock,
            local,
        )

    @contextmanager
    def running(self, *, delivers: bool = True) -> Iterator[Alerts]:
        alerts = self.alerts()
        alerts.start()
        delivery = Delivery(alerts, self.phone)
        if delivers:
            delivery.start()
        try:
            yield alerts
        finally:
            alerts.stop()
            delivery.stop()
            alerts.close()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_press_reaches_the_phone_and_leaves_the_queue(house: House) -> None:
    with house.running() as alerts:
        alerts.notify("button", "ignored")
        house.phone.wait_for(lambda: house.phone.messages == [PRESSED])
        wait_until(lambda: alerts.status()["channels"]["Ann"] == shown(delivered=1))


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

        def collect(self, wait_s: float) -> tuple[Parcel, ...]:
            return alerts.collect(wait_s)

        def settle(self, parcel: Parcel, fault: str = "") -> None:
            if not told.is_set():
                told.set()
                alerts.channels()  # a new desk has nothing in anybody's hands
                raise NetworkError("No custodian answers.")
            alerts.settle(parcel, fault)

    delivery = Delivery(Deaf(), house.phone)
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
        alerts.notify("request", "", once="b2")
        wait_until(lambda: "\n".join(house.phone.messages).count(ASKED) == 2)


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
    assert house.phone.messages[0] == "03:00  Somebody pressed the button."
    assert house.phone.messages[1].startswith("Meanwhile: 12 × Something moved at the door (last 03:00); The doorbell")


def test_a_thousand_events_in_a_minute_give_one_alert_and_the_button_comes_first_within_a_second(house: House) -> None:
    with house.running(delivers=False) as alerts:
        took_s = 0.0
        for number in range(1000):
            house.clock.second += 0.06
            began = time.perf_counter()
            alerts.notify("visitor", "")
            took_s = max(took_s, time.perf_counter() - began)
            if number == 900:
                alerts.notify("button", "")
        wait_until(lambda: alerts.status()["cooled"] + alerts.status()["overflowed"] == 999)
        pressed_s = time.monotonic()
        delivery = Delivery(alerts, house.phone)
        delivery.start()
        house.phone.wait_for(lambda: len(house.phone.messages) == 2)
        assert time.monotonic() - pressed_s < 1.0
        delivery.stop()
    assert [message[7:] for message in house.phone.messages] == [PRESSED[7:], MOVED[7:]]
    assert took_s < 0.5


def test_whoever_raises_news_waits_for_no_disk(house: House) -> None:
    """With a queue that hangs in every call."""
    released = threading.Event()

    class Stuck(SqliteAlertQueue):
        def add(self, *arguments: object, **named: object) -> bool:
            released.wait(10)
            raise StorageError("The alerts cannot be kept.")

        def waiting(self, channel: str, most: int) -> tuple[()]:
            released.wait(10)
            return ()

    alerts = Alerts(
        AlertSettings("Doorward: door", "", ()), Policy((house.rules,)), Stuck(":memory:"), house.clock, local
    )
    alerts.start()
    fetching = threading.Thread(target=alerts.collect, args=(0.1,))
    fetching.start()
    began = time.monotonic()
    for _ in range(2000):
        alerts.notify("visitor", "")
        alerts.notify("button", "")
    assert time.monotonic() - began < 2.0
    released.set()
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


def test_a_test_message_goes_to_every_channel_even_at_night(house: House) -> None:
    house.clock.second = 3 * 3600.0
    with house.running() as alerts:
        assert alerts.test() == ("Ann",)
        house.phone.wait_for(lambda: house.phone.messages == [f"03:00  {TEST}"])


def test_without_a_clock_an_alert_has_no_time_and_no_quiet_hours(house: House) -> None:
    house.clock.second, house.clock.quality = 3 * 3600.0, ClockQuality.UNKNOWN
    with house.running() as alerts:
        alerts.notify("visitor", "")
        house.phone.wait_for(lambda: house.phone.messages == ["Something moved at the door."])


def shown(*, waiting: int = 0, delivered: int = 0) -> dict[str, object]:
    return {"waiting": waiting, "delivered": delivered, "failures": 0, "fault": ""}


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15.0
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.005)
