"""Alerts and Home Assistant across the three processes: the custodian keeps, the uplink delivers, each is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.core.alerts.kinds import ALERTS, TEST
from agent.core.alerts.notice_delay import LONGEST_MS, SHORTEST_MS
from agent.core.home import HomeTopics
from agent.custodian.alerts.alert_queue_sqlite import SqliteAlertQueue
from agent.platform.sqlite_snapshot import open_snapshot
from agent.wire.fields import Kind
from tests.home_brokers import PASSWORD, USER, HomeBroker
from tests.lengths import LONG
from tests.receivers import GotifyServer, Receiver
from tests.scenarios.street import ROOT, Asker, Street, a_street, until
from tests.scenarios.test_at_home import AT_HOME, Consumer
from tests.scenarios.test_roles_apart import Apart

pytestmark = [LONG, pytest.mark.broker]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    for folder in ("custodian", "recorder"):
        (tmp_path / "device" / folder).mkdir(parents=True, mode=0o700)
    with a_street(tmp_path) as found:
        yield found


def left_ms(queue: Path) -> int:
    with closing(open_snapshot(queue)) as db:
        ((left,),) = db.execute("SELECT left_ms FROM delayed").fetchall()
    return int(left)


def three_hours_pass(queue: Path) -> None:
    """Delayed news, while the custodian is away."""
    with closing(SqliteAlertQueue(queue)) as held:
        held.pass_time(LONGEST_MS)


def told(receiver: Receiver) -> Counter[str]:
    return Counter(name for name, news in ALERTS.items() for line in receiver.lines if line.endswith(news.text))


def test_what_the_custodian_queued_is_delivered_once_whoever_is_killed(street: Street, tmp_path: Path) -> None:
    asker = Asker(street, "town-police", Kind.POLICE)
    apart = Apart(street, tmp_path)
    with HomeBroker(tmp_path) as home, GotifyServer(Receiver()) as phone:
        consumer = Consumer(home.port)
        configuration = tmp_path / "doorward.toml"
        extra = AT_HOME.format(ntfy=phone.url, port=home.port, user=USER, password=PASSWORD)
        configuration.write_text(configuration.read_text() + extra)
        try:
            for role in ("custodian", "uplink", "recorder"):
                apart.start(role)
            until(street._answers, "the custodian")
            street.enrol_and_trust(asker)
            until(lambda: told(phone.receiver)["new requester"] == 1, "news of who may ask")
            until(lambda: apart.status()["vault"]["segments"] >= 1, "a segment")  # type: ignore[index]
            topics = HomeTopics(street.device.id)
            until(lambda: any(s["last_clip"] for s in consumer.states(topics)), "a clip at home")

            # The request comes, and its owner sees it at once; that the custodian is killed does not bring it out.
            until(lambda: apart.status()["link"]["link"] == "connected", "the link")  # type: ignore[index]
            request = asker.ask("C-9")
            until(lambda: street.state_of(request) == "pending", "the match")
            until(lambda: apart.status()["alerts"]["delayed"] == 1, "the alert to be delayed")  # type: ignore[index]
            queue = street.state_dir / "custodian" / "alerts.sqlite"
            before_ms = left_ms(queue)
            apart.end("custodian", signal.SIGKILL)
            apart.start("custodian")
            until(street._answers, "the custodian again")
            assert SHORTEST_MS - 60_000 < left_ms(queue) <= before_ms <= LONGEST_MS
            assert told(phone.receiver)["request"] == 0
            assert {state["requests"] for state in consumer.states(topics)} == {0}

            # Its time is over while no one delivers; the custodian is killed with the alert in its queue.
            apart.end("uplink", signal.SIGKILL)
            apart.end("custodian", signal.SIGKILL)
            phone.go_away()
            three_hours_pass(queue)
            for role in ("custodian", "uplink"):
                apart.start(role)
            until(street._answers, "the custodian once more")
            until(lambda: apart.status()["alerts"]["channels"]["Ann's phone"]["failures"] >= 1, "a failure")  # type: ignore[index]
            assert "did not take it" in json.dumps(apart.status()["alerts"])
            apart.end("custodian", signal.SIGKILL)
            apart.end("uplink", signal.SIGKILL)
            phone.come_back()
            for role in ("custodian", "uplink"):
                apart.start(role)
            until(lambda: told(phone.receiver)["request"] == 1, "the request on the phone")

            words = ["notify", "test", "--config", str(configuration)]
            done = subprocess.run(
                [sys.executable, "-m", "agent.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stdout) == (0, "Ann's phone: delivered\n"), done.stderr
            assert any(line.endswith(TEST) for line in phone.receiver.lines)
            apart.end("uplink", signal.SIGKILL)
            until(lambda: consumer.heard[topics.availability][-1] == b"offline", "the last will")
            for role in ("recorder", "custodian"):
                assert apart.end(role, signal.SIGTERM) == 0, apart.log()[-2000:]
        finally:
            for role in list(apart.processes):
                apart.end(role, signal.SIGKILL)
            consumer.close()
    assert told(phone.receiver)["request"] == 1
    assert (told(phone.receiver)["trust"], told(phone.receiver)["new requester"]) == (1, 1)
    assert PASSWORD not in apart.log()
    assert phone.url.rpartition("/")[2] not in apart.log()
