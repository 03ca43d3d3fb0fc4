"""A signal to stop is heard, whatever the main thread does, and changes nothing after the block."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from agent.platform.stop_signals import STOP_SIGNALS, StopSignals

PATIENCE_S = 60.0


def test_a_signal_that_another_thread_gets_stops_a_main_thread_that_waits_for_ever() -> None:
    stop = threading.Event()
    with StopSignals(stop.set):
        asked = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
        asked.start()
        assert stop.wait(PATIENCE_S)
        asked.join()


def test_a_stop_may_need_a_lock_that_the_main_thread_holds_when_the_signal_comes() -> None:
    lock, stopped = threading.Lock(), threading.Event()

    def stop() -> None:
        with lock:
            stopped.set()

    with StopSignals(stop):
        with lock:
            signal.raise_signal(signal.SIGTERM)
        assert stopped.wait(PATIENCE_S)


@pytest.mark.parametrize("many", [0, 2, 10_000])
def test_many_signals_stop_once_and_so_does_none_at_the_end_of_a_process(many: int) -> None:
    done: list[str] = []
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    go_on = threading.Event()

    def stop() -> None:
        assert go_on.wait(PATIENCE_S)  # meanwhile nothing reads what the signals write
        done.append("stopped")

    try:
        stopping = StopSignals(stop)
        stopping.__enter__()
        for _ in range(many):
            signal.raise_signal(signal.SIGTERM)
        go_on.set()
        stopping.finish()
        signal.raise_signal(signal.SIGTERM)
        assert done == ["stopped"]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_end_of_the_block_waits_for_the_stop_and_stops_nothing_itself() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def stop() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        done.append("stopped")

    with StopSignals(stop):
        signal.raise_signal(signal.SIGINT)
        assert begun.wait(PATIENCE_S)
        go_on.set()
    assert done == ["stopped"]
    with StopSignals(lambda: done.append("without a signal")):
        pass
    assert done == ["stopped"]


def test_afterwards_the_signals_do_what_they_did_before() -> None:
    seen: list[int] = []
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number)),
        # Below a shell's background job it is ignored.
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    try:
        with StopSignals(lambda: None, [signal.SIGTERM]):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        assert seen == []
        signal.raise_signal(signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_with_a_handler_of_its_own_does_not_stop() -> None:
    done: list[str] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with StopSignals(lambda: done.append("stopped")):
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert done == []


def test_a_stop_that_fails_is_tried_again_at_the_next_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(str(args.exc_value)))
    tries, failed, stopped = [0], threading.Event(), threading.Event()

    def stop() -> None:
        tries[0] += 1
        if tries[0] == 1:
            failed.set()
            raise OSError("the socket has gone")
        stopped.set()

    with StopSignals(stop):
        signal.raise_signal(signal.SIGTERM)
        assert failed.wait(PATIENCE_S)
        signal.raise_signal(signal.SIGTERM)
        assert stopped.wait(PATIENCE_S)
    assert (tries, told) == ([2], ["the socket has gone"])


def test_outside_of_the_main_thread_it_is_refused_and_leaves_no_thread_behind() -> None:
    caught: list[BaseException] = []

    def enter() -> None:
        try:
            StopSignals(lambda: None).__enter__()
        except ValueError as error:
            caught.append(error)

    before = threading.active_count()
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert len(caught) == 1
    assert threading.active_count() == before
