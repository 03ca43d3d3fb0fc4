"""A witness (c2sp.org/tlog-witness) and a time-stamper (RFC 3161, `openssl ts`) on loopback, for tests.

The witness is a second implementation, written from the specification: it parses bodies and checks proofs with the
second reader, not with the code that it judges.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.core.ledger.checkpoint import Checkpoint, sign_time_checkpoint
from agent.core.ledger.merkle import Frontier, inclusion_proof
from agent.core.ledger.time_log import beat_leaf_hash, stamp_request
from agent.wire.envelope import HybridKey
from agent.wire.identities import MldsaPublicKey, public_key_of
from agent.wire.time_proofs import TimeOpening, TimeProof, TimeStamp
from tests.second_reader import ledger as second
from tests.second_reader.json_once import RefusedError

__all__ = ["Beats", "LocalWitness", "Posted", "Service", "TimeStamper", "serving", "through"]


class Service(Protocol):
    def answer(self, path: str, body: bytes) -> tuple[int, bytes, str]: ...


@dataclass
class Posted:
    """A request as it came: its path, its body, all bytes of its head, and when (monotonic seconds)."""

    path: str
    body: bytes
    head: bytes
    at_s: float


@dataclass
class LocalWitness:
    """The state of a witness. `time_s`: its clock."""

    name: str = "witness.test/w1"
    seed: bytes = b"\7" * 32
    time_s: int = 1_800_000_000
    logs: dict[str, tuple[bytes, int, bytes]] = field(default_factory=dict)
    """For each origin: the log's key, and size and root of the newest head."""

    @property
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def verifier_key(self) -> str:
        raw = b"\4" + self.key.public_key().public_bytes_raw()
        return f"{self.name}+{self._hash().hex()}+{base64.b64encode(raw).decode()}"

    def _hash(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n\4" + self.key.public_key().public_bytes_raw()).digest()[:4]

    def follow(self, origin: str, key: bytes) -> None:
        self.logs[origin] = (key, 0, hashlib.sha256().digest())

    def answer(self, path: str, body: bytes) -> tuple[int, bytes, str]:
        """Returns status, body and content type (tlog-witness, add-checkpoint)."""
        if not path.endswith("/add-checkpoint"):
            return 404, b"", "text/plain"
        try:
            head, _, note = body.decode().partition("\n\n")
            first, *lines = head.split("\n")
            word, number = first.split(" ")
            old, proof = int(number), [base64.b64decode(line, validate=True) for line in lines]
            text, _, signatures = note.partition("\n\n")
            origin, size_line, root_line = text.split("\n")
            size, root = int(size_line), base64.b64decode(root_line, validate=True)
            if word != "old" or old > size or len(proof) > 63:
                return 400, b"", "text/plain"
        except ValueError:
            return 400, b"", "text/plain"
        if origin not in self.logs:
            return 404, b"", "text/plain"
        key, known, known_root = self.logs[origin]
        if not self._signed(origin, key, f"{text}\n", signatures):
            return 403, b"", "text/plain"
        if old != known or (old == size and root != known_root):
            return 409, b"%d\n" % known, "text/x.tlog.size"
        try:
            second.check_consistency(old, size, proof, known_root, root)
        except RefusedError:
            return 422, b"", "text/plain"
        self.logs[origin] = (key, size, root)
        return 200, self.cosign(f"{text}\n"), "text/plain"

    def cosign(self, text: str) -> bytes:
        signed = self.key.sign(b"cosignature/v1\ntime %d\n" % self.time_s + text.encode())
        data = self._hash() + self.time_s.to_bytes(8, "big") + signed
        return f"— {self.name} {base64.b64encode(data).decode()}\n".encode()

    def _signed(self, origin: str, key: bytes, text: str, signatures: str) -> bool:
        wanted = hashlib.sha256(origin.encode() + b"\n\1" + key).digest()[:4]
        for line in signatures.splitlines():
            _, name, data = line.split(" ")
            raw = base64.b64decode(data, validate=True)
            if name == origin and raw[:4] == wanted:
                Ed25519PublicKey.from_public_bytes(key).verify(raw[4:], text.encode())
                return True
        return False


class TimeStamper:
    """An authority and a time-stamper that `openssl` made, in a folder that is removed at the end."""

    def __init__(self, name: str = "Test time-stamper") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="doorward-tsa-")
        self.folder = Path(self._folder.name)
        self.authority = self.folder / "ca.pem"
        (self.folder / "tsa.cnf").write_text(_CONFIGURATION.format(folder=self.folder), encoding="utf-8")
        (self.folder / "serial").write_text("01\n", encoding="utf-8")
        self._run("req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "3650", "-subj", f"/CN={name} authority",
                  "-keyout", "ca.key", "-out", "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE",
                  "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        self._run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                  "-keyout", "tsa.key", "-out", "tsa.csr")  # fmt: skip
        self._run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "3650",
                  "-extfile", "tsa.cnf", "-extensions", "tsa", "-out", "tsa.pem")  # fmt: skip

    def stamp(self, query: bytes) -> bytes:
        (self.folder / "query.tsq").write_bytes(query)
        self._run("ts", "-reply", "-config", "tsa.cnf", "-section", "stamper", "-queryfile", "query.tsq",
                  "-out", "reply.tsr")  # fmt: skip
        return (self.folder / "reply.tsr").read_bytes()

    def answer(self, _path: str, body: bytes) -> tuple[int, bytes, str]:
        return 200, self.stamp(body), "application/timestamp-reply"

    def close(self) -> None:
        self._folder.cleanup()

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


_CONFIGURATION = """
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[stamper]
dir = {folder}
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
certs = {folder}/ca.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@contextmanager
def serving(service: Service) -> Iterator[tuple[int, list[Posted]]]:
    """Serves HTTP on loopback. Yields the port and the list of what was posted."""
    posted: list[Posted] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append(Posted(self.path, body, f"{self.requestline}\n{self.headers}".encode(), time.monotonic()))
            status, answer, kind = service.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Keeps the tests' output free of it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1], posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def through(ports: dict[str, int]) -> Callable[[str, int], http.client.HTTPConnection]:
    """Returns a `connect` for `HttpsPost`: a host by its name in the address, without TLS."""
    return lambda host, _port: http.client.HTTPConnection("127.0.0.1", ports[host], timeout=10)


class Beats:
    """A device's log of beats by hand, with the confirmations that a test wants."""

    def __init__(self, device: Ed25519PrivateKey, mldsa: MLDSA44PrivateKey) -> None:
        self.device = device
        self.mldsa = mldsa
        self.key = public_key_of(device)
        self.keys = HybridKey(self.key, MldsaPublicKey.of(mldsa))
        self.ledgers: list[Checkpoint] = []

    def add(self, ledger: Checkpoint) -> int:
        """Returns the index of the new beat."""
        self.ledgers.append(ledger)
        return len(self.ledgers) - 1

    def leaves(self) -> list[bytes]:
        return [beat_leaf_hash(bytes([n]) * 32, ledger) for n, ledger in enumerate(self.ledgers)]

    def proof(
        self, beat: int, witnesses: Sequence[LocalWitness] = (), stampers: Mapping[str, TimeStamper] | None = None
    ) -> TimeProof:
        """Returns the confirmations of the head with `beat` as its newest."""
        frontier = Frontier()
        for leaf in self.leaves()[: beat + 1]:
            frontier = frontier.append(leaf)
        note = sign_time_checkpoint(frontier, self.device, self.mldsa)
        text = note.decode().partition("\n\n")[0] + "\n"
        stamps = [
            TimeStamp(name=name, response=base64.b64encode(stamper.stamp(stamp_request(note, bytes(8)))).decode())
            for name, stamper in (stampers or {}).items()
        ]
        lines = "".join(each.cosign(text).decode() for each in witnesses)
        return TimeProof(checkpoint=note.decode(), cosignatures=lines, stamps=tuple(stamps))

    def opening(self, beat: int, size: int, proof: TimeProof, consistency: Sequence[bytes] = ()) -> TimeOpening:
        return TimeOpening(
            v=1,
            device=self.key.text,
            size=size,
            consistency=tuple(node.hex() for node in consistency),
            ledger=self.ledgers[beat].text,
            blind=(bytes([beat]) * 32).hex(),
            beat=beat,
            path=tuple(node.hex() for node in inclusion_proof(self.leaves()[: beat + 1], beat)),
            proof=proof,
        )
