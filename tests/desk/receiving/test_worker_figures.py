"""Figures of one worker: they outlive its receivers, its database and its store, and name no organisation."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from django.db import OperationalError

from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.sealed_parts import PartsAwayError, PartsRefusedError
from agent.errors import ConfigurationError, StorageError
from agent.platform.system_clock import SystemClock
from desk import workers
from desk.config import Broker, Database, DeskConfig, Metrics, Storage
from desk.people.organisations import requester_of
from desk.receiving import publishing_thread, receiver_thread
from desk.receiving.receiver_thread import ReceiverThread
from desk.receiving.supervisor import Supervisor
from desk.receiving.worker_figures import WorkerFigures
from desk.repeating_thread import RepeatingThread
from desk.workers import run_worker
from tests.desk.agencies import Agency
from tests.desk.waiting import until
from tests.fake_bus import FakeBroker, FakeBus
from tests.figures_of_others import page_at, read_by_prometheus

GRAFANA = Path(__file__).resolve().parents[3] / "config" / "grafana" / "workers.json"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_what_receivers_tell_is_counted_and_each_state_has_a_sample() -> None:
    figures = WorkerFigures()
    assert "doorward_worker_silence_seconds{}" not in read_by_prometheus(figures.page()), "there is no receiver yet"
    figures.watch(1, SimpleNamespace(state="connected", silence_s=3.0))
    figures.watch(2, SimpleNamespace(state="failed", silence_s=5.0))
    figures.watch(2, SimpleNamespace(state="connected", silence_s=200.0))
    for kind, size in (("BEGUN", 5), ("COMPLETE", 1000), ("COMPLETE", 24), ("TIP", 7), ("PUBLISHED", 9)):
        figures.count(ReceiverEvent(ReceiverEventKind[kind], held_bytes=size))
    for error in (PartsAwayError("500"), PartsRefusedError("denied"), OperationalError("ended"), StorageError("full")):
        figures.count_fault(error)
    read = read_by_prometheus(figures.page())
    assert [read[f"doorward_worker_faults_total{{cause={cause}}}"] for cause in ("store", "database", "other")] == [
        2, 1, 1,
    ]  # fmt: skip
    assert read["doorward_worker_receivers{state=connected}"] == 2
    assert read["doorward_worker_receivers{state=failed}"] == 0, "the receiver of before has ended"
    assert read["doorward_worker_silence_seconds{}"] == 200
    assert read["doorward_worker_answers_total{event=complete}"] == 2
    assert read["doorward_worker_answers_total{event=tip}"] == 1
    assert read["doorward_worker_answers_total{event=refused}"] == 0
    assert read["doorward_worker_answer_bytes_total{}"] == 1024
    assert read["doorward_worker_cpu_seconds_total{}"] > 0
    assert read["doorward_worker_peak_memory_bytes{}"] > 10 << 20
    assert read["doorward_worker_start_timestamp_seconds{}"] > 1_700_000_000


def test_the_dashboard_asks_for_figures_that_there_are_and_for_each_of_them() -> None:
    figures = WorkerFigures()
    figures.watch(1, SimpleNamespace(state="connected", silence_s=0.0))
    asked = set(re.findall("doorward_worker_[a-z_]+", GRAFANA.read_text()))
    assert asked == set(re.findall("(?m)^(doorward_worker_[a-z_]+)", figures.page()))
    panels = json.loads(GRAFANA.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_a_thread_that_hangs_in_a_call_falls_silent_and_one_that_goes_round_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr("desk.repeating_thread.time", SimpleNamespace(monotonic=lambda: now[0]))
    thread = RepeatingThread("loops")
    now[0] += 90
    assert thread.silence_s == 90
    thread._moves()
    assert thread.silence_s == 0


class Turns:
    """Stands in for the service that a thread asks again and again. `over`: it hangs until then in the second turn."""

    def __init__(self, over: threading.Event | None) -> None:
        self.turns, self._over = 0, over

    def start(self) -> None:
        pass

    def step(self, _timeout_s: float) -> None:
        self.turns += 1
        if self.turns > 1 and self._over is not None:
            self._over.wait(60)
        time.sleep(0.005)


@pytest.mark.parametrize("hangs", [receiver_thread, publishing_thread, None])
def test_silence_grows_if_the_receiver_or_its_publisher_hangs(
    agency: Agency, monkeypatch: pytest.MonkeyPatch, hangs: ModuleType | None
) -> None:
    """systemd hears the worker's main thread alone, which goes on."""
    figures, over, later_s = WorkerFigures(), threading.Event(), [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + later_s[0])
    monkeypatch.setattr("desk.repeating_thread.time", clock)
    made: dict[ModuleType, Turns] = {}
    for module in (receiver_thread, publishing_thread):

        def service(*_: object, module: ModuleType = module, **_with: object) -> Turns:
            made[module] = Turns(over if module is hangs else None)
            return made[module]

        monkeypatch.setattr(module, "DisclosureReceiver", service)

    def connect(requester: Requester) -> FakeBus:
        bus = FakeBus(FakeBroker(), requester.id)
        bus.start()
        return bus

    with Supervisor(requester_of, connect, SystemClock(), look_every_s=0.02, figures=figures):
        try:
            until(lambda: [each.turns > 1 for each in list(made.values())] == [True, True], "two turns of both")
            later_s[0] = 500.0
            before = {module: each.turns for module, each in made.items()}
            going = [module for module in made if module is not hangs]
            until(lambda: all(made[each].turns > before[each] + 2 for each in going), "those that go on")
            silence_s = read_by_prometheus(figures.page())["doorward_worker_silence_seconds{}"]
            assert (silence_s >= 500) is (hangs is not None)
        finally:
            over.set()


def test_a_receiver_counts_its_events_and_knows_its_state_while_the_database_is_away(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = WorkerFigures()
    thread = ReceiverThread(agency.organisation, requester_of, lambda _: FakeBus(FakeBroker(), "x"), SystemClock(),
                            figures=figures)  # fmt: skip
    recorder = SimpleNamespace(record=lambda _event: None)
    thread._tell(ReceiverEvent(ReceiverEventKind.TIP), requester_of(agency.organisation), recorder)  # type: ignore[arg-type]
    assert read_by_prometheus(figures.page())["doorward_worker_answers_total{event=tip}"] == 1

    def away(*_: object, **_with: object) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(receiver_thread, "Receiver", SimpleNamespace(objects=SimpleNamespace(get_or_create=away)))
    thread._on_fault(OperationalError("the server closed the connection"))
    thread._not_connected(StorageError("full"))
    assert thread.state == "failed"
    read = read_by_prometheus(figures.page())
    assert [read[f"doorward_worker_faults_total{{cause={cause}}}"] for cause in ("database", "other")] == [1, 1]
    assert agency.organisation.requester_id not in figures.page()


@contextmanager
def running(config: DeskConfig) -> Iterator[None]:
    """`doorward-desk worker` in a thread, without receivers."""
    stop = threading.Event()
    thread = threading.Thread(target=run_worker, args=(config, stop, lambda _words: None))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("data")
def test_a_worker_serves_its_figures_at_the_port_of_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """It did not: the port was read by the desk alone."""
    port = free_port()
    config = DeskConfig(
        database=Database(kind="postgresql", host="/run/postgresql"), storage=Storage(kind="s3"),
        broker=Broker(worker="w1"), metrics=Metrics(port=port),
    )  # fmt: skip
    monkeypatch.setattr(workers, "require_same_version", lambda: None)
    monkeypatch.setattr(workers, "check_storage", lambda _: None)
    monkeypatch.setattr(workers, "Supervisor", lambda *_, **_with: contextlib.nullcontext())

    def reachable() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with running(config):
        until(reachable, "the figures")
        assert read_by_prometheus(page_at(port))["doorward_worker_receivers{state=connected}"] == 0
        with pytest.raises(ConfigurationError, match=r"Metrics cannot be served at 127\.0\.0\.1"):
            run_worker(config, threading.Event(), print)
    assert not reachable()
