"""For any behaviour of the network and the power, the requester ends with identical bytes, once, and a stop is a
stop."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.bus import LinkFault
from agent.core.transfer import Finished, TransferOutcome
from tests.core.transfer.simulation import FINE, Simulation, Weather

STORM_S = 40.0
PATIENCE_S = 1200.0

SIZES = st.lists(st.integers(1, 300_000), min_size=1, max_size=5)
WEATHERS = st.builds(
    Weather,
    loses=st.sampled_from([0.0, 0.05, 0.3]),
    repeats=st.sampled_from([0.0, 0.2]),
    slowest_s=st.sampled_from([0.01, 0.5, 5.0]),
    breaks_every_s=st.sampled_from([0.0, 3.0]),
    restarts_every_s=st.sampled_from([0.0, 4.0]),
)


def content(sizes: list[int], seed: int) -> list[bytes]:
    return [random.Random(seed + index).randbytes(size) for index, size in enumerate(sizes)]


def weather_the_storm(simulation: Simulation) -> None:
    """Break links and restart both sides now and then, until the storm is over."""

    def every(mean_s: float, action: str) -> None:
        if mean_s and simulation.now_s < STORM_S:
            simulation.later(
                simulation.random.expovariate(1 / mean_s), lambda: (hurt(simulation, action), every(mean_s, action))
            )

    every(simulation.weather.breaks_every_s, "link")
    every(simulation.weather.restarts_every_s, "device")
    every(simulation.weather.restarts_every_s, "requester")
    simulation.run(STORM_S)
    simulation.weather = FINE


def hurt(simulation: Simulation, action: str) -> None:
    if simulation.now_s >= STORM_S or simulation.finished:
        return
    if action == "link" and simulation.link:
        simulation.break_link(simulation.random.choice([LinkFault.LOST, LinkFault.STALLED, LinkFault.BUSY]))
    elif action == "device":
        simulation.start_device()
    elif action == "requester":
        simulation.stop_requester()
        simulation.later(simulation.random.uniform(0, 3), simulation.start_requester)


@settings(max_examples=settings().max_examples * 3, deadline=None)
@given(SIZES, WEATHERS, st.integers(0, 2**32))
def test_the_requester_ends_with_identical_bytes_exactly_once(sizes: list[int], weather: Weather, seed: int) -> None:
    simulation = Simulation(content(sizes, seed), seed, weather)
    weather_the_storm(simulation)
    simulation.run(PATIENCE_S, done=lambda: bool(simulation.finished))
    assert simulation.finished == [Finished(TransferOutcome.DELIVERED, begun=True)]
    assert [simulation.disk.sealed[part] for part in range(len(sizes))] == simulation.parts
    assert simulation.disk.completed == 1
    assert simulation.retained_init is None


@settings(max_examples=settings().max_examples * 2, deadline=None)
@given(SIZES, WEATHERS, st.integers(0, 2**32), st.floats(0, 10))
def test_no_chunk_leaves_after_stop(sizes: list[int], weather: Weather, seed: int, stop_s: float) -> None:
    simulation = Simulation(content(sizes, seed), seed, weather)
    simulation.run(stop_s, done=lambda: bool(simulation.finished))
    if simulation.finished:
        return
    sent = len(simulation.sent)
    simulation.sender.stop()
    simulation.pump_device()
    weather_the_storm_without_restarts(simulation)
    simulation.run(PATIENCE_S)
    assert len(simulation.sent) == sent
    assert simulation.finished == [Finished(TransferOutcome.STOPPED, begun=sent > 0)]


def weather_the_storm_without_restarts(simulation: Simulation) -> None:
    simulation.weather.restarts_every_s = 0.0
    weather_the_storm(simulation)


@settings(max_examples=50, deadline=None)
@given(SIZES, WEATHERS, st.integers(0, 2**32))
def test_every_retry_sends_the_same_bytes_of_the_same_part(sizes: list[int], weather: Weather, seed: int) -> None:
    simulation = Simulation(content(sizes, seed), seed, weather)
    weather_the_storm(simulation)
    for chunk in simulation.sent:
        assert 0 <= chunk.offset < chunk.offset + chunk.length <= simulation.sizes[chunk.part].size_bytes
        assert chunk.length <= 128 << 10


@settings(max_examples=50, deadline=None)
@given(SIZES, st.integers(0, 2**32))
def test_on_a_good_network_nothing_is_sent_twice(sizes: list[int], seed: int) -> None:
    simulation = Simulation(content(sizes, seed), seed, Weather(slowest_s=0.2))
    simulation.run(PATIENCE_S, done=lambda: bool(simulation.finished))
    assert sum(chunk.length for chunk in simulation.sent) == sum(sizes)
