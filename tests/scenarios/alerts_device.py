"""A device that only alerts, as a separate process: so that a test can kill it at any moment.

`python -m tests.scenarios.alerts_device QUEUE NAME=URL … ` raises the news named on each line of standard input, and
answers each with "ok" when it is in the queue.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import structlog

from agent.core.alerts.alert_messages import ChannelAddress
from agent.core.alerts.notice_delay import NoticeDelay
from agent.core.alerts.policy import ChannelRules, Policy
from agent.custodian.alerts.alert_queue_sqlite import SqliteAlertQueue
from agent.custodian.alerts.alert_setup import local_time
from agent.custodian.alerts.alerts import Alerts, AlertSettings
from agent.platform.system_clock import SystemClock
from agent.uplink import apprise_sender
from agent.uplink.alert_sender import AlertDelivery
from agent.uplink.apprise_sender import AppriseSender


def main(arguments: list[str]) -> None:
    # A line of the log in the middle of an answer would be no answer, and the test would wait for ever.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    # A receiver that the test keeps from answering answers when the test says so, however long that takes.
    apprise_sender._ANSWER_S = 600.0
    channels = [tuple(each.split("=", 1)) for each in arguments[1:]]
    alerts = Alerts(
        AlertSettings("Doorward: door", "", tuple(ChannelAddress(name, url) for name, url in channels)),
        Policy(tuple(ChannelRules(name) for name, _ in channels), cool_down_ns=0),
        SqliteAlertQueue(Path(arguments[0])),
        SystemClock(),
        local_time,
        NoticeDelay(b"k" * 32),
    )
    delivery = AlertDelivery(alerts, AppriseSender())
    alerts.start()
    delivery.start()
    raised = 0
    for line in sys.stdin:
        alerts.notify(line.strip(), "")
        raised += len(channels)
        while alerts.status()["queued"] < raised:
            time.sleep(0.002)
        print("ok", flush=True)
    alerts.stop()
    delivery.stop()
    alerts.close()


if __name__ == "__main__":
    main(sys.argv[1:])
