"""Compares the two candidates for validation, msgspec and pydantic, on what we use them for.

`python -m bench.validation`, in an environment that has both (pydantic is not one of our dependencies: install it into
a scratch one).  The same twenty structures in each: what they add to a process, and what one strict decode costs.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys

RUNS = 5

_COMMON = """
import sys, time
def resident_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
import typing, enum, dataclasses, json
TEXT = json.dumps({"id": "0123456789abcdef" * 2, "requester": "a", "seq": 7, "kind": "police", "case": "2026/17",
                   "area": [[52.1, 4.2], [52.2, 4.2], [52.2, 4.3]], "from_s": 1, "to_s": 2}).encode()
before, began = resident_kib(), time.perf_counter()
"""

_CANDIDATES = {
    "msgspec": """
import msgspec
from typing import Annotated, Literal
M = msgspec.Meta
def model(n):
    class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        id: Annotated[str, M(pattern="^[0-9a-f]{32}$")]
        requester: Annotated[str, M(max_length=32)]
        seq: Annotated[int, M(ge=0)]
        kind: Literal["police", "fire", "insurer"]
        case: Annotated[str, M(max_length=64)]
        area: Annotated[list[tuple[float, float]], M(max_length=32)]
        from_s: int
        to_s: int
    return Request
decoders = [msgspec.json.Decoder(model(n), strict=True) for n in range(20)]
decode = decoders[0].decode
""",
    "pydantic": """
from pydantic import BaseModel, ConfigDict, Field
from typing import Annotated, Literal
def model(n):
    class Request(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
        id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
        requester: Annotated[str, Field(max_length=32)]
        seq: Annotated[int, Field(ge=0)]
        kind: Literal["police", "fire", "insurer"]
        case: Annotated[str, Field(max_length=64)]
        area: Annotated[list[tuple[float, float]], Field(max_length=32)]
        from_s: int
        to_s: int
    return Request
models = [model(n) for n in range(20)]
decode = models[0].model_validate_json
""",
}

_REPORT = """
ready, grown = time.perf_counter() - began, resident_kib() - before
decode(TEXT)
again = time.perf_counter()
for _ in range(20000):
    decode(TEXT)
print(grown, ready, (time.perf_counter() - again) / 20000)
"""


def main() -> None:
    print("| candidate | resident | ready after | one decode |")
    print("|---|---:|---:|---:|")
    for name, code in _CANDIDATES.items():
        if importlib.util.find_spec(name) is None:
            print(f"| {name} | not installed | | |")
            continue
        runs = [_run(_COMMON + code + _REPORT) for _ in range(RUNS)]
        grown, ready, decode = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"| {name} | {grown / 1024:.1f} MiB | {ready * 1000:.0f} ms | {decode * 1e6:.1f} µs |")


def _run(code: str) -> tuple[float, ...]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return tuple(float(word) for word in done.stdout.split())


if __name__ == "__main__":
    main()
