"""One target under atheris; `run.py` starts it: `python -m tests.fuzz.one TARGET CORPUS [libFuzzer's options]`."""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-not-found]


def main() -> None:
    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=["agent"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([name, *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
