"""Beats leave at their moment, once, to the configured addresses only, and answers are bounded."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from unittest import mock

import pytest

from agent.clients.time_confirmations import TimeTrust, confirmations
from agent.core.beats import FIRST_BEAT_S, LEAD_S
from agent.core.timebase import NS_PER_S, BootNs
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.ledger_writer import Ledger
from agent.custodian.time_log import TimeLog, WitnessAddress
from agent.errors import NetworkError
from agent.ipc.protocol import BeatAnswer, BeatMessage, OutgoingBeat
from agent.platform.system_clock import SystemEntropy
from agent.uplink import beat_sender
from agent.uplink.beat_sender import BeatSender, HttpsPost
from agent.wire.identities import public_key_of
from agent.wire.time_proofs import MAX_STAMP_BYTES
from agent.wire.witness_keys import parse_witness
from tests.custodians import DEVICE, DEVICE_KEYS, MLDSA
from tests.slow_servers import HANGS, Dripping
from tests.time_services import LocalWitness, TimeStamper, serving, through
from tests.vaults import SeededEntropy, SteppedClock

HOUR = 3600
KEY = public_key_of(DEVICE)
MESSAGE = BeatMessage("w1", "https://w1.test/add-checkpoint", b"body", is_witness=True)


class Custodian:
    """Source of beats that notes when it is asked. `slow_s`: an approval keeps it busy for this long."""

    def __init__(self, clock: SteppedClock, slow_s: float = 0.0) -> None:
        self.clock = clock
        self.slow_s = slow_s
        self.asked: list[float] = []
        self.taken: list[tuple[int, tuple[BeatAnswer, ...]]] = []
        self.away = False

    def beat(self) -> OutgoingBeat:
        self.asked.append(self.clock.boot_ns / NS_PER_S)
        self.clock.advance(self.slow_s)
        if self.away:
            raise NetworkError("away")
        return OutgoingBeat(len(self.asked), (MESSAGE,))

    def take(self, number: int, answers: Sequence[BeatAnswer]) -> None:
        self.taken.append((number, tuple(answers)))
        if self.away:
            raise NetworkError("away")


def waiting(clock: SteppedClock, until_s: float) -> Callable[[float], bool]:
    """Returns a `wait` that moves the clock, and stops the sender at `until_s`."""

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return clock.boot_ns / NS_PER_S >= until_s

    return wait


def sent_at(custodian: Custodian, until_s: float) -> list[float]:
    times: list[float] = []

    def post(message: BeatMessage) -> BeatAnswer:
        times.append(custodian.clock.boot_ns / NS_PER_S)
        return BeatAnswer(message.name, 200, b"answer")

    BeatSender(custodian, custodian.clock, HOUR, post, waiting(custodian.clock, until_s)).run()
    return times


def test_a_beat_is_fetched_a_minute_ahead_and_sent_at_its_moment() -> None:
    custodian = Custodian(SteppedClock(boot_ns=0))
    moments = [FIRST_BEAT_S + n * HOUR for n in range(4)]
    assert sent_at(custodian, 4 * HOUR) == moments
    assert custodian.asked == [moment - LEAD_S for moment in moments]
    assert custodian.taken[0] == (1, (BeatAnswer("w1", 200, b"answer"),))


@pytest.mark.parametrize("slow_s", [0.0, 0.3, 20.0, 59.0])
def test_a_busy_custodian_moves_no_sending(slow_s: float) -> None:
    assert sent_at(Custodian(SteppedClock(boot_ns=0), slow_s), 2 * HOUR) == [FIRST_BEAT_S, FIRST_BEAT_S + HOUR]


def test_a_sender_that_starts_late_keeps_the_moments() -> None:
    custodian = Custodian(SteppedClock(boot_ns=(FIRST_BEAT_S + HOUR - 10) * NS_PER_S))
    assert sent_at(custodian, 2 * HOUR + FIRST_BEAT_S) == [FIRST_BEAT_S + HOUR]


def test_without_its_custodian_nothing_is_sent_and_the_sender_goes_on() -> None:
    custodian = Custodian(SteppedClock(boot_ns=0))
    custodian.away = True
    assert sent_at(custodian, 3 * HOUR) == []
    assert len(custodian.asked) == 3


def test_the_sender_ends_at_once() -> None:
    sender = BeatSender(Custodian(SteppedClock(boot_ns=0)), SteppedClock(boot_ns=0), HOUR)
    sender.start()
    sender.stop()
    assert not sender._thread.is_alive()
    sender._thread = mock.Mock()
    sender.stop()
    sender._thread.join.assert_called_once_with()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_a_witness_on_the_line_confirms_what_the_custodian_made(stack: ExitStack) -> None:
    """Custodian, sender and a real HTTP service, over three beats. The line shows the same at each beat."""
    clock, journal = SteppedClock(boot_ns=0), SqliteJournal(":memory:")
    stack.callback(journal.close)
    witness = LocalWitness()
    witness.follow(f"doorward/{KEY.id}/time", KEY.raw)
    port, posted = stack.enter_context(serving(witness))
    address = WitnessAddress("w1", "https://w1.test/log/add-checkpoint?a=1", parse_witness(witness.verifier_key))
    ledger = Ledger(journal, clock, DEVICE, MLDSA)
    time = TimeLog(journal, ledger, clock, SeededEntropy(1), DEVICE, MLDSA, [address], HOUR)
    post = HttpsPost(through({"w1.test": port}))
    # The address in the configuration has a query, so the witness answers 404 to it: the path is sent unchanged.
    BeatSender(time, clock, HOUR, post, waiting(clock, HOUR)).run()
    assert [each.path for each in posted] == ["/log/add-checkpoint?a=1"]
    assert time.newest() is None
    clock.boot, clock.boot_ns = 2, 0
    address = WitnessAddress("w1", "https://w1.test/log/add-checkpoint", address.witness)
    time = TimeLog(journal, ledger, clock, SeededEntropy(1), DEVICE, MLDSA, [address], HOUR)
    BeatSender(time, clock, HOUR, post, waiting(clock, 3 * HOUR)).run()
    status = time.status()
    assert status is not None
    assert (status["beats"], status["confirmed"], status["by"]) == (4, 4, {"w1": ""})
    assert {each.head.replace(b"%d" % len(each.body), b"N") for each in posted[1:]} == {
        b"POST /log/add-checkpoint HTTP/1.1\nHost: 127.0.0.1:%d\nAccept-Encoding: identity\nContent-Length: N\n"
        b"Content-Type: text/plain; charset=utf-8\n\n" % port
    }


def test_a_time_stamper_on_the_line_confirms_what_the_custodian_made(stack: ExitStack) -> None:
    """From the custodian over HTTP to `openssl ts` and back, and to a requester who trusts the authority."""
    clock, journal, stamper = SteppedClock(boot_ns=0), SqliteJournal(":memory:"), TimeStamper()
    stack.callback(journal.close)
    stack.callback(stamper.close)
    port, posted = stack.enter_context(serving(stamper))
    ledger = Ledger(journal, clock, DEVICE, MLDSA)
    time = TimeLog(
        journal, ledger, clock, SystemEntropy(), DEVICE, MLDSA, [WitnessAddress("tsa", "https://tsa.test/tsr")], HOUR
    )
    BeatSender(time, clock, HOUR, HttpsPost(through({"tsa.test": port})), waiting(clock, 2 * HOUR)).run()
    assert [(each.path, len(each.body)) for each in posted] == [("/tsr", 69)] * 2
    assert b"Content-Type: application/timestamp-query\n" in posted[0].head
    proof = time.newest()
    assert proof is not None
    trust = TimeTrust.of("", [stamper.authority.read_bytes()])
    head, found, doubts = confirmations(proof, DEVICE_KEYS, trust)
    assert (head.size, [each.by for each in found], doubts) == (2, ["tsa"], ())


def test_no_redirection_is_followed_and_no_answer_is_status_0(stack: ExitStack) -> None:
    class Elsewhere:
        def answer(self, _path: str, _body: bytes) -> tuple[int, bytes, str]:
            return 302, b"", "text/plain\r\nLocation: /elsewhere"

    port, posted = stack.enter_context(serving(Elsewhere()))
    post = HttpsPost(through({"w1.test": port}))
    assert post(MESSAGE) == BeatAnswer("w1", 302)
    assert len(posted) == 1
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = HttpsPost(through({"w1.test": unused.getsockname()[1]}))
        assert closed(MESSAGE) == BeatAnswer("w1", 0)


@pytest.mark.parametrize("url", ["https://w1.test:99999/", f"https://{'a' * 70}.test/", "https://[::1/"])
def test_an_address_that_cannot_be_ends_no_sender(url: str) -> None:
    assert HttpsPost()(BeatMessage("w1", url, b"", is_witness=True)) == BeatAnswer("w1", 0)


def test_a_sender_that_must_stop_sends_no_further_message() -> None:
    custodian = Custodian(SteppedClock(boot_ns=0))
    posted: list[str] = []

    def post(message: BeatMessage) -> BeatAnswer:
        posted.append(message.name)
        sender._stopping.set()
        return BeatAnswer(message.name, 200)

    sender = BeatSender(custodian, custodian.clock, HOUR, post)
    sender._send(OutgoingBeat(1, (MESSAGE, MESSAGE)))
    assert (posted, custodian.taken) == (["w1"], [])


def test_an_answer_without_end_is_cut_off(stack: ExitStack) -> None:
    class Large:
        def answer(self, _path: str, _body: bytes) -> tuple[int, bytes, str]:
            return 200, bytes(MAX_STAMP_BYTES + 1), "text/plain"

    port, _ = stack.enter_context(serving(Large()))
    assert HttpsPost(through({"w1.test": port}))(MESSAGE) == BeatAnswer("w1", 0)


def test_an_answer_that_is_no_http_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\0" * 100 + b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        post = HttpsPost(lambda _host, _port: http.client.HTTPConnection("127.0.0.1", port, timeout=10))
        assert post(MESSAGE) == BeatAnswer("w1", 0)
        thread.join()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["head", "body"])
def test_an_answer_that_comes_byte_by_byte_keeps_the_others_of_its_beat_from_nothing(head: bytes) -> None:
    """The server goes on until it is cut off, or for a quarter of a minute."""
    dripped = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(head)
                for _ in range(300):
                    connection.sendall(b"a")
                    dripped.append(1)
                    time.sleep(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        connect = lambda _host, _port: http.client.HTTPConnection("127.0.0.1", port, timeout=10)  # noqa: E731
        assert HttpsPost(connect, longest_s=0.3)(MESSAGE) == BeatAnswer("w1", 0)
        thread.join()
    assert 0 < len(dripped) < 300


@pytest.mark.parametrize(
    ("url", "place", "target"),
    [
        ("https://w1.test", ("w1.test", 443), "/"),
        ("https://w1.test:8443/log/add?a=1", ("w1.test", 8443), "/log/add?a=1"),
        ("https:///log", ("", 443), "/log"),
    ],
)
def test_a_message_is_posted_as_it_is_and_its_connection_closed_within_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, url: str, place: tuple[str, int], target: str
) -> None:
    timer, connect = mock.Mock(), mock.Mock()
    monkeypatch.setattr(beat_sender.threading, "Timer", timer)
    connection = connect.return_value
    connection.getresponse.return_value = mock.Mock(status=201, read1=mock.Mock(side_effect=[b"an ", b"answer", b""]))
    for is_witness, kind in ((True, "text/plain; charset=utf-8"), (False, "application/timestamp-query")):
        for each in (timer, connect):
            each.reset_mock()
        connection.getresponse.return_value.read1.side_effect = [b"an ", b"answer", b""]
        answer = HttpsPost(connect)(BeatMessage("w1", url, b"body", is_witness=is_witness))
        assert answer == BeatAnswer("w1", 201, b"an answer")
        headers = {"Content-Type": kind}
        assert connect.mock_calls == [
            mock.call(*place), mock.call().request("POST", target, b"body", headers), mock.call().getresponse(),
            *[mock.call().getresponse().read1(4096)] * 3, mock.call().close(),
        ]  # fmt: skip
        assert timer.call_args.args[0] == 30.0
        assert timer.mock_calls[1:] == [mock.call().start(), mock.call().cancel(), mock.call().join()]


def test_a_connection_that_opens_after_the_end_waits_for_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have many dead addresses, each with the time-out of a socket."""
    connect = socket.socket.connect

    def late(opened: socket.socket, to: tuple[str, int]) -> None:
        time.sleep(0.4)
        connect(opened, to)

    monkeypatch.setattr(socket.socket, "connect", late)
    with Dripping(b"HTTP/1.1 200 OK\r\n\r\nan answer", drip=b"") as server:
        reach = lambda _host, _port: http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)  # noqa: E731
        assert HttpsPost(reach, longest_s=0.3)(MESSAGE) == BeatAnswer("w1", 0)
        assert server.left.wait(HANGS), "the server gave up first"


def test_the_largest_answer_is_taken_and_no_larger_one() -> None:
    connect = mock.Mock()
    for size, status in ((MAX_STAMP_BYTES, 200), (MAX_STAMP_BYTES + 1, 0)):
        pieces = [bytes(size - 10), bytes(10), b""]
        connect.return_value.getresponse.return_value = mock.Mock(status=200, read1=mock.Mock(side_effect=pieces))
        assert HttpsPost(connect)(MESSAGE) == BeatAnswer("w1", status, bytes(size) if status else b"")


def test_a_connection_of_its_own_is_verified_and_has_a_time_limit() -> None:
    connection = beat_sender._over_tls("w1.test", 8443)
    assert isinstance(connection, http.client.HTTPSConnection)
    assert (connection.host, connection.port, connection.timeout) == ("w1.test", 8443, 15.0)
    context = connection._context  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_sender_waits_in_slices_of_twenty_seconds_and_not_at_the_moment_itself() -> None:
    clock, waits = SteppedClock(boot_ns=0), list[float]()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        clock.advance(seconds)
        return False

    sender = BeatSender(Custodian(clock), clock, HOUR, wait=wait)
    assert sender._reach(BootNs(45 * NS_PER_S))
    assert waits == [20.0, 20.0, 5.0]
    assert sender._reach(BootNs(45 * NS_PER_S))
    assert waits == [20.0, 20.0, 5.0]
    assert sender._reach(BootNs(45 * NS_PER_S + 1))
    assert waits[3:] == [1e-9], "also for its last nanosecond"
    sender._stopping.set()
    assert not sender._reach(BootNs(45 * NS_PER_S))


def test_a_beat_without_a_number_is_none() -> None:
    """The custodian has no address to send to."""
    custodian = Custodian(SteppedClock(boot_ns=0))
    custodian.beat = lambda: OutgoingBeat(0, (MESSAGE,))  # type: ignore[method-assign]
    assert sent_at(custodian, 2 * HOUR) == []
    assert custodian.taken == []


def test_answers_that_the_custodian_does_not_take_end_no_sender() -> None:
    custodian = Custodian(SteppedClock(boot_ns=0))
    custodian.take = mock.Mock(side_effect=NetworkError("away"))  # type: ignore[method-assign]
    assert sent_at(custodian, 2 * HOUR) == [FIRST_BEAT_S, FIRST_BEAT_S + HOUR]
    assert custodian.take.mock_calls == [mock.call(number, [BeatAnswer("w1", 200, b"answer")]) for number in (1, 2)]
