"""Runs in the virtual machine of `tests/install/power_cuts.py`, and tells the host on the second serial line.

`doorward=update` begins an update, and the host cuts the power. `doorward=check` starts as after a power cut, says
which version runs or what it lacks, and updates again. A line is `begin`, `updated`, `runs VERSION`, `again VERSION`
or `bad …`.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, "/srv/kills")

from digests import digest

OPT = Path("/opt/doorward")
ROLES = ("custodian", "recorder", "uplink", "bridge")
PATIENCE_S = 600.0
PYTHON = "/opt/tools/bin/python"


def say(*words: object) -> None:
    print(*words, flush=True)


def run(*words: str) -> int:
    return subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode


def step(name: str) -> int:
    return run(PYTHON, "-I", "-B", "/srv/kills/step.py", name)


def boot() -> None:
    """Starts the roles, then the unit that ends a trial, as systemd does after a power cut."""
    while not Path("/run/ready").exists():
        time.sleep(0.05)
    run("systemd-tmpfiles", "--create", "--prefix=/run/doorward")
    run("systemctl", "start", "doorward.target")
    if (OPT / "trial").exists():
        run("/usr/bin/python3", "-I", "-B", str(OPT / "previous/app/scripts/installation"), "judge")


def wish() -> bool:
    state = json.loads(Path("/var/lib/doorward/update/state.json").read_text())
    offer = state.get("offer")
    if offer is None:
        return False
    text = {"v": 1, "id": secrets.token_hex(16), "version": offer["version"], "sha256": offer["sha256"]}
    # A yes after the state's last change: it counts also for a version that was interrupted.
    Path("/run/doorward/update/wish.json").write_text(json.dumps({**text, "change": state.get("change")}))
    return True


def fault() -> str:
    """Returns what one whole, settled version lacks; empty if one runs."""
    if (OPT / "trial").exists():
        return "a version is on trial"
    now = (OPT / "current").readlink().name
    folder = OPT / "versions" / now
    if not (folder / "complete").exists():
        return f"{now} is current and not complete"
    known = json.loads(Path("/srv/digests.json").read_text())
    if digest(folder / "app") != known[now.partition("-")[0]]:
        return f"the files of {now} are not those of its release"
    sums = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )
    if sums.returncode or len((folder / "SHA256SUMS").read_text().splitlines()) < 100:
        return f"{now} lacks files that it was installed with: {(sums.stdout + sums.stderr)[-300:]!r}"
    if run("/opt/doorward/current/bin/doorward", "self-test"):
        return f"{now} does not start"
    for role in ROLES:
        pid = Path(f"/run/units/doorward-{role}.service.pid")
        words = Path(f"/proc/{pid.read_text().strip()}/cmdline").read_text() if pid.exists() else ""
        if words.partition("\0")[0] != f"/opt/doorward/versions/{now}/venv/bin/python":
            return f"{role} runs {words!r}, and {now} is current"
    return ""


def running() -> str:
    ends_s = time.monotonic() + PATIENCE_S
    while lacks := fault():
        if time.monotonic() > ends_s:
            raise TimeoutError(lacks)
        time.sleep(0.5)
    return (OPT / "current").readlink().name.partition("-")[0]


def update() -> None:
    assert step("fetch") == 0
    assert step("take") == 0
    if wish():
        os.sync()  # what is lost is of the update
        say("begin")
        assert step("take") == 0
    say("updated")


def check() -> None:
    say("runs", running())
    update()
    say("again", running())
    os.sync()


if __name__ == "__main__":
    task = dict(word.partition("=")[::2] for word in Path("/proc/cmdline").read_text().split())["doorward"]
    try:
        boot()
        {"update": update, "check": check}[task]()
    except BaseException as error:  # noqa: BLE001 (the host must hear of it)
        traceback.print_exc()
        say("bad", error)
    say("done")
