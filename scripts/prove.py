"""Runs the proofs at length, part by part, and keeps the last result of each in tests/PROVED.json.

`prove.py` runs every part of `PARTS`, `prove.py consent crash` these two, `prove.py list` prints the last results.
Each part is a make target, so that it can also be run without a record. `make test` runs a share of each of them.
Arguments of the target are in DOORWARD_PROVE_ARGS, for example "--doorbells 10000 --faults 1000" for `scale`.
A setting such as KILLS=13 is kept with the result, so that a share never passes for the whole.
No failure stops the other parts. Exit status 0 only if every part that ran has passed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "PROVED.json"
PARTS: Mapping[str, str] = {
    "branches": "branches",
    "consent": "prove-consent",
    "crash": "prove-crash",
    "properties": "explore",
    "fuzz": "fuzz",
    "long": "test-long",
    "kernel": "test-kernel",
    "browser": "test-browser",
    "installation": "test-install",
    "mutation": "prove-mutation",
}
"""Name of the part: its make target. The longest is last."""
EXTRA: Mapping[str, str] = {
    "arm64": "test-arm64",
    "card": "test-card",
    "clean": "test-clean",
    "every-mutant": "mutate",
    "fleet": "test-fleet",
    "grown-desk": "test-grown",
    "home-assistant": "test-home-assistant",
    "install-desk": "test-install-desk",
    "pi3": "test-pi3",
    "reproduce": "test-reproduce",
    "rabbitmq": "test-rabbitmq",
    "scale": "test-scale",
    "update-kills": "test-update-kills",
    "update-kills-booted": "test-update-kills-booted",
    "update-power": "test-update-power",
    "vm": "test-vm",
}
"""Parts that only run if they are named: few machines have all they need, and every mutant takes a day."""
WRITTEN = (
    "tests/PROVED.json", "tests/branches.json", "tests/*/RESULTS.md", "tests/install/CLEAN.md",
    "tests/interop/home_assistant.json",
)  # fmt: skip
"""Files of results, which the parts write."""
SETTINGS = ("FLEET", "KILLS", "SECONDS")
"""Settings of the targets, on the command line or in the environment, that make a part smaller or larger."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Result:
    command: str
    commit: str
    """The commit that was tested, with `+` if files differed from it before or after. Files of results do not count."""
    date: str
    passed: bool
    seconds: int
    said: str
    """The last line of the output, errors included."""


def run(part: str) -> Result:
    """Runs one part, with its output on the terminal."""
    target = {**PARTS, **EXTRA}[part]
    tested, started, said = commit(), time.monotonic(), ""
    # Below another make, it would print the directory as its last line, and take the names of the parts for its ARGS.
    arguments = os.environ.get("DOORWARD_PROVE_ARGS", "")
    settings = [f"{name}={value}" for name in SETTINGS if (value := os.environ.get(name))]
    command = ["make", "--no-print-directory", target, *settings, f"ARGS={arguments}"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if not re.match(r"make(\[\d+\])?: \*\*\*", line):  # inside make it says "make[1]"
                said = COLOURS.sub("", line).strip(" =\n") or said
    return Result(
        command=" ".join(["make", target, *settings, *([f'ARGS="{arguments}"'] if arguments else [])]),
        commit=tested if tested == commit() else tested.removesuffix("+") + "+",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        passed=process.returncode == 0,
        seconds=round(time.monotonic() - started),
        said=said[:200],
    )


def commit() -> str:
    """Returns the commit of the files here, with `+` if files differ from it or no commit has them."""
    # A part writes its results, and the next part still tests the same code.
    code = [f":!{each}" for each in WRITTEN]
    differs = _git("status", "--porcelain", "--untracked-files=normal", "--", ".", *code)
    return (_git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if differs else "")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def keep(part: str, result: Result, path: Path = RESULTS) -> None:
    """Put the result in place of the part's last one."""
    kept = load(path)
    kept[part] = result
    text = json.dumps({name: asdict(each) for name, each in sorted(kept.items())}, indent=2, ensure_ascii=False)
    new = path.with_suffix(".new")
    new.write_text(text + "\n")
    new.replace(path)


def load(path: Path = RESULTS) -> dict[str, Result]:
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {name: Result(**each) for name, each in kept.items()}


def table(results: Mapping[str, Result]) -> str:
    lines = [f"{'part':16} {'date':10}  {'commit':14} {'result':7} {'seconds':>7}  last line"]
    for part in (*PARTS, *EXTRA):
        if (result := results.get(part)) is None:
            lines.append(f"{part:16} never")
            continue
        outcome = "passed" if result.passed else "FAILED"
        lines.append(
            f"{part:16} {result.date:10}  {result.commit:14} {outcome:7} {result.seconds:7}  {result.said[:70]}"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if arguments == ["list"]:
        print(table(load()))
        return 0
    unknown = set(arguments) - {*PARTS, *EXTRA}
    if unknown:
        print(f"Unknown: {', '.join(sorted(unknown))}. The parts are: {', '.join((*PARTS, *EXTRA))}.", file=sys.stderr)
        return 2
    passed = True
    for part in arguments or PARTS:
        print(f"\n=== {part} ===", flush=True)
        result = run(part)
        keep(part, result)
        passed = passed and result.passed
    print("\n" + table(load()))
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
