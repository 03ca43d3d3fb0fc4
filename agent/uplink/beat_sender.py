"""Sends the beats of the log of time to witnesses and time-stampers, at times that the boot clock alone decides.

The custodian makes a beat and its bytes. This sender asks for them a minute ahead, so that a custodian that is busy
with an approval delays nothing, and sends them at the beat's moment. It sends a beat once, to the configured addresses
only, follows no redirection, and reads a bounded answer.

Source: LEDGER.md, "Time by others"; RFC 3161 section 3.4 and c2sp.org/tlog-witness for the HTTP messages.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

import structlog

from agent.core.beats import LEAD_S, next_send_ns
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DoorwardError
from agent.ipc.protocol import BeatAnswer, BeatMessage, OutgoingBeat
from agent.ports import Clock
from agent.uplink.cut_off import LONGEST_S, CutOff
from agent.wire.time_proofs import MAX_STAMP_BYTES

__all__ = ["BeatPort", "BeatSender", "HttpsPost"]

_TIMEOUT_S: Final = 15.0
_SLICE_S: Final = 20.0
_PIECE_BYTES: Final = 4096

Connect = Callable[[str, int], http.client.HTTPConnection]


class BeatPort(Protocol):
    """The custodian's log of time, or the way to it through a socket."""

    def beat(self) -> OutgoingBeat: ...
    def take(self, number: int, answers: Sequence[BeatAnswer]) -> None: ...


def _over_tls(host: str, port: int) -> http.client.HTTPConnection:
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())


class HttpsPost:
    """Sends one message. `connect` and `longest_s` are for tests."""

    def __init__(self, connect: Connect = _over_tls, longest_s: float = LONGEST_S) -> None:
        self._connect = connect
        self._longest_s = longest_s

    def __call__(self, message: BeatMessage) -> BeatAnswer:
        """Returns the answer, with status 0 if none came."""
        try:
            return self._posted(message)
        except (OSError, ValueError, http.client.HTTPException):  # ValueError: a port or name that cannot be
            return BeatAnswer(message.name, 0)

    def _posted(self, message: BeatMessage) -> BeatAnswer:
        where = urlsplit(message.url)
        connection = self._connect(where.hostname or "", where.port or 443)
        kind = "text/plain; charset=utf-8" if message.is_witness else "application/timestamp-query"
        target = (where.path or "/") + (f"?{where.query}" if where.query else "")
        # One thread serves all addresses, so one that answers byte by byte must not keep the others waiting.
        with CutOff(self._longest_s) as cut_off:
            cut_off.bound(connection)
            try:
                connection.request("POST", target, message.body, {"Content-Type": kind})
                response = connection.getresponse()
                answer = BeatAnswer(message.name, response.status, _bounded(response))
                cut_off.check()  # a cut looks like the end of an answer that has no length
                return answer
            finally:
                connection.close()


class BeatSender:
    """Sends in one thread, from `start` until another thread calls `stop`."""

    def __init__(
        self,
        source: BeatPort,
        clock: Clock,
        every_s: int,
        post: Callable[[BeatMessage], BeatAnswer] | None = None,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """`wait(seconds)` returns True if the sender must stop. It is for tests, as `post`."""
        self._source = source
        self._clock = clock
        self._every_s = every_s
        self._post = post or HttpsPost()
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._log = structlog.get_logger("time")
        self._thread = threading.Thread(target=self.run, name="beats")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread, and waits for the message that it is sending, at most `LONGEST_S`."""
        self._stopping.set()
        self._thread.join()

    def run(self) -> None:
        while True:
            send_ns = next_send_ns(self._clock.now().boot_ns, self._every_s)
            if not self._reach(BootNs(send_ns - LEAD_S * NS_PER_S)):
                return
            beat = self._fetch()
            if not self._reach(send_ns):
                return
            if beat is not None and beat.number:
                self._send(beat)

    def _reach(self, at_ns: BootNs) -> bool:
        """Waits for `at_ns` on the boot clock, which also runs while the machine sleeps. False: stop."""
        while (left_ns := at_ns - self._clock.now().boot_ns) > 0:
            if self._wait(min(left_ns / NS_PER_S, _SLICE_S)):
                return False
        return not self._stopping.is_set()

    def _fetch(self) -> OutgoingBeat | None:
        try:
            return self._source.beat()
        except DoorwardError as error:
            self._log.warning("no_beat", error=error.message)
            return None

    def _send(self, beat: OutgoingBeat) -> None:
        answers = []
        for message in beat.messages:
            if self._stopping.is_set():
                return
            answers.append(self._post(message))
        try:
            self._source.take(beat.number, answers)
        except DoorwardError as error:
            self._log.warning("answers_not_taken", error=error.message)


def _bounded(response: http.client.HTTPResponse) -> bytes:
    """Returns the body. Raises `OSError` if it is too large."""
    body = b""
    while piece := response.read1(_PIECE_BYTES):
        body += piece
        if len(body) > MAX_STAMP_BYTES:
            raise OSError("The answer is too large.")
    return body
