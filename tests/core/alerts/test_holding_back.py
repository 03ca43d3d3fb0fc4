"""News of a request is held back for a time that says nothing: neither of the request nor of what became of it."""

from __future__ import annotations

import hmac
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.core.alerts.holding_back import LONGEST_MS, SHORTEST_MS, HoldingBack
from agent.core.device_secret import DeviceSecret
from tests.core.test_requests import stored
from tests.wire import samples

KEYS = st.binary(min_size=32, max_size=32)
DEVICE = DeviceSecret(b"d" * 32)
MINUTE_MS = 60_000


def test_the_time_is_an_hmac_of_the_news_name_under_a_key_of_the_devices_own() -> None:
    extracted = hmac.digest(bytes(32), DEVICE.value, "sha256")  # RFC 5869, no salt, one block
    key = hmac.digest(extracted, b"doorward alerts held back v1\x01", "sha256")
    drawn = int.from_bytes(hmac.digest(key, b"a1", "sha256"), "big")
    assert HoldingBack.of_device(DEVICE).of_ms("a1") == 15 * MINUTE_MS + drawn % (165 * MINUTE_MS + 1)
    assert repr(key) not in repr(HoldingBack.of_device(DEVICE))


@given(KEYS, st.text())
def test_it_is_never_shorter_than_the_shortest_nor_longer_than_the_longest_and_the_same_when_asked_again(
    key: bytes, name: str
) -> None:
    held_ms = HoldingBack(key).of_ms(name)
    assert 15 * MINUTE_MS == SHORTEST_MS <= held_ms <= LONGEST_MS == 180 * MINUTE_MS
    assert HoldingBack(key).of_ms(name) == held_ms


def test_every_quarter_of_an_hour_is_as_likely_as_every_other() -> None:
    """Of one device over its requests, and of one request over the devices that hear it."""
    draws, quarters = 4400, 11
    over_requests = [HoldingBack(b"k" * 32).of_ms(f"{number:032x}") for number in range(draws)]
    over_devices = [HoldingBack(number.to_bytes(32, "big")).of_ms("0" * 32) for number in range(draws)]
    for held in (over_requests, over_devices):
        counts = Counter((each - SHORTEST_MS) // (15 * MINUTE_MS) for each in held)
        assert set(counts) == set(range(quarters))
        # 400 are expected; five standard deviations are 95.
        assert all(305 < count < 495 for count in counts.values())


def test_what_one_request_got_says_nothing_of_what_the_next_one_gets() -> None:
    """Requests that come one after the other, and news of one request: early and late ones go together at random."""
    of_ms = HoldingBack(b"k" * 32).of_ms
    middle_ms = (SHORTEST_MS + LONGEST_MS) // 2
    after_each_other = [(of_ms(f"{n:032x}"), of_ms(f"{n + 1:032x}")) for n in range(2000)]
    of_the_same = [(of_ms(f"{n:032x}"), of_ms(f"{n:032x} again")) for n in range(2000)]
    for pairs in (after_each_other, of_the_same):
        alike = sum((one < middle_ms) == (other < middle_ms) for one, other in pairs)
        assert 888 < alike < 1112  # 1000 are expected; five standard deviations are 112


@given(KEYS, st.lists(st.tuples(samples.hexes(32), st.integers(0, 10**13)), max_size=5), st.integers(0, 10**13))
def test_outside_of_the_house_a_request_counts_from_when_its_own_time_is_over(
    key: bytes, came: list[tuple[str, int]], now_ms: int
) -> None:
    holding_back = HoldingBack(key)
    requests = [replace(stored(samples.request()), id=name, received_ms=received_ms) for name, received_ms in came]
    over = [name for name, received_ms in came if received_ms + holding_back.of_ms(name) <= now_ms]
    assert holding_back.due(requests, now_ms) == len(over)
    assert holding_back.due(requests, min([at for _, at in came], default=0) + SHORTEST_MS - 1) == 0
