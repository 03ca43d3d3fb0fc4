"""Alerts through Apprise to servers that are down, slow, rude, or killed under: every one arrives, and once."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from agent.core.alerts.kinds import ALERTS, TEST
from agent.errors import ConfigurationError, NetworkError
from agent.uplink.apprise_sender import AppriseSender
from tests.lengths import LONG
from tests.receivers import GotifyServer, NtfyServer, Receiver, SmtpServer, _Server

ROOT = Path(__file__).resolve().parents[2]
SERVERS = [NtfyServer, GotifyServer, SmtpServer]
PRESSED = ALERTS["button"].text
STATES = ["camera", "camera back", "privacy on", "privacy off", "tamper", "trust", "board", "clock"]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[_Server]:
    with request.param(Receiver()) as running:
        yield running


class Device:
    """`alerts_device` in a process."""

    def __init__(self, queue: Path, *servers: _Server) -> None:
        named = [f"{type(server).__name__}={server.url}" for server in servers]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.alerts_device", str(queue), *named],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def tell(self, name: str) -> None:
        """Returns once it is in the queue."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        while (line := self._process.stdout.readline()) != "ok\n":
            assert line, "the device has ended"

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        """In good order, unless it was killed."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(40)
        self._process.stdout.close()

    def kill(self) -> None:
        """As a power cut."""
        self._process.kill()
        self._process.wait()


def words(receiver: Receiver) -> Counter[str]:
    """Every alert that arrived, without its time."""
    return Counter(re.sub(r"^\d\d:\d\d {2}", "", line) for line in receiver.lines)


def test_a_message_arrives_as_plain_words_and_nothing_else(server: _Server) -> None:
    AppriseSender().send(server.url, "Doorward: door", f"14:03  {TEST}\nhttps://front-door.local:8443/")
    assert server.receiver.messages[0][1:] == (
        "Doorward: door",
        f"14:03  {TEST}\nhttps://front-door.local:8443/",
    )
    sent = b"\n".join(server.receiver.raw).lower()
    for stranger in (b"<img", b"githubusercontent", b"apprise-theme", b"attach", b"base64"):
        assert stranger not in sent


def test_a_refusal_is_told_and_holds_no_address(server: _Server) -> None:
    server.receiver.refuses = True
    with pytest.raises(NetworkError) as refused:
        AppriseSender().send(server.url, "Doorward", "a word")
    assert "127.0.0.1" not in str(refused.value)
    assert server.receiver.messages == []


def test_a_slow_answer_is_waited_for_and_not_sent_again() -> None:
    with GotifyServer(Receiver()) as server:
        server.receiver.answers_after_s = 4.3  # Apprise's own patience is 4 s
        AppriseSender().send(server.url, "Doorward", "a word")
        assert len(server.receiver.messages) == server.receiver.attempts == 1


@pytest.mark.parametrize(
    "url", ["json://127.0.0.1/hook", "file:///tmp/alerts", "syslog://", "form://127.0.0.1", "dbus://"]
)
def test_web_hooks_files_and_the_desktop_are_no_channels(url: str) -> None:
    with pytest.raises(ConfigurationError):
        AppriseSender().send(url, "Doorward", "a word")


def test_outages_refusals_and_restarts_neither_lose_an_alert_nor_double_it(tmp_path: Path) -> None:
    queue, names = tmp_path / "alerts.sqlite", [*STATES[:4], "button", "trust", "board"]
    with ExitStack() as stack:
        servers = [stack.enter_context(kind(Receiver())) for kind in SERVERS]
        with Device(queue, *servers) as device:
            for server in servers:
                server.receiver.refuses = True
            for name in STATES[:4]:
                device.tell(name)
            until(lambda: all(server.receiver.attempts for server in servers), "a refused attempt at each")
            for server in servers:
                server.receiver.refuses = False
                server.go_away()
            device.tell("button")
        # It has ended in good order, with alerts that wait; the next one is killed while no one can be reached.
        with Device(queue, *servers) as device:
            device.tell("trust")
            device.kill()
        for server in servers:
            server.come_back()
        with Device(queue, *servers) as device:
            device.tell("board")
            until(lambda: all(sum(words(s.receiver).values()) >= len(names) for s in servers), "every alert")
        expected = Counter(ALERTS[name].text for name in names)
        assert [words(server.receiver) for server in servers] == [expected] * 3


@pytest.mark.parametrize("kills", [pytest.param(5, marks=LONG), 3])
def test_a_kill_at_any_moment_loses_nothing_and_doubles_at_most_the_message_in_the_air(
    tmp_path: Path, kills: int
) -> None:
    queue = tmp_path / "alerts.sqlite"
    with NtfyServer(Receiver()) as server:
        for round_ in range(kills):
            with Device(queue, server) as device:
                for name in STATES:
                    device.tell(name)
                time.sleep(0.01 * round_)
                device.kill()
        wanted = Counter(ALERTS[name].text for name in STATES * kills)
        with Device(queue, server):
            until(lambda: not wanted - words(server.receiver), "every alert")
    bodies = [body for *_, body in server.receiver.messages]
    again = sum((words(server.receiver) - wanted).values())
    assert again <= kills * max(len(body.splitlines()) for body in bodies)


def test_a_press_overtakes_what_waits_and_waits_for_no_slow_channel(tmp_path: Path) -> None:
    with NtfyServer(Receiver()) as quick, GotifyServer(Receiver()) as slow:
        slow.receiver.may_answer.clear()
        with Device(tmp_path / "alerts.sqlite", quick, slow) as device:
            device.tell("tamper")
            quick.receiver.wait_for(1)
            until(lambda: slow.receiver.attempts == 1, "the first alert at the slow one")
            for _ in range(200):
                device.tell("visitor")
            device.tell("button")
            until(lambda: words(quick.receiver)[PRESSED] == 1, "the press")
            assert slow.receiver.messages == []
            slow.receiver.may_answer.set()
            until(lambda: words(slow.receiver)[PRESSED] == 1, "the press at the slow one")
            assert [body.rpartition("  ")[2] for *_, body in slow.receiver.messages][:2] == [
                ALERTS["tamper"].text,
                PRESSED,
            ]


def until(met: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
