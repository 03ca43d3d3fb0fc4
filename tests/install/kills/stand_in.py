"""A doorbell's program in a few lines: its roles sleep, and `status` says whether the custodian's process lives."""

import json
import os
import pwd
import sys
import time
from pathlib import Path

RUNS = True
"""A release that fails to run has False here."""
KEY = Path("/var/lib/doorward/custodian/device.key")
PID = Path("/run/units/doorward-custodian.service.pid")


def custodian_lives() -> bool:
    try:
        return Path("/proc", PID.read_text().strip(), "cmdline").read_bytes() != b""
    except OSError:
        return False


words = sys.argv[1:]
if words[0] == "run":
    if not RUNS:
        sys.exit(9)
    time.sleep(1e6)
elif words[0] == "status":
    state = "watching" if custodian_lives() else "no recorder"
    print(json.dumps({"owners": ["owner-1"], "recorder": {"state": state, "detail": "", "frames": 1}}))
elif words[0] == "init":
    KEY.write_bytes(os.urandom(32))
    assert pwd.getpwuid(KEY.stat().st_uid).pw_name == "doorward-custodian"
