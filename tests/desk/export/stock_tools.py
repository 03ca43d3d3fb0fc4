"""Verifies an unpacked export with the tools of others: `sha256sum`, `openssl`, npm's age, and the second reader.

It reads the files of the export alone, as their recipient does.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.second_reader import custody
from tests.second_reader.disclosure import read_disclosure

__all__ = ["node_with_age", "open_with_age", "run", "verify_export"]

INTEROP = Path(__file__).parents[2] / "interop"
SIGNERS = {"request": "requester", "receipt": "requester", "approval": "owner", "co_approval": "second-owner"}
"""Signers of statements in `by-hand`. The device signs the others, except the lists of owners."""


def run(*command: str, cwd: Path, data: bytes | None = None) -> bytes:
    return subprocess.run(command, cwd=cwd, input=data, capture_output=True, check=True, timeout=60).stdout


def node_with_age() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: apt-get install nodejs npm")
    if not (INTEROP / "node_modules/age-encryption").is_dir():
        pytest.skip("npm age-encryption is not installed: run `npm ci` in tests/interop")
    return node


def verify_export(folder: Path) -> list[str]:
    """Verifies an export that includes the keys. Returns the ids of its answers."""
    run("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=folder)
    answers = sorted((folder / "answers").iterdir())
    for answer in answers:
        verify_signatures(answer / "bundle")
        read_again(answer, folder / "keys")
    assert all(each["action"] for each in custody.extract((folder / "custody-extract.json").read_bytes()))
    return [answer.name for answer in answers]


def verify_signatures(bundle: Path) -> None:
    """Verifies each signature of an answer with openssl."""
    run("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=bundle)
    names = {path.stem for path in (bundle / "by-hand").glob("*.signed")}
    assert names >= {"request", "manifest", "approval", "checkpoint", "enrolment-001", "record-001"}
    for name in names:
        signer = name if name.startswith("enrolment-") else SIGNERS.get(name, "device")
        run(
            "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", f"{signer}.pem", "-rawin",
            "-in", f"{name}.signed", "-sigfile", f"{name}.signature", cwd=bundle / "by-hand",
        )  # fmt: skip


def read_again(answer: Path, keys: Path) -> None:
    """The second reader verifies and opens the sealed parts, and finds the films of the export in them."""
    bundle = answer / "bundle"
    request = base64.b64decode(json.loads((bundle / "request.dsse").read_bytes())["payload"])
    identity = (keys / f"{json.loads(request)['id']}.identity").read_text().split()[-1]
    parts = [path.read_bytes() for path in sorted((bundle / "parts").iterdir(), key=lambda path: int(path.stem))]
    opened = read_disclosure(parts, identity, request)
    films = [path.read_bytes() for path in sorted((answer / "segments").iterdir())]
    assert [media for kind, _id, media in opened if kind == "segment"] == films != []


def open_with_age(folder: Path, opened: Path) -> None:
    """npm's age opens the first film of each answer with the exported key. Debian's age is older than hybrid keys."""
    node = node_with_age()
    for answer in (folder / "answers").iterdir():
        request = json.loads(base64.b64decode(json.loads((answer / "bundle" / "request.dsse").read_bytes())["payload"]))
        key = folder / "keys" / f"{request['id']}.identity"
        clips = json.loads((answer / "bundle" / "bundle.json").read_bytes())["clips"]
        first = next(each for clip in clips for each in clip["segments"] if each["mp4"].endswith("segment-001.mp4"))
        run(node, "open.mjs", str(key), str(answer / "bundle" / first["part"]), str(opened), cwd=INTEROP)
        film = (answer / "segments" / "segment-001.mp4").read_bytes()
        assert opened.read_bytes().startswith(film)
