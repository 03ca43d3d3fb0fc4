"""Coverage-guided fuzzing of every parser: `python -m tests.fuzz.run [SECONDS a target] [TARGET …]` (make fuzz).

Each target is fuzzed in a separate process, from its examples and earlier findings. New findings are kept in
`tests/fuzz/found`, which every later test run tries again, and end this run with exit status 1.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".cache" / "fuzz"
SECONDS = 20
_EXECUTED = re.compile(r"Done (\d+) runs|#(\d+)\s+(?:DONE|NEW|REDUCE|pulse)")


def installed() -> Path | None:
    """Returns the place of atheris, apart from the project's environment: there are wheels for x86-64 only."""
    folder = WORK / "atheris"
    return folder if (folder / "atheris").is_dir() else None


def fuzz(name: str, seconds: float, seed: int = 0, most: int = -1) -> tuple[int, Path | None]:
    """Returns the number of inputs that `name` was tried with, and the file that broke it.

    `seed` 0: another each time.  `most`: inputs, after which it ends before its time.
    """
    from tests.fuzz.targets import FOUND, TARGETS

    corpus = WORK / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for data in [*TARGETS[name].seeds(), *(path.read_bytes() for path in FOUND.glob(f"{name}-*"))]:
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    with tempfile.TemporaryDirectory() as broken:
        command = [sys.executable, "-m", "tests.fuzz.one", name, str(corpus), f"-artifact_prefix={broken}/"]
        command += [
            f"-max_total_time={seconds:.0f}",
            f"-seed={seed}",
            f"-runs={most}",
            "-max_len=20000",
            "-timeout=10",
            "-rss_limit_mb=2000",
        ]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{WORK / 'atheris'}"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        tried = max((int(one or other) for one, other in _EXECUTED.findall(done.stderr)), default=0)
        found = next(Path(broken).iterdir(), None)
        if found is not None:
            FOUND.mkdir(exist_ok=True)
            kept = FOUND / f"{name}-{hashlib.sha256(found.read_bytes()).hexdigest()[:12]}"
            kept.write_bytes(found.read_bytes())
            print(done.stderr[-3000:] + done.stdout[-3000:], flush=True)
            return tried, kept
        if done.returncode:
            raise RuntimeError(f"{name} could not be fuzzed:\n{done.stderr[-3000:]}")
    return tried, None


def main(arguments: list[str]) -> int:
    from tests.fuzz.targets import TARGETS

    if installed() is None:
        print("atheris is not installed: run this with 'make fuzz', on x86-64.")
        return 2
    seconds = float(arguments[0]) if arguments else SECONDS
    total, findings, results = 0, 0, {}
    for name in arguments[1:] or TARGETS:
        began = time.monotonic()
        tried, found = fuzz(name, seconds)
        total, findings = total + tried, findings + (found is not None)
        results[name] = tried
        print(
            f"{name:18} {tried:9,} inputs in {time.monotonic() - began:3.0f} s  {found or 'nothing found'}", flush=True
        )
    print(f"{len(results)} parsers, {total:,} inputs, {findings} found")
    (WORK / "last.json").write_text(json.dumps(results, indent=1))
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
