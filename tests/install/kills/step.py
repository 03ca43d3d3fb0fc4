"""`step.py fetch|take`: the updater's and root's part of an update, as `doorward update fetch` and `step` do them.

It runs the real code with the version that `current` names, because that version's program is a stand-in. The clock
counts as synchronised.
"""

import dataclasses
import sys
from pathlib import Path

import agent
from agent.core.timebase import ClockQuality, ClockReading
from agent.platform.system_clock import SystemClock

read = SystemClock.now


def now(clock: SystemClock) -> ClockReading:
    return dataclasses.replace(read(clock), quality=ClockQuality.SYNCED)


SystemClock.now = now  # type: ignore[method-assign]
agent.__version__ = Path("/opt/doorward/current").readlink().name.partition("-")[0]

from agent.cli import update  # noqa: E402 (after the version)

if sys.argv[1] == "fetch":
    update.fetch.callback()  # type: ignore[misc]
else:
    update.step.callback()  # type: ignore[misc]
