"""Content Credentials in two readers that share no code: c2pa-rs (c2pa-python) and npm c2pa-ts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

INTEROP = Path(__file__).parents[2] / "interop"
_C2PA_TS = INTEROP / "node_modules/@trustnxt/c2pa-ts"
_KINDS = {".mp4": "video/mp4", ".jpg": "image/jpeg"}


def read_with_c2pa_rs(copy: Path) -> dict[str, Any]:
    """The store of a copy, with its verdict as `state`. Raises `c2pa.C2paError`."""
    import c2pa

    with copy.open("rb") as file:
        reader = c2pa.Reader(_KINDS[copy.suffix], file)
        return {**json.loads(reader.json()), "state": reader.get_validation_state()}


def credentials_are_valid(copy: Path) -> bool:
    """The verdict of c2pa-rs. "Trusted" would need a trust list."""
    import c2pa

    try:
        return bool(read_with_c2pa_rs(copy)["state"] == "Valid")
    except c2pa.C2paError:
        return False


def read_with_c2pa_ts(copies: Sequence[Path]) -> list[dict[str, Any]]:
    """For each copy, whether it is `valid`, and the `codes` of all findings."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: apt-get install nodejs npm")
    if not _C2PA_TS.is_dir():
        pytest.skip("not installed: npm @trustnxt/c2pa-ts (run `npm ci` in tests/interop)")
    command = [node, "read_c2pa.mjs", *(path.resolve() for path in copies)]
    done = subprocess.run(command, cwd=INTEROP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def versions() -> str:
    """Names and versions of both."""
    import c2pa

    own = json.loads((_C2PA_TS / "package.json").read_text(encoding="utf-8"))["version"]
    return f"c2pa-rs {c2pa.sdk_version()} and c2pa-ts {own}"
