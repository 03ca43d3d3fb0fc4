"""The page's end of the link: it makes and reads the vectors, and talks to the doorbell's end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.custodian.link_sessions import LinkIdentity, LinkSessions
from agent.custodian.page.request_guard import Caller
from agent.errors import RequestError
from agent.ipc.protocol import LinkFrame
from agent.platform.system_clock import SystemEntropy
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.link.session import EndReason
from tests.properties.amounts import amount
from tests.web.test_the_program import node
from tests.wire.link import vectors

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
SESSIONS = json.loads((vectors.FOLDER / "sessions.json").read_text(encoding="utf-8"))
DEVICE, OWNER, STRANGER = (private_key_from_seed(bytes([number]) * 32) for number in (1, 2, 3))
SECRET = b"\7" * 32
SESSION = "ab" * 16
PATIENCE_S = 60.0


def test_it_makes_and_reads_the_vectors() -> None:
    told: Any = node("link.mjs", str(vectors.FOLDER))
    for made, session in zip(told["made"], SESSIONS, strict=True):
        assert {name: made[name] for name in ("address", "hello", "proof")} == {
            name: session[name] for name in ("address", "hello", "proof")
        }
        assert made["read"] == [None, 1]
        assert made["record"] == session["to_device"][0]["record"]
    assert set(told["refused"]) == {"OpenError", "FormatError"}


def answer(name: str, frame: Frame, caller: Caller) -> Frame:
    """Stands for the page's operations."""
    assert caller.owner
    if name == "poster":
        raise RequestError("There is none.", remedy="Look elsewhere.")
    sizes = {"segment": 6 << 20, "live": 0, "statement": 10}
    return Frame({"ok": True, "result": {"came": len(frame.body), "head": frame.head}}, bytes(sizes.get(name, 0)))


@pytest.fixture
def link() -> Iterator[LinkSessions]:
    listed = {public_key_of(OWNER): Caller(None, owner=True, claimed=True, link=True)}
    found = LinkSessions(
        LinkIdentity(public_key_of(DEVICE), DEVICE.sign, lambda: (SECRET,), listed.get), answer, SystemEntropy()
    )
    yield found
    found.close()


def client(link: LinkSessions, asked: list[Any], key: Ed25519PrivateKey = OWNER, device: Any = DEVICE) -> list[Any]:
    """Returns the words of the page's client after it has asked, over a carrier that passes frames on."""
    seed = key.private_bytes_raw().hex()
    program = [shutil.which("node") or "node", str(HERE / "link_client.mjs"), SECRET.hex(), public_key_of(device).text]
    process = subprocess.Popen(
        [*program, seed, json.dumps(asked)],
        env=os.environ | {"NODE_NO_WARNINGS": "1"},  # on Debian 12 they stand before the answer
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdin, process.stdout, process.stderr:
        frames = threading.Thread(target=to_device, args=(link, process.stdout))
        frames.start()
        deadline_s = time.monotonic() + PATIENCE_S
        while frames.is_alive() and time.monotonic() < deadline_s:
            found = [struct.pack(">I", len(each.frame)) + each.frame for each in link.collect(0.05)]
            with contextlib.suppress(BrokenPipeError):  # it has left
                process.stdin.write(b"".join(found))
        frames.join()
        told: list[Any] = json.loads(process.stderr.read())
        process.wait(PATIENCE_S)
    return told


def to_device(link: LinkSessions, stream: IO[bytes]) -> None:
    while size := exactly(stream, 4):
        link.deliver([LinkFrame(SESSION, exactly(stream, struct.unpack(">I", size)[0]))])


def exactly(stream: IO[bytes], size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := stream.read(size - len(data))):
        data += piece
    return data


def test_it_asks_the_doorbell_many_things_at_once(link: LinkSessions) -> None:
    asked = [["segment", {"id": "a"}, 0], ["statement", {"envelope": "{}"}, 3 << 20], ["poster", {"id": "a"}, 0]]
    segment, statement, poster, status = client(link, [*asked, ["status", {}, 0]])
    assert segment["body"] == [6 << 20, hashlib.sha256(bytes(6 << 20)).hexdigest()]
    assert segment["result"]["head"] == {"id": "a", "op": "segment"}
    assert statement["result"]["came"] == 3 << 20
    assert poster == {"error": "RefusedError", "text": "error.refused", "said": "There is none."}
    assert status["result"]["came"] == 0
    assert link._connections == {}, "it has said that it leaves"


def test_it_says_in_words_why_there_is_no_session(link: LinkSessions) -> None:
    assert client(link, [], STRANGER) == [{"error": "PageError", "text": "error.link-not-listed"}]
    assert client(link, [], OWNER, STRANGER) == [{"error": "OpenError", "text": "error.link-not-authentic"}]


def test_it_notices_that_the_doorbell_has_forgotten_the_session(link: LinkSessions) -> None:
    link._connections.clear()
    other = LinkSessions(link._identity, answer, SystemEntropy())
    other._identity = LinkIdentity(public_key_of(DEVICE), DEVICE.sign, tuple, lambda _key: None)
    assert client(other, []) == [{"error": "LostError", "text": "error.lost"}]
    other.close()


class _BusyAtOnce(LinkSessions):
    """Ends each session directly after it has let the client in, and passes on both frames together."""

    def collect(self, wait_s: float) -> tuple[LinkFrame, ...]:
        found = super().collect(wait_s)
        opened = self._connections.get(SESSION)
        if found and opened is not None and opened.session is not None:
            self._end(SESSION, EndReason.BUSY)
            found += super().collect(0.0)
        return found


def test_it_hears_the_end_that_comes_with_the_beginning(link: LinkSessions) -> None:
    busy = _BusyAtOnce(link._identity, answer, SystemEntropy())
    assert client(busy, [["status", {}, 0]]) == [{"error": "PageError", "text": "error.link-busy"}]
    busy.close()


def test_ten_thousand_altered_frames_change_nothing_in_the_browser() -> None:
    found: Any = node("link_mutants.mjs", str(amount(5_000, 200_000)))
    assert (found["heard"], found["received"]) == (0, 3)
    assert sorted(filter(None, found["answers"])) == [[1, 9, True], [2, 900, True]]
