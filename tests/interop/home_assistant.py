"""`make test-home-assistant`: shows the doorbell to a real Home Assistant, and keeps what it took.

`home_assistant.json` has its version, the day, the discovery message word for word and the hashes of the blueprints.
`make test` compares them with the present code, so that a change is noticed also on machines without one.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent.core.home import HomeTopics, discovery

__all__ = ["DEVICE", "kept", "last", "main", "shown"]

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".cache" / "home-assistant" / "bin" / "python"
RECORD = Path(__file__).with_suffix(".json")
TESTS = "tests/scenarios/test_at_home.py"
DEVICE = "ab" * 8


def shown() -> dict[str, Any]:
    """All that Home Assistant reads of ours."""
    blueprints = sorted((ROOT / "config" / "home-assistant").glob("*.yaml"))
    return {
        "discovery": discovery(HomeTopics(DEVICE), "front-door", "1", "https://front-door.local:8443/"),
        "blueprints_sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in blueprints},
    }


def kept() -> dict[str, Any]:
    """The last result."""
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def last() -> str:
    return f"{kept()['home_assistant']}, {kept()['date']}"


def main() -> int:
    environment = {**os.environ, "DOORWARD_HOME_ASSISTANT": str(PYTHON)}
    command = [sys.executable, "-m", "pytest", TESTS, "-q", "-rs", "-k", "real_home_assistant or blueprints"]
    # The present result counts: the comparison with the last time is left out.
    command += ["--deselect", f"{TESTS}::test_nothing_has_changed_since_a_real_home_assistant_took_it"]
    if done := subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        return done
    asked = "from importlib.metadata import version; print(version('homeassistant'))"
    version = subprocess.run([PYTHON, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {"home_assistant": version, "date": today, "shown": shown()}
    RECORD.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"Home Assistant {version} took everything; kept in {RECORD.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
