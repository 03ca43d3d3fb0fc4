"""`python -m tests.install.limits SUITE`: limits of memory that hold, in a booted container with a kernel that keeps
them.

Each role's charged memory while it films; each role with a leak, killed at its own unit's MemoryMax and back while the
others go on; all four together under the budget of a Zero 2 W, libraries and files included; and the same with object
detection, at 1280 × 720. `labels` after the suite shows the last part alone. `whole` shows a separate row: the whole
container in the 426 MB that Linux has on a Zero 2 W, from its boot on.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time

from tests.install.container import MEMORY, ROOT, Container, why_no_memory
from tests.install.story import Story
from tests.install.update_server import CLIENTS
from tests.install.way_back import OWNER

MB = 1_000_000
BUDGET_MB = 230
"""For all roles, out of a Zero 2 W's 426 MB (docs/decisions/0007)."""
LABELS_MB = 300
"""For all roles with object detection at 1280 × 720. A Zero 2 W has 426 MB, so 126 are left for the system, its page
cache and the camera's own pictures (six of each stream: 9 MB)."""
WHOLE_MB = 426
"""For everything in the container: systemd, journal, D-Bus, a broker, all roles, and each file that they read."""
FILM_S = 60
LEAK = """\
import runpy, sys, threading, time
def leak():
    time.sleep(8)  # a role that dies before it is up would show something else
    kept = []
    while True:
        kept.append(bytearray(b"x") * 4_000_000)
        time.sleep(0.1)
threading.Thread(target=leak, daemon=True).start()
module = sys.argv.pop(1)
sys.path.insert(0, "/opt/doorward/current/app")
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
EVICT = """\
import os
os.sync()
import sys
for top in sys.argv[1:] or ("/opt/doorward", "/usr/lib", "/usr/bin", "/usr/local/lib", "/usr/share"):
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
"""
"""So that anyone who reads a library next is charged for it, as on a board that boots."""


def limits(suite: str) -> str:
    """The whole of it; one sentence for the table.  Raises what failed."""
    if why := why_no_memory():
        return f"not shown: {why}"
    with Container(suite, memory=True) as box:
        story = Story(box)
        for step in (story.install, story.broker, story.first_clip):
            step()
        charged = ", ".join(
            f"{role} {_charged_mb(box, f'system.slice/doorward-{role}.service')}" for role in story.roles
        )
        killed = ", ".join(f"{role} after {_killed(story, role):.0f} s" for role in story.roles)
        verified = box.run("doorward", "vault", "verify", check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        return (
            f"charged while filming, own memory + files, MB: {charged}; each role with a leak killed at its MemoryMax "
            f"and back, the others untouched: {killed}; vault verifies; {_together(story, BUDGET_MB)}; {_labels(story)}"
        )


def labels(suite: str) -> str:
    """The part with object detection alone."""
    if why := why_no_memory():
        return f"not shown: {why}"
    with Container(suite, memory=True) as box:
        story = Story(box)
        for step in (story.install, story.broker, story.first_clip):
            step()
        return _labels(story)


def whole(suite: str) -> str:
    """The whole system in `WHOLE_MB`, with object detection, until its owner has opened a film that has a label."""
    if why := why_no_memory():
        return f"not shown: {why}"
    if not (ROOT / "models").is_dir():
        return "not shown: without the network of object detection (make models)"
    with Container(suite, memory=True) as box:
        story = Story(box)
        for step in (story.install, story.broker, story.first_clip):
            step()
        _add_labels(story)
        box.halt()
        for folder in (box.root / "opt", box.root / "usr"):
            subprocess.run([sys.executable, "-c", EVICT, str(folder)], check=True)
        box.limit_bytes = WHOLE_MB * MB
        box.boot()
        box.run("systemd-run", "-q", "--unit=broker", "mosquitto", "-c", "/etc/mosquitto/doorward/mosquitto.conf")
        story._until(lambda: story._status()["link"].get("link") == "connected", "the link")
        story._until(story._films, "the doorbell in the memory of a Zero 2 W")
        story._inside("record", "1")
        began, faults = story._status()["recorder"], box.counters("memory.stat")["total_pgmajfault"]
        time.sleep(FILM_S)
        story._inside("record", "1")
        ended, now = story._status()["recorder"], box.counters("memory.stat")
        assert (ended["frames_dropped"], ended["packets_dropped"]) == (0, 0), ended
        restarts = {role: box.property(f"doorward-{role}.service", "NRestarts") for role in story.roles}
        assert set(restarts.values()) == {"0"}, restarts
        assert box.counters("memory.oom_control")["oom_kill"] == 0
        peak, hits = box.charged("memory.max_usage_in_bytes"), box.charged("memory.failcnt")
        kernel = box.charged("memory.kmem.usage_in_bytes")
        assert peak <= WHOLE_MB * MB, peak
        seen = ended["object_detection"]
        assert seen["inferences"], seen
        box.run("systemctl", "stop", "doorward-recorder")  # the last film ends
        labels = _opened_labels(box)
        return (
            f"everything in the container in one limit of {WHOLE_MB} MB from its boot on, no swap: own memory "
            f"{now['total_rss'] / MB:.0f} MB, files {now['total_cache'] / MB:.0f} MB, kernel {kernel / MB:.0f} MB, "
            f"peak {peak / MB:.0f} MB, the limit met {hits} times; at 1280 × 720 "
            f"{ended['frames'] - began['frames']} frames while it was watched, none dropped, "
            f"{now['total_pgmajfault'] - faults} pages read from disk again, none killed; "
            f"{seen['inferences']} inferences, {seen['ms_per_inference']} ms; its owner opened {labels}"
        )


def _opened_labels(box: Container) -> str:
    """Returns the labels in the films that the owner opens, outside of the limit: their computer is another one."""
    words = (*CLIENTS.split(), "owner", "open", "--keys", OWNER, "--from", "2020-01-01T00:00", "--out", "/root/clips")
    # Its status tells a gap in a film, such as that of the halt, which is no fault here.
    done = box.run(*words, "--json", check=False)
    assert done.returncode in (0, 1), done.stderr
    clips = json.loads(done.stdout)["clips"]
    labelled = [clip["seen"] for clip in clips if clip["seen"]]
    assert labelled, clips
    names = ", ".join(sorted({name for each in labelled for name in each}))
    return f"{len(clips)} films, {len(labelled)} of them with a label ({names})"


def _labels(story: Story) -> str:
    """All four with object detection, at the size of the defaults."""
    if not (ROOT / "models").is_dir():
        return "without the network of object detection (make models)"
    _add_labels(story)
    said = _together(story, LABELS_MB)
    seen = story._status()["recorder"]["object_detection"]
    assert seen["inferences"], seen
    return (
        f"with object detection at 1280 × 720, {said}; {seen['inferences']} inferences, {seen['ms_per_inference']} ms"
    )


def _add_labels(story: Story) -> None:
    box = story.box
    shutil.copytree(ROOT / "models", box.root / "root/models")
    path = box.root / "etc/doorward/doorward.toml"
    text = re.sub(r"size = \[.*\]", "size = [1280, 720]", path.read_text())
    assert "size = [1280, 720]" in text
    path.write_text(f'{text}\n[object_detection]\nuse = "on"\nmodels = "/opt/models"\n')
    box.run("cp", "-r", "/root/models", "/opt/models")


def _charged_mb(box: Container, group: str) -> str:
    told = dict(line.split() for line in box.run("cat", f"{MEMORY}/{group}/memory.stat").stdout.splitlines())
    return f"{int(told['total_rss']) / MB:.0f} + {int(told['total_cache']) / MB:.0f}"


def _killed(story: Story, role: str) -> float:
    """Give the role a leak; how long until systemd had it back without, its limit having killed it."""
    box, unit = story.box, f"doorward-{role}.service"
    limit_bytes = int(box.property(unit, "MemoryMax"))
    (box.root / "opt/leak.py").write_text(LEAK)
    start = box.run("sh", "-c", f"systemctl cat {unit} | sed -n 's/^ExecStart=//p'").stdout.split()
    python, module = "/opt/doorward/current/venv/bin/python", "firmware_bridge" if role == "bridge" else "agent.cli"
    _drop_in(box, unit, f"[Service]\nExecStart=\nExecStart={python} /opt/leak.py {module} {' '.join(start[1:])}\n")
    box.run("systemctl", "restart", unit)
    leaking, others = story._pid(role), {name: story._pid(name) for name in story.roles if name != role}
    restarts = int(box.property(unit, "NRestarts"))
    started = time.monotonic()
    story._until(lambda: int(box.property(unit, "NRestarts")) > restarts, f"{role} to be killed")
    said = box.run("journalctl", "-u", unit, "-o", "cat", "-n", "200", "--no-pager").stdout
    assert "status=9/KILL" in said, said[-2000:]
    peak = int(box.run("cat", f"{MEMORY}/system.slice/{unit}/memory.max_usage_in_bytes").stdout)
    assert peak <= limit_bytes, (peak, limit_bytes)
    _drop_in(box, unit, None)
    box.run("systemctl", "restart", unit)
    story._until(lambda: story._runs_anew(role, leaking), f"{role} without its leak")
    seconds = time.monotonic() - started
    assert {name: story._pid(name) for name in others} == others, f"others than {role} were restarted"
    story._inside("record", "1")
    return seconds


def _together(story: Story, limit_mb: int) -> str:
    """All four in one slice of that size, every library they read charged to it."""
    box, units = story.box, [f"doorward-{role}.service" for role in story.roles]
    for unit in units:
        _drop_in(box, unit, "[Service]\nSlice=doorward.slice\nSystemCallFilter=setpriority\nMemoryMax=infinity\n")
    box.run("systemctl", "stop", "doorward.target", *units)
    slice_text = f"[Slice]\nMemoryMax={limit_mb * MB}\n"
    box.run("sh", "-c", 'printf %s "$0" > /run/systemd/system/doorward.slice', slice_text)
    box.run("systemctl", "daemon-reload")
    box.run("python3", "-c", EVICT)
    box.run("systemctl", "start", "doorward.target")
    story._until(
        lambda: story._status()["recorder"]["state"] in ("watching", "recording"), "the doorbell in its budget"
    )
    time.sleep(20)
    faults = _major_faults(box)
    story._inside("record", "1")
    time.sleep(40)
    faults = _major_faults(box) - faults
    recorder = story._status()["recorder"]
    assert (recorder["frames_dropped"], recorder["packets_dropped"]) == (0, 0), recorder
    restarts = {unit: box.property(unit, "NRestarts") for unit in units}
    assert set(restarts.values()) == {"0"}, restarts
    limit = int(box.run("cat", f"{MEMORY}/doorward.slice/memory.limit_in_bytes").stdout)
    assert limit <= limit_mb * MB, limit
    return (
        f"all four in one limit of {limit_mb} MB, libraries and files charged to it "
        f"({_charged_mb(box, 'doorward.slice')}): {recorder['frames']} frames, none dropped, "
        f"{faults} pages read from disk again in 40 s, none killed"
    )


def _major_faults(box: Container) -> int:
    told = box.run("grep", "^total_pgmajfault ", f"{MEMORY}/doorward.slice/memory.stat").stdout
    return int(told.split()[1])


def _drop_in(box: Container, unit: str, text: str | None) -> None:
    path = f"/run/systemd/system/{unit}.d/limits.conf"
    if text is None:
        box.run("rm", path)
    else:
        box.run("sh", "-c", 'mkdir -p "${0%/*}" && printf %s "$1" > "$0"', path, text)
    box.run("systemctl", "daemon-reload")


if __name__ == "__main__":
    parts = {"labels": labels, "whole": whole}
    print(parts.get("".join(sys.argv[2:3]), limits)(sys.argv[1]))
