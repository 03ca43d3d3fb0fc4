"""News of a request is delayed for a time that is independent of the request and of its outcome."""

from __future__ import annotations

import hmac
import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.alerts.notice_delay import LONGEST_MS, SHORTEST_MS, SPAN_MS, NoticeDelay
from agent.core.device_secret import DeviceSecret
from tests.core.test_requests import stored
from tests.wire import samples

KEYS = st.binary(min_size=32, max_size=32)
DEVICE = DeviceSecret(b"d" * 32)
MINUTE_MS = 60_000


def test_the_time_is_an_hmac_of_the_span_in_which_the_news_came_under_a_key_of_the_devices_own() -> None:
    extracted = hmac.digest(bytes(32), DEVICE.value, "sha256")  # RFC 5869, no salt, one block
    key = hmac.digest(extracted, b"doorward alerts delayed v1\x01", "sha256")

    def drawn(name: bytes) -> int:
        return int.from_bytes(hmac.digest(key, name, "sha256"), "big")

    came_ms = 1_800_000_000_000
    span = (came_ms + drawn(b"phase") % SPAN_MS) // SPAN_MS
    wanted = 15 * MINUTE_MS + drawn(b"span %d" % span) % (165 * MINUTE_MS + 1)
    assert NoticeDelay.of_device(DEVICE).of_ms(came_ms) == wanted
    assert repr(key) not in repr(NoticeDelay.of_device(DEVICE))


@given(KEYS, st.integers(0, 10**13))
def test_it_is_never_shorter_than_the_shortest_nor_longer_than_the_longest_and_the_same_when_asked_again(
    key: bytes, came_ms: int
) -> None:
    held_ms = NoticeDelay(key).of_ms(came_ms)
    assert 15 * MINUTE_MS == SHORTEST_MS <= held_ms <= LONGEST_MS == 180 * MINUTE_MS
    assert NoticeDelay(key).of_ms(came_ms) == held_ms


def test_every_quarter_of_an_hour_is_as_likely_as_every_other() -> None:
    """Delays of one device over time, and of many devices at one moment."""
    draws, quarters = 4400, 11
    over_time = [NoticeDelay(b"k" * 32).of_ms(number * SPAN_MS) for number in range(draws)]
    over_devices = [NoticeDelay(number.to_bytes(32, "big")).of_ms(0) for number in range(draws)]
    for held in (over_time, over_devices):
        counts = Counter((each - SHORTEST_MS) // (15 * MINUTE_MS) for each in held)
        assert set(counts) == set(range(quarters))
        # 400 are expected; five standard deviations are 95.
        assert all(305 < count < 495 for count in counts.values())


def test_thirty_requests_at_once_get_one_draw_and_their_first_alert_comes_no_sooner_than_that_of_one() -> None:
    firsts = []
    for house in range(400):
        holding_back = NoticeDelay(house.to_bytes(32, "big"))
        at_ms = 1_800_000_000_000 + house * 7_919_000
        burst = (1000 * second for second in range(30))
        firsts.append(min(later_ms + holding_back.of_ms(at_ms + later_ms) for later_ms in burst))
    median = sorted(firsts)[200] / MINUTE_MS
    assert 90 < median < 105  # of one request 97.5; the smallest of thirty draws had 18.8


def test_where_a_span_begins_is_another_secret_of_each_device() -> None:
    def border(key: bytes) -> int:
        of_ms = NoticeDelay(key).of_ms
        return next(minute for minute in range(1, 181) if of_ms(minute * MINUTE_MS) != of_ms((minute - 1) * MINUTE_MS))

    assert len({border(number.to_bytes(32, "big")) for number in range(40)}) > 25


def test_what_one_span_got_says_nothing_of_what_the_next_one_gets() -> None:
    of_ms = NoticeDelay(b"k" * 32).of_ms
    middle_ms = (SHORTEST_MS + LONGEST_MS) // 2
    pairs = [(of_ms(n * SPAN_MS), of_ms((n + 1) * SPAN_MS)) for n in range(2000)]
    alike = sum((one < middle_ms) == (other < middle_ms) for one, other in pairs)
    assert 888 < alike < 1112  # 1000 are expected; five standard deviations are 112


# -- what a watcher can tell -------------------------------------------------------------------------------------------

WINDOW_MS = LONGEST_MS - SHORTEST_MS


def advantage(others_a_day: int, smallest_of: int = 1, nights: int = 20_000) -> float:
    """An observer's advantage over guessing, if they see the times of connections.

    It is the distance in total variation of the hours after a request: connections that this house makes anyway, at
    uniform times, compared with those plus one more at a time drawn by `NoticeDelay`. 0 is guessing, 1 is
    certainty. A bet on it wins in (1 + advantage) / 2 of the cases.
    """
    dice, rate = random.Random(6), others_a_day * WINDOW_MS / 86_400_000
    total = 0.0
    for _ in range(nights):
        seen, drawn, term = 0, dice.random(), math.exp(-rate)
        while drawn > term:  # a Poisson number, by inversion
            drawn -= term
            seen += 1
            term *= rate / seen
        density = sum(smallest_of * (1 - dice.random()) ** (smallest_of - 1) for _ in range(seen))
        total += abs(density / rate - 1)
    return total / nights / 2


@given(KEYS, st.lists(st.tuples(samples.hexes(32), st.integers(0, 10**13)), max_size=5), st.integers(0, 10**13))
def test_outside_of_the_house_a_request_counts_from_when_its_own_time_is_over(
    key: bytes, came: list[tuple[str, int]], now_ms: int
) -> None:
    holding_back = NoticeDelay(key)
    requests = [replace(stored(samples.request()), id=name, received_ms=received_ms) for name, received_ms in came]
    over = [name for name, received_ms in came if received_ms + holding_back.of_ms(received_ms) <= now_ms]
    assert holding_back.due(requests, now_ms) == len(over)
    assert holding_back.due(requests, min([at for _, at in came], default=0) + SHORTEST_MS - 1) == 0


@pytest.mark.parametrize(("others_a_day", "stated"), [(1, 90), (5, 57), (10, 37), (50, 17)])
def test_what_a_watcher_gains_is_the_number_that_security_states(others_a_day: int, stated: int) -> None:
    assert abs(advantage(others_a_day) - stated / 100) < 0.02
    limits = Path(__file__).parents[3] / "docs" / "security" / "limits.md"
    assert f"with {others_a_day} a day .{stated}" in limits.read_text(encoding="utf-8")


def test_the_smallest_of_thirty_draws_would_tell_far_more() -> None:
    """So the number above is one that a burst could move: with one draw for each request it was this."""
    assert advantage(10, smallest_of=30) > 0.8
