"""The witness of a run: hears all that the brokers carry, beside the access lists, and looks for broken promises.

It is a process (`python -m tests.scale.wire_witness FILE`) with a connection to each shard. For each message:

- its topic has one of the protocol's forms;
- a doorbell publishes nothing but uploads, and only of an answer that its owner approved, to the requester who asked;
- a chunk has the bytes that its topic names, at their place in the sealed part that the owner's client made;
- no payload holds a piece of a film as the house recorded it.

A broker that is killed forgets the witness, so it misses messages while it connects again. It counts what it heard.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.errors import FormatError
from agent.mqtt.outbound_client import PahoClient
from agent.wire import strictjson
from agent.wire.topics import ChunkVerb, HealthTopic, UploadTopic, UploadVerb, parse_topic
from agent.wire.uploads import UploadNote
from tests.scale.shards import ROOT

__all__ = ["Carried", "WireWitness", "WitnessProcess", "secret_pieces"]

Carried = tuple[str, str, bool, float]
"""Id of a request or bulletin, host of a broker, whether it was retained there from before, and when."""

_PIECE_BYTES = 48
_STEP_BYTES = 4096


def secret_pieces(contents: Iterable[bytes]) -> list[bytes]:
    """Returns pieces of films, one in each 4 KiB. By chance, none of them is in a ciphertext."""
    found = []
    for content in contents:
        for start in range(0, max(1, len(content) - _PIECE_BYTES), _STEP_BYTES):
            piece = content[start : start + _PIECE_BYTES]
            if len(set(piece)) > _PIECE_BYTES // 3:  # not a row of zeros
                found.append(piece)
    return found


class WireWitness:
    """`answers`: a folder for each approved answer, with its sealed parts and `to` (`requester device`)."""

    def __init__(self, answers: Path, secrets: Sequence[bytes]) -> None:
        self._answers, self._secrets = answers, secrets
        self.heard: Counter[str] = Counter()
        self.breaches: list[str] = []
        self.carried: list[Carried] = []
        """Each request and bulletin at each broker. All processes of a machine share the monotonic clock."""

    def note(self, host: str, topic: str, payload: bytes, at_s: float, *, retained: bool) -> None:
        """Notes that a broker carried a request or bulletin just then, or retained it as the witness connected."""
        if ("/requests/" in topic or "/bulletins/" in topic) and payload:
            with suppress(ValueError, KeyError, TypeError):
                message = json.loads(base64.b64decode(json.loads(payload)["payload"]))
                self.carried.append((str(message.get("id") or message["request"]), host, retained, at_s))

    def hear(self, topic: str, payload: bytes) -> None:
        fault = self._fault(topic, payload)
        if fault:
            self.breaches.append(f"{topic}: {fault}")

    def _fault(self, topic: str, payload: bytes) -> str:
        if any(piece in payload for piece in self._secrets):
            return "a piece of a film can be read"
        try:
            parsed = parse_topic(topic)
        except FormatError:
            return "no topic of the protocol"
        self.heard[type(parsed).__name__.removesuffix("Topic").lower()] += 1
        if isinstance(parsed, HealthTopic):
            return "no doorbell of this run reports its health"
        if not isinstance(parsed, UploadTopic):
            return ""
        folder = self._answers / parsed.disclosure
        if not folder.is_dir():
            return "its owner approved no such answer"
        if (folder / "to").read_text() != f"{parsed.requester} {parsed.device}":
            return "another requester or doorbell than the approval names"
        if isinstance(parsed.verb, ChunkVerb):
            return self._chunk(folder / str(parsed.part), parsed.verb, payload)
        if parsed.verb is UploadVerb.ABORT:
            return "bytes in a message that carries none" if payload else ""
        if parsed.verb is UploadVerb.INIT and not payload:
            return ""  # takes a retained one back
        return self._note(folder, parsed.part, payload, asks=parsed.verb is UploadVerb.INIT)

    def _note(self, folder: Path, part: int, payload: bytes, *, asks: bool) -> str:
        try:
            note = strictjson.decode(payload, UploadNote, limit_bytes=len(payload))
        except FormatError:
            return "not the note of an upload"
        sealed = folder / str(part)
        if (
            not sealed.exists()
            or (note.question is not None and not asks)
            or note.parts != len(list(folder.iterdir())) - 1
        ):
            return "another answer than the sealed one is announced"
        data = sealed.read_bytes()
        same = (note.size_bytes, note.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        return "" if same else "another part than the sealed one is announced"

    def _chunk(self, part: Path, verb: ChunkVerb, payload: bytes) -> str:
        if hashlib.sha256(payload).hexdigest() != verb.sha256:
            return "other bytes than the topic names"
        if not part.exists():
            return "a part that the answer does not have"
        with part.open("rb") as sealed:
            sealed.seek(verb.offset_bytes)
            return "" if sealed.read(len(payload)) == payload else "other bytes than the sealed part"


class WitnessProcess:
    """The parent's side. `places`: host and port of each shard's listener for it."""

    def __init__(self, file: Path, places: Sequence[tuple[str, int]], answers: Path, secrets: Sequence[bytes]) -> None:
        told = {"places": places, "answers": str(answers), "secrets": [each.hex() for each in secrets]}
        file.write_text(json.dumps(told))
        self.breaches: list[str] = []
        self.heard: dict[str, int] = {}
        self.carried: list[Carried] = []
        self._log = file.with_suffix(".log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.scale.wire_witness", str(file)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def stop(self) -> None:
        """Ends it, and takes what it found. Twice does nothing more."""
        if self._log.closed:
            return
        try:
            said, _ = self._process.communicate("stop\n", timeout=120)
            told = json.loads(said)
            self.breaches, self.heard = told["breaches"], told["heard"]
            self.carried = [tuple(each) for each in told["carried"]]
        except (subprocess.TimeoutExpired, ValueError) as error:
            self._process.kill()
            self._process.wait()
            self.breaches = [f"the witness did not answer: {error!r}"]
        self._log.close()


class _Ear:
    """One connection, which comes back."""

    def __init__(self, host: str, port: int, witness: WireWitness, lock: threading.Lock) -> None:
        self._client: Any = PahoClient(
            CallbackAPIVersion.VERSION2, client_id=f"witness-{os.getpid()}", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.most_packet_bytes = 256 << 20

        def on_message(_client: object, _userdata: object, message: paho.MQTTMessage) -> None:
            with lock:
                witness.hear(message.topic, bytes(message.payload))
                witness.note(
                    host, message.topic, bytes(message.payload), time.monotonic(), retained=bool(message.retain)
                )

        def on_connect(client: Any, *_: object) -> None:
            client.subscribe("#", options=SubscribeOptions(qos=1))

        self._client.on_message, self._client.on_connect = on_message, on_connect
        self._client.reconnect_delay_set(1, 2)
        self._client.connect_async(host, port, keepalive=15, clean_start=True)
        self._client.loop_start()

    def stop(self) -> None:
        with suppress(OSError):
            self._client.disconnect()
        self._client.loop_stop()


def main(file: Path) -> int:
    told = json.loads(file.read_text())
    witness = WireWitness(Path(told["answers"]), [bytes.fromhex(each) for each in told["secrets"]])
    lock = threading.Lock()
    ears = [_Ear(host, port, witness, lock) for host, port in told["places"]]
    sys.stdin.readline()
    time.sleep(1)
    for each in ears:
        each.stop()
    json.dump({"breaches": witness.breaches[:100], "heard": witness.heard, "carried": witness.carried}, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
